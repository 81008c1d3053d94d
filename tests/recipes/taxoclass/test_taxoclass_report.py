"""Rules of the tables, the confusion matrix and the examples that a run shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tests.recipes.taxoclass.strategies import scored_taxonomies
from tests.recipes.taxoclass.strategies import taxonomies
from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.report import EXAMPLE_CHARACTERS
from toolkit_recipes.taxoclass.report import RIGHT
from toolkit_recipes.taxoclass.report import WRONG
from toolkit_recipes.taxoclass.report import class_performance
from toolkit_recipes.taxoclass.report import classes_in_words
from toolkit_recipes.taxoclass.report import confusion_matrix
from toolkit_recipes.taxoclass.report import prediction_examples
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

# top a > b, c and top d > e
TAXONOMY = build("abcde", "abcde", [(0, 1), (0, 2), (3, 4)])


def as_matrix(*rows: set[int], width: int = 5) -> torch.Tensor:
    """Write sets of classes as a boolean matrix."""
    return (
        torch.tensor([[c in row for c in range(width)] for row in rows]).reshape(-1, width).bool()
    )


def decoded_as(*paths: tuple[int, ...], width: int = 5) -> Decoded:
    """Predictions with these paths; only the paths matter here."""
    return Decoded(list(paths), torch.zeros(len(paths)), torch.zeros(len(paths), width).long())


@st.composite
def judged(draw: st.DrawFn) -> tuple[Taxonomy, torch.Tensor, Decoded]:
    """Draw a taxonomy, any gold classes [documents, classes], and predictions."""
    taxonomy, scores = draw(scored_taxonomies(max_documents=8))
    seed = draw(st.integers(0, 2**31))
    gold = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    return taxonomy, gold, decode(scores, taxonomy)


@given(judged())
def test_confusion_counts_as_scikit_learn(case: tuple[Taxonomy, torch.Tensor, Decoded]) -> None:
    """The counts are those of a loop that names one true and one predicted class per document."""
    taxonomy, gold, decoded = case
    true, predicted = [], []
    for row, path in zip(gold.tolist(), decoded.paths, strict=True):
        tops = [root for root in taxonomy.roots if row[root]]
        if tops:
            true.append(path[0] if path[0] in tops else tops[0])
            predicted.append(path[0])
    found = confusion_matrix(gold, decoded, taxonomy)
    expected = np.zeros((len(taxonomy.roots), len(taxonomy.roots)), dtype=int)
    if true:
        labels = [*taxonomy.roots, -1]  # with one label scikit-learn warns
        expected = metrics.confusion_matrix(true, predicted, labels=labels)[:-1, :-1]
    assert found.counts == expected.tolist()
    assert found.left_out == len(gold) - len(true)
    assert found.labels == tuple(taxonomy.names[root] for root in taxonomy.roots)


def test_documents_without_a_true_top_level_class_are_left_out() -> None:
    """They are counted apart, so that the matrix and they add up to all documents."""
    gold = as_matrix({0, 1}, {1}, {3})
    found = confusion_matrix(gold, decoded_as((0, 1), (0, 1), (0, 2)), TAXONOMY)
    assert found.labels == ("a", "d")
    assert found.counts == [[1, 0], [1, 0]]
    assert found.left_out == 1


@given(judged())
def test_class_performance_is_that_of_scikit_learn(
    case: tuple[Taxonomy, torch.Tensor, Decoded],
) -> None:
    """Classes with support or predictions have scikit-learn's values, the most frequent first."""
    taxonomy, gold, decoded = case
    predicted = decoded.matrix()
    table = class_performance(gold, predicted, taxonomy)
    both = [torch.nn.functional.pad(m, (0, 1)).numpy() for m in (gold, predicted)]
    # The class that is added never occurs: scikit-learn reads a single column as two classes.
    expected = metrics.precision_recall_fscore_support(*both, average=None, zero_division=0)
    wanted = {
        taxonomy.names[c]: tuple(float(column[c]) for column in expected)
        for c in range(len(taxonomy))
        if gold[:, c].any() or predicted[:, c].any()
    }
    columns = [table[name] for name in ("Precision", "Recall", "F1", "Support")]
    rows = dict(zip(table["Class"], zip(*columns, strict=True), strict=True))
    assert rows.keys() == wanted.keys()
    for name, values in wanted.items():
        assert rows[name] == pytest.approx(values)
    assert table["Support"] == sorted(table["Support"], reverse=True)


def test_class_performance_by_hand() -> None:
    """One class is right once in two predictions, one is missed, one is never predicted rightly."""
    gold = as_matrix({0, 1}, {0, 2}, {0, 1})
    predicted = as_matrix({0, 1}, {0, 1}, {3, 4})
    table = class_performance(gold, predicted, TAXONOMY)
    assert table["Class"] == ["a", "b", "c", "d", "e"]
    assert table["Support"] == [3, 2, 1, 0, 0]
    assert table["Precision"] == [1, 0.5, 0, 0, 0]
    assert table["Recall"] == [2 / 3, 0.5, 0, 0, 0]
    assert math.isclose(table["F1"][0], 0.8)


def examples(num_right: int, num_wrong: int, count: int, seed: int = 0) -> dict[str, list[str]]:
    """Examples from so many right and wrong documents, the right ones first."""
    gold = as_matrix(*[{0, 1}] * num_right, *[{0, 2}] * num_wrong)
    decoded = decoded_as(*[(0, 1)] * (num_right + num_wrong))
    texts = [f"document {i}" for i in range(num_right + num_wrong)]
    return prediction_examples(gold, decoded, texts, TAXONOMY, count=count, seed=seed)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 12))
def test_examples_are_right_and_wrong_ones(right: int, wrong: int, count: int) -> None:
    """Half and half where there are enough of both, else filled up with the others."""
    table = examples(right, wrong, count)
    num_right = table["Correct"].count(RIGHT)
    assert len(table["Correct"]) == min(count, right + wrong)
    assert table["Correct"].count(WRONG) == min(wrong, max(count - count // 2, count - right))
    assert num_right + table["Correct"].count(WRONG) == len(table["Correct"])
    assert len(set(table["Document"])) == len(table["Document"])
    assert table["Document"] == sorted(table["Document"], key=lambda text: int(text.split()[1]))


def test_the_seed_chooses_the_examples() -> None:
    """The same seed shows the same documents, another one others."""
    assert examples(50, 50, 10, seed=1) == examples(50, 50, 10, seed=1)
    assert examples(50, 50, 10, seed=1) != examples(50, 50, 10, seed=2)


def test_an_example_shows_paths_and_cuts_the_text() -> None:
    """Classes are a path where they are one; a long text ends in an ellipsis."""
    gold = as_matrix({0, 1, 4})
    table = prediction_examples(gold, decoded_as((3, 4)), ["x" * 1000], TAXONOMY)
    assert table["True"] == ["a, b, e"]
    assert table["Predicted"] == ["d > e"]
    assert len(table["Document"][0]) == EXAMPLE_CHARACTERS
    assert table["Document"][0].endswith("x…")


@given(taxonomies(), st.data())
def test_a_path_is_written_from_the_top_down(taxonomy: Taxonomy, data: st.DataObject) -> None:
    """Whatever the order of the positions, every path reads from its root to its end."""
    path = data.draw(st.sampled_from(taxonomy.paths_to(len(taxonomy) - 1)))
    assert classes_in_words(sorted(path), taxonomy) == " > ".join(taxonomy.names[c] for c in path)
