"""Rules of scores that are asked for when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attrs import field
from attrs import frozen
from hypothesis import given
from torch import Tensor

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.candidates import complete_families
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.core_classes import confidence
from toolkit_recipes.taxoclass.core_classes import find_core_classes
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import PartialPairs
from toolkit_recipes.taxoclass.pair_scores import known_or_zero
from toolkit_recipes.taxoclass.pair_scores import with_family
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

AMAZON = Path(__file__).parents[4] / "shared" / "data" / "amazon-531-8k"


@frozen(eq=False)
class Asked:
    """Scores that remember which pairs they were asked for."""

    matrix: Tensor
    pairs: list[tuple[int, int]] = field(factory=list)

    def __len__(self) -> int:
        return len(self.matrix)

    def score(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Look up scores."""
        self.pairs.extend(zip(documents.tolist(), classes.tolist(), strict=True))
        return self.matrix[documents, classes]


def search(source: Asked, taxonomy: Taxonomy) -> tuple[Tensor, Tensor]:
    """Walk, and score the families of what was found: scores and candidates."""
    partial = PartialPairs(source, torch.full_like(source.matrix, torch.nan))
    candidates = find_candidates(partial, taxonomy)
    complete_families(partial, candidates, taxonomy)
    return partial.matrix, candidates


@given(scored_taxonomies())
def test_partial_scores_give_the_core_classes_of_all(case: tuple[Taxonomy, Tensor]) -> None:
    """Candidates, their confidence and core classes are the same as with every score known."""
    taxonomy, scores = case
    partial, candidates = search(Asked(scores.abs()), taxonomy)
    assert torch.equal(candidates, find_candidates(DensePairs(scores.abs()), taxonomy))
    conf, expected = confidence(partial, taxonomy), confidence(scores.abs(), taxonomy)
    assert torch.equal(conf[candidates], expected[candidates])
    core = find_core_classes(conf, candidates)
    assert torch.equal(core, find_core_classes(expected, candidates))


@given(scored_taxonomies())
def test_only_what_the_walk_meets_is_scored_and_once(case: tuple[Taxonomy, Tensor]) -> None:
    """Top classes, children of candidates, and parents and siblings of candidates; no others."""
    taxonomy, scores = case
    source = Asked(scores.abs())
    partial, candidates = search(source, taxonomy)
    met = with_family(candidates, taxonomy)
    met[:, list(taxonomy.roots)] = True
    for c in range(len(taxonomy)):
        met[:, list(taxonomy.children[c])] |= candidates[:, c, None]
    assert torch.equal(~partial.isnan(), met)
    assert len(source.pairs) == len(set(source.pairs)) == int(met.sum())


def test_a_family_is_parents_and_siblings() -> None:
    """Of a class with two parents, the children of both; children of the class aren't in it."""
    taxonomy = build("abcdef", "abcdef", [(0, 2), (0, 3), (1, 3), (1, 4), (3, 5)])
    candidates = torch.zeros(1, 6, dtype=torch.bool)
    candidates[0, 3] = True
    assert with_family(candidates, taxonomy).tolist() == [[True, True, True, True, True, False]]


def test_what_was_never_scored_counts_as_nothing() -> None:
    """For decoding, 0 stands for NaN."""
    assert known_or_zero(torch.tensor([[0.5, torch.nan]])).tolist() == [[0.5, 0.0]]


@pytest.mark.skipif(not AMAZON.is_dir(), reason="needs the Amazon-531 data")
def test_amazon_needs_at_most_75_pairs_per_document() -> None:
    """Of 531 classes, with scores that stand for a model's: words in common, and some noise."""
    data = read_dataset(AMAZON)
    texts, taxonomy = data.train.texts[:1500], data.taxonomy
    words = [frozenset(name.split("_")) for name in taxonomy.names]
    found = [[len(w & set(text.lower().split())) / len(w) for w in words] for text in texts]
    noise = torch.rand(len(texts), len(words), generator=torch.Generator().manual_seed(0))
    partial, _ = search(Asked((torch.tensor(found) + noise) / 2), taxonomy)
    scored = (~partial.isnan()).sum(dim=1).double()
    assert 40 < scored.mean() <= 75
