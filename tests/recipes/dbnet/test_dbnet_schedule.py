"""Rules of learning rates."""

from __future__ import annotations

import math
from typing import Literal

import pytest

from toolkit_recipes.dbnet.schedule import Schedule


@pytest.mark.parametrize("fall", ["cosine", "poly"])
def test_the_rate_rises_to_the_highest_and_falls_to_zero(fall: Literal["cosine", "poly"]) -> None:
    """A straight rise over the warm-up, the highest rate right after it, zero at the end."""
    schedule = Schedule(0.1, steps=20, warmup_steps=4, fall=fall)
    rates = [schedule.rate(step) for step in range(21)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[20] == 0.0


def test_poly_is_the_papers() -> None:
    """``(1 - step / steps) ** 0.9`` without warm-up."""
    schedule = Schedule(0.007, steps=1000, warmup_steps=0, fall="poly")
    assert schedule.rate(300) == pytest.approx(0.007 * 0.7**0.9)


def test_cosine_is_at_half_in_the_middle() -> None:
    """Half a cosine wave."""
    schedule = Schedule(1.0, steps=100, warmup_steps=0, fall="cosine")
    assert schedule.rate(50) == pytest.approx(0.5)
    assert schedule.rate(25) == pytest.approx((1 + math.sqrt(0.5)) / 2)
