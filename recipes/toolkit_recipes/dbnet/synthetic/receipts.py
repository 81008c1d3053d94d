"""Generated receipts as pages to learn from: page i follows from (seed, i) and the fonts alone."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import happens
from toolkit_recipes.dbnet.synthetic.chance import pick
from toolkit_recipes.dbnet.synthetic.content import Gap
from toolkit_recipes.dbnet.synthetic.content import Row
from toolkit_recipes.dbnet.synthetic.content import compose
from toolkit_recipes.dbnet.synthetic.content import draw_habits
from toolkit_recipes.dbnet.synthetic.content import wordless
from toolkit_recipes.dbnet.synthetic.distort import FAR
from toolkit_recipes.dbnet.synthetic.distort import NEAR
from toolkit_recipes.dbnet.synthetic.distort import OBLIQUE
from toolkit_recipes.dbnet.synthetic.distort import PHOTO
from toolkit_recipes.dbnet.synthetic.distort import SCAN
from toolkit_recipes.dbnet.synthetic.distort import Distortion
from toolkit_recipes.dbnet.synthetic.distort import View
from toolkit_recipes.dbnet.synthetic.distort import draw_bend
from toolkit_recipes.dbnet.synthetic.distort import place
from toolkit_recipes.dbnet.synthetic.effects import Device
from toolkit_recipes.dbnet.synthetic.effects import develop
from toolkit_recipes.dbnet.synthetic.effects import draw_look
from toolkit_recipes.dbnet.synthetic.extras import use
from toolkit_recipes.dbnet.synthetic.fonts import Face
from toolkit_recipes.dbnet.synthetic.fonts import find_faces
from toolkit_recipes.dbnet.synthetic.layout import Sheet
from toolkit_recipes.dbnet.synthetic.layout import arrange
from toolkit_recipes.dbnet.synthetic.layout import draw_print
from toolkit_recipes.dbnet.synthetic.layout import height_of
from toolkit_recipes.dbnet.synthetic.render import outlines
from toolkit_recipes.dbnet.synthetic.render import raster
from toolkit_recipes.dbnet.synthetic.render import rims

_FINENESS = 2.0
"""Pixels of the raster per pixel of the page."""
_LEAST_PITCH = 8.5
"""Pixels of the page from row to row; where rows would be closer, only a part is photographed."""
_BLANK = 5.0
"""Rows that are left blank at both ends of a paper together."""
_LEGIBLE_HEIGHT = 3.5
"""Pixels of the page; lower texts are not to be found."""
_DEVICES: tuple[Device, ...] = ("camera",) * 9 + ("scanner",) * 7 + ("copier",) * 4
_VIEWS: Mapping[Device, tuple[View, ...]] = {
    "camera": (PHOTO, PHOTO, PHOTO, PHOTO, OBLIQUE, NEAR, NEAR, FAR),
    "scanner": (SCAN, SCAN, SCAN, SCAN, NEAR, FAR),
    "copier": (SCAN, SCAN, SCAN, NEAR, FAR),
}
_WORDLESS = 0.03
"""Share of the pages that have no text."""
_PART = 0.15
"""Share of the pages that show a part of a receipt from near by."""


@frozen(eq=False)
class Scene:
    """A printed paper, how it lies on the page, and by what the page was taken."""

    sheet: Sheet
    distortion: Distortion
    device: Device


@frozen(eq=False)
class GeneratedPage:
    """A page that is drawn when it is loaded."""

    config: SyntheticConfig
    seed: int
    index: int
    faces: tuple[Face, ...]

    @property
    def name(self) -> str:
        """``receipt-SEED-INDEX``."""
        return f"receipt-{self.seed}-{self.index:06d}"

    def load(self) -> LoadedPage:
        """Draw the page; it is the same each time, whatever was drawn before."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.index]))
        scene = draw_scene(rng, self.config, self.faces)
        layers = scene.distortion.warp(raster(scene.sheet))
        image = develop(rng, layers, draw_look(rng, scene.device))
        return LoadedPage(self.name, image, _regions(scene))


def synthetic_pages(config: SyntheticConfig, seed: int, first: int, count: int) -> list[PageSource]:
    """Pages ``first`` to ``first + count - 1`` of an endless row of generated receipts.

    Args:
        config: ``height`` is the pages' height in pixels, ``curvature`` the share of bent ones.
        seed: with the page's number all that a page follows from, on the same set of fonts.
        first: number of the first page.
        count: how many pages.

    Returns:
        Pages that are drawn each time that they are loaded. Outlines have 4 points on flat papers
        and up to 26 on bent ones.
    """
    faces = find_faces()
    return [GeneratedPage(config, seed, index, faces) for index in range(first, first + count)]


def draw_scene(rng: np.random.Generator, config: SyntheticConfig, faces: Sequence[Face]) -> Scene:
    """A receipt on a page of the given height."""
    device = pick(rng, _DEVICES)
    view = pick(rng, _VIEWS[device])
    habits = draw_habits(rng)
    rows = wordless(rng) if happens(rng, _WORDLESS) else compose(rng, habits)
    high = config.height / (1 + 2 * max(0.0, sum(view.margins) / 2))
    rows, pitch = _fit(rng, rows, high)
    fit = [face for face in faces if habits.locale.code in face.locales]
    printer = draw_print(rng, fit, pitch * _FINENESS, habits.columns)
    sheet = arrange(rng, rows, printer)
    if sheet.lines:
        sheet = use(rng, sheet, pick(rng, habits.locale.titles), printer.body)
    paper = (sheet.width, sheet.height)
    bend = draw_bend(rng, *paper) if happens(rng, config.curvature) else None
    return Scene(sheet, place(rng, paper, rims(sheet.lines), view, bend, config.height), device)


def _fit(rng: np.random.Generator, rows: list[Row], height: float) -> tuple[list[Row], float]:
    """The rows that a page of this height has room for, and the distance of two rows."""
    room = height / _LEAST_PITCH - _BLANK
    lines = sum(map(height_of, rows))
    if happens(rng, _PART):
        room = min(room, max(12.0, lines * between(rng, 0.3, 0.7)))
    if lines > room:
        rows = _part(rng, rows, room)
        lines = sum(map(height_of, rows))
    pitch = min(height / (lines + _BLANK), height * between(rng, 0.018, 0.04))
    spare = (height / pitch - lines - _BLANK) * pick(rng, (1.0, 1.0, between(rng, 0, 1)))
    above = between(rng, 0, 0.6) * spare
    return [Gap(above), *rows, Gap(spare - above)], pitch


def _part(rng: np.random.Generator, rows: list[Row], room: float) -> list[Row]:
    """Neighbouring rows, at least one, of which no more fit into the room."""
    ends = np.cumsum([height_of(row) for row in rows])
    starts = ends - ends[0]
    last_start = int(np.searchsorted(starts, max(0.0, ends[-1] - room)))
    start = int(rng.integers(last_start + 1))
    end = int(np.searchsorted(ends, starts[start] + room))
    return rows[start : max(end, start + 1)]


def _regions(scene: Scene) -> tuple[TextRegion, ...]:
    polygons = outlines(scene.sheet.lines, scene.distortion)
    pairs = zip(scene.sheet.lines, polygons, strict=True)
    return tuple(
        TextRegion(polygon, line.text, line.ignore or _height(polygon) < _LEGIBLE_HEIGHT)
        for line, polygon in pairs
    )


def _height(polygon: NDArray[np.float64]) -> float:
    """Length of the side at which a text begins: from the first corner to the last."""
    return float(np.linalg.norm(polygon[0] - polygon[-1]))
