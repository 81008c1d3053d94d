"""Which values a parameter may have, and how they are drawn.

Every kind of parameter is drawn as a plain number, which the sampler sees and Optuna keeps, and
decoded into the value that the command gets. So any value of a file can be a choice, and
quantisation and normal distributions work with every sampler.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from attrs import frozen

if TYPE_CHECKING:
    from optuna.trial import Trial

TAIL = 1e-9
"""Probability that is cut off a normal distribution at each end."""
REACH = 6.0
"""How many standard deviations that leaves."""


class Domain(Protocol):
    """The values of one parameter."""

    def draw(self, trial: Trial, name: str) -> float:
        """A number that the sampler chooses; 0 where there is nothing to choose."""

    def decode(self, drawn: float) -> Any:
        """The value that belongs to a drawn number."""

    def grid(self) -> Sequence[float] | None:
        """Every number that can be drawn; None where they can't be counted out."""


@frozen
class Constant:
    """One value."""

    value: Any

    def draw(self, trial: Trial, name: str) -> float:
        """Nothing to choose."""
        return 0.0

    def decode(self, drawn: float) -> Any:
        """The value."""
        return self.value

    def grid(self) -> Sequence[float] | None:
        """Nothing to choose."""
        return ()


@frozen
class Choice:
    """One of several values, each as likely as the others; drawn by its place in the list."""

    values: tuple[Any, ...]

    def draw(self, trial: Trial, name: str) -> float:
        """Any of the places."""
        return trial.suggest_categorical(name, range(len(self.values)))

    def decode(self, drawn: float) -> Any:
        """The value in this place."""
        return self.values[int(drawn)]

    def grid(self) -> Sequence[float]:
        """Every place."""
        return range(len(self.values))


@frozen
class WeightedChoice:
    """One of several values with given probabilities, which add up to 1."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...]

    def draw(self, trial: Trial, name: str) -> float:
        """A probability."""
        return trial.suggest_float(name, 0.0, 1.0)

    def decode(self, drawn: float) -> Any:
        """The value at this place of the cumulative distribution."""
        possible = [i for i, probability in enumerate(self.probabilities) if probability > 0]
        place = bisect_right(list(accumulate(self.probabilities)), drawn)
        return self.values[min(place, possible[-1])]  # sums of floats may end just below 1

    def grid(self) -> None:
        """A grid has no probabilities."""
        return


@frozen
class Integers:
    """Whole numbers between two, both included, each as likely as the others."""

    low: int
    high: int

    def draw(self, trial: Trial, name: str) -> float:
        """The numbers themselves."""
        return trial.suggest_int(name, self.low, self.high)

    def decode(self, drawn: float) -> int:
        """The number itself."""
        return int(drawn)

    def grid(self) -> Sequence[float]:
        """Every number."""
        return range(self.low, self.high + 1)


@frozen
class Step:
    """Multiples of a step, those within two bounds where there are bounds."""

    q: float
    low: float = -math.inf
    high: float = math.inf

    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest number of steps; the first is greater where none fits."""
        q = Decimal(str(self.q))
        lowest = -math.inf if math.isinf(self.low) else math.ceil(Decimal(str(self.low)) / q)
        highest = math.inf if math.isinf(self.high) else math.floor(Decimal(str(self.high)) / q)
        return lowest, highest

    def nearest(self, number: float) -> float:
        """The nearest multiple within the bounds; a whole number where the step is an int."""
        lowest, highest = self.bounds()
        return self.times(int(min(max(round(number / self.q), lowest), highest)))

    def times(self, count: int) -> float:
        """So many steps, without the noise of binary fractions."""
        if isinstance(self.q, int):
            return count * self.q
        return float(count * Decimal(str(self.q)))


@frozen
class Continuous:
    """Numbers between two, uniform in themselves or in their logarithm."""

    low: float
    high: float
    is_log: bool = False
    step: Step | None = None

    def draw(self, trial: Trial, name: str) -> float:
        """The numbers before they are rounded to steps."""
        return trial.suggest_float(name, self.low, self.high, log=self.is_log)

    def decode(self, drawn: float) -> float:
        """The number itself, or the nearest step."""
        return self.step.nearest(drawn) if self.step else float(drawn)

    def grid(self) -> Sequence[float] | None:
        """Every step of a uniform distribution."""
        if self.step is None or self.is_log:
            return None
        lowest, highest = self.step.bounds()
        return [self.step.times(count) for count in range(int(lowest), int(highest) + 1)]


@frozen
class Normal:
    """Normally distributed numbers, or numbers whose logarithm is; drawn as a probability."""

    mu: float
    sigma: float
    is_log: bool = False
    step: Step | None = None

    def draw(self, trial: Trial, name: str) -> float:
        """A probability."""
        return trial.suggest_float(name, TAIL, 1 - TAIL)

    def decode(self, drawn: float) -> float:
        """The number at this probability, or the step nearest to it."""
        number = self.mu + self.sigma * NormalDist().inv_cdf(drawn)
        number = math.exp(number) if self.is_log else number
        return self.step.nearest(number) if self.step else number

    def grid(self) -> None:
        """There is no end to them."""
        return


def short(value: object) -> str:
    """A value in few characters, for people."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
