"""A saved model at work: from texts to scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import torch
from accelerate import Accelerator
from attrs import frozen
from rich.console import Console
from torch import Tensor

from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.learner import tokenise
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import ZeroShot
from toolkit_recipes.taxoclass.similarity import cosine_similarity

if TYPE_CHECKING:
    from toolkit_recipes.taxoclass.encoder import TextEncoder

BATCH_SIZE = 32


@frozen(eq=False)
class Reading:
    """What a model makes of texts, on the CPU."""

    vectors: Tensor
    """[texts, width], from the model's own encoder."""
    logits: Tensor
    """[texts, classes], of the trained classifier."""
    similarity: Tensor | None
    """The same shape, as in stage 1; None where scores do without it."""
    scores: Tensor
    """The same shape: both together, from which paths are decoded."""


class Classifier:
    """Classifies texts with a saved model.

    Args:
        model: from :func:`toolkit_recipes.taxoclass.model_files.load`.
        accelerator: says which device and number format to use.
        batch_size: documents read at once.

    Raises:
        UsageError: the untrained encoder that belongs to the model can't be loaded.
    """

    def __init__(
        self,
        model: SavedModel,
        accelerator: Accelerator | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.taxonomy = model.taxonomy
        self.model = model
        self._accelerator = accelerator or Accelerator()
        self._batch_size = batch_size
        self._module = model.classifier.to(self._accelerator.device).eval()
        self._zero_shot = None if model.zero_shot is None else self._load_encoder(model.zero_shot)

    def classify(self, texts: Sequence[str]) -> Decoded:
        """Return the predicted path, its score and the ranking of all classes for each text."""
        return decode(self.scores(texts), self.taxonomy)

    def scores(self, texts: Sequence[str]) -> Tensor:
        """Return scores [texts, classes] on the CPU; one text doesn't change those of another."""
        if not texts:
            return torch.empty(0, len(self.taxonomy))
        return self.read(texts).scores

    def read(self, texts: Sequence[str]) -> Reading:
        """Return the scores of texts, of which there must be some, and what they are made from."""
        vectors, logits = self._logits(texts)
        similarity = self._similarity(texts)
        weight = self.model.config.decode.zero_shot_weight
        return Reading(vectors, logits, similarity, self._scores(logits, similarity, weight))

    def parts(self, reading: Reading) -> tuple[Tensor, Tensor | None]:
        """Return the standardised scores of the trained classifier, and those without training.

        Their mean, by ``decode.zero_shot_weight``, is the score.
        """
        trained = self._scores(reading.logits, reading.similarity, 0.0)
        if reading.similarity is None:
            return trained, None
        return trained, self._scores(reading.logits, reading.similarity, 1.0)

    def _scores(self, logits: Tensor, similarity: Tensor | None, weight: float) -> Tensor:
        config = attrs.evolve(self.model.config.decode, zero_shot_weight=weight)
        return self.model.calibration.scores(logits, similarity, self.taxonomy, config)

    def _logits(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Read the texts sorted by length, so that a batch holds little padding.

        Returns:
            Document vectors [texts, width] and logits [texts, classes].
        """
        config = self.model.config.encoder
        tokenizer, encoder = self.model.tokenizer, self.model.classifier.encoder.config
        documents = tokenise(texts, tokenizer, encoder, config.max_length)
        lengths = documents.lengths(range(len(texts)))
        by_length = sorted(range(len(texts)), key=lengths.__getitem__, reverse=True)
        vectors, logits = [], []
        for start in range(0, len(texts), self._batch_size):
            rows = by_length[start : start + self._batch_size]
            inputs = documents.inputs(rows, self._accelerator.device)
            with torch.inference_mode(), self._accelerator.autocast():
                vectors.append(self._module.encode(*inputs))
                logits.append(self._module.matcher(vectors[-1]))
        order = torch.tensor(by_length).argsort()
        return torch.cat(vectors).float().cpu()[order], torch.cat(logits).float().cpu()[order]

    def _similarity(self, texts: Sequence[str]) -> Tensor | None:
        if self._zero_shot is None or self.model.zero_shot is None:
            return None
        vectors = self._zero_shot.encode(texts, "documents")
        return cosine_similarity(vectors, self.model.zero_shot.class_vectors)

    def _load_encoder(self, zero_shot: ZeroShot) -> TextEncoder:
        # sentence-transformers takes seconds to import, and not every model needs it.
        from toolkit_recipes.model_hub import ModelFiles
        from toolkit_recipes.taxoclass.encoder import TextEncoder

        files = ModelFiles(zero_shot.folder, "path")
        return TextEncoder(
            files, self.model.config.encoder, self._accelerator, Reporter(Console(quiet=True))
        )
