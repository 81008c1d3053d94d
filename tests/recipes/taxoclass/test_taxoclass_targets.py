"""Rules of what the classifier learns from core classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.targets import build_targets
from toolkit_recipes.taxoclass.targets import target_statistics
from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

DIAMOND = build("abcd", "abcd", [(0, 2), (1, 2), (2, 3)])


def _slow_targets(core: set[int], taxonomy: Taxonomy, above: dict[int, set[int]]) -> list[int]:
    """Targets of one document, class by class."""
    if not core:
        return [-1] * len(taxonomy)
    targets = []
    for c in range(len(taxonomy)):
        is_positive = any(c == k or c in above[k] for k in core)
        is_below = any(c in taxonomy.descendants[k] for k in core)
        targets.append(1 if is_positive else -1 if is_below else 0)
    return targets


@given(scored_taxonomies())
def test_cores_and_ancestors_are_positive_and_what_is_below_is_ignored(
    case: tuple[Taxonomy, torch.Tensor],
) -> None:
    """Positive before ignored before negative; a document without a core is ignored whole."""
    taxonomy, scores = case
    core = scores > 0.6
    above = {c: set(taxonomy.ancestors[c]) for c in range(len(taxonomy))}
    targets = build_targets(core, taxonomy)
    for row, marked in enumerate(core):
        cores = set(marked.nonzero().flatten().tolist())
        assert targets[row].tolist() == _slow_targets(cores, taxonomy, above)


def _best_path(paths: list[Classes], values: list[float]) -> Classes:
    means = [sum(values[c] for c in path) / len(path) for path in paths]
    return paths[means.index(max(means))]


@given(scored_taxonomies())
def test_by_path_only_the_best_way_to_a_core_is_positive(
    case: tuple[Taxonomy, torch.Tensor],
) -> None:
    """Of all paths to a core class the one with the highest mean score counts."""
    taxonomy, scores = case
    core = scores > 0.6
    targets = build_targets(core, taxonomy, "path", scores)
    for row, values in enumerate(scores.tolist()):
        cores = set(core[row].nonzero().flatten().tolist())
        best = {c: set(_best_path(taxonomy.paths_to(c), values)) for c in cores}
        assert targets[row].tolist() == _slow_targets(cores, taxonomy, best)


def test_a_path_needs_scores() -> None:
    """Without scores there is no best path to choose."""
    with pytest.raises(ValueError, match="needs scores"):
        build_targets(torch.zeros(1, 4, dtype=torch.bool), DIAMOND, "path")


def test_statistics_count_only_documents_with_a_core() -> None:
    """The ratio is of the targets that count: positives among positives and negatives."""
    core = torch.tensor([[False, False, True, False], [False, False, False, False]])
    targets = build_targets(core, DIAMOND, "path", torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    assert targets.tolist() == [[1, 0, 1, -1], [-1, -1, -1, -1]]
    assert target_statistics(targets) == {
        "stage3/num_positive_labels": 2,
        "stage3/num_negative_labels": 1,
        "stage3/num_ignored_labels": 1,
        "stage3/positive_ratio": 2 / 3,
    }
