"""Stage 2a: walk down the taxonomy and keep a few candidate classes per document (section 4.2).

From the Root the 2 most similar children are kept. Then every kept class of level ``l`` (1 for the
children of the Root) proposes its ``l + 2`` most similar children, and of all proposals the
``(l + 1) ** 2`` with the highest path score are kept for the next level. The path score of a class
is the highest, over its kept parents, of the parent's path score times its own similarity; the Root
has 1. Every class that was ever kept is a candidate.

The walk takes any scores. On the similarities themselves it is the paper's search. On scores raised
by :func:`toolkit_recipes.taxoclass.similarity.propagate` a class with an abstract name no longer
ends the walk above the right descendant. It asks only for the scores of the children of classes
that it kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.pair_scores import PairScores
from toolkit_recipes.taxoclass.pair_scores import PartialPairs
from toolkit_recipes.taxoclass.pair_scores import with_family
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

ROOT_WIDTH = 2


def find_candidates(scores: PairScores, taxonomy: Taxonomy) -> Tensor:
    """Return the candidate classes of each document as a boolean [documents, classes].

    Args:
        scores: of pairs; negative scores count as 0 in the path score.
        taxonomy: a class with several parents joins at the first level where one of them is kept.
    """
    return in_chunks(partial(_walk, pairs=scores, taxonomy=taxonomy), torch.arange(len(scores)))


def complete_families(scores: PartialPairs, candidates: Tensor, taxonomy: Taxonomy) -> None:
    """Score the parents and siblings of candidates, and the candidates, where they aren't yet.

    Args:
        scores: are completed.
        candidates: boolean [documents, classes].
        taxonomy: says who is whose parent and sibling.
    """
    for rows in torch.split(torch.arange(len(candidates)), CHUNK):
        documents, classes = with_family(candidates[rows], taxonomy).nonzero(as_tuple=True)
        scores.score(rows[documents], classes)


def _walk(rows: Tensor, pairs: PairScores, taxonomy: Taxonomy) -> Tensor:
    kept = torch.zeros(len(rows), len(taxonomy), dtype=torch.bool)
    kept[:, list(taxonomy.roots)] = True
    scores = _ask(pairs, rows, kept)
    frontier = _keep_best(scores, ROOT_WIDTH)
    candidates = frontier > -torch.inf
    level = 1
    while (frontier > -torch.inf).any():
        scores = _ask(pairs, rows, _children(frontier > -torch.inf, taxonomy))
        proposed = _propose(frontier, scores, taxonomy.children, width=level + 2)
        proposed[candidates] = -torch.inf
        frontier = _keep_best(proposed, (level + 1) ** 2)
        candidates |= frontier > -torch.inf
        level += 1
    return candidates


def _ask(pairs: PairScores, rows: Tensor, needed: Tensor) -> Tensor:
    """Return the scores of the needed pairs [rows, classes], at least 0, elsewhere -inf."""
    documents, classes = needed.nonzero(as_tuple=True)
    found = pairs.score(rows[documents], classes)
    scores = found.new_full(needed.shape, -torch.inf)
    scores[documents, classes] = found.clamp(min=0)
    return scores


def _children(kept: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Mark the children of the classes kept for each document."""
    needed = torch.zeros_like(kept)
    for parent in kept.any(dim=0).nonzero().flatten().tolist():
        needed[:, list(taxonomy.children[parent])] |= kept[:, parent, None]
    return needed


def _propose(
    frontier: Tensor, scores: Tensor, children: Sequence[Sequence[int]], width: int
) -> Tensor:
    """Path scores of the children that the classes of the frontier propose, elsewhere -inf.

    ``frontier`` holds the path score of each kept class and -inf elsewhere.
    """
    proposed = torch.full_like(scores, -torch.inf)
    kept = frontier > -torch.inf
    for parent in kept.any(dim=0).nonzero().flatten().tolist():
        if not children[parent]:
            continue
        rows = kept[:, parent].nonzero()
        below = torch.tensor(children[parent], device=scores.device)
        best = scores[rows, below].topk(min(width, len(below)), dim=1)
        columns = below[best.indices]
        path_scores = frontier[rows, parent] * best.values
        proposed[rows, columns] = torch.maximum(proposed[rows, columns], path_scores)
    return proposed


def _keep_best(values: Tensor, count: int) -> Tensor:
    """Keep the ``count`` highest values of each row, and -inf elsewhere."""
    best = values.topk(min(count, values.shape[1]), dim=1)
    return torch.full_like(values, -torch.inf).scatter(1, best.indices, best.values)
