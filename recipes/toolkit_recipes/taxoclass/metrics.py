"""Metrics of hierarchical multi-label classification.

Throughout, ``gold`` and ``predicted`` are boolean [documents, classes], and ``ranking`` is
[documents, classes] with all classes of each document from the best to the worst. T is the set of
true classes of a document and P that of the predicted ones. Every document has a true class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.taxonomy import Taxonomy

TOP_K = (3, 5, 10)


def evaluate(
    gold: Tensor, predicted: Tensor, ranking: Tensor, taxonomy: Taxonomy
) -> dict[str, float]:
    """Return all metrics by name, as they are logged."""
    specific = most_specific(gold, taxonomy)
    metrics = {
        "example_f1": example_f1(gold, predicted),
        "p_at_1": precision_at(gold, ranking, 1),
        "p_at_3": precision_at(gold, ranking, 3),
        "mrr": mrr(gold, ranking),
        "mrr_filtered": mrr_filtered(gold, ranking),
        "accuracy": accuracy(gold, predicted),
        "precision": precision(gold, predicted),
        "recall": recall(gold, predicted),
        "f1_score": f1_score(gold, predicted),
    }
    metrics |= {f"top{k}_accuracy": top_accuracy(specific, ranking, k) for k in TOP_K}
    by_level = level_accuracy(gold, predicted, taxonomy.levels)
    metrics |= {f"level_{level}_accuracy": value for level, value in by_level.items()}
    return {f"test/{name}": value for name, value in metrics.items()}


def example_f1(gold: Tensor, predicted: Tensor) -> float:
    """Mean over documents of 2 |T and P| / (|T| + |P|)."""
    shared = (gold & predicted).sum(dim=1).double()
    return (2 * shared / (gold.sum(dim=1) + predicted.sum(dim=1))).mean().item()


def precision_at(gold: Tensor, ranking: Tensor, k: int) -> float:
    """Mean over documents of the share of true classes among the first ``k``.

    The divisor is always ``k``, as in the published tables (the TaxoClass paper prints
    min(k, |T|)), so a document with fewer than ``k`` true classes can't reach 1.
    """
    return gold.gather(1, ranking[:, :k]).sum(dim=1).double().div(k).mean().item()


def mrr(gold: Tensor, ranking: Tensor) -> float:
    """Mean over documents of the mean over true classes of 1 / rank among all classes.

    This is the formula as printed: with three true classes it can't exceed (1 + 1/2 + 1/3) / 3.
    """
    hits = gold.gather(1, ranking).double()
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return ((hits / ranks).sum(dim=1) / hits.sum(dim=1)).mean().item()


def mrr_filtered(gold: Tensor, ranking: Tensor) -> float:
    """As :func:`mrr`, with other true classes passed over when ranks are counted.

    The rank of a true class is 1 + the wrong classes before it, so a perfect ranking has 1. The
    published values are of this kind.
    """
    hits = gold.gather(1, ranking).double()
    ranks = 1 + (1 - hits).cumsum(dim=1)
    return ((hits / ranks).sum(dim=1) / hits.sum(dim=1)).mean().item()


def accuracy(gold: Tensor, predicted: Tensor) -> float:
    """Share of documents whose predicted classes are exactly the true ones."""
    return (gold == predicted).all(dim=1).double().mean().item()


def precision(gold: Tensor, predicted: Tensor) -> float:
    """Share of all predicted (document, class) pairs that are true; 0 where none is predicted."""
    return (gold & predicted).sum().item() / max(int(predicted.sum()), 1)


def recall(gold: Tensor, predicted: Tensor) -> float:
    """Share of all true (document, class) pairs that are predicted."""
    return (gold & predicted).sum().item() / max(int(gold.sum()), 1)


def f1_score(gold: Tensor, predicted: Tensor) -> float:
    """Micro F1: the harmonic mean of :func:`precision` and :func:`recall`."""
    return 2 * (gold & predicted).sum().item() / max(int(gold.sum() + predicted.sum()), 1)


def most_specific(gold: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return the true classes of each document that have no true child, as a boolean matrix."""
    specific = gold.clone()
    for c, children in enumerate(taxonomy.children):
        if children:
            specific[:, c] &= ~gold[:, list(children)].any(dim=1)
    return specific


def top_accuracy(specific: Tensor, ranking: Tensor, k: int) -> float:
    """Share of documents with a most specific true class among the first ``k`` of the ranking.

    Classes above it count as places too: where the ranking begins with a path of three classes,
    the leaf is third.

    Args:
        specific: boolean [documents, classes] from :func:`most_specific`.
        ranking: [documents, classes].
        k: places that count.
    """
    return specific.gather(1, ranking[:, :k]).any(dim=1).double().mean().item()


def level_accuracy(gold: Tensor, predicted: Tensor, levels: Sequence[int]) -> dict[int, float]:
    """Return the accuracy of each level: predicted classes of that level are exactly the true ones.

    Each is over the documents with a true class at that level; a level that no document reaches is
    left out. The level of a class is its shortest distance from a root.
    """
    level_of = torch.tensor(levels, device=gold.device)
    accuracies = {}
    for level in range(max(levels) + 1):
        columns = level_of == level
        reached = gold[:, columns].any(dim=1)
        if reached.any():
            same = (gold[:, columns] == predicted[:, columns]).all(dim=1)
            accuracies[level] = same[reached].double().mean().item()
    return accuracies
