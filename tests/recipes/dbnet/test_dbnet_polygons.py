"""Tests of the geometry of polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipes.dbnet.kernels import kernels
from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.polygons import Polygon

L_SHAPE = np.array([[0.0, 0], [20, 0], [20, 10], [10, 10], [10, 30], [0, 30]])
DUMB_BELL = np.array(
    [
        *([0.0, 0], [30, 0], [30, 13], [60, 13], [60, 0], [90, 0]),
        *([90, 30], [60, 30], [60, 17], [30, 17], [30, 30], [0, 30]),
    ]
)
MANY = st.lists(
    st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), min_size=3, max_size=8
)


def rectangle(width: float, height: float, degrees: float = 0.0) -> Polygon:
    """A rectangle about (500, 500), clockwise, turned."""
    angle = math.radians(degrees)
    along = np.array([math.cos(angle), math.sin(angle)]) * width / 2
    across = np.array([-math.sin(angle), math.cos(angle)]) * height / 2
    return np.array([-along - across, along - across, along + across, across - along]) + 500


rectangles = st.builds(rectangle, st.floats(5, 900), st.floats(5, 900), st.floats(-180, 180))


def test_area_is_positive_clockwise_on_the_screen_and_negative_the_other_way() -> None:
    """The signed area tells the direction of the corners, the area doesn't."""
    assert polygons.signed_area(L_SHAPE) == 400
    assert polygons.signed_area(L_SHAPE[::-1]) == -400
    assert polygons.area(L_SHAPE[::-1]) == 400


def test_perimeter_closes_the_outline() -> None:
    """The perimeter counts the edge from the last corner to the first."""
    assert polygons.perimeter(L_SHAPE) == 100


@given(rectangles)
def test_the_short_side_is_that_of_the_turned_rectangle(rectangle: Polygon) -> None:
    """Sides are measured along the text, not along the page."""
    expected = sorted(np.hypot(*(rectangle[i + 1] - rectangle[i])) for i in (0, 1))
    assert polygons.sides(rectangle) == pytest.approx(expected, abs=0.02)
    assert polygons.short_side(rectangle) == pytest.approx(expected[0], abs=0.02)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("direction", [1, -1])
def test_ordered_starts_at_the_top_left_and_runs_clockwise(first: int, direction: int) -> None:
    """Wherever the corners begin and whichever way they run, the order comes out the same."""
    corners = np.array([[3.0, 2], [40, 6], [39, 18], [2, 14]])
    listed = np.roll(corners, first, axis=0)[::direction]
    assert np.array_equal(polygons.ordered(listed), corners)


@given(rectangles, st.floats(0.2, 0.9))
def test_the_inverse_distance_undoes_the_shrinking_of_rectangles(
    rectangle: Polygon, ratio: float
) -> None:
    """Shrinking and growing back by the inverse distance returns the rectangle."""
    (kernel,) = kernels(rectangle, ratio)
    distance = polygons.inverse_distance(polygons.area(kernel), polygons.perimeter(kernel), ratio)
    assert distance == pytest.approx(polygons.shrink_distance(rectangle, ratio), abs=0.01)
    (grown,) = polygons.expand(kernel, distance)
    assert polygons.sides(grown) == pytest.approx(polygons.sides(rectangle), abs=0.15)
    assert grown.mean(axis=0) == pytest.approx(np.array([500.0, 500.0]), abs=0.05)


def test_the_inverse_distance_fits_bent_lines() -> None:
    """A line that bends by a right angle grows back to within 1 % of its distance."""
    angles = np.linspace(-0.75 * math.pi, -0.25 * math.pi, 7)
    arc = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    bent = np.concatenate((212 * arc, 188 * arc[::-1])) + 300
    (kernel,) = kernels(bent, 0.4)
    distance = polygons.inverse_distance(polygons.area(kernel), polygons.perimeter(kernel), 0.4)
    assert distance == pytest.approx(polygons.shrink_distance(bent, 0.4), rel=0.01)


def test_the_inverse_distance_takes_arrays() -> None:
    """Many kernels are inverted at once to the same values as one by one."""
    areas, lengths = np.array([40.0, 900.0]), np.array([60.0, 130.0])
    both = polygons.inverse_distance(areas, lengths, 0.5)
    single = [polygons.inverse_distance(a, b, 0.5) for a, b in zip(areas, lengths, strict=True)]
    assert both.tolist() == pytest.approx(single)


def test_shrinking_keeps_all_parts_of_a_kernel_that_splits() -> None:
    """A text with a narrow waist has a kernel at either side of it."""
    parts = kernels(DUMB_BELL, 0.4)
    assert sorted(float(part[:, 0].mean()) > 45 for part in parts) == [False, True]


@pytest.mark.parametrize(
    "degenerate",
    [[[5, 5], [5, 5], [5, 5]], [[0, 0], [10, 10], [20, 20]], [[0, 0], [10, 0], [10, 1e-6]]],
)
def test_shrinking_a_polygon_without_area_leaves_nothing(degenerate: list[list[float]]) -> None:
    """Neither points nor lines have a kernel."""
    assert kernels(np.array(degenerate, dtype=np.float64), 0.4) == []


def test_shrinking_takes_either_direction_of_the_corners() -> None:
    """An anticlockwise polygon shrinks as well; it doesn't grow."""
    (kernel,) = kernels(L_SHAPE[::-1], 0.4)
    assert polygons.area(kernel) < 400


def test_clipping_returns_all_parts_within_the_frame() -> None:
    """What the frame cuts in two comes back in two parts."""
    u_shape = np.array([[0, 0], [30, 0], [30, 20], [20, 20], [20, 10], [10, 10], [10, 20], [0, 20]])
    parts = polygons.clip(u_shape + np.array([0.0, -12.0]), 100, 100)
    assert sorted(part[:, 0].min() for part in parts) == [0, 20]
    assert [polygons.area(part) for part in parts] == pytest.approx([80, 80])


def test_clipping_a_polygon_outside_returns_nothing() -> None:
    """A polygon beyond the frame has no part in it."""
    assert polygons.clip(rectangle(10, 10), 100, 100) == []


@given(MANY)
def test_no_polygon_makes_offsetting_or_clipping_fail(corners: list[tuple[float, float]]) -> None:
    """Whatever the coordinates, the parts that come back are finite."""
    polygon = np.array(corners)
    for parts in (polygons.expand(polygon, 3.0), polygons.clip(polygon, 50, 50)):
        assert all(np.isfinite(part).all() for part in parts)
