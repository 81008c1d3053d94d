"""From scores to probabilities, level by level, without labels.

A path is a row of choices: a top-level class, then one of its children, and so on. Each choice is
a softmax over the best paths that go through the classes to choose from, divided by a temperature
of that level (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2), and the
probability of a class is the product of the choices that lead to it. So no class is more probable
than the one above it, and the order of the classes stays as it was.

Guo et al. find the temperature with labels. Here the mean probability of a level is made equal to
the share of documents that are put where their nearest neighbour is put, down to that level. That
agreement stands for accuracy, as that of two trainings does in Jiang et al. 2022, "Assessing
Generalization of SGD via Disagreement". Two documents are another matter than two trainings: a
neighbour may really belong elsewhere, by which agreement is below accuracy; and a name that
misleads does so for both, by which it is above. Without labels one can't tell how much of each
there is. (The trained classifier and the similarities that it was trained from would be two views
as well. They agree far more often than they are right.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

FITTED_DOCUMENTS = 2000
"""Documents that temperatures are found on, at most; evenly spread over all."""
SAME_TEXT = 1 - 1e-4
"""Cosine from which two documents are one, which says nothing by agreeing with itself."""
COMPARED_AT_ONCE = 256
"""Documents compared with all others at once; bounds the memory."""
COLDEST, HOTTEST = 1e-3, 1e3
"""Temperatures are looked for between these."""
HALVINGS = 50
BINS = 15
"""Of the expected calibration error, as in Guo et al."""

_TEMPERATURES, _AGREEMENT = "level_temperatures", "level_agreement"


@frozen(eq=False)
class LevelCalibration:
    """The temperature of each level; make it with :meth:`fit`."""

    temperatures: Tensor
    """[levels], the top level first."""
    agreement: Tensor
    """[levels]: the share of documents that agreed with their neighbour down to that level."""

    @classmethod
    def fit(
        cls, score: Callable[[Tensor], Tensor], vectors: Tensor, taxonomy: Taxonomy
    ) -> LevelCalibration:
        """Find the temperatures on documents without labels.

        Args:
            score: returns scores [rows, classes] of some of the documents, given by their rows.
            vectors: of all documents [documents, width]; there are at least two.
            taxonomy: of the classes.
        """
        rows = _spread(len(vectors), FITTED_DOCUMENTS)
        scores, neighbours = score(rows), score(nearest_others(vectors, rows))
        pairs = zip(decode(scores, taxonomy).paths, decode(neighbours, taxonomy).paths, strict=True)
        return cls.matching(scores, [_common_length(a, b) for a, b in pairs], taxonomy)

    @classmethod
    def matching(
        cls, scores: Tensor, agreed: Sequence[int], taxonomy: Taxonomy
    ) -> LevelCalibration:
        """Find the temperatures at which mean probabilities are shares of agreement.

        Args:
            scores: that paths are decoded from, [documents, classes].
            agreed: the number of levels, from the top, on which each document agrees with another.
            taxonomy: of the classes.
        """
        depth = torch.tensor(agreed)
        reach = torch.ones(len(scores), dtype=torch.double)
        temperatures, shares = [], []
        paths = decode(scores, taxonomy).paths
        for level, (rows, behind) in enumerate(_choices(scores, paths, taxonomy)):
            shares.append((depth[rows] > level).double().mean().item())
            temperatures.append(_temperature(reach[rows], behind, shares[-1]))
            reach[rows] *= _chosen(behind, temperatures[-1])
        return cls(torch.tensor(temperatures), torch.tensor(shares))

    @classmethod
    def none(cls) -> LevelCalibration:
        """Return what leaves the scores as they are: temperature 1 on every level."""
        return cls(torch.ones(1), torch.full((1,), math.nan))

    def probabilities(
        self, scores: Tensor, paths: Sequence[Classes], taxonomy: Taxonomy
    ) -> list[list[float]]:
        """Return the probability of each class of each document's path, from its root down.

        A level that no document reached when the temperatures were found takes that of the last.

        Args:
            scores: [documents, classes].
            paths: decoded from them.
            taxonomy: of the classes.
        """
        found: list[list[float]] = [[] for _ in paths]
        reach = torch.ones(len(scores), dtype=torch.double)
        for level, (rows, behind) in enumerate(_choices(scores, paths, taxonomy)):
            temperature = self.temperatures[min(level, len(self.temperatures) - 1)].item()
            reach[rows] *= _chosen(behind, temperature)
            for row, value in zip(rows.tolist(), reach[rows].tolist(), strict=True):
                found[row].append(value)
        return found

    def saved(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {_TEMPERATURES: self.temperatures, _AGREEMENT: self.agreement}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor]) -> LevelCalibration | None:
        """Read what :meth:`saved` returned; None where there is none, as in older models.

        Raises:
            KeyError: one of two tensors is missing.
        """
        if _TEMPERATURES not in saved:
            return None
        return cls(saved[_TEMPERATURES], saved[_AGREEMENT])


def nearest_others(vectors: Tensor, rows: Tensor) -> Tensor:
    """Return for some documents the row of the most similar other one; copies don't count.

    Args:
        vectors: of all documents [documents, width].
        rows: of those that neighbours are looked for.
    """
    unit = torch.nn.functional.normalize(vectors.float(), dim=1)

    def nearest(part: Tensor) -> Tensor:
        cosines = unit[part] @ unit.T
        cosines[cosines > SAME_TEXT] = -1
        cosines[torch.arange(len(part)), part] = -2
        return cosines.argmax(dim=1)

    return torch.cat([nearest(part) for part in torch.split(rows, COMPARED_AT_ONCE)])


def best_through(scores: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return the mean score of the best path from a root to a leaf through each class.

    Args:
        scores: [documents, classes].
        taxonomy: of the classes.

    Returns:
        [documents, classes]; the highest of a row is the score of the decoded path.
    """
    return in_chunks(partial(_best_through, taxonomy=taxonomy), scores)


def calibration_errors(
    levels: LevelCalibration, scores: Tensor, gold: Tensor, taxonomy: Taxonomy
) -> dict[str, float]:
    """Compare probabilities with the true classes, level by level.

    Returns:
        ``test/ece_level_0`` and so on, the expected calibration error of the probabilities of each
        level's predicted class, and ``test/ece_uncalibrated_level_0``, the same at temperature 1.
    """
    paths = decode(scores, taxonomy).paths
    found = {}
    for name, used in (("ece", levels), ("ece_uncalibrated", LevelCalibration.none())):
        probabilities = used.probabilities(scores, paths, taxonomy)
        for level, error in enumerate(errors_by_level(probabilities, paths, gold)):
            found[f"test/{name}_level_{level}"] = error
    return found


def errors_by_level(
    probabilities: Sequence[Sequence[float]], paths: Sequence[Classes], gold: Tensor
) -> list[float]:
    """Return the expected calibration error of each level, the top level first.

    Args:
        probabilities: of the classes of each path.
        paths: predicted, from the root down; the level of a class is its place in the path.
        gold: true classes, boolean [documents, classes]; a class is right where it is among them.
    """
    errors = []
    for level in range(max(map(len, paths))):
        rows = [row for row, path in enumerate(paths) if len(path) > level]
        probability = torch.tensor([probabilities[row][level] for row in rows])
        is_right = torch.stack([gold[row, paths[row][level]] for row in rows])
        errors.append(calibration_error(probability, is_right))
    return errors


def calibration_error(probability: Tensor, is_right: Tensor) -> float:
    """Return the expected calibration error (Guo et al., eq. 3) over 15 bins of equal width.

    That is the mean of |share of right answers - mean probability| in a bin, weighted by how many
    answers fall into it.

    Args:
        probability: of being right, [answers].
        is_right: boolean, the same shape.
    """
    bins = (probability * BINS).long().clamp(max=BINS - 1)
    surplus = torch.zeros(BINS, dtype=torch.double)
    surplus.index_add_(0, bins, is_right.double() - probability.double())
    return surplus.abs().sum().item() / max(len(probability), 1)


def _best_through(scores: Tensor, taxonomy: Taxonomy) -> Tensor:
    """By dynamic programming over the classes above and below, since the mean is over both."""
    edges = [(p, c) for p, below in enumerate(taxonomy.children) for c in below]
    parents, children = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.to(scores.device)
    start = torch.full_like(scores, -math.inf)
    first = start.index_copy(1, _places(taxonomy.roots, scores), scores[:, list(taxonomy.roots)])
    last = start.index_fill(1, _places(taxonomy.leaves, scores), 0.0)

    def best_of(values: Tensor, classes: Tensor) -> Tensor:
        return start.scatter_reduce(1, classes.expand_as(values), values, "amax")

    def lower(sums: Tensor) -> Tensor:
        return best_of(sums[:, parents], children) + scores

    def higher(sums: Tensor) -> Tensor:
        return best_of((sums + scores)[:, children], parents)

    above, below = _all(first, lower), _all(last, higher)
    best = start
    for length, upper in enumerate(above, start=1):
        for more, rest in enumerate(below):
            best = torch.maximum(best, (upper + rest) / (length + more))
    return best


def _all(first: Tensor, step: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Take steps until nothing is reached any more."""
    found = [first]
    while (further := step(found[-1])).isfinite().any():
        found.append(further)
    return found


def _places(classes: Classes, scores: Tensor) -> Tensor:
    return torch.tensor(classes, device=scores.device)


def _choices(
    scores: Tensor, paths: Sequence[Classes], taxonomy: Taxonomy
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each level the documents that reach it, and how far their choices are behind.

    Yields:
        rows [n], and [n, most classes to choose from]: the best path through each class minus the
        one through the class on the path, -inf where there is no further class.
    """
    values = torch.nn.functional.pad(best_through(scores, taxonomy), (0, 1), value=-math.inf)
    families = _padded([*taxonomy.children, taxonomy.roots], fill=len(taxonomy))
    for level in range(max(map(len, paths), default=0)):
        rows = torch.tensor([row for row, path in enumerate(paths) if len(path) > level])
        chosen = torch.tensor([paths[row][level] for row in rows])
        above = torch.tensor([paths[row][level - 1] if level else -1 for row in rows])
        options = values[rows].gather(1, families[above])
        yield rows, options - values[rows, chosen][:, None]


def _padded(families: Sequence[Classes], fill: int) -> Tensor:
    width = max(map(len, families))
    return torch.tensor([[*family, *[fill] * (width - len(family))] for family in families])


def _chosen(behind: Tensor, temperature: float) -> Tensor:
    """Return the softmax of the chosen class, which is behind itself by 0."""
    return (behind.double() / temperature).exp().sum(dim=1).reciprocal()


def _temperature(reach: Tensor, behind: Tensor, share: float) -> float:
    """Find the temperature at which the mean probability is a share, or comes nearest to it."""
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if (reach * _chosen(behind, math.exp(middle))).mean().item() > share:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _spread(count: int, most: int) -> Tensor:
    """Return rows evenly spread over all, at most so many."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _common_length(first: Classes, second: Classes) -> int:
    """Return how many classes two paths share from the top down."""
    shared = zip(first, second, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], shared))
