"""Learning rates: a straight rise over the first steps, then a fall to zero."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen

POLY_POWER = 0.9
"""Exponent of the polynomial fall (section 4.2 of the paper)."""


@frozen
class Schedule:
    """The learning rate of every step of a training.

    Args:
        lr: the highest rate.
        steps: of the whole training.
        warmup_steps: in which the rate rises.
        fall: ``cosine``, or ``poly``: ``(1 - x) ** 0.9`` where x is the share of the steps after
            the rise that is done.
    """

    lr: float
    steps: int
    warmup_steps: int
    fall: Literal["cosine", "poly"]

    def rate(self, step: int) -> float:
        """Return the rate at a step, counted from 0."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / (self.warmup_steps + 1)
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        left = max(0.0, 1 - done)
        if self.fall == "poly":
            return float(self.lr * left**POLY_POWER)
        return self.lr * (1 - math.cos(math.pi * left)) / 2
