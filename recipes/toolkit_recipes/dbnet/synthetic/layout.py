"""Where the rows of a receipt go on its paper.

Coordinates of the paper are continuous, in pixels of the printed raster: (0, 0) is the paper's top
left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.synthetic import pictures
from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import happens
from toolkit_recipes.dbnet.synthetic.chance import pick
from toolkit_recipes.dbnet.synthetic.content import Align
from toolkit_recipes.dbnet.synthetic.content import Cell
from toolkit_recipes.dbnet.synthetic.content import Emphasis
from toolkit_recipes.dbnet.synthetic.content import Gap
from toolkit_recipes.dbnet.synthetic.content import Picture
from toolkit_recipes.dbnet.synthetic.content import Row
from toolkit_recipes.dbnet.synthetic.content import Rule
from toolkit_recipes.dbnet.synthetic.content import TextRow
from toolkit_recipes.dbnet.synthetic.fonts import Face
from toolkit_recipes.dbnet.synthetic.fonts import Ink
from toolkit_recipes.dbnet.synthetic.fonts import Style
from toolkit_recipes.dbnet.synthetic.fonts import advance
from toolkit_recipes.dbnet.synthetic.fonts import print_text

_SPACE = 1.3
"""Least distance of two texts of a row, in letters."""
_RIM = 0.08
"""Distance of a text's outline from its ink, times the pitch of the rows."""
_BASE = 0.78
"""Where the base line of a row is, times its height."""
_BAR = 0.15
"""How far a dark bar reaches beyond the light letters on it, times the pitch."""


@frozen(eq=False)
class Patch:
    """Something printed: coverage by ink, uint8 [h, w], of which (left, top) is the corner."""

    mask: NDArray[np.uint8]
    left: int
    top: int
    strength: float = 1.0
    """How dark the ink is, from 0 to 1."""
    tone: Literal["ink", "paper", "colour"] = "ink"
    """What it is printed with; ``paper``: it takes ink away, ``colour``: a pen or a stamp."""


@frozen(eq=False)
class Line:
    """A printed text and its outline: [4, 2], clockwise from where the text begins at its top."""

    text: str
    patch: Patch
    outline: NDArray[np.float64]
    ignore: bool = False
    """Whether it is illegible, so that nobody can be asked to find it."""


@frozen(eq=False)
class Sheet:
    """A printed paper."""

    width: int
    height: int
    pitch: float
    """Distance of two rows."""
    lines: tuple[Line, ...]
    marks: tuple[Patch, ...]
    """What is no text."""


@frozen
class Print:
    """How a shop's printer prints: sizes in pixels of the paper."""

    body: Style
    strong: Face
    """For what stands out."""
    pitch: float
    columns: int
    margin: int

    @property
    def width(self) -> int:
        """From the left margin to the right one."""
        return round(advance(self.body) * self.columns)


def draw_print(
    rng: np.random.Generator, faces: Sequence[Face], pitch: float, columns: int
) -> Print:
    """A printer; ``faces`` are those that can print the receipt's language."""
    plain = [face for face in faces if face.weight == "regular"]
    mono = [face for face in plain if face.width == "mono"]
    face = pick(rng, mono if mono and happens(rng, 0.65) else plain)
    kin = [other for other in faces if other.weight == "bold" and other.width == face.width]
    block = int(rng.integers(2, 4)) if happens(rng, 0.25) and pitch > 20 else 1
    body = Style(
        face,
        size=pitch * between(rng, 0.72, 0.9),
        stretch=between(rng, 0.8, 1.25),
        slant=between(rng, 0.02, 0.2) if happens(rng, 0.06) else 0.0,
        stroke=1 if happens(rng, 0.15) and pitch > 16 and block == 1 else 0,
        block=block,
    )
    margin = round(pitch * between(rng, 0.8, 3.0))
    return Print(body, pick(rng, kin) if kin else face, pitch, columns, margin)


def height_of(row: Row) -> float:
    """Height of a row, times the pitch."""
    match row:
        case TextRow():
            bar = 2 * _BAR if row.emphasis is Emphasis.REVERSED else 0
            return row.emphasis.value[1] + bar
        case Gap() | Picture():
            return row.lines
        case Rule():
            return 0.8


def arrange(rng: np.random.Generator, rows: Sequence[Row], printer: Print) -> Sheet:
    """Print the rows from the top of a paper to its end."""
    y = printer.pitch * between(rng, 0.6, 3.0)
    lines: list[Line] = []
    marks: list[Patch] = []
    for row in rows:
        height = height_of(row) * printer.pitch
        match row:
            case TextRow():
                made = _print_row(row, printer, y + height * _BASE)
                if row.emphasis is Emphasis.REVERSED:
                    made, bars = _reverse(made, printer)
                    marks += bars
                lines += made
            case Rule():
                marks += _print_rule(row, printer, y + height * 0.5)
            case Picture():
                marks.append(_print_picture(rng, row, printer, y))
            case Gap():
                pass
        y += height
    y += printer.pitch * between(rng, 0.6, 4.0)
    width = printer.width + 2 * printer.margin
    return Sheet(width, round(y), printer.pitch, tuple(lines), tuple(marks))


def _style(printer: Print, emphasis: Emphasis) -> Style:
    wide, high = emphasis.value
    body = printer.body
    face = body.face if emphasis in (Emphasis.NORMAL, Emphasis.SMALL) else printer.strong
    return attrs.evolve(body, face=face, size=body.size * high, stretch=body.stretch * wide / high)


def _print_row(row: TextRow, printer: Print, base: float) -> list[Line]:
    """The row's texts, in letters of the usual width if wide ones don't fit."""
    lines = _print_cells(row, printer, base)
    if row.emphasis.value[0] > 1 and [line.text for line in lines] != [c.text for c in row.cells]:
        return _print_cells(attrs.evolve(row, emphasis=Emphasis.TALL), printer, base)
    return lines


def _print_cells(row: TextRow, printer: Print, base: float) -> list[Line]:
    """The row's texts; those at the right have their full length, others end before the next."""
    style = _style(printer, row.emphasis)
    space = _SPACE * advance(style)
    end = float(printer.width)
    lines: list[Line] = []
    for cell in reversed(row.cells):
        if (fitted := _fit(cell, style, printer.width, end)) is None:
            break
        text, ink, start = fitted
        lines.append(_line(text, ink, printer.margin + round(start), base, printer.pitch))
        end = start - space
    return lines[::-1]


def _fit(cell: Cell, style: Style, width: int, end: float) -> tuple[str, Ink, float] | None:
    """The cell's text, cut to end before ``end``, and where it starts; none if nothing is left."""
    text = cell.text
    while text and (ink := print_text(text, style)) is not None:
        wide = ink.mask.shape[1]
        start = max(0.0, min(_start(cell, wide, width), end - wide))
        start = cell.at * width if cell.align == "left" else start
        if start + wide <= end + 0.5:
            return text, ink, start
        text = text[: min(len(text) - 1, int(len(text) * max(end - start, 0) / wide))].rstrip()
    return None


def _start(cell: Cell, wide: int, width: int) -> float:
    shares: dict[Align, float] = {"left": 0.0, "centre": 0.5, "right": 1.0}
    return cell.at * width - shares[cell.align] * wide


def _line(text: str, ink: Ink, left: int, base: float, pitch: float) -> Line:
    top = round(base) - ink.rise
    high, wide = ink.mask.shape
    outline = box(left, top, left + wide, top + high, _RIM * pitch)
    return Line(text, Patch(ink.mask, left, top), outline)


def box(left: float, top: float, right: float, bottom: float, rim: float) -> NDArray[np.float64]:
    """The corners of a box that is larger than the given one by ``rim`` at each side."""
    x = (left - rim, right + rim, right + rim, left - rim)
    y = (top - rim, top - rim, bottom + rim, bottom + rim)
    return np.stack([x, y], axis=1).astype(np.float64)


def _reverse(lines: list[Line], printer: Print) -> tuple[list[Line], list[Patch]]:
    """Light letters on dark bars."""
    bars = []
    pad = max(2, round(printer.pitch * _BAR))
    for line in lines:
        high, wide = line.patch.mask.shape
        mask = np.full((high + 2 * pad, wide + 2 * pad), 255, np.uint8)
        bars.append(Patch(mask, line.patch.left - pad, line.patch.top - pad))
    light = [attrs.evolve(line, patch=attrs.evolve(line.patch, tone="paper")) for line in lines]
    return light, bars


def _print_rule(rule: Rule, printer: Print, middle: float) -> list[Patch]:
    """A separator from margin to margin."""
    if rule.pattern in ("solid", "dashed", "double"):
        return _draw_rule(rule, printer, middle)
    sample = print_text(rule.pattern * 8, printer.body)
    step = sample.mask.shape[1] / 8 if sample else printer.pitch
    text = rule.pattern * max(1, int(printer.width / step))
    if (ink := print_text(text, printer.body)) is None:
        return []
    base = round(middle + 0.28 * printer.pitch)
    return [Patch(ink.mask[:, : printer.width], printer.margin, base - ink.rise)]


def _draw_rule(rule: Rule, printer: Print, middle: float) -> list[Patch]:
    thick = max(1, round(printer.pitch * 0.06))
    mask = np.full((thick, printer.width), 255, np.uint8)
    if rule.pattern == "dashed":
        dash = max(2, round(printer.pitch * 0.4))
        mask[:, np.arange(printer.width) % (2 * dash) >= dash] = 0
    tops = [middle - thick, middle + thick] if rule.pattern == "double" else [middle]
    return [Patch(mask, printer.margin, round(top)) for top in tops]


def _print_picture(rng: np.random.Generator, picture: Picture, printer: Print, top: float) -> Patch:
    high = max(8, round(picture.lines * printer.pitch * 0.92))
    mask = pictures.draw(rng, picture.kind, high, printer.width)
    room = printer.width - mask.shape[1]
    at = pick(rng, (0.5, 0.5, 0.5, 0.0))
    return Patch(mask, printer.margin + round(max(room, 0) * at), round(top))
