"""What happens to a receipt after it was printed: it fades, is signed and stamped."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic import pictures
from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import happens
from toolkit_recipes.dbnet.synthetic.fonts import Style
from toolkit_recipes.dbnet.synthetic.fonts import print_text
from toolkit_recipes.dbnet.synthetic.layout import Line
from toolkit_recipes.dbnet.synthetic.layout import Patch
from toolkit_recipes.dbnet.synthetic.layout import Sheet
from toolkit_recipes.dbnet.synthetic.layout import box

_FADED = 0.08
_SIGNED = 0.15
_STAMPED = 0.1
_FAINT = (0.04, 0.14)
"""Darkness of what has faded beyond reading."""


def use(rng: np.random.Generator, sheet: Sheet, stamp: str, style: Style) -> Sheet:
    """A receipt that went through hands; ``stamp`` is what a stamp on it would say."""
    if happens(rng, _FADED):
        sheet = _fade(rng, sheet)
    if happens(rng, _SIGNED):
        sheet = _sign(rng, sheet)
    if happens(rng, _STAMPED):
        sheet = _stamp(rng, sheet, stamp, style)
    return sheet


def _fade(rng: np.random.Generator, sheet: Sheet) -> Sheet:
    """Let some neighbouring texts fade beyond reading."""
    first = int(rng.integers(max(1, len(sheet.lines))))
    last = first + int(rng.integers(1, 5))
    lines = [
        _faded(rng, line) if first <= number < last and line.patch.tone == "ink" else line
        for number, line in enumerate(sheet.lines)
    ]
    return attrs.evolve(sheet, lines=tuple(lines))


def _faded(rng: np.random.Generator, line: Line) -> Line:
    patch = attrs.evolve(line.patch, strength=between(rng, *_FAINT))
    return attrs.evolve(line, patch=patch, ignore=True)


def _somewhere(rng: np.random.Generator, sheet: Sheet, shape: tuple[int, ...]) -> tuple[int, int]:
    """Left and top of something of the given shape that lies on the sheet."""
    left = int(rng.integers(max(1, sheet.width - shape[1])))
    return left, int(rng.integers(max(1, sheet.height - shape[0])))


def _sign(rng: np.random.Generator, sheet: Sheet) -> Sheet:
    high = round(sheet.pitch * between(rng, 2, 5))
    mask = pictures.scribble(rng, high, min(sheet.width, round(high * between(rng, 1, 3))))
    left, top = _somewhere(rng, sheet, mask.shape)
    return attrs.evolve(sheet, marks=(*sheet.marks, Patch(mask, left, top, tone="colour")))


def _stamp(rng: np.random.Generator, sheet: Sheet, text: str, style: Style) -> Sheet:
    """Stamp a framed text at an angle; where it covers another text, it is not to be found."""
    face = attrs.evolve(style, size=sheet.pitch * between(rng, 1.1, 2.0), block=1, slant=0.0)
    if (ink := print_text(text, face)) is None or ink.mask.shape[1] > 0.8 * sheet.width:
        return sheet
    pad = round(0.4 * sheet.pitch)
    framed = np.pad(ink.mask, pad)
    corners = box(pad, pad, framed.shape[1] - pad, framed.shape[0] - pad, 0.05 * sheet.pitch)
    frame = np.zeros_like(framed)
    cv2.rectangle(frame, (1, 1), (frame.shape[1] - 2, frame.shape[0] - 2), (255,), 2)
    degrees = between(rng, -25, 25)
    (words, outline), (rim, _) = (_turn(layer, corners, degrees) for layer in (framed, frame))
    left, top = _somewhere(rng, sheet, words.shape)
    outline = outline + np.array([left, top])
    line = Line(text, Patch(words, left, top, tone="colour"), outline, _covers(outline, sheet))
    marks = (*sheet.marks, Patch(rim, left, top, tone="colour"))
    return attrs.evolve(sheet, lines=(*sheet.lines, line), marks=marks)


def _turn(
    mask: NDArray[np.uint8], points: NDArray[np.float64], degrees: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A mask turned on a canvas just as large as it then needs, and points on it, [n, 2]."""
    high, wide = mask.shape
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), degrees, 1.0)[:, :2]
    reach = np.ceil(np.abs(turn) @ (wide, high)).astype(int)
    shift = reach / 2 - turn @ (wide / 2, high / 2)
    centres = shift + turn @ (0.5, 0.5) - 0.5
    turned = cv2.warpAffine(mask, np.column_stack([turn, centres]), reach.tolist())
    return np.asarray(turned, np.uint8), points @ turn.T + shift


def _covers(outline: NDArray[np.float64], sheet: Sheet) -> bool:
    low, high = outline.min(axis=0), outline.max(axis=0)
    others = np.array([line.outline for line in sheet.lines]).reshape(-1, 4, 2)
    apart = (others.min(axis=1) > high) | (others.max(axis=1) < low)
    return bool((~apart.any(axis=1)).any())
