"""Rules of core class mining."""

from __future__ import annotations

import statistics

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.core_classes import confidence
from toolkit_recipes.taxoclass.core_classes import find_core_classes
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
