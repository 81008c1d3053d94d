"""Tests of the maps that the network learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.recipes.dbnet.kernels import kernels
from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import make_targets

CONFIG = TargetConfig(shrink_ratio=0.4)
SIZE = (96, 128)
WORD = np.array([[20.0, 30], [100, 30], [100, 50], [20, 50]])
OTHER = WORD + np.array([0, 36])
BOW_TIE = np.array([[20.0, 30], [100, 50], [100, 30], [20, 50]])


def inside(polygon: Polygon, *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Pixels whose centres lie in a polygon, at least ``margin`` from its outline."""
    contour = polygon.astype(np.float32).reshape(-1, 1, 2)
    rows, columns = np.indices(SIZE)
    found = [
        cv2.pointPolygonTest(contour, (x + 0.5, y + 0.5), True) >= margin
        for y, x in zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True)
    ]
    return np.array(found).reshape(SIZE)


def outline_distance(polygon: Polygon) -> NDArray[np.float64]:
    """Distance of every pixel's centre from the nearest edge, edge by edge in double precision."""
    y, x = (index + 0.5 for index in np.indices(SIZE))
    nearest = np.full(SIZE, np.inf)
    for (ax, ay), (bx, by) in pairwise([*polygon, polygon[0]]):
        squared = (bx - ax) ** 2 + (by - ay) ** 2
        share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared if squared else 0 * x
        share = share.clip(0, 1)
        distance = np.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay))
        nearest = np.minimum(nearest, distance)
    return nearest


def star(radii: Sequence[float], x: float, y: float) -> Polygon:
    """A polygon whose outline doesn't cross itself, clockwise."""
    angles = np.linspace(0, 2 * math.pi, len(radii), endpoint=False)
    return np.stack((x + np.cos(angles) * radii, y + np.sin(angles) * radii), axis=1)


stars = st.builds(
    star,
    st.lists(st.floats(6, 40), min_size=3, max_size=14),
    st.floats(-10, 138),
    st.floats(-10, 106),
)
anywhere = st.floats(-300, 300) | st.floats() | st.sampled_from([0.0, 64.0, 96.0, 128.0, 1e6])


def test_a_kernel_covers_its_pixels() -> None:
    """Pixels within the shrunk polygon are text, those over half a pixel away are not."""
    targets = make_targets([TextRegion(WORD)], SIZE, CONFIG)
    (kernel,) = kernels(WORD, CONFIG.shrink_ratio)
    assert (targets.prob[inside(kernel)] == 1).all()
    assert (targets.prob[~inside(kernel, margin=-0.8)] == 0).all()
    assert targets.prob_mask.all()


def test_the_outline_of_an_upright_kernels_pixels_is_the_kernel() -> None:
    """The contour through pixel centres has the size of the kernel: no growth, no loss."""
    targets = make_targets([TextRegion(WORD)], SIZE, CONFIG)
    (kernel,) = kernels(WORD, CONFIG.shrink_ratio)
    (contour,), _ = cv2.findContours(targets.prob, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    found = polygons.sides(contour[:, 0].astype(np.float64))
    assert found == pytest.approx(polygons.sides(kernel), abs=0.5)


@pytest.mark.parametrize("slope", [0, 4, 10, 25])
def test_kernels_have_half_a_pixel_more_on_every_side(slope: int) -> None:
    """At whatever slope, a kernel of w x h has about (w + 1) (h + 1) pixels."""
    word = np.array([[20.0, 30], [110, 30 + slope], [105, 60 + slope], [15, 60]])
    (kernel,) = kernels(word, CONFIG.shrink_ratio)
    short, long = polygons.sides(kernel)
    pixels = make_targets([TextRegion(word)], SIZE, CONFIG).prob.sum()
    assert pixels == pytest.approx((short + 1) * (long + 1), rel=0.06)


@settings(max_examples=30)
@given(st.lists(stars, min_size=1, max_size=3))
def test_the_threshold_map_is_the_distance_from_the_nearest_edge(outlines: list[Polygon]) -> None:
    """From thresh_max on an outline it falls to thresh_min at D, to the nearest text's."""
    config = TargetConfig(min_text_size=0)
    targets = make_targets([TextRegion(outline) for outline in outlines], SIZE, config)
    relative = np.full(SIZE, np.inf)
    covered = np.zeros(SIZE, bool)
    for outline in outlines:
        if kernels(outline, config.shrink_ratio):
            share = outline_distance(outline) / polygons.shrink_distance(
                outline, config.shrink_ratio
            )
            relative = np.minimum(relative, share)
    expected = config.thresh_max - 0.4 * relative.clip(0, 1)
    assert np.abs(targets.thresh - expected).max() < 1e-3
    covered = (relative < 0.999) | (targets.prob == 1)
    assert (targets.thresh_mask[covered] == 1).all()
    assert (targets.thresh_mask[(relative > 1.001) & (targets.prob == 0)] == 0).all()


def test_the_threshold_map_is_learned_in_the_whole_grown_text() -> None:
    """Its mask is the text and all around it within D, the kernel included."""
    targets = make_targets([TextRegion(WORD)], SIZE, CONFIG)
    distance = polygons.shrink_distance(WORD, CONFIG.shrink_ratio)
    grown = inside(WORD) | (outline_distance(WORD) < distance)
    assert np.array_equal(targets.thresh_mask == 1, grown)


def test_dont_care_counts_for_nothing() -> None:
    """A text to be ignored is masked, and is neither a kernel nor in the threshold map."""
    targets = make_targets([TextRegion(WORD, ignore=True)], SIZE, CONFIG)
    assert (targets.prob_mask[inside(WORD)] == 0).all()
    assert targets.prob_mask[~inside(WORD, margin=-0.8)].all()
    assert not targets.prob.any()
    assert not targets.thresh_mask.any()
    assert targets.thresh == pytest.approx(CONFIG.thresh_min)


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_texts_of_a_short_side_below_the_limit_count_for_nothing(degrees: int) -> None:
    """The shorter side of the turned rectangle decides, and before the threshold map is drawn."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    low = (np.array([[-30, -3], [30, -3], [30, 3], [-30, 3]]) @ turn) + (64, 48)
    small = make_targets([TextRegion(low)], SIZE, TargetConfig(min_text_size=6.2))
    assert not small.prob.any()
    assert not small.thresh_mask.any()
    assert (small.prob_mask[inside(low)] == 0).all()
    large = make_targets([TextRegion(low)], SIZE, TargetConfig(min_text_size=5.8))
    assert large.prob.any()
    assert large.prob_mask.all()


def test_a_text_to_be_learned_shows_through_dont_care() -> None:
    """Where both overlap, in either order, the text that is known is learned."""
    for regions in ([TextRegion(WORD), around()], [around(), TextRegion(WORD)]):
        targets = make_targets(regions, SIZE, CONFIG)
        assert targets.prob_mask[inside(WORD)].all()
        assert (targets.prob_mask[60:80, 20:100] == 0).all()


def around() -> TextRegion:
    """Don't care that covers most of the page."""
    return TextRegion(np.array([[5.0, 5], [120, 5], [120, 90], [5, 90]]), ignore=True)


def test_a_page_without_texts_is_learned_from_as_a_whole() -> None:
    """No text: every pixel is a negative of the probability map, none of the threshold map."""
    targets = make_targets([], SIZE, CONFIG)
    assert targets.prob_mask.all()
    assert not targets.prob.any()
    assert not targets.thresh_mask.any()
    assert targets.thresh == pytest.approx(CONFIG.thresh_min)


def test_kernels_that_split_keep_all_parts() -> None:
    """A text with a narrow waist has a kernel on either side of it."""
    waist = np.array(
        [
            *([10.0, 30], [40, 30], [40, 43], [80, 43], [80, 30], [110, 30]),
            *([110, 60], [80, 60], [80, 47], [40, 47], [40, 60], [10, 60]),
        ]
    )
    prob = make_targets([TextRegion(waist)], SIZE, CONFIG).prob
    assert prob[45, 25] == prob[45, 95] == 1
    assert prob[45, 60] == 0


@pytest.mark.parametrize(
    "outline", [BOW_TIE, np.array([[20.0, 30], [100, 30], [60, 30]])], ids=["cross", "line"]
)
def test_outlines_without_a_proper_kernel_count_for_nothing(outline: Polygon) -> None:
    """A crossing outline, or one that vanishes by shrinking, is masked and not drawn."""
    targets = make_targets([TextRegion(outline)], SIZE, TargetConfig(min_text_size=0))
    assert not targets.prob.any()
    assert not targets.thresh_mask.any()
    assert targets.prob_mask.sum() < targets.prob_mask.size


def test_parts_beyond_the_page_are_left_out() -> None:
    """A text over the edge is drawn as far as the page goes, as on a larger page."""
    wide = (SIZE[0] + 40, SIZE[1] + 40)
    moved = WORD + np.array([60, 0])
    page = make_targets([TextRegion(moved)], SIZE, CONFIG)
    larger = make_targets([TextRegion(moved)], wide, CONFIG)
    assert np.array_equal(page.prob, larger.prob[: SIZE[0], : SIZE[1]])
    assert np.array_equal(page.thresh, larger.thresh[: SIZE[0], : SIZE[1]])


@pytest.mark.parametrize("shift", [(-500, 0), (500, 0), (0, -500), (0, 500), (-500, 500)])
def test_texts_outside_the_page_change_nothing(shift: tuple[int, int]) -> None:
    """On whichever side a text lies outside, the other's maps stay the same."""
    alone = make_targets([TextRegion(OTHER)], SIZE, CONFIG)
    both = make_targets([TextRegion(WORD + shift), TextRegion(OTHER)], SIZE, CONFIG)
    assert np.array_equal(alone.prob, both.prob)
    assert np.array_equal(alone.thresh, both.thresh)
    assert np.array_equal(alone.thresh_mask, both.thresh_mask)
    assert both.prob_mask.all()


def test_a_text_larger_than_the_page_is_all_kernel() -> None:
    """A page deep within a text is kernel everywhere, with the lowest threshold."""
    large = np.array([[-2000.0, -2000], [2000, -2000], [2000, 2000], [-2000, 2000]])
    targets = make_targets([TextRegion(large)], SIZE, CONFIG)
    assert targets.prob.all()
    assert targets.thresh == pytest.approx(CONFIG.thresh_min)


def test_a_repeated_corner_changes_nothing() -> None:
    """An edge without length has no say in the threshold map."""
    twice = np.insert(WORD, 2, WORD[2], axis=0)
    once, repeated = (make_targets([TextRegion(p)], SIZE, CONFIG) for p in (WORD, twice))
    assert np.array_equal(once.prob, repeated.prob)
    assert np.allclose(once.thresh, repeated.thresh, atol=1e-6)


@settings(max_examples=200)
@given(
    st.lists(
        st.lists(st.tuples(anywhere, anywhere), min_size=3, max_size=8), min_size=1, max_size=3
    ),
    st.floats(0, 20),
)
def test_no_outline_makes_the_maps_wrong(
    outlines: list[list[tuple[float, float]]], least: float
) -> None:
    """Whatever the coordinates, the maps are finite and within their bounds."""
    config = TargetConfig(min_text_size=least)
    targets = make_targets([TextRegion(np.array(outline)) for outline in outlines], SIZE, config)
    assert np.isfinite(targets.thresh).all()
    assert targets.thresh.min() > config.thresh_min - 1e-6
    assert targets.thresh.max() < config.thresh_max + 1e-6
    assert targets.prob.max() <= 1
    assert (targets.thresh_mask >= targets.prob).all()
