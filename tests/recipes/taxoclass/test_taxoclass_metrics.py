"""Each metric against a slow, obvious implementation, and against known ceilings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.recipes.taxoclass.strategies import taxonomies
from toolkit_recipes.taxoclass import metrics
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

SHARED = Path(__file__).parents[4] / "shared" / "data"

Sets = list[set[int]]


class Case:
    """Random gold, predictions and rankings, as sets and lists and as matrices."""

    def __init__(
        self, taxonomy: Taxonomy, true: Sets, predicted: Sets, ranking: list[list[int]]
    ) -> None:
        self.taxonomy = taxonomy
        self.true, self.predicted, self.ranking = true, predicted, ranking
        self.gold = _matrix(true, len(taxonomy))
        self.found = evaluate(taxonomy, self.gold, _matrix(predicted, len(taxonomy)), ranking)


def evaluate(
    taxonomy: Taxonomy, gold: Tensor, predicted: Tensor, ranking: list[list[int]]
) -> dict[str, float]:
    """Return the metrics without the prefix that they are logged under."""
    found = metrics.evaluate(gold, predicted, torch.tensor(ranking), taxonomy)
    return {name.removeprefix("test/"): value for name, value in found.items()}


def _matrix(rows: Sets, width: int) -> Tensor:
    return torch.tensor([[c in row for c in range(width)] for row in rows])


def mean(values: list[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw up to five documents over a random taxonomy."""
    taxonomy = draw(taxonomies())
    classes = st.integers(0, len(taxonomy) - 1)
    document = st.tuples(
        st.sets(classes, min_size=1), st.sets(classes), st.permutations(range(len(taxonomy)))
    )
    documents = draw(st.lists(document, min_size=1, max_size=5))
    true, predicted, ranking = (list(column) for column in zip(*documents, strict=True))
    return Case(taxonomy, true, predicted, ranking)


@given(cases())
def test_set_metrics(case: Case) -> None:
    """Example-F1, accuracy and the micro averages are those of the sets."""
    pairs = list(zip(case.true, case.predicted, strict=True))
    hits = sum(len(t & p) for t, p in pairs)
    num_true, num_predicted = sum(map(len, case.true)), sum(map(len, case.predicted))
    assert case.found["example_f1"] == pytest.approx(
        mean([2 * len(t & p) / (len(t) + len(p)) for t, p in pairs])
    )
    assert case.found["accuracy"] == pytest.approx(mean([float(t == p) for t, p in pairs]))
    assert case.found["precision"] == pytest.approx(hits / num_predicted if num_predicted else 0)
    assert case.found["recall"] == pytest.approx(hits / num_true)
    assert case.found["f1_score"] == pytest.approx(2 * hits / (num_true + num_predicted))


@given(cases())
def test_rank_metrics(case: Case) -> None:
    """P@k divides by k; MRR ranks among all classes, filtered MRR among the wrong ones."""
    pairs = list(zip(case.true, case.ranking, strict=True))
    for k in (1, 3):
        expected = mean([len(t & set(r[:k])) / k for t, r in pairs])
        assert case.found[f"p_at_{k}"] == pytest.approx(expected)
    literal = [mean([1 / (r.index(c) + 1) for c in t]) for t, r in pairs]
    assert case.found["mrr"] == pytest.approx(mean(literal))
    filtered = [
        mean([1 / (1 + sum(w not in t for w in r[: r.index(c)])) for c in t]) for t, r in pairs
    ]
    assert case.found["mrr_filtered"] == pytest.approx(mean(filtered))


@given(cases())
def test_top_accuracy(case: Case) -> None:
    """A true class without a true child is among the first k classes."""
    for k in (3, 5, 10):
        hits = [
            any(not set(case.taxonomy.children[c]) & t for c in t & set(r[:k]))
            for t, r in zip(case.true, case.ranking, strict=True)
        ]
        assert case.found[f"top{k}_accuracy"] == pytest.approx(mean([float(h) for h in hits]))


@given(cases())
def test_level_accuracy(case: Case) -> None:
    """Over documents with a true class at a level: the sets at that level are the same."""
    levels = case.taxonomy.levels
    for level in range(max(levels) + 2):
        here = {c for c, at in enumerate(levels) if at == level}
        same = [
            float(t & here == p & here)
            for t, p in zip(case.true, case.predicted, strict=True)
            if t & here
        ]
        name = f"level_{level}_accuracy"
        assert case.found.get(name) == (pytest.approx(mean(same)) if same else None)


def shared(name: str) -> Dataset:
    """Read a set that lies beside the repository, or skip."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not there")
    return read_dataset(SHARED / name)


def perfect(data: Dataset) -> dict[str, float]:
    """Metrics of a ranking that has the true classes first."""
    ranking = data.test_gold.int().argsort(dim=1, descending=True, stable=True)
    return evaluate(data.taxonomy, data.test_gold, data.test_gold, ranking.tolist())


@pytest.mark.parametrize(("name", "mrr"), [("dbpedia-298-5k", 0.6111), ("amazon-531-8k", 0.6196)])
def test_ceilings_of_a_perfect_ranking(name: str, mrr: float) -> None:
    """Literal MRR stays below (1 + 1/2 + 1/3) / 3 for three labels, filtered MRR reaches 1."""
    found = perfect(shared(name))
    assert found["mrr"] == pytest.approx(mrr, abs=1e-4)
    others = ("mrr_filtered", "example_f1", "accuracy", "p_at_1", "f1_score", "top3_accuracy")
    assert [found[metric] for metric in others] == pytest.approx([1.0] * len(others))


@pytest.mark.parametrize(("name", "f1"), [("dbpedia-298-5k", 1.0), ("amazon-531-8k", 0.949)])
def test_ceiling_of_all_ancestors(name: str, f1: float) -> None:
    """The true leaf with all its ancestors is too much where a class has several parents."""
    data = shared(name)
    closed = data.test_gold.clone()
    for row, column in metrics.most_specific(data.test_gold, data.taxonomy).nonzero().tolist():
        closed[row, list(data.taxonomy.ancestors[column])] = True
    assert metrics.example_f1(data.test_gold, closed) == pytest.approx(f1, abs=0.005)
