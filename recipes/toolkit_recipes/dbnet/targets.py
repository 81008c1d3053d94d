"""The maps that the network learns, from the outlines of texts (section 3.4 of the paper).

The threshold map is computed edge by edge: a pixel's value depends on the edges within the shrink
distance D alone, so each edge is measured in the window around it and in float32, and the page
keeps the smallest squared distance, in units of D^2, in one buffer for all texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import cv2
import numpy as np
import shapely
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.presets import TargetConfig

_SHIFT = 8
"""Bits of a pixel's fraction in OpenCV's drawing."""
_SMALL = 6000
"""Pixels up to which a text's edges are measured together, to call NumPy less often."""
_FARTHEST = 2.0**20
"""Coordinates beyond this aren't those of a text on a page."""


Pair = tuple[int, int]


@frozen(eq=False)
class Targets:
    """What the network is to answer for a page; all arrays are [height, width].

    ``prob`` is 1 in kernels, ``prob_mask`` 0 where nothing is learned about kernels; ``thresh`` is
    the threshold map and ``thresh_mask`` is 1 where it is learned: in texts grown by their D.
    """

    prob: NDArray[np.uint8]
    prob_mask: NDArray[np.uint8]
    thresh: NDArray[np.float32]
    thresh_mask: NDArray[np.uint8]


@frozen(eq=False)
class _Text:
    """A text to be learned: its outline, the parts of its kernel and the shrink distance."""

    polygon: Polygon
    kernels: list[Polygon]
    distance: float


@frozen(eq=False)
class _Edges:
    """Edges of texts, each with the window of the pixels that are within D of it."""

    middle: NDArray[np.float32]
    """[n, 2]"""
    step: NDArray[np.float32]
    """[n, 2]; a vector along the edge, 1 / D pixels long."""
    half: NDArray[np.float32]
    """[n, 1, 1]; half the length, over D."""
    first: NDArray[np.int64]
    """[n, 2]; x and y of the window's first pixel."""
    last: NDArray[np.int64]
    """[n, 2]; x and y behind the window's last pixel."""


def make_targets(
    regions: Iterable[TextRegion], size: tuple[int, int], config: TargetConfig
) -> Targets:
    """Draw the maps of a page (section 3.4, equations 10 and following).

    A text counts for nothing (``prob_mask`` 0 within it, not in the threshold map) if it is to be
    ignored, if the shorter side of the smallest rectangle around it is below
    ``config.min_text_size``, if its outline crosses itself or if nothing is left of it by
    shrinking. Where such a text and one that is learned overlap, the latter is learned. A text
    with coordinates that are not finite, or farther off than a million pixels, has no place on the
    page and is left out. All parts of a kernel that splits are drawn. A page without texts is
    learned from as a whole.

    A kernel covers the pixels whose centres lie within about half a pixel of it: also where it is
    thinner than a pixel it stays in one piece, and the outline through the centres of an upright
    kernel's outermost pixels is its own.

    Args:
        regions: the texts; parts beyond the page are not drawn.
        size: height and width in pixels.
        config: how texts are drawn.
    """
    texts, ignored = _sorted(regions, config)
    prob, prob_mask = np.zeros(size, np.uint8), np.ones(size, np.uint8)
    for polygon in ignored:
        _fill(prob_mask, polygon, 0)
    if ignored:
        for text in texts:
            _fill(prob_mask, text.polygon, 1)
    for text in texts:
        for kernel in text.kernels:
            _fill(prob, kernel, 1)
    nearness = _squared_distances(texts, size)
    # What lies within a text and at least D from its outline is its kernel.
    thresh_mask = prob | (nearness < 1)
    thresh = np.sqrt(nearness, out=nearness)
    thresh *= config.thresh_min - config.thresh_max
    thresh += config.thresh_max
    return Targets(prob, prob_mask, thresh, thresh_mask)


def _sorted(
    regions: Iterable[TextRegion], config: TargetConfig
) -> tuple[list[_Text], list[Polygon]]:
    """Tell the texts to be learned from those that count for nothing."""
    texts: list[_Text] = []
    ignored: list[Polygon] = []
    for region in regions:
        polygon = region.polygon
        if not (np.abs(polygon) < _FARTHEST).all():
            continue
        text = None if region.ignore else _learnable(polygon, config)
        if text is None:
            ignored.append(polygon)
        else:
            texts.append(text)
    return texts, ignored


def _learnable(polygon: Polygon, config: TargetConfig) -> _Text | None:
    distance = polygons.shrink_distance(polygon, config.shrink_ratio)
    # D / (1 - r^2) is the area over the length of the outline. The smallest rectangle holds that
    # area and is at most half that length long, so it is at least twice D / (1 - r^2) wide.
    narrowest = 2 * distance / (1 - config.shrink_ratio**2)
    if narrowest < config.min_text_size > polygons.short_side(polygon):
        return None
    kernels = polygons.expand(polygon, -distance) if _is_simple(polygon) else []
    return _Text(polygon, kernels, distance) if kernels else None


def _is_simple(polygon: Polygon) -> bool:
    """Whether the outline doesn't touch or cross itself; quick for the usual convex quads."""
    if len(polygon) <= 4 and cv2.isContourConvex(polygon.astype(np.float32)):
        return True
    return bool(shapely.is_valid(shapely.Polygon(polygon)))


def _fill(canvas: NDArray[np.uint8], polygon: Polygon, value: int) -> None:
    """Fill the pixels whose centres lie in a polygon or about half a pixel from it."""
    corners = np.rint((polygon - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], (value,), shift=_SHIFT)


def _squared_distances(texts: Sequence[_Text], size: tuple[int, int]) -> NDArray[np.float32]:
    """Each pixel's squared distance from the nearest outline, over that text's D^2; at most 1."""
    canvas = np.ones(size, np.float32)
    if not texts:
        return canvas
    edges = _edges(texts, size)
    x, y = (np.arange(side, dtype=np.float32) for side in size[::-1])
    for first, last, (left, top), (right, bottom) in _windows(texts, edges):
        middle, step = edges.middle[first:last], edges.step[first:last]
        from_x = x[left:right] - middle[:, :1]
        from_y = y[top:bottom] - middle[:, 1:]
        along = _outer_sum(from_x * step[:, :1], from_y * step[:, 1:])
        np.abs(along, out=along)
        along -= edges.half[first:last]
        np.maximum(along, 0, out=along)
        along *= along
        across = _outer_sum(from_x * step[:, 1:], from_y * -step[:, :1])
        across *= across
        along += across
        window = canvas[top:bottom, left:right]
        np.minimum(window, along.min(axis=0), out=window)
    return canvas


def _outer_sum(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, w] and [n, h] to [n, h, w]."""
    total: NDArray[np.float32] = x[:, None, :] + y[:, :, None]
    return total


def _edges(texts: Sequence[_Text], size: tuple[int, int]) -> _Edges:
    """Prepare the edges of all texts at once, with pixel centres on whole numbers."""
    start = np.concatenate([text.polygon for text in texts]) - 0.5
    end = np.concatenate([part for t in texts for part in (t.polygon[1:], t.polygon[:1])]) - 0.5
    counts = [len(text.polygon) for text in texts]
    distance = np.repeat([text.distance for text in texts], counts)[:, None]
    edge = end - start
    length = np.hypot(edge[:, :1], edge[:, 1:])
    # A corner given twice makes an edge that is far from everything.
    half = np.where(length > 0, length / distance / 2, -2)
    step = edge / np.maximum(length, np.finfo(np.float64).tiny) / distance
    limits = np.array(size[::-1])
    first = np.ceil(np.minimum(start, end) - distance).clip(0, limits)
    last = np.floor(np.maximum(start, end) + distance + 1).clip(0, limits)
    return _Edges(
        middle=((start + end) / 2).astype(np.float32),
        step=step.astype(np.float32),
        half=half[..., None].astype(np.float32),
        first=first.astype(np.int64),
        last=last.astype(np.int64),
    )


def _windows(texts: Sequence[_Text], edges: _Edges) -> Iterator[tuple[int, int, Pair, Pair]]:
    """Yield edges to be measured together: their numbers, and the window's corners.

    All edges of a small text are measured in its window, each of a large text in its own.
    """
    ends = np.cumsum([len(text.polygon) for text in texts])
    starts = np.concatenate(([0], ends[:-1]))
    first = np.minimum.reduceat(edges.first, starts)
    last = np.maximum.reduceat(edges.last, starts)
    small = (last - first).prod(axis=1) <= _SMALL
    for text in range(len(texts)):
        start, end = int(starts[text]), int(ends[text])
        if small[text]:
            yield start, end, first[text].tolist(), last[text].tolist()
            continue
        corners = zip(edges.first[start:end].tolist(), edges.last[start:end].tolist(), strict=True)
        for edge, (low, high) in enumerate(corners, start):
            yield edge, edge + 1, low, high
