"""Smooth fields and textures: light, shadows, folds and tables.

A field is float32 [h, w]; a texture is float32 [c, h, w] with as many channels as its colours.
Sizes are (width, height). Most are made small and enlarged, as they have no fine detail.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import happens

Field = NDArray[np.float32]
Size = tuple[int, int]

_COARSE = 8
"""Pixels of the page per value of what is made small."""


def clouds(rng: np.random.Generator, size: Size, cells: tuple[int, int]) -> Field:
    """Smooth noise from 0 to 1 with about so many hills (across, down)."""
    small = rng.random((cells[1], cells[0]), dtype=np.float32)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _grid(size: Size) -> tuple[Field, Field]:
    """The x and y of a small raster, both from 0 to 1 over the longer side."""
    wide, high = max(2, size[0] // _COARSE), max(2, size[1] // _COARSE)
    x, y = np.meshgrid(np.arange(wide, dtype=np.float32), np.arange(high, dtype=np.float32))
    scale = np.float32(1 / max(wide, high))
    return np.asarray(x * scale, np.float32), np.asarray(y * scale, np.float32)


def _enlarge(field: Field, size: Size) -> Field:
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _distance(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Signed distance from a random straight line."""
    angle = between(rng, 0, 2 * np.pi)
    at = rng.uniform(0.1, 0.9, 2) * (x.max(), y.max())
    return np.asarray((x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle), np.float32)


def shadow(rng: np.random.Generator, size: Size) -> Field:
    """Light, at most 1, that falls off to one side and may have the soft shadow of something."""
    x, y = _grid(size)
    field = 1 - 0.35 * np.clip(_distance(rng, x, y) + 0.3, 0, 1)
    if happens(rng, 0.6):
        soft = between(rng, 0.005, 0.08)
        edge = np.clip(_distance(rng, x, y) / soft, -1, 1) * 0.5 + 0.5
        if happens(rng, 0.5):
            edge = edge * (np.clip(_distance(rng, x, y) / soft, -1, 1) * 0.5 + 0.5)
        field = field * (1 - between(rng, 0.15, 0.55) * edge)
    return _enlarge(np.asarray(field, np.float32), size)


def folds(rng: np.random.Generator, size: Size) -> Field:
    """Light and dark, about -0.5 to 0.5, along creases, and between them as of slight bumps."""
    x, y = _grid(size)
    field = 0.3 * (_enlarge(clouds(rng, (6, 9), (6, 9)), (x.shape[1], x.shape[0])) - 0.5)
    for _ in range(int(rng.integers(0, 6))):
        distance = _distance(rng, x, y)
        wide = between(rng, 0.01, 0.08)
        rise = distance / wide * np.exp(-np.abs(distance) / wide)
        field = field + between(rng, 0.2, 0.6) * np.where(distance > 0, rise, 0.5 * rise)
    return _enlarge(np.asarray(field, np.float32), size)


def table(rng: np.random.Generator, size: Size, channels: int) -> Field:
    """What a paper lies on: plain, wood, cloth or stone."""
    dark, light = sorted(rng.uniform(0.05, 0.95, 2).tolist())
    tint = rng.uniform(0.75, 1.0, (channels, 1, 1)).astype(np.float32)
    pattern = (_plain, _wood, _cloth, _stone)[int(rng.integers(4))](rng, size)
    return np.asarray(tint * (dark + (light - dark) * pattern), np.float32)


def _plain(rng: np.random.Generator, size: Size) -> Field:
    return clouds(rng, size, (3, 3))


def _wood(rng: np.random.Generator, size: Size) -> Field:
    grain, boards = (int(rng.integers(40, 160)), 3), (int(rng.integers(2, 7)), 1)
    if happens(rng, 0.5):
        grain, boards = grain[::-1], boards[::-1]
    return 0.6 * clouds(rng, size, grain) + 0.4 * clouds(rng, size, boards)


def _cloth(rng: np.random.Generator, size: Size) -> Field:
    count = int(rng.integers(6, 40))
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    stripes = (x * count // size[1] % 2).astype(np.float32) + (y * count // size[1] % 2)
    return np.asarray(0.4 * stripes + 0.2 * clouds(rng, size, (60, 60)), np.float32)


def _stone(rng: np.random.Generator, size: Size) -> Field:
    fine = (max(1, size[0] // 3), max(1, size[1] // 3))
    return 0.5 * clouds(rng, size, fine) + 0.5 * clouds(rng, size, (7, 9))
