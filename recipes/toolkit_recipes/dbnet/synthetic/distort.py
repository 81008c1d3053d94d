"""How a flat paper comes to lie on the page: bent, turned and seen from the side.

A point (u, v) of the paper goes through the bend, if there is one, and then through a homography::

    y = v + (a + g (v / h - 1/2)) w b(u),  b(u) = (u / w - c)^2 + r sin(2 pi (f u / w + p))
    x = u + s w sin(2 pi (k y / h + q))

with w x h the paper's size. Each step has an inverse in closed form, so that pixels (drawn page
to paper) and outlines (paper to page) go through the very same map.
"""

from __future__ import annotations

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic.chance import between

Points = NDArray[np.float64]
Floats = NDArray[np.floating]


@frozen
class Bend:
    """A bent paper; the letters are those of the module's formula."""

    width: float
    height: float
    bow: float
    """a: how much lines are bent, as a part of the paper's width."""
    growth: float
    """g: how much more they are at the paper's end than at its start."""
    centre: float
    ripple: float
    frequency: float
    phase: float
    sway: float
    sway_frequency: float
    sway_phase: float

    def forward(self, points: Floats) -> Floats:
        """From the flat paper, [n, 2], to the bent one."""
        u, v = points[:, 0], points[:, 1]
        rise = self.width * self._shape(u)
        y = v + (self.bow + self.growth * (v / self.height - 0.5)) * rise
        return np.stack([u + self._sway(y), y], axis=1)

    def backward(self, points: Floats) -> Floats:
        """From the bent paper, [n, 2], to the flat one."""
        x, y = points[:, 0], points[:, 1]
        u = x - self._sway(y)
        rise = self.width * self._shape(u)
        start = (self.bow - 0.5 * self.growth) * rise
        v = (y - start) / (1 + self.growth / self.height * rise)
        return np.stack([u, v], axis=1)

    def _shape(self, u: Floats) -> Floats:
        t = u / self.width
        wave = np.sin(2 * np.pi * (self.frequency * t + self.phase))
        return np.asarray((t - self.centre) ** 2 + self.ripple * wave)

    def _sway(self, y: Floats) -> Floats:
        turn = 2 * np.pi * (self.sway_frequency * y / self.height + self.sway_phase)
        return np.asarray(self.sway * self.width * np.sin(turn))


@frozen(eq=False)
class Distortion:
    """The map from a paper to a page of ``size`` (width, height)."""

    homography: Points
    bend: Bend | None
    size: tuple[int, int]

    def forward(self, points: Points) -> Points:
        """From the paper, [n, 2], to the page."""
        bent = points if self.bend is None else self.bend.forward(points)
        return np.asarray(project(self.homography, bent), np.float64)

    def backward(self, points: Floats) -> Floats:
        """From the page, [n, 2], to the paper."""
        bent = project(np.linalg.inv(self.homography), points)
        return bent if self.bend is None else self.bend.backward(bent)

    def warp(self, raster: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What a raster of the paper, [h, w] or [h, w, c], is on the page; 0 beside the paper."""
        smooth = self._smooth(raster)
        if self.bend is None:
            centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
            matrix = centre @ self.homography @ np.linalg.inv(centre)
            return np.asarray(cv2.warpPerspective(smooth, matrix, self.size), np.uint8)
        wide, high = self.size
        x, y = np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5)
        origin = self.backward(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)) - 0.5
        u, v = (np.ascontiguousarray(origin[:, n], np.float32).reshape(high, wide) for n in (0, 1))
        return np.asarray(cv2.remap(smooth, u, v, cv2.INTER_LINEAR), np.uint8)

    def _smooth(self, raster: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Blur as much as a page's pixel is larger than the raster's, against aliasing."""
        wide, high = self.size
        here, beside = self.backward(np.array([[wide, high], [wide + 2, high]]) / 2)
        sigma = 0.35 * float(np.linalg.norm(beside - here))
        if sigma < 0.4:
            return raster
        return np.asarray(cv2.GaussianBlur(raster, (0, 0), sigma), np.uint8)


def project(homography: Floats, points: Floats) -> Floats:
    """Points, [n, 2], through a homography."""
    matrix = homography.astype(points.dtype)
    image = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(image[:, :2] / image[:, 2:])


@frozen
class View:
    """How a paper is looked at."""

    turn: float
    """Most degrees that it is turned by."""
    tilt: float
    """How far its corners are moved, as a part of its width."""
    margins: tuple[float, float]
    """What is seen beside the paper, least and most, as a part of its size; below 0: cut off."""


SCAN = View(turn=0.6, tilt=0.004, margins=(-0.02, 0.02))
PHOTO = View(turn=5.0, tilt=0.05, margins=(0.01, 0.15))
OBLIQUE = View(turn=14.0, tilt=0.11, margins=(0.02, 0.12))
NEAR = View(turn=2.0, tilt=0.015, margins=(-0.15, 0.01))
FAR = View(turn=3.0, tilt=0.02, margins=(0.15, 0.4))


def draw_bend(rng: np.random.Generator, width: int, height: int) -> Bend:
    """A bent paper."""
    sign = 1 if rng.random() < 0.5 else -1
    return Bend(
        width=width,
        height=height,
        bow=sign * between(rng, 0.06, 0.3),
        growth=between(rng, -0.15, 0.15),
        centre=between(rng, 0.25, 0.75),
        ripple=between(rng, 0, 0.03),
        frequency=between(rng, 0.6, 1.6),
        phase=between(rng, 0, 1),
        sway=between(rng, 0, 0.025),
        sway_frequency=between(rng, 0.3, 1.2),
        sway_phase=between(rng, 0, 1),
    )


def place(
    rng: np.random.Generator,
    paper: tuple[int, int],
    keep: Points,
    view: View,
    bend: Bend | None,
    page_height: int,
) -> Distortion:
    """Put a paper (width, height) on a page, so that all points ``keep``, [n, 2], are on it."""
    width, height = paper
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    turned = _rotate(corners, between(rng, -view.turn, view.turn))
    seen = turned + rng.uniform(-view.tilt, view.tilt, (4, 2)) * width
    tilted = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    flat = Distortion(np.asarray(tilted, np.float64), bend, (1, 1))
    rim = flat.forward(_edges(corners))
    frame = _frame(rng, rim, flat.forward(keep) if len(keep) else rim, view)
    scale = page_height / (frame[3] - frame[1])
    move = np.array([[scale, 0, -frame[0] * scale], [0, scale, -frame[1] * scale], [0, 0, 1]])
    size = (max(1, round((frame[2] - frame[0]) * scale)), page_height)
    return Distortion(move @ flat.homography, bend, size)


def _rotate(points: Points, degrees: float) -> Points:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn)


def _edges(corners: Points) -> Points:
    """Points along the sides of a quadrilateral."""
    t = np.linspace(0, 1, 17)[:, None]
    sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return np.concatenate([start * (1 - t) + end * t for start, end in sides])


def _frame(rng: np.random.Generator, rim: Points, keep: Points, view: View) -> Points:
    """Left, top, right and bottom of what is seen."""
    low, high = rim.min(axis=0), rim.max(axis=0)
    size = high - low
    low = low - rng.uniform(*view.margins, 2) * size
    high = high + rng.uniform(*view.margins, 2) * size
    spare = 0.008 * float(size.max())
    low = np.minimum(low, keep.min(axis=0) - spare)
    high = np.maximum(high, keep.max(axis=0) + spare)
    wide, tall = high - low
    missing = np.array([max(0.0, 0.3 * tall - wide), max(0.0, wide / 0.95 - tall)])
    part = rng.random(2)
    return np.concatenate([low - missing * part, high + missing * (1 - part)])
