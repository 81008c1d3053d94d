"""Rules of self-training."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolkit_recipes.taxoclass.learner import masked_bce
from toolkit_recipes.taxoclass.self_training import divergence
from toolkit_recipes.taxoclass.self_training import entropy
from toolkit_recipes.taxoclass.self_training import target_distribution

PROBABILITIES = st.floats(0.001, 0.999)


@given(st.lists(st.tuples(PROBABILITIES, PROBABILITIES), min_size=1, max_size=6))
def test_targets_are_squared_probabilities_over_class_frequency(
    pairs: list[tuple[float, float]],
) -> None:
    """Eq. 10, entry by entry: the "yes" part of both parts, each squared and divided."""
    p, f = (torch.tensor(values, dtype=torch.float64) for values in zip(*pairs, strict=True))
    found = target_distribution(p[None], f)[0].tolist()
    for q, (probability, frequency) in zip(found, pairs, strict=True):
        yes = probability**2 / frequency
        no = (1 - probability) ** 2 / (1 - frequency)
        assert math.isclose(q, yes / (yes + no), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("frequency", "turning_point"), [(0.002, 0.043), (0.01, 0.091), (0.25, 0.366)]
)
def test_rare_classes_are_raised(frequency: float, turning_point: float) -> None:
    """Q is one half where the odds of p are the root of the odds of f."""
    q = target_distribution(torch.tensor([[turning_point]]), torch.tensor([frequency]))
    assert abs(q.item() - 0.5) < 0.01


@given(st.lists(st.tuples(PROBABILITIES, PROBABILITIES), min_size=1, max_size=6))
def test_divergence_is_over_yes_and_no(pairs: list[tuple[float, float]]) -> None:
    """KL(q || p) = q log(q/p) + (1-q) log((1-q)/(1-p)), summed over classes, never below zero."""
    q, p = (torch.tensor([values], dtype=torch.float64) for values in zip(*pairs, strict=True))
    found = divergence(masked_bce(torch.logit(p), q).sum().item(), q)
    terms = [a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in pairs]
    assert math.isclose(found, sum(terms), rel_tol=1e-6, abs_tol=1e-8)
    assert found > -1e-8


@pytest.mark.parametrize("function", [entropy, lambda p: target_distribution(p, p)])
def test_certainty_gives_no_nan(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Probabilities of exactly 0 and 1 have finite results."""
    assert function(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()
