"""Each rule for texts that are not as they should be, and that nothing else can come out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from toolkit_recipes.dbnet import repair as rules
from toolkit_recipes.dbnet.repair import Point
from toolkit_recipes.dbnet.repair import repair

PAGE = (200, 100)
NAN = math.nan

BENT = [(10, 40), (50, 30), (90, 30), (130, 40), (130, 60), (90, 50), (50, 50), (10, 60)]
"""A bent line of text, clockwise from the corner nearest to the top left."""


def keys(points: Sequence[Point]) -> list[str]:
    """Return the rules that a text takes."""
    return [rule.key for rule in repair(points, PAGE).rules]


def corners(points: Sequence[Point]) -> list[list[float]]:
    """Return what a text becomes."""
    polygon = repair(points, PAGE).polygon
    assert polygon is not None
    assert polygon.dtype == np.float64
    found: list[list[float]] = polygon.tolist()
    return found


@pytest.mark.parametrize(
    "points",
    [
        [(10, 20), (50, 20), (50, 40), (10, 40)],
        [(50, 20), (50, 40), (10, 40), (10, 20)],
        [(0, 0), (200, 0), (200, 100), (0, 100)],
        [(20, 10), (60, 30), (50, 50), (10, 30)],
        [(10, 10), (60, 10), (20, 20), (10, 60)],
        [(10, 10), (60, 10), (20, 60)],
        BENT,
    ],
)
def test_sound_texts_stay_as_they_are(points: Sequence[Point]) -> None:
    """Any simple clockwise polygon on the page needs no rule, and keeps its first corner."""
    assert keys(points) == []
    assert corners(points) == [list(map(float, p)) for p in points]


@pytest.mark.parametrize("points", [BENT, [(10, 20), (50, 20), (50, 40), (10, 40)]])
def test_anticlockwise_is_turned_round(points: Sequence[Point]) -> None:
    """The same polygon, clockwise from the same corner."""
    anticlockwise = [points[0], *points[:0:-1]]
    assert keys(anticlockwise) == ["anticlockwise"]
    assert corners(anticlockwise) == corners(points)


def test_a_rebuilt_outline_begins_where_the_text_begins() -> None:
    """A word that is read upwards and reaches over the edge of the page: from its lower left."""
    points = [(10, 40), (10, -4), (30, -4), (30, 40)]
    assert keys(points) == ["clipped"]
    assert corners(points) == [[10, 40], [10, 0], [30, 0], [30, 40]]


def test_repeated_corners_are_kept_once() -> None:
    """Also where the last corner closes the outline."""
    points = [BENT[0], *BENT[:3], *BENT[2:], BENT[0]]
    assert keys(points) == ["repeated_point"]
    assert corners(points) == corners(BENT)


def test_corners_of_a_quadrilateral_are_put_in_order() -> None:
    """A bow-tie is a rectangle whose corners were listed line by line."""
    assert keys([(10, 20), (50, 20), (10, 40), (50, 40)]) == ["wrong_order"]
    assert corners([(10, 20), (50, 20), (10, 40), (50, 40)]) == [
        [10, 20],
        [50, 20],
        [50, 40],
        [10, 40],
    ]


def test_a_small_knot_is_cut_off() -> None:
    """Sides that cross near an end: the rest is the text."""
    points = [(10, 20), (100, 20), (96, 44), (100, 44), (10, 40)]
    assert keys(points) == ["crossing"]
    without_knot = shapely.Polygon([(10, 20), (100, 20), (96, 44), (10, 40)])
    repaired = shapely.Polygon(corners(points))
    assert repaired.symmetric_difference(without_knot).area < 0.01 * without_knot.area


def test_a_tangle_is_dont_care() -> None:
    """An eight of two equal halves: what is spanned is neither learned as text nor as none."""
    points = [(10, 20), (30, 40), (50, 20), (50, 40), (30, 20), (10, 40)]
    assert keys(points) == ["tangled"]
    assert repair(points, PAGE).ignore
    assert corners(points) == [[10, 20], [50, 20], [50, 40], [10, 40]]


def test_a_line_there_and_back_is_dont_care() -> None:
    """Sides that lie on each other leave no part at all."""
    points = [(10, 20), (50, 20), (50, 40), (50, 20)]
    assert keys(points) == ["tangled"]
    assert repair(points, PAGE).ignore


@pytest.mark.parametrize("wild", [NAN, math.inf, -math.inf, 1e7, -1e300])
def test_a_coordinate_that_is_none_makes_the_rest_dont_care(wild: float) -> None:
    """The box around the other corners is where the text is."""
    points = [(10.0, 20.0), (50.0, 22.0), (wild, 40.0), (10.0, 40.0)]
    assert keys(points) == ["not_finite"]
    assert repair(points, PAGE).ignore
    assert corners(points) == [[10, 20], [50, 20], [50, 40], [10, 40]]


@pytest.mark.parametrize(
    "points",
    [
        [(10, 20), (50, 40)],
        [(50, 20), (10, 40)],
        [(10, 20), (50, 40), (10, 20)],
        [(10, 20), (10, 20), (50, 40), (50, 40)],
    ],
)
def test_two_corners_are_dont_care(points: Sequence[Point]) -> None:
    """The box that they span."""
    assert keys(points)[-1] == "too_few_points"
    assert repair(points, PAGE).ignore
    assert sorted(corners(points)) == [[10, 20], [10, 40], [50, 20], [50, 40]]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(10, 20)],
        [(10, 20)] * 4,
        [(10, 20), (50, 20)],
        [(10, 20), (30, 20), (50, 20), (40, 20)],
        [(10, 20), (30, 30), (50, 40)],
        [(10, 20), (10.5, 20), (10.5, 21), (10, 21)],
        [(NAN, 20), (NAN, NAN), (math.inf, 40)],
        [(NAN, 20), (10, 40), (10, 50), (10, 60)],
    ],
)
def test_without_area_it_is_skipped(points: Sequence[Point]) -> None:
    """Less than a square pixel is nothing to learn from, nor to leave out."""
    assert keys(points)[-1] == "no_area"
    assert repair(points, PAGE).polygon is None


def test_what_reaches_over_the_edge_is_cut_off() -> None:
    """A rectangle, at the side and at a corner of the page."""
    assert keys([(-5, 20), (50, 20), (50, 40), (-5, 40)]) == ["clipped"]
    assert corners([(-5, 20), (50, 20), (50, 40), (-5, 40)])[0] == [0, 20]
    assert corners([(150, 80), (210, 80), (210, 105), (150, 105)]) == [
        [150, 80],
        [200, 80],
        [200, 100],
        [150, 100],
    ]


def test_a_slanted_text_a_little_over_the_edge_keeps_its_four_corners() -> None:
    """Its corners are moved to the edge where that is nearly the part on the page."""
    assert keys([(-1, 20), (80, 5), (84, 25), (2, 40)]) == ["clipped"]
    assert corners([(-1, 20), (80, 5), (84, 25), (2, 40)])[0] == [0, 20]
    assert len(corners([(-1, 20), (80, 5), (84, 25), (2, 40)])) == 4


def test_a_slanted_text_far_over_the_edge_is_cut_exactly() -> None:
    """Where moved corners would bend the text, the cut has more corners."""
    points = [(-30, 50), (60, -40), (90, -10), (0, 80)]
    assert keys([(-10, 50), (60, -20), (90, 10), (20, 80)]) == ["clipped"]
    exact = shapely.Polygon(points).intersection(shapely.box(0, 0, *PAGE))
    assert keys(points) == ["clipped"]
    assert shapely.Polygon(corners(points)).symmetric_difference(exact).area < 1e-6


def test_what_is_mostly_outside_is_dont_care() -> None:
    """Less than half of a text can't be told from none."""
    points = [(-50, 20), (30, 20), (30, 40), (-50, 40)]
    assert keys(points) == ["mostly_outside"]
    assert repair(points, PAGE).ignore
    assert corners(points) == [[0, 20], [30, 20], [30, 40], [0, 40]]


@pytest.mark.parametrize("shift", [(-300, 0), (300, 0), (0, -300), (0, 300), (-50, 0), (-300, 300)])
def test_what_is_wholly_outside_is_skipped(shift: Point) -> None:
    """On any side of the page, also where it touches its edge."""
    points = [(x + shift[0], y + shift[1]) for x, y in [(10, 20), (50, 20), (50, 40), (10, 40)]]
    assert keys(points) == ["outside"]
    assert repair(points, PAGE).polygon is None


def around(margin: float, size: tuple[int, int] = PAGE) -> list[Point]:
    """Return the corners of the page, moved outwards."""
    right, bottom = size[0] + margin, size[1] + margin
    return [(-margin, -margin), (right, -margin), (right, bottom), (-margin, bottom)]


def test_a_text_that_covers_the_page_and_a_little_more_is_cut_off() -> None:
    """The only text of a word that was cut out, marked with a margin, stays a text."""
    crop = (200, 40)
    repaired = repair(around(1, crop), crop)
    assert [rule.key for rule in repaired.rules] == ["clipped"]
    assert repaired.polygon is not None
    assert repaired.polygon.tolist() == [[0, 0], [200, 0], [200, 40], [0, 40]]
    assert keys(around(10)) == ["clipped"], "a quarter outside is the most"
    assert keys(around(11)) == ["larger_than_page"]


@pytest.mark.parametrize("over", [20, 1000])
def test_what_is_larger_than_the_page_is_dont_care(over: float) -> None:
    """No text is much larger than its page, but the page isn't known to be without text either."""
    assert keys(around(over)) == ["larger_than_page"]
    assert repair(around(over), PAGE).ignore
    assert corners(around(over)) == [[0, 0], [200, 0], [200, 100], [0, 100]]


def test_the_table_names_every_rule() -> None:
    """What the documentation of the module lists is what there is, in the same order."""
    lines = (rules.__doc__ or "").splitlines()
    known = [rule.key for rule in rules.RULES]
    assert [line.split()[0] for line in lines if line.partition(" ")[0] in known] == known


COORDINATES = (
    st.integers(-20, 220).map(float)
    | st.floats(-50, 250)
    | st.sampled_from([0.0, 100.0, 200.0, -0.0, 1e-9, NAN, math.inf, -math.inf, 1e6, -1e6, 1e308])
    | st.floats()
)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), max_size=16)
ON_PAGE = st.lists(
    st.tuples(st.integers(-10, 210).map(float), st.integers(-10, 110).map(float)),
    min_size=3,
    max_size=8,
)


@settings(max_examples=500, deadline=None)
@given(points=POINTS | ON_PAGE)
@example(points=[(0.0, 0.0), (200.0, 0.0), (200.0, 100.0), (0.0, 100.0), (-5.0, 50.0)])
def test_any_points_become_a_usable_text_or_are_counted(points: Sequence[Point]) -> None:
    """What comes out is simple, clockwise, on the page; a change or a loss names its rule."""
    repaired = repair(points, PAGE)
    outcomes = [rule.outcome for rule in repaired.rules]
    assert outcomes.count("skipped") == (repaired.polygon is None)
    assert repaired.ignore == ("ignored" in outcomes)
    if repaired.polygon is None:
        return
    shape = shapely.Polygon(repaired.polygon)
    assert np.isfinite(repaired.polygon).all()
    assert shape.is_valid
    assert shape.exterior.is_ccw, "with y down, clockwise is anticlockwise"
    assert shape.area >= rules.LEAST_AREA
    assert (repaired.polygon >= 0).all()
    assert (repaired.polygon <= PAGE).all()
    if not repaired.rules:
        assert sorted(map(tuple, repaired.polygon.tolist())) == sorted(points)
