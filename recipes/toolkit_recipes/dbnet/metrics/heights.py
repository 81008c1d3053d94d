"""Recall of small and of large texts: IoU and CLEval say nothing of which are missed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.iou import Matching
from toolkit_recipes.dbnet.metrics.overlap import usable
from toolkit_recipes.dbnet.polygons import short_side

EDGES = (8, 16, 32, 64)

Counts = NDArray[np.int64]


@frozen(eq=False)
class HeightCounts:
    """Texts that count and those of them that were found, [len(EDGES) + 1] each, lowest first.

    The height of a text is the shorter side of the smallest rectangle around it, in pixels of the
    page. Class i holds heights from EDGES[i - 1] (or 0) to below EDGES[i] (or without end).
    """

    present: Counts
    found: Counts

    def __add__(self, other: HeightCounts) -> HeightCounts:
        return HeightCounts(self.present + other.present, self.found + other.found)

    @property
    def recall(self) -> dict[str, float]:
        """Share found, by the name of the class; classes without texts are left out."""
        return {
            name: found / present
            for name, found, present in zip(
                _names(), self.found.tolist(), self.present.tolist(), strict=True
            )
            if present
        }


def no_heights() -> HeightCounts:
    """Counts of nothing, to add to."""
    return HeightCounts(_counts(np.zeros(0)), _counts(np.zeros(0)))


def count_heights(regions: Sequence[TextRegion], matching: Matching) -> HeightCounts:
    """Count the texts of a page and those that have a partner, by height."""
    height = np.array([text_height(region.polygon) for region in regions])
    return HeightCounts(_counts(height[matching.gt_care]), _counts(height[matching.partner >= 0]))


def text_height(polygon: NDArray[np.float64]) -> float:
    """Shorter side of the smallest rectangle around a polygon; 0 for one that has no inside."""
    return short_side(polygon) if usable(polygon) else 0.0


def _counts(heights: NDArray[np.float64]) -> Counts:
    return np.bincount(np.digitize(heights, EDGES), minlength=len(EDGES) + 1)


def _names() -> list[str]:
    between = [f"{low}_to_{high}px" for low, high in pairwise(EDGES)]
    return [f"under_{EDGES[0]}px", *between, f"from_{EDGES[-1]}px"]
