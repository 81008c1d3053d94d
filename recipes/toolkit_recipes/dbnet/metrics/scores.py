"""Recall, precision and their harmonic mean."""

from __future__ import annotations

from attrs import frozen


@frozen
class Score:
    """How much of what is there was found, and how much of what was found is there; 0 to 1."""

    recall: float
    precision: float

    @property
    def hmean(self) -> float:
        """The harmonic mean of recall and precision; 0 where both are."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0


def score(found: float, present: float, right: float, reported: float) -> Score:
    """Score from counts: ``found`` of ``present``, and ``right`` of ``reported``.

    Where nothing is present and nothing reported, that is all right: both are 1. Where only one of
    them is nothing, the share of it is 0. Penalties may make ``found`` or ``right`` negative; a
    share is never below 0.
    """
    if not present and not reported:
        return Score(1.0, 1.0)
    return Score(_share(found, present), _share(right, reported))


def _share(part: float, whole: float) -> float:
    return max(part / whole, 0.0) if whole else 0.0
