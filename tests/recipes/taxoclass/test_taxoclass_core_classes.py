"""Rules of core class mining."""

from __future__ import annotations

import statistics

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.core_classes import confidence
from toolkit_recipes.taxoclass.core_classes import find_core_classes
from toolkit_recipes.taxoclass.core_classes import find_core_classes_by_gap
from toolkit_recipes.taxoclass.core_classes import mining_quality
from toolkit_recipes.taxoclass.core_classes import mining_statistics
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build


@given(scored_taxonomies())
def test_confidence_is_the_lead_over_the_family(case: tuple[Taxonomy, torch.Tensor]) -> None:
    """Conf = sim - the highest among parents and siblings; without a family, sim itself."""
    taxonomy, similarity = case
    conf = confidence(similarity, taxonomy)
    for row, values in enumerate(similarity.tolist()):
        for c, own in enumerate(values):
            family = {*taxonomy.parents[c], *taxonomy.siblings[c]}
            rival = max((values[f] for f in family), default=0.0)
            assert abs(conf[row, c].item() - (own - rival)) < 1e-12


def test_roots_compete_with_roots() -> None:
    """A root stands out by its lead over the other roots, not by its similarity."""
    taxonomy = build("ab", "ab", [])
    conf = confidence(torch.tensor([[0.75, 0.5]]), taxonomy)
    assert conf.tolist() == [[0.25, -0.25]]


@given(st.data())
def test_core_is_strictly_above_the_median_of_its_class(data: st.DataObject) -> None:
    """The median is over the documents that have the class as candidate; one document needs > 0."""
    documents = data.draw(st.integers(1, 8))
    values = data.draw(
        st.lists(st.integers(-5, 5).map(float), min_size=documents, max_size=documents)
    )
    is_candidate = data.draw(st.lists(st.booleans(), min_size=documents, max_size=documents))
    conf, candidates = torch.tensor(values)[:, None], torch.tensor(is_candidate)[:, None]
    among = [v for v, is_in in zip(values, is_candidate, strict=True) if is_in]
    threshold = statistics.median(among) if len(among) > 1 else 0.0
    expected = [is_in and v > threshold for v, is_in in zip(values, is_candidate, strict=True)]
    assert find_core_classes(conf, candidates).flatten().tolist() == expected


def test_statistics_count_classes_documents_and_pairs() -> None:
    """Classes with a document, documents with a class, and pairs per such class."""
    core = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    assert mining_statistics(core) == {
        "stage2/num_core_classes": 2,
        "stage2/total_docs_with_core": 2,
        "stage2/avg_docs_per_core_class": 1.5,
    }


def test_statistics_of_nothing_are_zero() -> None:
    """Without any core class the mean is 0, not an error."""
    assert set(mining_statistics(torch.zeros(2, 3, dtype=torch.bool)).values()) == {0}


@given(scored_taxonomies(), st.sampled_from([0.3, 0.75, 1.0]))
def test_by_gap_the_most_certain_documents_get_their_best_leaf(
    case: tuple[Taxonomy, torch.Tensor], share: float
) -> None:
    """The last class of the best path, where it is furthest ahead of all to other leaves."""
    taxonomy, scores = case
    best: list[tuple[float, int, int]] = []
    for row, values in enumerate(scores.tolist()):
        means = sorted(
            (max(sum(values[c] for c in p) / len(p) for p in taxonomy.paths_to(leaf)), leaf)
            for leaf in taxonomy.leaves
        )
        gap = means[-1][0] - means[-2][0] if len(means) > 1 else means[-1][0]
        best.append((gap, row, means[-1][1]))
    kept = sorted(best, reverse=True)[: round(share * len(scores))]
    expected = torch.zeros_like(scores, dtype=torch.bool)
    for _, row, leaf in kept:
        expected[row, leaf] = True
    assert torch.equal(find_core_classes_by_gap(scores, taxonomy, share), expected)


def test_quality_is_precision_of_cores_and_documents_with_a_right_one() -> None:
    """Two of three cores are true, in one of two documents."""
    core = torch.tensor([[True, True, False], [False, False, True]])
    gold = torch.tensor([[True, True, True], [True, False, False]])
    found = mining_quality(core, gold)
    assert found == {"stage2/core_precision": 2 / 3, "stage2/core_coverage": 0.5}
