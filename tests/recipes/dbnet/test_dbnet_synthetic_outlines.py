"""Outlines of generated texts are right: proven by the pixels of each text alone."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic import distort
from toolkit_recipes.dbnet.synthetic.fonts import find_faces
from toolkit_recipes.dbnet.synthetic.layout import Line
from toolkit_recipes.dbnet.synthetic.receipts import Scene
from toolkit_recipes.dbnet.synthetic.receipts import draw_scene
from toolkit_recipes.dbnet.synthetic.render import outlines
from toolkit_recipes.dbnet.synthetic.render import paint

INKED = 110
"""Coverage, of 255, from which a pixel must lie within the outline."""
FAINT = 16
"""Coverage from which a pixel may be what a side of the outline is drawn along."""


def scene(number: int, curvature: float) -> Scene:
    """What is on a page."""
    rng = np.random.default_rng(np.random.SeedSequence([11, number]))
    return draw_scene(rng, SyntheticConfig(curvature=curvature), find_faces())


def ink_of(line: Line, drawn: Scene, coverage: int) -> NDArray[np.object_]:
    """Centres of the page's pixels that a text's ink covers so much, the text being alone."""
    canvas = np.zeros((drawn.sheet.height, drawn.sheet.width, 3), np.uint8)
    paint(canvas, [attrs.evolve(line.patch, strength=1.0, tone="ink")])
    rows, columns = np.nonzero(drawn.distortion.warp(canvas[:, :, 0].copy()) >= coverage)
    return np.asarray(shapely.points(columns + 0.5, rows + 0.5))


def sides(polygon: NDArray[np.float64]) -> list[shapely.LineString]:
    """Upper, right, lower and left side of an outline."""
    half = len(polygon) // 2
    around = np.concatenate([polygon, polygon[:1]])
    cuts = ((0, half - 1), (half - 1, half), (half, 2 * half - 1), (2 * half - 1, 2 * half))
    return [shapely.LineString(around[start : end + 1]) for start, end in cuts]


def check(line: Line, polygon: NDArray[np.float64], drawn: Scene) -> None:
    """All ink lies within the outline, and each side of the outline lies close to ink."""
    ink = ink_of(line, drawn, INKED)
    assert not len(ink) or shapely.distance(ink, shapely.Polygon(polygon)).max() < 0.5, line.text
    faint = ink_of(line, drawn, FAINT)
    rim = 0.08 * drawn.sheet.pitch * scale(drawn)
    for side in sides(polygon):
        assert shapely.distance(faint, side).min() < rim + 1.5, line.text


def scale(drawn: Scene) -> float:
    """Pixels of the page per pixel of the paper, in its middle."""
    middle = np.array([drawn.sheet.width, drawn.sheet.height]) / 2
    here, beside = drawn.distortion.forward(np.array([middle, middle + np.array([1.0, 0.0])]))
    return float(np.linalg.norm(beside - here))


@pytest.mark.parametrize("curvature", [0.0, 1.0])
@pytest.mark.parametrize("number", range(6))
def test_outlines_hold_their_ink_and_fit_it(number: int, curvature: float) -> None:
    """On flat and on bent pages an outline is neither too small nor too large."""
    drawn = scene(number, curvature)
    polygons = outlines(drawn.sheet.lines, drawn.distortion)
    for line, polygon in list(zip(drawn.sheet.lines, polygons, strict=True))[::3]:
        check(line, polygon, drawn)


def test_stamps_are_outlined_at_their_angle() -> None:
    """A stamp's outline holds and fits its ink as that of a printed line does."""
    found = 0
    for drawn in (scene(number, 0.5) for number in range(40)):
        polygons = outlines(drawn.sheet.lines, drawn.distortion)
        for line, polygon in zip(drawn.sheet.lines, polygons, strict=True):
            if line.patch.tone == "colour":
                check(line, polygon, drawn)
                found += 1
    assert found


def test_outlines_of_bent_pages_are_simple_and_close_to_the_curve() -> None:
    """No outline crosses itself, and none leaves the densely drawn curve by a fifth of a pixel."""
    for number in range(6):
        drawn = scene(number, 1.0)
        for line, polygon in zip(
            drawn.sheet.lines, outlines(drawn.sheet.lines, drawn.distortion), strict=True
        ):
            assert shapely.Polygon(polygon).is_valid
            share = np.linspace(0, 1, 200)[:, None]
            top = line.outline[0] * (1 - share) + line.outline[1] * share
            curve = shapely.LineString(drawn.distortion.forward(top))
            assert shapely.hausdorff_distance(curve, sides(polygon)[0]) < 0.2


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_map_to_the_page_has_an_exact_inverse(seed: int, bent: bool) -> None:
    """From the paper to the page and back is the same point, whatever the bend and the view."""
    rng = np.random.default_rng(seed)
    paper = (int(rng.integers(100, 2000)), int(rng.integers(100, 3000)))
    bend = distort.draw_bend(rng, *paper) if bent else None
    points = rng.random((20, 2)) * paper
    placed = distort.place(rng, paper, points, distort.OBLIQUE, bend, 640)
    there = placed.forward(points)
    assert (there >= 0).all()
    assert (there <= placed.size).all()
    assert np.abs(placed.backward(there) - points).max() < 1e-6


@pytest.mark.parametrize("bent", [False, True])
def test_pixels_go_where_points_go(bent: bool) -> None:
    """A dot on the paper is seen at the image of its centre."""
    rng = np.random.default_rng(3)
    bend = distort.draw_bend(rng, 800, 1200) if bent else None
    placed = distort.place(rng, (800, 1200), np.zeros((0, 2)), distort.PHOTO, bend, 640)
    for centre in rng.uniform((50, 50), (750, 1150), (20, 2)).round():
        raster = np.zeros((1200, 800), np.uint8)
        x, y = centre.astype(int)
        raster[y - 4 : y + 4, x - 4 : x + 4] = 255
        page = placed.warp(raster).astype(float)
        rows, columns = np.indices(page.shape) + 0.5
        seen = np.array([(columns * page).sum(), (rows * page).sum()]) / page.sum()
        assert np.abs(seen - placed.forward(centre[None])[0]).max() < 0.06


def test_texts_of_a_sheet_do_not_lie_upon_each_other() -> None:
    """Texts of a row are kept apart, and rows touch at most by their tails and accents."""
    for number in range(25):
        lines = [line for line in scene(number, 0).sheet.lines if line.patch.tone != "colour"]
        boxes = np.array([shapely.Polygon(line.outline) for line in lines])
        tree = shapely.STRtree(boxes)
        for one, other in tree.query(boxes).T:
            if one < other:
                shared = boxes[one].intersection(boxes[other]).area
                assert shared < 0.35 * min(boxes[one].area, boxes[other].area)
