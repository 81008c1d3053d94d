"""What a run shows of its result: confusion matrix, class table, examples, and advice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

EXAMPLES = 10
"""Documents in the table of examples."""
EXAMPLE_CHARACTERS = 300
"""Length to which the text of an example is cut."""
RIGHT, WRONG = "\N{CHECK MARK}", "\N{BALLOT X}"

Columns = dict[str, list[Any]]
"""A table: values by the name of their column."""


@frozen
class TopLevelConfusion:
    """How often documents of each top-level class were put into each."""

    labels: tuple[str, ...]
    """Names of the classes without a parent, in the order of the taxonomy."""
    counts: list[list[int]]
    """``counts[i][j]`` documents of class ``i`` were put into class ``j``."""
    left_out: int
    """Documents that aren't counted, because none of their true classes is a top-level one."""


def confusion_matrix(gold: Tensor, decoded: Decoded, taxonomy: Taxonomy) -> TopLevelConfusion:
    """Count true against predicted top-level classes.

    A document with several true top-level classes counts once: as right where the predicted one is
    among them, else under the first.

    Args:
        gold: true classes, boolean [documents, classes].
        decoded: predicted paths; each begins with a class without a parent.
        taxonomy: says which classes have no parent.
    """
    size = len(taxonomy.roots)
    true = gold[:, list(taxonomy.roots)].cpu()
    place = {root: i for i, root in enumerate(taxonomy.roots)}
    predicted = torch.tensor([place[path[0]] for path in decoded.paths], dtype=torch.long)
    is_right = true.gather(1, predicted[:, None])[:, 0]
    first = true.long().argmax(dim=1)
    cells = torch.where(is_right, predicted, first) * size + predicted
    has_true = true.any(dim=1)
    counts = torch.bincount(cells[has_true], minlength=size * size).view(size, size)
    labels = tuple(taxonomy.names[root] for root in taxonomy.roots)
    return TopLevelConfusion(labels, counts.tolist(), int((~has_true).sum()))


def class_performance(gold: Tensor, predicted: Tensor, taxonomy: Taxonomy) -> Columns:
    """Return precision, recall, F1 and support of each class that occurs or is predicted.

    The classes with the most documents come first. A ratio without a divisor is 0: the precision
    of a class that is never predicted, the recall of one that never occurs.

    Args:
        gold: true classes, boolean [documents, classes].
        predicted: predicted classes, of the same shape.
        taxonomy: names the classes.
    """
    hits = (gold & predicted).sum(dim=0).cpu()
    support, found = gold.sum(dim=0).cpu(), predicted.sum(dim=0).cpu()
    order = support.argsort(descending=True, stable=True)
    shown = order[(support + found)[order] > 0]
    return {
        "Class": [taxonomy.names[c] for c in shown.tolist()],
        "Precision": _ratio(hits, found)[shown].tolist(),
        "Recall": _ratio(hits, support)[shown].tolist(),
        "F1": _ratio(2 * hits, support + found)[shown].tolist(),
        "Support": support[shown].tolist(),
    }


def prediction_examples(
    gold: Tensor,
    decoded: Decoded,
    texts: Sequence[str],
    taxonomy: Taxonomy,
    *,
    count: int = EXAMPLES,
    seed: int = 0,
) -> Columns:
    """Choose documents, half of them classified right as far as there are any, and show them.

    A document is right where the predicted classes are exactly the true ones. The examples are in
    the order of the documents, texts cut to ``EXAMPLE_CHARACTERS``.

    Args:
        gold: true classes, boolean [documents, classes].
        decoded: predicted paths.
        texts: of the documents.
        taxonomy: names the classes.
        count: examples at most.
        seed: of the choice.
    """
    is_right = (gold == decoded.matrix().to(gold.device)).all(dim=1).cpu()
    chosen = _choose(is_right, count, seed)
    true = [gold[row].nonzero().flatten().tolist() for row in chosen]
    return {
        "Document": [_cut(texts[row]) for row in chosen],
        "True": [classes_in_words(classes, taxonomy) for classes in true],
        "Predicted": [classes_in_words(decoded.paths[row], taxonomy) for row in chosen],
        "Correct": [RIGHT if is_right[row] else WRONG for row in chosen],
    }


def classes_in_words(classes: Sequence[int], taxonomy: Taxonomy) -> str:
    """Write classes from the top down: "a > b > c" where they are one path, else "a, b, c"."""
    ordered = sorted(classes, key=taxonomy.order.index)
    is_path = all(a in taxonomy.parents[b] for a, b in itertools.pairwise(ordered))
    return (" > " if is_path else ", ").join(taxonomy.names[c] for c in ordered)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide counts; 0 where there is nothing to divide by."""
    return part.double() / whole.clamp(min=1)


def _choose(is_right: Tensor, count: int, seed: int) -> list[int]:
    """Draw rows, right and wrong ones in equal number as far as there are enough of both."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(is_right), generator=generator)
    right, wrong = shuffled[is_right[shuffled]], shuffled[~is_right[shuffled]]
    num_right = max(count // 2, count - len(wrong))
    chosen = torch.cat([right[:num_right], wrong[: count - min(num_right, len(right))]])
    return sorted(chosen.tolist())


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"
