"""What is done with texts and pages that are not as they should be.

A text that still tells where it is gets repaired. One that only tells roughly where it is becomes
"don't care", so that it is neither learned as text nor as background. One that tells nothing is
skipped, and so is a page whose texts or image can't be known. The rules, by the key that they are
counted under:

==================  =====================================================  ========================
key                 found                                                  done
==================  =====================================================  ========================
repeated_point      a corner twice or more in a row                        once is enough
anticlockwise       corners listed anticlockwise                           turned round
wrong_order         a quadrilateral whose sides cross                      corners put in order
crossing            sides cross, one part has 9/10 of the area             that part is the text
tangled             sides cross, no part has 9/10 of the area              don't care: convex hull
not_finite          a coordinate is no number, or beyond a million         don't care: box around
                                                                           the other corners
too_few_points      fewer than three different corners                     don't care: box around
no_area             less than a square pixel, on the page                  text skipped
clipped             reaches over the edge of the page                      cut off at the edge
mostly_outside      over half of it, or of its largest piece, is outside   don't care: part inside
outside             wholly outside the page                                text skipped
larger_than_page    covers 9/10 of the page, over 1/4 of it is outside     don't care: part inside
bad_entry           a line or entry isn't of the format                    text skipped
repeated_id         two texts of a page have one id                        both kept
not_utf8            letters that aren't UTF-8                              replaced by U+FFFD
no_usable_entry     a file has entries, none of which is of the format     page skipped
no_annotation       an image that no file describes                        page skipped
no_image            texts of an image that isn't there                     page skipped
several_images      texts of any of several images of a name               page skipped
annotated_twice     a second file or entry describes an image              second one skipped
bad_image           empty, no image, too large (see ``images``)            page skipped
==================  =====================================================  ========================

An image that is damaged further back than its beginning is found when it is loaded: then ``load``
raises an ``images.ImageError``. A page without texts is fine: it shows what no text looks like.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal

import numpy as np
import shapely
from attrs import frozen
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.geometry.base import BaseMultipartGeometry

from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.polygons import area
from toolkit_recipes.dbnet.polygons import begun_at
from toolkit_recipes.dbnet.polygons import signed_area

Point = tuple[float, float]
Size = tuple[int, int]

FARTHEST = 1e6
"""A coordinate beyond this is a mistake; no page is as large."""
LEAST_AREA = 1.0
"""A text that covers less, in square pixels, is none."""
MAIN_PART = 0.9
"""Share of the area from which a part stands for the whole."""
LEAST_INSIDE = 0.5
"""Share of a text that must be on the page for it to be learned."""
LEAST_INSIDE_OF_COVERING = 0.75
"""The same of a text that covers the page: one whose margin reaches over the edge is learned."""

_SLIVER = 1e-9


@frozen
class Rule:
    """A thing that can be wrong and what is done about it."""

    key: str
    outcome: Literal["repaired", "ignored", "skipped"]
    words: str
    """What was found and what was done, for people."""


REPEATED_POINT = Rule("repeated_point", "repaired", "a corner comes twice in a row; kept once")
ANTICLOCKWISE = Rule("anticlockwise", "repaired", "corners listed anticlockwise; turned round")
WRONG_ORDER = Rule(
    "wrong_order", "repaired", "a quadrilateral whose sides cross; its corners were put in order"
)
CROSSING = Rule("crossing", "repaired", "sides cross; the main part of the text was kept")
TANGLED = Rule(
    "tangled", "ignored", "sides cross and leave no main part; what they span is don't care"
)
NOT_FINITE = Rule(
    "not_finite",
    "ignored",
    "a coordinate is no number or beyond a million; the box around the other corners is don't care",
)
TOO_FEW_POINTS = Rule(
    "too_few_points", "ignored", "fewer than three corners; the box around them is don't care"
)
NO_AREA = Rule("no_area", "skipped", "less than a square pixel on the page; text skipped")
CLIPPED = Rule("clipped", "repaired", "reaches over the edge of the page; cut off at the edge")
MOSTLY_OUTSIDE = Rule(
    "mostly_outside", "ignored", "over half of it is outside the page; what is on it is don't care"
)
OUTSIDE = Rule(
    "outside",
    "skipped",
    "wholly outside the page; text skipped (was the image made smaller, or turned?)",
)
LARGER_THAN_PAGE = Rule(
    "larger_than_page",
    "ignored",
    "covers the page, and over a quarter of it is outside; the page is don't care (was the image "
    "made smaller?)",
)
BAD_ENTRY = Rule("bad_entry", "skipped", "not as the format has it; text skipped")
REPEATED_ID = Rule("repeated_id", "repaired", "two texts of a page have one id; both kept")
NOT_UTF8 = Rule("not_utf8", "repaired", "letters that are not UTF-8; replaced")
NO_USABLE_ENTRY = Rule("no_usable_entry", "skipped", "no entry is of the format; page skipped")
NO_ANNOTATION = Rule("no_annotation", "skipped", "nothing says which texts are here; page skipped")
NO_IMAGE = Rule("no_image", "skipped", "the image is not there; page skipped")
SEVERAL_IMAGES = Rule(
    "several_images", "skipped", "more than one image has the name; page skipped (keep one of them)"
)
ANNOTATED_TWICE = Rule(
    "annotated_twice", "skipped", "describes an image that another entry describes; entry skipped"
)
BAD_IMAGE = Rule("bad_image", "skipped", "an image that can't be used; page skipped")

RULES = (
    REPEATED_POINT,
    ANTICLOCKWISE,
    WRONG_ORDER,
    CROSSING,
    TANGLED,
    NOT_FINITE,
    TOO_FEW_POINTS,
    NO_AREA,
    CLIPPED,
    MOSTLY_OUTSIDE,
    OUTSIDE,
    LARGER_THAN_PAGE,
    BAD_ENTRY,
    REPEATED_ID,
    NOT_UTF8,
    NO_USABLE_ENTRY,
    NO_ANNOTATION,
    NO_IMAGE,
    SEVERAL_IMAGES,
    ANNOTATED_TWICE,
    BAD_IMAGE,
)
"""All rules, in the order of the table above."""


@frozen(eq=False)
class Repaired:
    """A text's outline as it can be used, or None, and the rules that it took."""

    polygon: Polygon | None
    rules: tuple[Rule, ...] = ()

    @property
    def ignore(self) -> bool:
        """A rule made it "don't care"."""
        return any(rule.outcome == "ignored" for rule in self.rules)


def repair(points: Sequence[Point], size: Size) -> Repaired:
    """Make the outline of a text one that can be learned and measured with.

    Args:
        points: its corners as annotated, (x, y) in pixels, any numbers in any order.
        size: width and height of the page in pixels.

    Returns:
        A simple polygon within the page, clockwise, or None where a rule skips the text. Its first
        corner is the annotated one, or the one nearest to that: where the text begins to be read.
    """
    annotated = np.array(points, dtype=np.float64).reshape(-1, 2)
    if _is_sound_quad(points, size):
        return Repaired(annotated)
    polygon: Polygon | None = annotated
    rules: list[Rule] = []
    for step in _STEPS:
        if polygon is not None:
            polygon, rule = step(polygon, size)
            rules += [rule] if rule else []
    if polygon is not None:
        polygon = begun_at(polygon, annotated[_usable(annotated)][0])
    return Repaired(polygon, tuple(rules))


def _is_sound_quad(points: Sequence[Point], size: Size) -> bool:
    """Tell at little cost that four corners need no repair, as those of most texts do not.

    They need none if they are on the page and every side turns clockwise from the one before.
    """
    if len(points) != 4:
        return False
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
    width, height = size
    return (
        0 <= min(ax, bx, cx, dx) <= max(ax, bx, cx, dx) <= width
        and 0 <= min(ay, by, cy, dy) <= max(ay, by, cy, dy) <= height
        and (bx - ax) * (cy - by) - (by - ay) * (cx - bx) > LEAST_AREA
        and (cx - bx) * (dy - cy) - (cy - by) * (dx - cx) > LEAST_AREA
        and (dx - cx) * (ay - dy) - (dy - cy) * (ax - dx) > LEAST_AREA
        and (ax - dx) * (by - ay) - (ay - dy) * (bx - ax) > LEAST_AREA
    )


_Step = tuple[Polygon | None, Rule | None]


def _without_wild_points(polygon: Polygon, _size: Size) -> _Step:
    usable = _usable(polygon)
    if usable.all():
        return polygon, None
    return (_box_around(polygon[usable]), NOT_FINITE) if usable.any() else (None, NO_AREA)


def _usable(points: Polygon) -> NDArray[np.bool_]:
    return np.asarray((np.abs(points) <= FARTHEST).all(axis=1))


def _without_repeats(polygon: Polygon, _size: Size) -> _Step:
    distinct = _distinct(polygon)
    return distinct, REPEATED_POINT if len(distinct) < len(polygon) else None


def _with_enough_points(polygon: Polygon, _size: Size) -> _Step:
    if not len(polygon):
        return None, NO_AREA
    return (polygon, None) if len(polygon) > 2 else (_box_around(polygon), TOO_FEW_POINTS)


def _with_a_span(polygon: Polygon, _size: Size) -> _Step:
    spans = shapely.MultiPoint(polygon).convex_hull.area >= LEAST_AREA
    return (polygon, None) if spans else (None, NO_AREA)


def _uncrossed(polygon: Polygon, _size: Size) -> _Step:
    shape = shapely.Polygon(polygon)
    if shape.is_valid:
        return polygon, None
    hull = _hull(polygon)
    if len(polygon) == 4 and len(hull) == 4:
        return hull, WRONG_ORDER
    parts = _parts(shapely.make_valid(shape))
    main = max(parts, key=area, default=hull)
    if area(main) >= MAIN_PART * sum(map(area, parts)) > 0:
        return main, CROSSING
    return hull, TANGLED


def _clockwise(polygon: Polygon, _size: Size) -> _Step:
    return (polygon, None) if signed_area(polygon) > 0 else (polygon[::-1], ANTICLOCKWISE)


def _on_page(polygon: Polygon, size: Size) -> _Step:
    if (polygon >= 0).all() and (polygon <= size).all():
        return polygon, None
    shape = shapely.Polygon(polygon)
    parts = _parts(shape.intersection(shapely.box(0, 0, *size)))
    if not parts:
        return None, OUTSIDE
    main = max(parts, key=area)
    covers = sum(map(area, parts)) >= MAIN_PART * size[0] * size[1]
    least = LEAST_INSIDE_OF_COVERING if covers else LEAST_INSIDE
    if area(main) < least * shape.area:
        rule = LARGER_THAN_PAGE if covers else MOSTLY_OUTSIDE
        return _within(_hull(np.concatenate(parts)), size), rule
    return _clamped(polygon, main, size), CLIPPED


def _with_area(polygon: Polygon, _size: Size) -> _Step:
    return (polygon, None) if area(polygon) >= LEAST_AREA else (None, NO_AREA)


_STEPS: tuple[Callable[[Polygon, Size], _Step], ...] = (
    _without_wild_points,
    _without_repeats,
    _with_enough_points,
    _with_a_span,
    _uncrossed,
    _clockwise,
    _on_page,
    _with_area,
)


def _clamped(polygon: Polygon, inside: Polygon, size: Size) -> Polygon:
    """Move corners to the edge of the page where that nearly is the part inside.

    It keeps the number of corners: a quadrilateral stays one.
    """
    clamped = _distinct(_within(polygon, size))
    if len(clamped) > 2 and (shape := shapely.Polygon(clamped)).is_valid:
        exact = shapely.Polygon(inside)
        if shape.intersection(exact).area >= MAIN_PART * shape.union(exact).area:
            return clamped
    return _within(inside, size)


def _within(polygon: Polygon, size: Size) -> Polygon:
    within: Polygon = np.clip(polygon, 0, size)
    return within


def _distinct(polygon: Polygon) -> Polygon:
    distinct: Polygon = polygon[(polygon != np.roll(polygon, 1, axis=0)).any(axis=1)]
    return distinct


def _box_around(points: Polygon) -> Polygon:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _hull(points: Polygon) -> Polygon:
    return _outline(shapely.MultiPoint(points).convex_hull)


def _parts(shape: BaseGeometry) -> list[Polygon]:
    """The outlines of all polygons in a shape, leaving out lines, points and slivers."""
    if isinstance(shape, shapely.Polygon):
        return [_outline(shape)] if shape.area > _SLIVER else []
    if isinstance(shape, BaseMultipartGeometry):
        return [outline for part in shape.geoms for outline in _parts(part)]
    return []


def _outline(shape: BaseGeometry) -> Polygon:
    """The outer ring of a polygon, clockwise, without the corner that closes it."""
    ring: Polygon = shapely.get_coordinates(shapely.get_exterior_ring(shape))[:-1]
    return ring if signed_area(ring) > 0 else ring[::-1]
