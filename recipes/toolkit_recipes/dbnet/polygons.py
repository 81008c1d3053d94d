"""Geometry of polygons: sizes, order of the corners, growing, shrinking and cutting.

A polygon is a float64 array [n, 2] of (x, y) in pixels, y down, n >= 3; (0, 0) is the top left
corner of the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import cv2
import numpy as np
import pyclipper
from numpy.typing import NDArray

Polygon = NDArray[np.float64]

_UNITS = 65536.0
"""Whole numbers of the clipping library per pixel."""
_ARC_TOLERANCE = 0.05
"""Most that a rounded corner may differ from its circle, in pixels."""
_FARTHEST = 2.0**40
"""Coordinates beyond this don't fit the clipping library's whole numbers."""

F = TypeVar("F", float, NDArray[np.float64])


def signed_area(polygon: Polygon) -> float:
    """Area in square pixels; positive for polygons clockwise on the screen, negative otherwise."""
    corners = (polygon - polygon[0]).tolist()
    closed = pairwise([*corners, corners[0]])
    doubled: float = sum(ax * by - bx * ay for (ax, ay), (bx, by) in closed)
    return doubled / 2


def area(polygon: Polygon) -> float:
    """Area in square pixels, whatever the direction of the corners."""
    return abs(signed_area(polygon))


def perimeter(polygon: Polygon) -> float:
    """Length of the outline in pixels."""
    corners = polygon.tolist()
    return sum(math.dist(a, b) for a, b in pairwise([*corners, corners[0]]))


def sides(polygon: Polygon) -> tuple[float, float]:
    """Shorter and longer side of the smallest rectangle, turned as needed, around a polygon."""
    origin = polygon.min(axis=0)
    _, size, _ = cv2.minAreaRect((polygon - origin).astype(np.float32))
    return min(size), max(size)


def short_side(polygon: Polygon) -> float:
    """Shorter side of the smallest rectangle, turned as needed, around a polygon; in pixels."""
    return sides(polygon)[0]


def ordered(polygon: Polygon) -> Polygon:
    """Arrange the corners clockwise on the screen from the one nearest to the top left (x + y)."""
    clockwise = polygon[::-1] if signed_area(polygon) < 0 else polygon
    return _turned(clockwise, int(clockwise.sum(axis=1).argmin()))


def begun_at(polygon: Polygon, start: NDArray[np.float64]) -> Polygon:
    """Arrange the corners clockwise on the screen from the one nearest to a point [2]."""
    clockwise = polygon[::-1] if signed_area(polygon) < 0 else polygon
    return _turned(clockwise, int(np.square(clockwise - start).sum(axis=1).argmin()))


def _turned(polygon: Polygon, first: int) -> Polygon:
    return np.concatenate((polygon[first:], polygon[:first]))


def shrink_distance(polygon: Polygon, ratio: float) -> float:
    """Distance D = A (1 - r^2) / L by which a text is shrunk to its kernel (section 3.4, eq. 10).

    Args:
        polygon: outline of the text, of area A and length L.
        ratio: r, between 0 and 1.

    Returns:
        D in pixels; 0 for a polygon without length.
    """
    length = perimeter(polygon)
    return area(polygon) * (1 - ratio * ratio) / length if length > 0 else 0.0


def inverse_distance(kernel_area: F, kernel_perimeter: F, ratio: float) -> F:
    """Distance that grows a kernel back to the text that it was shrunk from.

    A text with four square corners and however many gentle bends, shrunk by D to area A' and
    length L', had area A' + D L' + 4 D^2 and length L' + 8 D. With D = A (1 - r^2) / L and
    k = 1 - r^2 that is the quadratic 4 (2 - k) D^2 + (1 - k) L' D - k A' = 0, of which this is the
    positive root. It is exact for rectangles, and for bent lines whose bends to the left and to
    the right even out or are gentle. (The paper's fixed 1.5 A' / L' gives back much less for long
    lines.)

    Args:
        kernel_area: A' in square pixels, one or an array.
        kernel_perimeter: L' in pixels, of the same shape.
        ratio: r of the shrinking, between 0 and 1.

    Returns:
        D in pixels, of the same shape.
    """
    k = 1 - ratio * ratio
    quadratic = 4 * (2 - k)
    linear = (1 - k) * kernel_perimeter
    root: F = (linear * linear + 4 * quadratic * k * kernel_area) ** 0.5
    return (root - linear) / (2 * quadratic)


def expand(polygon: Polygon, distance: float) -> list[Polygon]:
    """Move the outline outwards by a distance in pixels, corners rounded; one part as a rule.

    A negative distance moves it inwards, as a text is shrunk to its kernel (section 3.4): all
    parts, none if nothing is left.
    """
    if not _representable(polygon):
        return []
    offset = pyclipper.PyclipperOffset(2.0, _ARC_TOLERANCE * _UNITS)
    try:
        offset.AddPath(_to_units(polygon), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    except pyclipper.ClipperException:
        return []
    return _from_units(offset.Execute(distance * _UNITS))


def clip(polygon: Polygon, width: float, height: float) -> list[Polygon]:
    """Cut a polygon to the rectangle from (0, 0) to (width, height): all parts, none if outside."""
    if not _representable(polygon):
        return []
    clipper = pyclipper.Pyclipper()
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    try:
        clipper.AddPath(_to_units(polygon), pyclipper.PT_SUBJECT, True)
        clipper.AddPath(_to_units(frame), pyclipper.PT_CLIP, True)
    except pyclipper.ClipperException:
        return []
    rule = pyclipper.PFT_NONZERO
    return _from_units(clipper.Execute(pyclipper.CT_INTERSECTION, rule, rule))


def _representable(polygon: Polygon) -> bool:
    return bool((np.abs(polygon) < _FARTHEST).all())


def _to_units(polygon: Polygon) -> list[list[int]]:
    units: list[list[int]] = np.rint(polygon * _UNITS).astype(np.int64).tolist()
    return units


def _from_units(parts: Sequence[Sequence[Sequence[int]]]) -> list[Polygon]:
    return [np.array(part, dtype=np.float64) / _UNITS for part in parts if len(part) > 2]
