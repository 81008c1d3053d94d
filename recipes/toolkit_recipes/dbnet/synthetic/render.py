"""Print a sheet as a raster, and outline its texts on the page."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic.distort import Distortion
from toolkit_recipes.dbnet.synthetic.layout import Line
from toolkit_recipes.dbnet.synthetic.layout import Patch
from toolkit_recipes.dbnet.synthetic.layout import Sheet

INK, COLOUR, PAPER = 0, 1, 2
"""Channels of a raster: how much of a pixel the printer's ink, a pen's ink and paper cover."""

_TOLERANCE = 0.1
"""Pixels of the page by which a side of a polygon may leave the bent side of an outline."""
_SAMPLES = 17
_MOST_PARTS = 12


def raster(sheet: Sheet) -> NDArray[np.uint8]:
    """A sheet, uint8 [h, w, 3] with the channels ``INK``, ``COLOUR`` and ``PAPER``."""
    canvas = np.zeros((sheet.height, sheet.width, 3), np.uint8)
    canvas[:, :, PAPER] = 255
    paint(canvas, sheet.marks)
    paint(canvas, (line.patch for line in sheet.lines))
    return canvas


def paint(canvas: NDArray[np.uint8], patches: Iterable[Patch]) -> None:
    """Print patches on a raster; what lies outside of it is cut off."""
    for patch in patches:
        top, left = max(patch.top, 0), max(patch.left, 0)
        mask = patch.mask[top - patch.top :, left - patch.left :]
        channel = COLOUR if patch.tone == "colour" else INK
        part = canvas[top : top + mask.shape[0], left : left + mask.shape[1], channel]
        mask = mask[: part.shape[0], : part.shape[1]]
        if patch.tone == "paper":
            np.minimum(part, 255 - mask, out=part)
        else:
            ink = mask if patch.strength == 1 else (mask * patch.strength).astype(np.uint8)
            np.maximum(part, ink, out=part)


def outlines(lines: Sequence[Line], distortion: Distortion) -> list[NDArray[np.float64]]:
    """The lines' outlines on the page: 4 points on a flat paper, as many as it takes on a bent one.

    A long side is divided into as few equal parts as keep it within a tenth of a pixel of the
    bent side. Clockwise from where the text begins at its top.
    """
    if not lines:
        return []
    if distortion.bend is None:
        return list(distortion.forward(rims(lines, 1)).reshape(-1, 4, 2))
    counts = _parts(lines, distortion)
    loops = [rims((line,), count) for line, count in zip(lines, counts, strict=True)]
    ends = np.cumsum([len(loop) for loop in loops])[:-1]
    return np.split(distortion.forward(np.concatenate(loops)), ends)


def rims(lines: Sequence[Line], parts: int = _SAMPLES - 1) -> NDArray[np.float64]:
    """Points, [n, 2], along the outlines on the paper.

    For each line those of its upper side from left to right, then those of its lower side back;
    each side is divided into so many equal parts.
    """
    corners = np.array([line.outline for line in lines]).reshape(-1, 2, 2, 2)
    share = np.linspace(0, 1, parts + 1)[:, None]
    points = corners[:, :, :1] * (1 - share) + corners[:, :, 1:] * share
    return np.asarray(points.reshape(-1, 2))


def _parts(lines: Sequence[Line], distortion: Distortion) -> list[int]:
    """Into how many parts the long sides of each outline are to be divided.

    The distance of an arc from its chord falls with the square of the number of parts.
    """
    sides = distortion.forward(rims(lines)).reshape(-1, _SAMPLES, 2)
    along = sides[:, -1:] - sides[:, :1]
    normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    bulge = np.abs(((sides - sides[:, :1]) * normal).sum(axis=-1)).max(axis=1)
    parts = np.ceil(np.sqrt(bulge.reshape(-1, 2).max(axis=1) / _TOLERANCE))
    return [int(count) for count in np.clip(parts, 1, _MOST_PARTS)]
