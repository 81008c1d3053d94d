"""Stage 2b: find the core classes of each document among its candidates (section 4.2, eq. 2 and 3).

A candidate is trusted where the document is much more similar to it than to the classes it is most
easily confused with: its parents and its siblings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.taxonomy import Taxonomy


def confidence(similarity: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return how far each class stands out from its family (eq. 2).

    conf(D, c) = sim(D, c) - max over the parents and siblings of c. The family of a root is the
    other roots; a class without any family keeps its similarity.

    Args:
        similarity: [documents, classes] of stage 1, not propagated.
        taxonomy: siblings are taken over all parents of a class.

    Returns:
        [documents, classes].
    """
    result = similarity.clone()
    for c in range(len(taxonomy)):
        family = [*taxonomy.parents[c], *taxonomy.siblings[c]]
        if family:
            result[:, c] -= similarity[:, family].amax(dim=1)
    return result


def find_core_classes(conf: Tensor, candidates: Tensor) -> Tensor:
    """Return the core classes of each document as a boolean [documents, classes] (eq. 3).

    A candidate class is core where its confidence is strictly above the median of the class over
    the documents that have it as a candidate (of an even number, the mean of the middle two). With
    one such document there is nothing to compare with: the class is core where its confidence is
    positive, that is, where it beats its whole family.

    Args:
        conf: confidences [documents, classes].
        candidates: boolean [documents, classes] of stage 2a.
    """
    core = torch.zeros_like(candidates)
    for c in candidates.any(dim=0).nonzero().flatten().tolist():
        rows = candidates[:, c]
        values = conf[rows, c]
        threshold = values.quantile(0.5) if len(values) > 1 else 0.0
        core[rows, c] = values > threshold
    return core


def mining_statistics(core: Tensor) -> dict[str, float]:
    """Return how many classes are core anywhere, how many documents have a core, and the mean.

    ``avg_docs_per_core_class`` is over the classes that are core for at least one document; 0
    where there are none.
    """
    num_classes = int(core.any(dim=0).sum())
    return {
        "stage2/num_core_classes": num_classes,
        "stage2/total_docs_with_core": int(core.any(dim=1).sum()),
        "stage2/avg_docs_per_core_class": core.sum().item() / max(num_classes, 1),
    }
