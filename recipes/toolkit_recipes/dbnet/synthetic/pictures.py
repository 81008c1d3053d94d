"""Printed things that are no text: bar codes, squares of dots, logos and scribbles.

Each is a mask, uint8 [h, w]: 255 where there is ink.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic.chance import between

Mask = NDArray[np.uint8]


def draw(
    rng: np.random.Generator,
    kind: Literal["barcode", "squares", "logo"],
    high: int,
    room: int,
) -> Mask:
    """A picture of about the given height, at most ``room`` wide."""
    match kind:
        case "barcode":
            return _barcode(rng, high, room)
        case "squares":
            return _squares(rng, min(high, room))
        case "logo":
            return _logo(rng, high, min(room, round(high * between(rng, 0.8, 2.5))))


def _barcode(rng: np.random.Generator, high: int, room: int) -> Mask:
    bars = rng.integers(1, 5, 2 * int(rng.integers(25, 45)) + 1)
    ink = np.repeat(np.arange(len(bars)) % 2 == 0, bars)
    module = max(1, round(room * between(rng, 0.5, 0.95) / len(ink)))
    row = np.repeat(ink, module)[:room].astype(np.uint8) * 255
    return np.tile(row, (high, 1))


def _squares(rng: np.random.Generator, side: int) -> Mask:
    """Random squares with the three corner marks of a two-dimensional code."""
    count = int(rng.integers(21, 34))
    cells = (rng.random((count, count)) < 0.5).astype(np.uint8) * 255
    mark = np.zeros((8, 8), np.uint8)
    mark[:7, :7] = 255
    mark[1:6, 1:6] = 0
    mark[2:5, 2:5] = 255
    cells[:8, :8] = mark
    cells[:8, -8:] = mark[:, ::-1]
    cells[-8:, :8] = mark[::-1]
    return np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def _logo(rng: np.random.Generator, high: int, wide: int) -> Mask:
    """Some ellipses, triangles, frames and bars, one upon the other."""
    mask = np.zeros((high, wide), np.uint8)
    for number in range(int(rng.integers(2, 6))):
        ink = 255 if number == 0 else int(rng.integers(2)) * 255
        centre = (rng.uniform(0.25, 0.75, 2) * (wide, high)).astype(int).tolist()
        size = (rng.uniform(0.12, 0.45, 2) * (wide, high)).astype(int).tolist()
        _shape(rng, mask, centre, size, ink)
    return mask


def _shape(
    rng: np.random.Generator, mask: Mask, centre: list[int], size: list[int], ink: int
) -> None:
    """Draw one shape on the mask."""
    thick = -1 if rng.random() < 0.6 else max(1, mask.shape[0] // 14)
    low = (centre[0] - size[0], centre[1] - size[1])
    high = (centre[0] + size[0], centre[1] + size[1])
    match int(rng.integers(3)):
        case 0:
            cv2.ellipse(mask, centre, size, 0, 0, 360, (ink,), thick, cv2.LINE_AA)
        case 1:
            cv2.rectangle(mask, low, high, (ink,), thick, cv2.LINE_AA)
        case _:
            corners = np.array([[low[0], high[1]], [centre[0], low[1]], high], np.int32)
            cv2.fillPoly(mask, [corners], (ink,), cv2.LINE_AA)


def scribble(rng: np.random.Generator, high: int, wide: int) -> Mask:
    """A pen's loops, as of a signature."""
    turns = between(rng, 1.5, 4.5)
    t = np.linspace(0, 1, 160)
    swing = sum(
        rng.normal(0, 1 / n) * np.sin(2 * np.pi * (n * turns * t / 2 + rng.random()))
        for n in range(1, 4)
    )
    x = t + 0.5 / turns * np.cos(2 * np.pi * turns * t + rng.random())
    y = np.asarray(swing) * np.hanning(len(t)) ** 0.3
    points = np.stack([_spread(x, wide), _spread(y, high)], axis=1)
    mask = np.zeros((high, wide), np.uint8)
    thick = max(1, round(high * between(rng, 0.015, 0.04)))
    curve = np.round(points * 8).astype(np.int32)
    cv2.polylines(mask, [curve], False, (255,), thick, cv2.LINE_AA, 3)
    return mask


def _spread(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Values moved and scaled to fill a size but for its rim."""
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, 1e-9) * (0.88 * size) + 0.06 * size)
