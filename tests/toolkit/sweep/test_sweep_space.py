"""Distributions: which values are drawn, how often, and in which steps."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from tests.toolkit.sweep.sweeping import drawn
from tests.toolkit.sweep.sweeping import parse
from toolkit.sweep.space import Step
from toolkit.sweep.space import WeightedChoice

DRAWS = 200


def _values(folder: Path, described: str, method: str = "random") -> list[Any]:
    """Drawn values of a parameter that is described so."""
    metric = "metric: {name: loss}\n"
    sweep = parse(folder, f"method: {method}\n{metric}parameters:\n  p: {{{described}}}\n")
    return [values["p"] for values in drawn(sweep, DRAWS)]


@pytest.mark.parametrize(
    ("described", "low", "high", "middle"),
    [
        ("min: 0.5, max: 2.5", 0.5, 2.5, 1.5),
        ("distribution: log_uniform, min: -4, max: 0", math.exp(-4), 1, math.exp(-2)),
        ("distribution: log_uniform_values, min: 1e-6, max: 1e-2", 1e-6, 1e-2, 1e-4),
        ("distribution: inv_log_uniform, min: 0, max: 4", math.exp(-4), 1, math.exp(-2)),
        ("distribution: inv_log_uniform_values, min: 1e-6, max: 1e-2", 1e-6, 1e-2, 1e-4),
    ],
)
def test_continuous(tmp_path: Path, described: str, low: float, high: float, middle: float) -> None:
    """All values lie between the bounds, and half of them on each side of the middle."""
    values = _values(tmp_path, described)

    assert all(isinstance(value, float) and low <= value <= high for value in values)
    assert 70 <= sum(value < middle for value in values) <= 130
    assert max(values) - min(values) > 0.9 * (high - low)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("min: 1, max: 4", [1, 2, 3, 4]),
        ("values: [a, [1, 2], null]", ["a", [1, 2], None]),
        ("distribution: q_uniform, min: 1, max: 4", [1, 2, 3, 4]),
        ("distribution: q_uniform, min: 0.05, max: 0.35, q: 0.1", [0.1, 0.2, 0.3]),
        ("distribution: q_log_uniform, min: 0, max: 1.5", [1, 2, 3, 4]),
        ("distribution: q_log_uniform_values, min: 30, max: 100, q: 32", [32, 64, 96]),
    ],
)
def test_counted(tmp_path: Path, described: str, expected: list[Any]) -> None:
    """Each of the possible values comes up, no other does, and whole steps give whole numbers."""
    values = _values(tmp_path, described)

    assert [value for value in expected if value in values] == expected
    assert all(value in expected for value in values)
    assert {type(value) for value in values} == {type(value) for value in expected}


@pytest.mark.parametrize(
    ("described", "mean", "deviation"),
    [
        ("distribution: normal", 0, 1),
        ("distribution: normal, mu: 5, sigma: 0.5", 5, 0.5),
        ("distribution: normal, mu: 5, sigma: 0", 5, 0),
        ("distribution: q_normal, mu: 10, sigma: 4, q: 2", 10, 4),
    ],
)
def test_normal(tmp_path: Path, described: str, mean: float, deviation: float) -> None:
    """Mean and standard deviation are those asked for."""
    values = _values(tmp_path, described)

    assert statistics.mean(values) == pytest.approx(mean, abs=0.2 * deviation)
    assert statistics.stdev(values) == pytest.approx(deviation, rel=0.15)


def test_log_normal(tmp_path: Path) -> None:
    """The logarithm is normally distributed."""
    values = _values(tmp_path, "distribution: log_normal, mu: -7, sigma: 2")

    logarithms = [math.log(value) for value in values]
    assert statistics.mean(logarithms) == pytest.approx(-7, abs=0.4)
    assert statistics.stdev(logarithms) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("described", ["q_normal, sigma: 3, q: 0.3", "q_log_normal, q: 0.3"])
def test_steps_of_normal(tmp_path: Path, described: str) -> None:
    """Quantised values are multiples, as decimals and not only nearly."""
    values = _values(tmp_path, f"distribution: {described}")

    assert all(Decimal(str(value)) % Decimal("0.3") == 0 for value in values)
    assert len(set(values)) > 5


def test_probabilities(tmp_path: Path) -> None:
    """Values come up as often as their probabilities say; one with probability 0 never does."""
    values = _values(tmp_path, "values: [a, b, c, d], probabilities: [0, 0.7, 0.3, 0]")

    counts = Counter(values)
    assert counts.keys() == {"b", "c"}
    assert counts["b"] == pytest.approx(0.7 * DRAWS, rel=0.15)


def test_ends_of_probabilities() -> None:
    """The ends of the cumulative distribution belong to values that can come up."""
    choice = WeightedChoice(("a", "b", "c", "d"), (0.0, 0.7, 0.3, 0.0))

    assert (choice.decode(0.0), choice.decode(1.0)) == ("b", "c")


def test_constant(tmp_path: Path) -> None:
    """A constant is the same in every trial."""
    assert _values(tmp_path, "value: [1, {a: b}]") == [[1, {"a": "b"}]] * DRAWS


@given(
    q=st.one_of(st.integers(1, 50), st.decimals("0.001", "9", places=3).map(float)),
    low=st.floats(-1000, 1000),
    width=st.floats(0.001, 1000),
    part=st.floats(0, 1),
)
def test_nearest_step(q: float, low: float, width: float, part: float) -> None:
    """The nearest step is a multiple of q within the bounds, less than one step away."""
    step = Step(q, low, low + width)
    lowest, highest = step.bounds()
    assume(lowest <= highest)
    number = low + part * width
    nearest = step.nearest(number)

    assert Decimal(str(nearest)) % Decimal(str(q)) == 0
    assert low <= nearest <= low + width
    assert abs(nearest - number) <= q
