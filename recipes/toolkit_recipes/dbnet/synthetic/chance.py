"""Small draws from a random generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def happens(rng: np.random.Generator, chance: float) -> bool:
    """True with the given chance."""
    return float(rng.random()) < chance


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number of an even distribution."""
    return float(rng.uniform(low, high))


def fill(rng: np.random.Generator, pattern: str) -> str:
    """The pattern with each ``#`` replaced by a digit and each ``^`` by a capital letter."""
    drawn = {"#": "0123456789", "^": "ABCDEFGHKLMNPRSTUVWXYZ"}
    return "".join(pick(rng, drawn[sign]) if sign in drawn else sign for sign in pattern)
