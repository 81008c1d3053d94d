"""Stage 1: how similar each document is to each class (Shen et al. 2021, section 4.1).

The paper asks a language inference model whether a document entails a sentence with the class name,
see :mod:`toolkit_recipes.taxoclass.entailment`. Here both are encoded by one text encoder, and
their similarity is the cosine of the two vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
    documents = torch.nn.functional.normalize(documents.float(), dim=1)
    classes = torch.nn.functional.normalize(classes.float(), dim=1)
    return (documents @ classes.T).clamp(-1, 1)


def similarity_statistics(similarity: Tensor) -> dict[str, float]:
    """Return min, max, mean and standard deviation over all pairs that have a score.

    Args:
        similarity: [documents, classes], NaN where a pair was never scored; those don't count.
    """
    values = similarity[~similarity.isnan()].double()
    return {
        "stage1/similarity_min": values.min().item(),
        "stage1/similarity_max": values.max().item(),
        "stage1/similarity_mean": values.mean().item(),
        "stage1/similarity_std": values.std(correction=0).item(),
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
