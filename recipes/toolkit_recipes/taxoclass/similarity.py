"""Stage 1: how similar each document is to each class (Shen et al. 2021, section 4.1).

The paper asks a language inference model whether a document entails a sentence with the class name,
see :mod:`toolkit_recipes.taxoclass.entailment`. Here both are encoded by one text encoder, and
their similarity is the cosine of the two vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.key_terms import Terms
from toolkit_recipes.taxoclass.taxonomy import Taxonomy


def class_texts(
    names: Sequence[str], template: str, terms: Sequence[Terms] | None = None
) -> list[str]:
    """Put each class name, underscores as spaces, where the template says ``{name}``.

    Args:
        names: of the classes.
        template: the text around the name.
        terms: key terms of each class, which follow its name after commas.
    """
    given = terms if terms is not None else [()] * len(names)
    words = [[name, *own] for name, own in zip(names, given, strict=True)]
    return [template.replace("{name}", ", ".join(all_).replace("_", " ")) for all_ in words]


def cosine_similarity(documents: Tensor, classes: Tensor) -> Tensor:
    """Return the cosine of every document with every class.

    Args:
        documents: vectors [documents, width] of any length.
        classes: vectors [classes, width] of any length.

    Returns:
        [documents, classes] in single precision, each in [-1, 1].
    """
    classes = torch.nn.functional.normalize(classes.float(), dim=1)

    def compare(part: Tensor) -> Tensor:
        return (torch.nn.functional.normalize(part.float(), dim=1) @ classes.T).clamp_(-1, 1)

    return in_chunks(compare, documents)


def similarity_statistics(similarity: Tensor) -> dict[str, float]:
    """Return min, max, mean and standard deviation over all pairs that have a score.

    Args:
        similarity: [documents, classes], NaN where a pair was never scored; those don't count.
    """
    parts = [_sums(values) for values in _known(similarity)]
    count, total = sum(p[0] for p in parts), math.fsum(p[1] for p in parts)
    mean = total / count
    squares = math.fsum((v - mean).square().sum().item() for v in _known(similarity))
    return {
        "stage1/similarity_min": min(p[2] for p in parts),
        "stage1/similarity_max": max(p[3] for p in parts),
        "stage1/similarity_mean": mean,
        "stage1/similarity_std": math.sqrt(squares / count),
    }


def propagate(scores: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Raise the score of every class to the highest among itself and its descendants.

    An abstract name ("agent", "place") says little about a document below it; what its children
    score says more.

    Args:
        scores: [documents, classes].
        taxonomy: says which classes are below which.

    Returns:
        [documents, classes], where no class scores below any of its descendants.
    """
    raised = scores.clone()
    for c in reversed(taxonomy.order):
        if taxonomy.children[c]:
            below = raised[:, list(taxonomy.children[c])].amax(dim=1)
            raised[:, c] = torch.maximum(raised[:, c], below)
    return raised


def _known(similarity: Tensor) -> Iterator[Tensor]:
    """Yield the scores that are there, some documents at a time, in double precision."""
    for part in torch.split(similarity, CHUNK):
        values = part[~part.isnan()].double()
        if len(values):
            yield values


def _sums(values: Tensor) -> tuple[int, float, float, float]:
    """Return how many values there are, their sum, the least and the greatest."""
    return len(values), values.sum().item(), values.min().item(), values.max().item()
