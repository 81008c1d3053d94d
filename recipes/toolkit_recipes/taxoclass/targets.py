"""What the classifier learns from core classes: positives, negatives and classes left out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

Closure = Literal["ancestors", "path"]


def build_targets(
    core: Tensor, taxonomy: Taxonomy, closure: Closure = "ancestors", scores: Tensor | None = None
) -> Tensor:
    """Return the target of every document and class: positive 1, negative 0, ignored -1.

    Core classes and the classes above them are positive. The paper takes only their parents (eq.
    7), which makes the root above a core leaf a negative. What lies below a core class is ignored,
    since the document may well belong there; all else is negative. The rows of documents without a
    core class are ignored as a whole.

    Args:
        core: boolean [documents, classes].
        taxonomy: of the classes.
        closure: ``ancestors`` takes all classes above a core class; ``path`` only those on the path
            to it with the highest mean score. In a tree both are the same.
        scores: [documents, classes], needed for ``path``.

    Returns:
        int8 [documents, classes].
    """
    if closure == "path":
        if scores is None:
            raise ValueError("closure='path' needs scores")
        positive = _close_by_path(core, taxonomy, scores)
    else:
        positive = _spread(core, taxonomy.ancestors)
    below = _spread(core, taxonomy.descendants)
    targets = torch.zeros_like(core, dtype=torch.int8)
    targets[below] = IGNORED
    targets[positive] = POSITIVE
    targets[~core.any(dim=1)] = IGNORED
    return targets


def target_statistics(targets: Tensor) -> dict[str, float]:
    """Count the targets of the documents that have a core class.

    ``positive_ratio`` is the share of positives among the targets that count.
    """
    used = targets[has_target(targets)]
    positive, negative = _count(used, POSITIVE), _count(used, NEGATIVE)
    return {
        "stage3/num_positive_labels": positive,
        "stage3/num_negative_labels": negative,
        "stage3/num_ignored_labels": _count(used, IGNORED),
        "stage3/positive_ratio": positive / max(positive + negative, 1),
    }


def has_target(targets: Tensor) -> Tensor:
    """Which documents there is anything to learn from: boolean [documents]."""
    return (targets == POSITIVE).any(dim=1)


def _count(targets: Tensor, value: int) -> int:
    return int((targets == value).count_nonzero())


def _spread(core: Tensor, related: tuple[frozenset[int], ...]) -> Tensor:
    """Mark the core classes and the classes related to each."""
    marked = core.clone()
    for c in core.any(dim=0).nonzero().flatten().tolist():
        if related[c]:
            marked[:, list(related[c])] |= core[:, c, None]
    return marked


def _close_by_path(core: Tensor, taxonomy: Taxonomy, scores: Tensor) -> Tensor:
    marked = core.clone()
    for c in core.any(dim=0).nonzero().flatten().tolist():
        rows = core[:, c].nonzero().flatten()
        paths = taxonomy.paths_to(c)
        means = torch.stack([scores[rows][:, list(path)].mean(dim=1) for path in paths])
        best = means.argmax(dim=0)
        for i, path in enumerate(paths):
            _mark(marked, rows[best == i], path)
    return marked


def _mark(marked: Tensor, rows: Tensor, path: Classes) -> None:
    marked[rows[:, None], torch.tensor(path)] = True
