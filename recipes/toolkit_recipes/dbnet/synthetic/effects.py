"""From ink and paper to a photograph or a scan: table, light, folds, noise, blur and JPEG."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import happens
from toolkit_recipes.dbnet.synthetic.chance import pick
from toolkit_recipes.dbnet.synthetic.render import COLOUR
from toolkit_recipes.dbnet.synthetic.render import INK
from toolkit_recipes.dbnet.synthetic.render import PAPER
from toolkit_recipes.dbnet.synthetic.surfaces import Field
from toolkit_recipes.dbnet.synthetic.surfaces import Size
from toolkit_recipes.dbnet.synthetic.surfaces import clouds
from toolkit_recipes.dbnet.synthetic.surfaces import folds
from toolkit_recipes.dbnet.synthetic.surfaces import shadow
from toolkit_recipes.dbnet.synthetic.surfaces import table

Device = Literal["camera", "scanner", "copier"]

_Colours = NDArray[np.float64] | Field

_PENS = ((0.1, 0.15, 0.55), (0.6, 0.1, 0.15), (0.08, 0.08, 0.1), (0.35, 0.1, 0.45))
_PIVOT = 0.7
"""Brightness that a copier keeps; what is darker, even thin letters, becomes darker still."""
_FADING = 0.4
"""Most of its darkness that printing loses at the palest place of a page."""


@frozen
class Look:
    """How a page was taken; colours and light run from 0 to 1."""

    device: Device
    channels: int
    """1: in grey, 3: in colour."""
    ink: float
    """Darkness of the print."""
    shade: float
    """Strength of shadows and folds."""
    noise: float
    """Standard deviation."""
    blur: float
    """Standard deviation in pixels."""
    quality: int
    """Of the JPEG file; 100: none."""
    ghost: float
    """How much of the back of the paper shines through."""


def draw_look(rng: np.random.Generator, device: Device) -> Look:
    """Settings of a device."""
    camera = device == "camera"
    return Look(
        device=device,
        channels=3 if camera or happens(rng, 0.2) else 1,
        ink=1.0 if device == "copier" else between(rng, 0.62, 0.97),
        shade=between(rng, 0.2, 1.0) if camera else between(rng, 0.0, 0.4),
        noise=between(rng, 0.004, 0.03) if camera else between(rng, 0.0, 0.015),
        blur=between(rng, 0.3, 0.9) if happens(rng, 0.7 if camera else 0.3) else 0.0,
        quality=100 if happens(rng, 0.2) else int(rng.integers(35, 96)),
        ghost=between(rng, 0.04, 0.12) if happens(rng, 0.15) else 0.0,
    )


def develop(rng: np.random.Generator, layers: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """The page, uint8 [h, w, 3] in RGB, of a raster [h, w, 3] that lies on it."""
    size = (layers.shape[1], layers.shape[0])
    ink, colour, paper = (_share(layers[:, :, n]) for n in (INK, COLOUR, PAPER))
    ink = ink * (look.ink * _fading(rng, size))
    if look.ghost:
        ink = np.maximum(ink, look.ghost * cv2.GaussianBlur(ink[:, ::-1], (0, 0), 1.5))
    black = between(rng, 0.0, 0.15) + rng.uniform(0, 0.06, (look.channels, 1, 1))
    image = _mix(_paper(rng, look), black, ink)
    if colour.any():
        image = _mix(image, _pen(rng, look), 0.85 * colour)
    image = image * (1 - look.shade * folds(rng, size))
    image = _mix(_ground(rng, size, look), image, paper)
    if look.shade:
        image = image * (1 - look.shade * (1 - shadow(rng, size)))
    return _record(rng, image, look)


def _share(layer: NDArray[np.uint8]) -> Field:
    return np.multiply(layer, np.float32(1 / 255), dtype=np.float32)


def _mix(below: _Colours, above: _Colours, share: Field) -> Field:
    """``above`` laid upon ``below``, [c, h, w] or [c, 1, 1], as far as ``share``, [h, w], goes."""
    low, high = np.asarray(below, np.float32), np.asarray(above, np.float32)
    return low + (high - low) * share


def _fading(rng: np.random.Generator, size: Size) -> Field:
    """How much of its darkness the print has kept: spots and, from a worn printer, columns."""
    kept = 1 - _FADING * between(rng, 0, 1) * clouds(rng, size, (3, 5))
    if happens(rng, 0.2):
        kept = kept * (1 - 0.5 * (clouds(rng, size, (size[0] // 4 + 1, 1)) > 0.9))
    return np.asarray(kept, np.float32)


def _paper(rng: np.random.Generator, look: Look) -> NDArray[np.float64]:
    if look.device != "camera":
        return np.full((look.channels, 1, 1), between(rng, 0.88, 1.0))
    warm = between(rng, 0, 0.12)
    return np.array([1.0, 1 - 0.4 * warm, 1 - warm])[:, None, None] * between(rng, 0.75, 0.98)


def _pen(rng: np.random.Generator, look: Look) -> NDArray[np.float64]:
    pen = np.array(pick(rng, _PENS))[:, None, None]
    return pen if look.channels == 3 else pen.mean(axis=0, keepdims=True)


def _ground(rng: np.random.Generator, size: Size, look: Look) -> Field:
    """What is beside the paper: a table, or the lid of a scanner."""
    if look.device == "camera":
        return table(rng, size, look.channels)
    lid = pick(rng, (0.02, 0.1, 0.6, 0.97, 1.0))
    return np.full((look.channels, 1, 1), lid, np.float32)


def _record(rng: np.random.Generator, image: Field, look: Look) -> NDArray[np.uint8]:
    """Turn light into a file."""
    if look.device == "copier":
        image = (image - _PIVOT) * between(rng, 1.4, 3) + _PIVOT
        image = image - (clouds(rng, image.shape[:0:-1], image.shape[:0:-1]) > 0.9995)
    planes = _expose(rng, np.asarray(image, np.float32), look)
    picture = np.ascontiguousarray(np.stack(planes * (3 // len(planes)), axis=-1))
    if look.quality == 100:
        return picture
    _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, look.quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


def _expose(rng: np.random.Generator, image: Field, look: Look) -> list[NDArray[np.uint8]]:
    """The channels as bytes, blurred and noisy; each has the noise of another place."""
    noise = np.float32(255 * look.noise) * rng.standard_normal(image.shape[1:], np.float32)
    planes = []
    for number, plane in enumerate(image):
        if look.blur:
            plane = cv2.GaussianBlur(plane, (0, 0), look.blur)
        light = plane * np.float32(255) + np.roll(noise, 977 * number)
        planes.append(np.clip(light + np.float32(0.5), 0, 255, out=light).astype(np.uint8))
    return planes
