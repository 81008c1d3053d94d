"""Rules of probabilities by level, and of how their temperatures are found without labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.level_calibration import best_through
from toolkit_recipes.taxoclass.level_calibration import calibration_error
from toolkit_recipes.taxoclass.level_calibration import calibration_errors
from toolkit_recipes.taxoclass.level_calibration import nearest_others
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

TREE = build(
    [*"abcdefgh"],
    [*"abcdefgh"],
    [(0, 2), (0, 3), (1, 4), (1, 5), (1, 6), (2, 7)],
)
"""Two classes on top; below a: c, d, below c: h alone; below b: e, f, g."""


def noise(documents: int, classes: int, seed: int = 0) -> torch.Tensor:
    """Normal scores, the same every time."""
    return torch.randn(documents, classes, generator=torch.Generator().manual_seed(seed))


@given(scored_taxonomies())
@settings(max_examples=40)
def test_the_best_path_through_a_class_is_the_best_of_all_that_hold_it(
    case: tuple[Taxonomy, torch.Tensor],
) -> None:
    """Found by dynamic programming, it is what listing every path finds."""
    taxonomy, scores = case
    found = best_through(scores, taxonomy)
    paths = [path for leaf in taxonomy.leaves for path in taxonomy.paths_to(leaf)]
    for c in range(len(taxonomy)):
        means = [scores[:, list(path)].mean(dim=1) for path in paths if c in path]
        torch.testing.assert_close(found[:, c], torch.stack(means).amax(dim=0))
    torch.testing.assert_close(found.amax(dim=1), decode(scores, taxonomy).path_scores)


@given(scored_taxonomies(), st.lists(st.floats(0.01, 50), min_size=1, max_size=4))
@settings(max_examples=40)
def test_no_class_is_more_probable_than_the_one_above_it(
    case: tuple[Taxonomy, torch.Tensor], temperatures: list[float]
) -> None:
    """Each is a probability, at least an equal share of the choice, and 1 where there is none."""
    taxonomy, scores = case
    paths = decode(scores, taxonomy).paths
    levels = LevelCalibration(torch.tensor(temperatures), torch.zeros(len(temperatures)))
    for path, found in zip(paths, levels.probabilities(scores, paths, taxonomy), strict=True):
        assert len(found) == len(path)
        families = [taxonomy.roots, *(taxonomy.children[c] for c in path[:-1])]
        above = 1.0
        for probability, family in zip(found, families, strict=True):
            assert above / len(family) - 1e-6 <= probability <= above + 1e-6
            if len(family) == 1:
                assert probability == pytest.approx(above)
            above = probability


def test_a_choice_is_a_softmax_of_the_best_paths() -> None:
    """Worked out by hand at temperature 2: over the top level, then below the one chosen."""
    scores = torch.tensor([[1.0, 0.0, 0.0, 3.0, 0.0, 1.0, 2.0, 0.0]])
    levels = LevelCalibration(torch.tensor([2.0]), torch.tensor([0.9]))
    ((first, second),) = levels.probabilities(scores, [(0, 3)], TREE)
    through_a, through_b, through_c, through_d = 2.0, 1.0, 1 / 3, 2.0
    top = math.exp(through_a / 2) / (math.exp(through_a / 2) + math.exp(through_b / 2))
    below = math.exp(through_d / 2) / (math.exp(through_c / 2) + math.exp(through_d / 2))
    assert first == pytest.approx(top, abs=1e-6)
    assert second == pytest.approx(top * below, abs=1e-6)


def test_one_document_does_not_change_the_probability_of_another() -> None:
    """What is found for all together is what is found for each alone."""
    scores = noise(20, len(TREE))
    paths = decode(scores, TREE).paths
    levels = LevelCalibration(torch.tensor([0.3, 0.7, 2.0]), torch.zeros(3))
    together = levels.probabilities(scores, paths, TREE)
    for i, path in enumerate(paths):
        (alone,) = levels.probabilities(scores[i : i + 1], [path], TREE)
        assert together[i] == pytest.approx(alone)


def test_the_mean_probability_is_the_share_of_agreement() -> None:
    """On each level, over the documents that reach it."""
    scores = noise(400, len(TREE))
    generator = torch.Generator().manual_seed(1)
    agreed = torch.multinomial(torch.tensor([0.2, 0.2, 0.6]), 400, True, generator=generator)
    levels = LevelCalibration.matching(scores, agreed.tolist(), TREE)
    paths = decode(scores, TREE).paths
    found = levels.probabilities(scores, paths, TREE)
    for level in range(2):
        rows = [i for i, path in enumerate(paths) if len(path) > level]
        share = sum(agreed[i].item() > level for i in rows) / len(rows)
        assert levels.agreement[level].item() == pytest.approx(share)
        assert sum(found[i][level] for i in rows) / len(rows) == pytest.approx(share, abs=1e-4)


def test_where_agreement_is_accuracy_the_error_falls() -> None:
    """Scores ten times too certain become probabilities that hold."""
    scores = noise(3000, len(TREE)) * 3
    paths = decode(scores, TREE).paths
    true = LevelCalibration(torch.tensor([10.0, 10.0, 10.0]), torch.zeros(3))
    chance = torch.rand(3000, generator=torch.Generator().manual_seed(2)).tolist()
    gold = torch.zeros(3000, len(TREE), dtype=torch.bool)
    agreed = []
    for row, probabilities in enumerate(true.probabilities(scores, paths, TREE)):
        agreed.append(sum(p > chance[row] for p in probabilities))
        gold[row, list(paths[row][: agreed[-1]])] = True
    levels = LevelCalibration.matching(scores, agreed, TREE)
    errors = calibration_errors(levels, scores, gold, TREE)
    for level in range(2):
        assert errors[f"test/ece_level_{level}"] < 0.04
        assert errors[f"test/ece_uncalibrated_level_{level}"] > 0.1
        assert levels.temperatures[level].item() == pytest.approx(10, rel=0.3)


def test_neighbours_that_always_agree_leave_no_doubt() -> None:
    """And those that never do leave as little certainty as there can be."""
    scores = noise(50, len(TREE))
    paths = decode(scores, TREE).paths
    sure = LevelCalibration.matching(scores, [3] * 50, TREE).probabilities(scores, paths, TREE)
    assert min(min(row) for row in sure) > 0.99
    unsure = LevelCalibration.matching(scores, [0] * 50, TREE).probabilities(scores, paths, TREE)
    assert max(row[0] for row in unsure) < 0.51


def test_the_error_is_the_surplus_of_each_bin() -> None:
    """Two bins by hand: three answers of .9, of which one is right, and one of .1, which is not."""
    probability = torch.tensor([0.9, 0.9, 0.9, 0.1])
    is_right = torch.tensor([True, False, False, False])
    expected = 3 / 4 * (0.9 - 1 / 3) + 1 / 4 * 0.1
    assert calibration_error(probability, is_right) == pytest.approx(expected)
    assert calibration_error(torch.ones(3), torch.ones(3, dtype=torch.bool)) == 0


def test_agreement_is_with_the_nearest_other_document() -> None:
    """Of two pairs of neighbours, one is put in the same leaf, the other only in the same root."""
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    scores = torch.zeros(4, len(TREE))
    for row, path in enumerate([(0, 3), (0, 3), (1, 4), (1, 5)]):
        scores[row, list(path)] = 1
    asked: list[list[int]] = []

    def score(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows.tolist())
        return scores[rows]

    levels = LevelCalibration.fit(score, vectors, TREE)
    assert asked == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert levels.agreement.tolist() == [1, 0.5]


def test_a_copy_is_no_neighbour() -> None:
    """It would agree whatever is said of it; where there are copies alone, one of them is taken."""
    vectors = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert nearest_others(vectors, torch.tensor([0, 2, 3])).tolist() == [2, 0, 2]
    assert nearest_others(torch.ones(2, 2), torch.tensor([0, 1])).tolist() == [1, 0]


def test_temperatures_are_found_on_a_sample_of_bounded_size() -> None:
    """Evenly spread over the documents; their neighbours may be any of them."""
    asked: list[torch.Tensor] = []

    def score(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows)
        return noise(len(rows), len(TREE))

    LevelCalibration.fit(score, noise(5000, 4), TREE)
    assert [len(rows) for rows in asked] == [2000, 2000]
    assert (asked[0][0].item(), asked[0][-1].item()) == (0, 4999)
    assert len(set(asked[0].tolist())) == 2000
    assert not (asked[0] == asked[1]).any()


def test_what_is_saved_comes_back() -> None:
    """And a model from before there were probabilities has none."""
    levels = LevelCalibration.matching(noise(30, len(TREE)), [1] * 30, TREE)
    restored = LevelCalibration.restored(levels.saved())
    assert restored is not None
    assert torch.equal(restored.temperatures, levels.temperatures)
    assert torch.equal(restored.agreement, levels.agreement)
    assert LevelCalibration.restored({"class_means": torch.zeros(3)}) is None
    with pytest.raises(KeyError, match="level_agreement"):
        LevelCalibration.restored({"level_temperatures": torch.ones(2)})
