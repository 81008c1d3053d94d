"""Rules of the top-down candidate search."""

from __future__ import annotations

import torch
from hypothesis import given

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build


def slow_candidates(scores: list[float], taxonomy: Taxonomy) -> set[int]:
    """Walk for one document, word by word as the paper has it."""
    similar = [max(score, 0.0) for score in scores]
    queue = {c: similar[c] for c in sorted(taxonomy.roots, key=lambda c: -similar[c])[:2]}
    found = set(queue)
    level = 1
    while queue:
        pool: dict[int, float] = {}
        for parent, path_score in queue.items():
            children = sorted(taxonomy.children[parent], key=lambda c: -similar[c])
            for child in children[: level + 2]:
                if child not in found:
                    pool[child] = max(pool.get(child, 0.0), path_score * similar[child])
        best = sorted(pool, key=lambda c: -pool[c])[: (level + 1) ** 2]
        queue = {c: pool[c] for c in best}
        found |= set(queue)
        level += 1
    return found


@given(scored_taxonomies())
def test_search_is_the_papers_walk(case: tuple[Taxonomy, torch.Tensor]) -> None:
    """All documents at once give what a plain walk gives for each."""
    taxonomy, scores = case
    found = find_candidates(DensePairs(scores.abs()), taxonomy)
    for row, document in zip(found, scores.abs().tolist(), strict=True):
        assert set(row.nonzero().flatten().tolist()) == slow_candidates(document, taxonomy)


def test_widths_of_the_first_levels() -> None:
    """2 of many roots are kept, then 4 of their children, then 9."""
    edges = [(root, 5 + 5 * root + i) for root in range(5) for i in range(5)]
    edges += [(5 + middle, 30 + 5 * middle + i) for middle in range(25) for i in range(5)]
    names = [str(c) for c in range(155)]
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(20, 155, generator=generator)
    found = find_candidates(DensePairs(scores), build(names, names, edges))
    assert found[:, :5].sum(dim=1).tolist() == [2] * 20
    assert found[:, 5:30].sum(dim=1).tolist() == [4] * 20
    assert found[:, 30:].sum(dim=1).tolist() == [9] * 20


def test_every_candidate_hangs_on_a_candidate() -> None:
    """A class below the top is only reached through a parent that was kept."""
    taxonomy = build("abcdef", "abcdef", [(0, 3), (1, 4), (2, 5)])
    scores = DensePairs(torch.tensor([[0.9, 0.8, 0.1, 0.2, 0.3, 1.0]]))
    found = find_candidates(scores, taxonomy)
    assert found.tolist() == [[True, True, False, True, True, False]]
