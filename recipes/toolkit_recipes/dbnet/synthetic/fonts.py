"""Fonts: matplotlib's, and the system's of families that receipts are printed in."""

from __future__ import annotations

from functools import cache
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from attrs import frozen
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from toolkit_recipes.dbnet.synthetic.content import LOCALES

_PACKAGED = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmtt10", "cmss10")
_SYSTEM = (
    "Andale", "arial", "Arial", "consola", "Consola", "cour", "Courier", "Cousine", "DejaVu",
    "FiraMono", "FreeMono", "FreeSans", "Hack-", "IBMPlexMono", "Inconsolata", "JetBrainsMono",
    "Liberation", "lucon", "Menlo", "Monaco", "Nimbus", "NotoMono", "NotoSansMono", "OCR",
    "RobotoMono", "SourceCodePro", "UbuntuMono", "VT323",
)  # fmt: skip
_LEFT_OUT = ("Display", "Math", "Sym", "ExtraLight", "Italic", "Oblique", "Ita")
"""Parts of the names of fonts that are for formulas, too thin, or slanted: receipts seldom are."""

_INKED = 80
"""From which coverage, of 255, a pixel at the rim of a letter counts as ink."""


@frozen
class Face:
    """A font file, and the codes of the countries whose texts it can print."""

    path: str
    width: str
    """``mono`` if all letters are equally wide, else ``even``."""
    weight: str
    """``bold`` or ``regular``."""
    locales: frozenset[str]


@frozen
class Style:
    """How a text is printed: sizes in pixels of the paper."""

    face: Face
    size: float
    stretch: float = 1.0
    """Width against the font's own."""
    slant: float = 0.0
    """Shift to the right per height."""
    stroke: int = 0
    """Pixels by which letters are made bolder."""
    block: int = 1
    """Side of the squares that a coarse printer head builds letters of; 1: smooth letters."""


@frozen(eq=False)
class Ink:
    """A printed text, cut to its ink, and how far the ink's top is above the base line."""

    mask: NDArray[np.uint8]
    rise: int


@cache
def find_faces() -> tuple[Face, ...]:
    """The font set, in an order that follows from the file names alone."""
    faces = [face for _, path in sorted(_files().items()) if (face := _read_face(path)) is not None]
    return tuple(faces)


def _files() -> dict[str, Path]:
    """Font files by name; matplotlib's go before the system's of the same name."""
    packaged = Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")
    found = {file.stem: file for file in packaged if file.stem.startswith(_PACKAGED)}
    for file in sorted(map(Path, font_manager.findSystemFonts())):
        if file.stem.startswith(_SYSTEM):
            found.setdefault(file.stem, file)
    return {
        name: file for name, file in found.items() if not any(part in name for part in _LEFT_OUT)
    }


def _read_face(file: Path) -> Face | None:
    """The face, or none if no country's texts can be printed in it."""
    try:
        known = frozenset(map(chr, FT2Font(str(file)).get_charmap()))
    except (OSError, RuntimeError):
        return None  # a damaged font of the system, or of a kind that can't be scaled
    locales = frozenset(locale.code for locale in LOCALES if locale.signs <= known)
    if not locales:
        return None
    font = ImageFont.truetype(str(file), 40, layout_engine=ImageFont.Layout.BASIC)
    width = "mono" if font.getlength("i") == font.getlength("W") else "even"
    weight = "bold" if "Bol" in file.stem or file.stem.endswith(("bd", "b10")) else "regular"
    return Face(str(file), width, weight, locales)


def advance(style: Style) -> float:
    """Width of an average letter in pixels."""
    sample = "0" if style.face.width == "mono" else "Example TEXT 0123"
    return sum(glyph.advance for glyph in _glyphs(sample, style)) / len(sample) * style.stretch


def print_text(text: str, style: Style) -> Ink | None:
    """Print a text; none if nothing of it is to be seen."""
    mask, base = _compose(_glyphs(text, style))
    if style.stretch != 1 and mask.size:
        shape = (max(1, round(mask.shape[1] * style.stretch)), mask.shape[0])
        how = cv2.INTER_AREA if style.stretch < 1 else cv2.INTER_LINEAR
        mask = np.asarray(cv2.resize(mask, shape, interpolation=how), np.uint8)
    if style.slant and mask.size:
        mask = _slant(mask, base, style.slant)
    return _cut(mask, base)


@frozen(eq=False)
class _Glyph:
    """A letter: coverage, and its place against the pen, which then moves on by ``advance``."""

    mask: NDArray[np.uint8]
    left: int
    rise: int
    advance: float


def _glyphs(text: str, style: Style) -> list[_Glyph]:
    """The letters; sizes are whole pixels, so that few of them have to be drawn anew."""
    size = max(4, round(style.size / style.block))
    return [_glyph(style.face.path, size, style.stroke, style.block, sign) for sign in text]


@lru_cache(maxsize=16384)
def _glyph(path: str, size: int, stroke: int, block: int, sign: str) -> _Glyph:
    """A letter as the font has it, of squares of ``block`` pixels."""
    font = _load(path, size)
    left, top, right, bottom = font.getbbox(sign, anchor="ls", stroke_width=stroke)
    x, y = int(np.floor(left)) - 1, int(np.floor(top)) - 1
    canvas = Image.new("L", (int(np.ceil(right)) + 1 - x, int(np.ceil(bottom)) + 1 - y))
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "1" if block > 1 else "L"
    draw.text((-x, -y), sign, fill=255, font=font, anchor="ls", stroke_width=stroke)
    mask = np.asarray(canvas).repeat(block, axis=0).repeat(block, axis=1)
    return _Glyph(mask, x * block, -y * block, font.getlength(sign) * block)


@lru_cache(maxsize=64)
def _load(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _compose(glyphs: list[_Glyph]) -> tuple[NDArray[np.uint8], int]:
    """Letters side by side, and the row of their base line."""
    pens = np.cumsum([0.0, *(glyph.advance for glyph in glyphs)]).round().astype(int).tolist()
    lefts = [pen + glyph.left for pen, glyph in zip(pens, glyphs, strict=False)]
    first, rise = min(lefts, default=0), max((glyph.rise for glyph in glyphs), default=0)
    ends = [left + glyph.mask.shape[1] for left, glyph in zip(lefts, glyphs, strict=True)]
    depth = max((glyph.mask.shape[0] - glyph.rise for glyph in glyphs), default=0)
    mask = np.zeros((rise + depth, max(ends, default=0) - first), np.uint8)
    for glyph, left in zip(glyphs, lefts, strict=True):
        top, high = rise - glyph.rise, glyph.mask.shape[0]
        part = mask[top : top + high, left - first : left - first + glyph.mask.shape[1]]
        np.maximum(part, glyph.mask, out=part)
    return mask, rise


def _slant(mask: NDArray[np.uint8], base: int, slant: float) -> NDArray[np.uint8]:
    """Shift rows to the right by their height above the base line."""
    height, width = mask.shape
    below = int(np.ceil(slant * max(0, height - base)))
    wide = width + below + int(np.ceil(slant * max(0, base)))
    move = np.array([[1, -slant, slant * base + below], [0, 1, 0]])
    return np.asarray(cv2.warpAffine(mask, move, (wide, height)), np.uint8)


def _cut(mask: NDArray[np.uint8], base: int) -> Ink | None:
    inked = mask >= _INKED
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if not len(rows):
        return None
    return Ink(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], base - int(rows[0]))
