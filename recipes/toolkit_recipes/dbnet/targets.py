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
_SIMILAR = 24
"""Pixels by which windows may differ that are measured together, to call NumPy less often."""
_TOGETHER = 2**15
"""Most pixels that are measured together, so that a processor's cache holds them."""
_FARTHEST = 2.0**20
"""Coordinates beyond this aren't those of a text on a page."""

Pair = tuple[int, int]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@frozen(eq=False)
class Targets:
    """What the network is to answer for a page; all arrays are [height, width].

    ``prob`` is 1 in kernels, ``prob_mask`` 0 where nothing is learned about kernels; ``thresh`` is
    the threshold map and ``thresh_mask`` is 1 where it is learned: in texts grown by their D.
    """

    prob: NDArray[np.uint8]
    prob_mask: NDArray[np.uint8]
    thresh: Floats
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

    middle: Floats
    """[n, 2]"""
    step: Floats
    """[n, 2]; a vector along the edge, 1 / D pixels long."""
    half: Floats
    """[n, 1, 1]; half the length, over D."""
    first: Ints
    """[n, 2]; x and y of the window's first pixel."""
    last: Ints
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


def _squared_distances(texts: Sequence[_Text], size: tuple[int, int]) -> Floats:
    """Each pixel's squared distance from the nearest outline, over that text's D^2; at most 1."""
    canvas = np.ones(size, np.float32)
    if not texts:
        return canvas
    edges = _edges(texts, size)
    for batch, first, (width, height) in _batches(edges, size):
        measured = _measured(edges, batch, first, (width, height))
        for (left, top), squares in zip(first.tolist(), measured, strict=True):
            window = canvas[top : top + height, left : left + width]
            np.minimum(window, squares, out=window)
    return canvas


def _measured(edges: _Edges, batch: Ints, first: Ints, shape: Pair) -> Floats:
    """Squared distances [n, h, w] from n edges, in windows of one shape from their first pixels."""
    step, offset = edges.step[batch], first.astype(np.float32) - edges.middle[batch]
    x, y = (np.arange(side, dtype=np.float32) for side in shape)
    from_x, from_y = offset[:, :1] + x, offset[:, 1:] + y
    along = _outer_sum(from_x * step[:, :1], from_y * step[:, 1:])
    np.abs(along, out=along)
    along -= edges.half[batch]
    np.maximum(along, 0, out=along)
    along *= along
    across = _outer_sum(from_x * step[:, 1:], from_y * -step[:, :1])
    across *= across
    along += across
    return along


def _outer_sum(x: Floats, y: Floats) -> Floats:
    """[n, w] and [n, h] to [n, h, w]."""
    total: Floats = x[:, None, :] + y[:, :, None]
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


def _batches(edges: _Edges, size: tuple[int, int]) -> Iterator[tuple[Ints, Ints, Pair]]:
    """Yield edges to be measured together, as their windows are about as large.

    Yields:
        Numbers [n] of the edges; x and y [n, 2] of their windows' first pixels; width and height
        of windows that hold any of theirs and lie on the page.
    """
    sizes = edges.last - edges.first
    visible = np.flatnonzero(sizes.all(axis=1))
    if not visible.size:
        return
    classes = sizes[visible] // _SIMILAR
    order = np.lexsort(classes.T)
    bounds = np.flatnonzero(np.diff(classes[order], axis=0).any(axis=1)) + 1
    for alike in np.split(visible[order], bounds):
        width, height = sizes[alike].max(axis=0).tolist()
        most = max(_TOGETHER // (width * height), 1)
        for start in range(0, len(alike), most):
            batch = alike[start : start + most]
            last = (size[1] - width, size[0] - height)
            yield batch, np.minimum(edges.first[batch], last), (width, height)
