"""Pictures of what the network makes of a page."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion

Image = NDArray[np.uint8]
Map = NDArray[np.float32]

FOUND = (220, 50, 47)
WANTED = (60, 160, 60)
IGNORED = (150, 150, 150)
_SHIFT = 4
"""Bits of a pixel's fraction in OpenCV's drawing."""


def draw_page(
    image: Image, regions: Iterable[TextRegion], detections: Iterable[Detection]
) -> Image:
    """Draw what is there (green; grey if it is to be ignored) and what was found (red).

    Args:
        image: [H, W, 3]; stays as it is.
        regions: outlines on this image.
        detections: likewise.
    """
    canvas = image.copy()
    width = max(1, round(max(image.shape[:2]) / 640))
    for region in regions:
        _outline(canvas, region.polygon, IGNORED if region.ignore else WANTED, width)
    for detection in detections:
        _outline(canvas, detection.polygon, FOUND, width)
    return canvas


def beside_maps(page: Image, maps: Sequence[Map]) -> Image:
    """Put maps, from 0 to 1 and of the page's size, to the right of a page, in shades of grey."""
    grey = [np.rint(np.clip(m, 0, 1) * 255).astype(np.uint8) for m in maps]
    return np.concatenate([page, *(np.repeat(g[..., None], 3, axis=2) for g in grey)], axis=1)


def _outline(
    canvas: Image, polygon: NDArray[np.float64], colour: tuple[int, int, int], width: int
) -> None:
    points = np.rint((polygon - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(
        canvas,
        [points],
        isClosed=True,
        color=colour,
        thickness=width,
        lineType=cv2.LINE_AA,
        shift=_SHIFT,
    )
