"""Stage 2b: find the core classes of each document among its candidates (section 4.2, eq. 2 and 3).

A candidate is trusted where the document is much more similar to it than to the classes it is most
easily confused with: its parents and its siblings. That is the paper's rule, and it keeps about
half of all candidates, right or wrong; the rule by gap keeps one class of the documents that are
least in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.taxonomy import Taxonomy


def confidence(similarity: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return how far each class stands out from its family (eq. 2).

    conf(D, c) = sim(D, c) - max over the parents and siblings of c. The family of a root is the
    other roots; a class without any family keeps its similarity.

    Args:
        similarity: [documents, classes] of stage 1, not propagated; NaN where not scored.
        taxonomy: siblings are taken over all parents of a class.

    Returns:
        [documents, classes]; NaN where the class or any of its family has no score.
    """
    result = similarity.clone()
    for c in range(len(taxonomy)):
        family = [*taxonomy.parents[c], *taxonomy.siblings[c]]
        if family:
            result[:, c] -= similarity[:, family].amax(dim=1)
    return result


def find_core_classes(conf: Tensor, candidates: Tensor, minimum: float = -math.inf) -> Tensor:
    """Return the core classes of each document as a boolean [documents, classes] (eq. 3).

    A candidate class is core where its confidence is strictly above the median of the class over
    the documents that have it as a candidate (of an even number, the mean of the middle two). With
    one such document there is nothing to compare with: the class is core where its confidence is
    positive, that is, where it beats its whole family.

    Args:
        conf: confidences [documents, classes], of the candidates at least.
        candidates: boolean [documents, classes] of stage 2a.
        minimum: a core class also has a confidence above this. Half of all candidates are above a
            median, however wrong they are; above 0 are those that beat their whole family.
    """
    core = torch.zeros_like(candidates)
    for c in candidates.any(dim=0).nonzero().flatten().tolist():
        rows = candidates[:, c]
        values = conf[rows, c]
        threshold = values.quantile(0.5) if len(values) > 1 else 0.0
        core[rows, c] = values > max(float(threshold), minimum)
    return core


def mining_statistics(core: Tensor) -> dict[str, float]:
    """Return how many classes are core anywhere, how many documents have a core, and the mean.

    ``avg_docs_per_core_class`` is over the classes that are core for at least one document; 0
    where there are none.
    """
    # A sum would first turn all of them into numbers of 8 bytes.
    num_classes, pairs = int(core.any(dim=0).sum()), int(core.count_nonzero())
    return {
        "stage2/num_core_classes": num_classes,
        "stage2/total_docs_with_core": int(core.any(dim=1).sum()),
        "stage2/avg_docs_per_core_class": pairs / max(num_classes, 1),
    }


def find_core_classes_by_gap(
    scores: Tensor | Iterable[Tensor], taxonomy: Taxonomy, share: float
) -> Tensor:
    """Return a core class for the documents whose best path is furthest ahead.

    The core class is the last one of the path from a root to a leaf with the highest mean score.
    The gap of a document is how far that path is ahead of the best path to another leaf.

    Args:
        scores: [documents, classes], comparable between classes; those of the zero-shot classifier.
            Or some documents after the others, none of which is held longer than it is looked at.
        taxonomy: of the classes.
        share: part of the documents, those with the largest gaps, that get a core class.

    Returns:
        boolean [documents, classes], at most one class per document.
    """
    parts = torch.split(scores, CHUNK) if isinstance(scores, Tensor) else scores
    leads = [_lead(part, taxonomy) for part in parts]
    leaves, gaps = (torch.cat(of_parts) for of_parts in zip(*leads, strict=True))
    most_certain = gaps.argsort(descending=True, stable=True)[: round(share * len(gaps))]
    core = torch.zeros(len(gaps), len(taxonomy), dtype=torch.bool)
    core[most_certain, leaves[most_certain]] = True
    return core


def mining_quality(core: Tensor, gold: Tensor) -> dict[str, float]:
    """Compare core classes with true ones: for the eyes only, nothing learns from it.

    ``core_precision`` is the share of core classes that are true, ``core_coverage`` the share of
    documents with a core class that is true.
    """
    right = core & gold
    return {
        "stage2/core_precision": int(right.count_nonzero()) / max(int(core.count_nonzero()), 1),
        "stage2/core_coverage": right.any(dim=1).double().mean().item(),
    }


def _lead(scores: Tensor, taxonomy: Taxonomy) -> tuple[Tensor, Tensor]:
    """Return the last class of the best path of each document, and its gap, both [documents]."""
    of_leaf = torch.stack([_best_path_to(leaf, scores, taxonomy) for leaf in taxonomy.leaves], 1)
    leaves = torch.tensor(taxonomy.leaves)
    if len(leaves) == 1:
        return leaves.expand(len(scores)), of_leaf[:, 0]
    best = of_leaf.topk(2, dim=1)
    return leaves[best.indices[:, 0]], best.values[:, 0] - best.values[:, 1]


def _best_path_to(leaf: int, scores: Tensor, taxonomy: Taxonomy) -> Tensor:
    means = [scores[:, list(path)].mean(dim=1) for path in taxonomy.paths_to(leaf)]
    return torch.stack(means).amax(dim=0)
