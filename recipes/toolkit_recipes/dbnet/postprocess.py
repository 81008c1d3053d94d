"""From a probability map to the outlines of texts (section 3.5 of the paper).

Each connected patch of pixels that probably belong to a text is a kernel. A quadrilateral is the
smallest rectangle around it, a polygon its outline; either is moved outwards by the distance that
exactly undoes the shrinking of the training targets, unless a factor is given.

OpenCV puts pixel centres on whole numbers. Targets are drawn so that the line through the centres
of an upright kernel's outermost pixels is the kernel's own outline, so OpenCV's contours need only
be moved by half a pixel into the coordinates of maps and pages. The smallest rectangle around a
tilted kernel is too large by what the steps of its edges reach out, which is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from attrs import frozen
from cv2.typing import MatLike as Contour
from numpy.typing import NDArray

from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.presets import PostprocessConfig

Floats = NDArray[np.float64]
Map = NDArray[np.float32]
Bits = NDArray[np.uint8]
F = TypeVar("F", float, Floats)

_THINNEST = 0.5
"""Width of a kernel of one row of pixels, in pixels: anything from 0 to 1 is drawn as that."""
_DEVIATION = 0.002
"""Most that a simplified outline differs from the outline, times its length."""
_LEAST_DEVIATION = 0.5
"""The same in pixels, where that is more: the steps from pixel to pixel."""
_FILLED_BEYOND = 0.4
"""How far beyond an outline OpenCV fills, in pixels: half a pixel, less what rounding may take."""
_TURNS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
"""Corners of a rectangle clockwise on the screen, in halves of its sides."""


@frozen(eq=False)
class _Rectangles:
    """n rectangles: ``centre`` [n, 2], ``sides`` [n, 2], ``axes`` [n, 2, 2]: directions of both."""

    centre: Floats
    sides: Floats
    axes: Floats

    def corners(self, distance: Floats | float) -> Floats:
        """Corners [n, 4, 2], clockwise on the screen, the sides moved outwards by [n] or all."""
        half = np.maximum(self.sides / 2 + np.reshape(distance, (-1, 1)), 0)
        corners: Floats = self.centre[:, None] + _TURNS @ (half[:, :, None] * self.axes)
        return corners


def find_texts(
    prob: Map,
    config: PostprocessConfig,
    shrink_ratio: float,
    size: tuple[int, int],
    scale: tuple[float, float] | None = None,
) -> list[Detection]:
    """Find the texts of a page.

    A text's score is the mean probability within its kernel: in the smallest rectangle around it
    for quadrilaterals, in its outline for polygons. A pixel that is no number is no text. A hole
    in a kernel belongs to it, though there may be other kernels in the hole.

    Args:
        prob: probability map [h, w] of the whole page.
        config: thresholds, shape and limits; sizes are in pixels of the map.
        shrink_ratio: r of the targets that the network learned from.
        size: height and width of the page.
        scale: what x and y of the page were multiplied by to be those of the map; if not given,
            what makes the map as large as the page.

    Returns:
        The texts in coordinates of the page and cut to it, surest first.
    """
    prob = np.asarray(prob, dtype=np.float32)
    if not prob.size:
        return []
    likely = (prob >= np.float32(config.thresh)).view(np.uint8)
    page = _Page(size, scale or (prob.shape[1] / size[1], prob.shape[0] / size[0]))
    find = _quads if config.shape == "quad" else _polygons
    return find(prob, likely, config, shrink_ratio, page)


@frozen
class _Page:
    """Height and width of a page, and what x and y of it are multiplied by on the map."""

    size: tuple[int, int]
    scale: tuple[float, float]

    def place(self, outlines: Floats) -> Floats:
        """Move corners [..., 2] from the map, pixel centres on whole numbers, to the page."""
        return (outlines + 0.5) / self.scale


def _contours(likely: Bits) -> list[Contour]:
    """Outer contours [n, 1, 2] of the kernels, pixel centres on whole numbers."""
    contours, family = cv2.findContours(likely, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parents = family[0, :, 3].tolist() if contours else []
    return [contour for contour, parent in zip(contours, parents, strict=True) if parent < 0]


def _row_ends(likely: Bits) -> list[Contour]:
    """First and last pixels [n, 1, 2] of each kernel's rows, in the order of its outer contour.

    Found in less than half the time of contours, with the same convex hulls. OpenCV doesn't tell
    which of these outlines are around holes. Those run the other way about (their area is
    negative), or, where they enclose no area, begin with the last pixel of their highest row.
    """
    outlines, _ = cv2.findContoursLinkRuns(likely)
    return [
        outline
        for outline in outlines
        if outline.item(0) <= outline.item(2) and cv2.contourArea(outline, oriented=True) >= 0
    ]


def _quads(
    prob: Map,
    likely: Bits,
    config: PostprocessConfig,
    shrink_ratio: float,
    page: _Page,
) -> list[Detection]:
    outlines = _row_ends(likely)
    if not outlines:
        return []
    kernels = _rectangles(outlines)
    area, length = kernels.sides.prod(axis=1), 2 * kernels.sides.sum(axis=1)
    distance = _growth(area, length, config, shrink_ratio)
    large = np.flatnonzero(kernels.sides.min(axis=1) + 2 * distance >= config.min_size)
    scores = _rectangle_scores(prob, kernels.corners(-_FILLED_BEYOND)[large])
    best = _best(scores, config)
    height, width = page.size
    quads = page.place(kernels.corners(distance)[large[best]]).clip(0, (width, height))
    return [Detection(quad, scores[i]) for quad, i in zip(_ordered(quads), best, strict=True)]


def _polygons(
    prob: Map,
    likely: Bits,
    config: PostprocessConfig,
    shrink_ratio: float,
    page: _Page,
) -> list[Detection]:
    contours = _contours(likely)
    if not contours:
        return []
    rectangles = _rectangles(contours)
    kernels = [
        _simplified(contour, corners)
        for contour, corners in zip(contours, rectangles.corners(0.0), strict=True)
    ]
    area = np.array([polygons.area(kernel) for kernel in kernels])
    length = np.array([polygons.perimeter(kernel) for kernel in kernels])
    distance = _growth(area, length, config, shrink_ratio)
    short_side = rectangles.sides.min(axis=1) + 2 * distance
    large = np.flatnonzero(short_side >= config.min_size).tolist()
    scores = [_contour_score(prob, contours[i]) for i in large]
    found = []
    for i in _best(scores, config):
        kernel = large[i]
        outline = _grown(kernels[kernel], distance[kernel], page)
        if outline is not None:
            found.append(Detection(outline, scores[i]))
    return found


def _simplified(contour: Contour, rectangle: Polygon) -> Polygon:
    """Outline [n, 2] of a kernel without the steps; the rectangle around it where it is a line."""
    length = cv2.arcLength(contour, True)
    outline = cv2.approxPolyDP(contour, max(_DEVIATION * length, _LEAST_DEVIATION), True)[:, 0]
    if cv2.contourArea(outline) <= _THINNEST * length / 2:
        return rectangle
    return outline.astype(np.float64)


def _grown(kernel: Polygon, distance: float, page: _Page) -> Polygon | None:
    """Outline of the text on the page; None if it is too small for the clipping library."""
    height, width = page.size
    visible = [
        part
        for text in polygons.expand(kernel, distance)
        for part in polygons.clip(page.place(_smooth(text)), width, height)
    ]
    return polygons.ordered(max(visible, key=polygons.area)) if visible else None


def _smooth(outline: Polygon) -> Polygon:
    """Outline without the many corners of rounded ones."""
    points = cv2.approxPolyDP(outline.astype(np.float32), _LEAST_DEVIATION, True)
    return points[:, 0].astype(np.float64)


def _rectangles(contours: Sequence[Contour]) -> _Rectangles:
    """The rectangles that kernels were drawn from; as wide as the thinnest kernel at least."""
    found = [(*centre, *sides, turn) for centre, sides, turn in map(cv2.minAreaRect, contours)]
    table = np.array(found)
    turn = np.deg2rad(table[:, 4])
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.stack((cos, sin, -sin, cos), axis=1).reshape(-1, 2, 2)
    sides = table[:, 2:4] - 2 * _reach(table[:, 2:4], np.abs(axes[:, 0]))
    return _Rectangles(table[:, :2], np.maximum(sides, _THINNEST), axes)


def _reach(sides: Floats, axis: Floats) -> Floats:
    """How far the outermost pixel centres lie beyond the edges that end each side, on average.

    A pixel of an edge is off by -0.5 to 0.5 pixels along x or y, whichever is steeper to it, as the
    edge is rounded. While the edge climbs by c < 1 pixels that error runs over a range of c from
    anywhere, so the largest one is c - c^2 / 2 on average, and 0.5 for any edge that climbs more.

    Args:
        sides: [n, 2], of rectangles.
        axis: [n, 2], x and y of the first side's direction, both positive.

    Returns:
        [n, 2], in pixels across the edges.
    """
    flat, steep = axis.min(axis=1, keepdims=True), axis.max(axis=1, keepdims=True)
    climb = np.minimum(sides[:, ::-1] * (flat / steep), 1)
    reach: Floats = (climb - climb**2 / 2) * steep
    return reach


def _growth(area: F, length: F, config: PostprocessConfig, shrink_ratio: float) -> F:
    """Distance between the outlines of kernels and of their texts."""
    if config.unclip:
        return config.unclip * area / length
    return polygons.inverse_distance(area, length, shrink_ratio)


def _rectangle_scores(prob: Map, corners: Floats) -> list[float]:
    """Mean probability in each of n rectangles [n, 4, 2], rounded to pixels."""
    rounded = np.rint(corners).astype(np.int32)
    low, high = rounded.min(axis=1).clip(0), rounded.max(axis=1) + 1
    totals, counts = [], []
    moved = rounded - low[:, None]
    for rectangle, (left, top), (right, bottom) in zip(
        moved, low.tolist(), high.tolist(), strict=True
    ):
        window = prob[top:bottom, left:right]
        inside = np.zeros(window.shape, np.uint8)
        cv2.fillConvexPoly(inside, rectangle, 1)
        # Nothing is negative, so the sum is the L1 norm, which OpenCV computes faster than a mean.
        totals.append(cv2.norm(window, cv2.NORM_L1, inside))
        counts.append(cv2.countNonZero(inside))
    if not all(map(math.isfinite, totals)):
        return _rectangle_scores(_known(prob), corners)
    return [total / count for total, count in zip(totals, counts, strict=True)]


def _contour_score(prob: Map, contour: Contour) -> float:
    """Mean probability in a contour, its pixels included."""
    left, top, width, height = cv2.boundingRect(contour)
    window = prob[top : top + height, left : left + width]
    inside = np.zeros(window.shape, np.uint8)
    cv2.fillPoly(inside, [contour], (1,), offset=(-left, -top))
    mean = cv2.mean(window, inside)[0]
    return mean if math.isfinite(mean) else cv2.mean(_known(window), inside)[0]


def _known(prob: Map) -> Map:
    """A map in which pixels that are no numbers are 0."""
    return np.where(np.isfinite(prob), prob, np.float32(0))


def _best(scores: Sequence[float], config: PostprocessConfig) -> list[int]:
    """Places of the scores that are high enough, highest first, as many as are wanted."""
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return [i for i in order if scores[i] >= config.box_thresh][: config.max_candidates]


def _ordered(quads: Floats) -> Floats:
    """Turn [n, 4, 2] so that each begins at the corner nearest to the top left (x + y)."""
    first = quads.sum(axis=2).argmin(axis=1)
    corners = (first[:, None] + np.arange(4)) % 4
    ordered: Floats = quads[np.arange(len(quads))[:, None], corners]
    return ordered
