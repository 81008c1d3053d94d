"""Rules of stage 1."""

from __future__ import annotations

import math
import statistics

import torch
from hypothesis import given

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.similarity import propagate
from toolkit_recipes.taxoclass.similarity import similarity_statistics
from toolkit_recipes.taxoclass.taxonomy import Taxonomy


def test_class_text_fills_the_template() -> None:
    """The name replaces {name}, underscores become spaces, other braces stay."""
    assert class_texts(["open_water", "cat"], "{about} {name}.") == [
        "{about} open water.",
        "{about} cat.",
    ]


def test_cosine_ignores_lengths() -> None:
    """Vectors of any length are compared by their direction."""
    documents = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    classes = torch.tensor([[0.5, 0.0], [0.0, -2.0]])
    expected = torch.tensor([[1.0, 0.0], [math.sqrt(0.5), -math.sqrt(0.5)]])
    torch.testing.assert_close(cosine_similarity(documents, classes), expected)


def test_statistics_are_over_all_pairs() -> None:
    """Min, max, mean and the standard deviation of the whole matrix."""
    values = [0.1, -0.2, 0.4, 0.8]
    found = similarity_statistics(torch.tensor(values, dtype=torch.float64).reshape(2, 2))
    assert found["stage1/similarity_min"] == -0.2
    assert found["stage1/similarity_max"] == 0.8
    assert math.isclose(found["stage1/similarity_mean"], statistics.mean(values))
    assert math.isclose(found["stage1/similarity_std"], statistics.pstdev(values))


def test_pairs_without_a_score_are_not_in_the_statistics() -> None:
    """NaN marks what was never scored."""
    found = similarity_statistics(torch.tensor([[0.25, math.nan], [math.nan, 0.75]]))
    assert list(found.values()) == [0.25, 0.75, 0.5, 0.25]


@given(scored_taxonomies())
def test_propagated_score_is_the_best_below(case: tuple[Taxonomy, torch.Tensor]) -> None:
    """A class scores the maximum over itself and all its descendants."""
    taxonomy, scores = case
    raised = propagate(scores, taxonomy)
    for c in range(len(taxonomy)):
        family = [c, *taxonomy.descendants[c]]
        assert torch.equal(raised[:, c], scores[:, family].amax(dim=1))
