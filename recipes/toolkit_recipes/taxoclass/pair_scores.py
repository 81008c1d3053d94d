"""Scores of pairs of a document and a class, asked for when they are needed.

The candidate search looks at few of all pairs. Where a score is cheap all of them are there
beforehand; where it costs a pass through a large model only what is asked for is computed. Pairs
that nobody asked for stay NaN: what is worked out from them is NaN as well, and can't be taken for
a score.
"""

from __future__ import annotations

from typing import Protocol

import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

UNSCORED = float("nan")


class PairScores(Protocol):
    """Scores of pairs of a document and a class."""

    def __len__(self) -> int:
        """How many documents there are."""
        ...

    def score(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return the scores of pairs [pairs], in single precision or double.

        With several processes, all of them ask for the same pairs.

        Args:
            documents: position of the document of each pair, int64 [pairs].
            classes: position of the class of each pair, int64 [pairs].
        """
        ...


@frozen(eq=False)
class DensePairs:
    """Scores that are all there.

    Args:
        matrix: [documents, classes].
    """

    matrix: Tensor

    def __len__(self) -> int:
        return len(self.matrix)

    def score(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Look up the scores of pairs [pairs]."""
        return self.matrix[documents, classes]


@frozen(eq=False)
class PartialPairs:
    """Scores that are asked for once and remembered; make it with :meth:`none_of`.

    Args:
        source: is asked for what isn't known yet.
        matrix: what is known [documents, classes], NaN elsewhere; 4 bytes for every pair.
    """

    source: PairScores
    matrix: Tensor

    @classmethod
    def none_of(cls, source: PairScores, num_classes: int) -> PartialPairs:
        """Begin with no score known."""
        return cls(source, torch.full((len(source), num_classes), UNSCORED))

    def __len__(self) -> int:
        return len(self.matrix)

    def score(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return the scores of pairs [pairs], none of which comes twice."""
        unknown = self.matrix[documents, classes].isnan()
        if unknown.any():
            missing = (documents[unknown], classes[unknown])
            self.matrix[missing] = self.source.score(*missing).to(self.matrix)
        return self.matrix[documents, classes]


def with_family(candidates: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Mark the candidates of each document with their parents and siblings, which eq. 2 needs.

    Args:
        candidates: boolean [documents, classes].
        taxonomy: siblings are taken over all parents of a class.

    Returns:
        boolean [documents, classes].
    """
    marked = candidates.clone()
    for c in candidates.any(dim=0).nonzero().flatten().tolist():
        family = [*taxonomy.parents[c], *taxonomy.siblings[c]]
        marked[:, family] |= candidates[:, c, None]
    return marked


def known_or_zero(scores: Tensor) -> Tensor:
    """Return scores in which a pair that was never scored has 0, the least a probability can be.

    The search passed such a class by because others were likelier, so that for decoding it counts
    as one that the document doesn't belong to.
    """
    return scores.nan_to_num(nan=0.0)


def class_means(scores: Tensor) -> Tensor:
    """Return the mean score of each class over all documents [classes].

    Args:
        scores: [documents, classes]; a pair that was never scored counts as 0.
    """
    sums = (known_or_zero(part).double().sum(dim=0) for part in torch.split(scores, CHUNK))
    return (torch.stack(list(sums)).sum(dim=0) / len(scores)).to(scores.dtype)
