"""From what a trained classifier says to scores that paths are decoded from.

Logits and zero-shot scores have different scales, and after self-training a logit of 0 no longer
means a probability of one half. Both are brought to mean 0 and deviation 1 by what they are over
the train documents, and added. So the scores of a document don't depend on the documents it comes
with.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import fields_dict
from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.presets import DecodeConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

SMALLEST_DEVIATION = 1e-6
"""Where all values are alike there is nothing to scale."""


@frozen(eq=False)
class Calibration:
    """What logits and zero-shot scores are over the train documents; make it with :meth:`fit`."""

    class_means: Tensor
    """[classes]: mean similarity of each class."""
    logits: Tensor
    """[2]: mean and standard deviation of the logits."""
    zero_shot: Tensor
    """[2]: mean and standard deviation of the zero-shot scores."""

    @classmethod
    def fit(
        cls, logits: Tensor, similarity: Tensor, taxonomy: Taxonomy, config: DecodeConfig
    ) -> Calibration:
        """Measure the train documents.

        Args:
            logits: of the trained classifier [documents, classes].
            similarity: of stage 1, the same shape.
            taxonomy: of the classes.
            config: how scores are made.
        """
        means = similarity.mean(dim=0)
        zero_shot = zero_shot_scores(similarity, means, taxonomy, config.propagation)
        return cls(means, _moments(logits), _moments(zero_shot))

    def scores(
        self, logits: Tensor, similarity: Tensor | None, taxonomy: Taxonomy, config: DecodeConfig
    ) -> Tensor:
        """Return scores [documents, classes] for decoding.

        Args:
            logits: of the trained classifier [documents, classes].
            similarity: of stage 1, the same shape; not needed where ``zero_shot_weight`` is 0.
            taxonomy: of the classes.
            config: how scores are made.
        """
        trained = _standardised(logits, self.logits)
        if similarity is None:
            if config.zero_shot_weight > 0:
                raise ValueError("zero_shot_weight is above 0, so similarities are needed")
            return trained
        untrained = zero_shot_scores(similarity, self.class_means, taxonomy, config.propagation)
        return torch.lerp(
            trained, _standardised(untrained, self.zero_shot), config.zero_shot_weight
        )

    def saved(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {name: getattr(self, name) for name in fields_dict(Calibration)}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor]) -> Calibration:
        """Read what :meth:`saved` returned.

        Raises:
            KeyError: a tensor is missing.
        """
        return cls(**{name: saved[name] for name in fields_dict(Calibration)})


def _moments(values: Tensor) -> Tensor:
    wide = values.double()
    return torch.stack([wide.mean(), wide.std(correction=0)]).float()


def _standardised(values: Tensor, moments: Tensor) -> Tensor:
    mean, deviation = moments.to(values.device)
    standardised: Tensor = (values.float() - mean) / deviation.clamp(min=SMALLEST_DEVIATION)
    return standardised
