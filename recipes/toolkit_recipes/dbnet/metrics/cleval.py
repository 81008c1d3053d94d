"""CLEval: recall and precision by characters instead of boxes (Baek et al., 2020).

Nobody marks single characters, so a text is given pseudo character centres (PCCs): as many points
as it has characters, spread evenly along its middle line. A detection stands for the texts of which
it holds a PCC, if they cover enough of it. Then

    recall    = (found PCCs - splits) / all PCCs
    precision = (found PCCs - merges) / (PCCs held by detections + characters of wrong detections)

where a text that n detections stand for is split n - 1 times, and a detection that stands for n
texts merges n - 1 times. The counts are added over the pages of a set (pooled, as the authors do);
the mean over pages of each page's figures is another figure, and both are in use.

CLEval doesn't see the height of boxes: half and three times the height of the text is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from itertools import pairwise
from itertools import starmap

import numpy as np
import shapely
from attrs import evolve
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.overlap import Flags
from toolkit_recipes.dbnet.metrics.overlap import Floats
from toolkit_recipes.dbnet.metrics.overlap import Overlap
from toolkit_recipes.dbnet.metrics.overlap import shared_area
from toolkit_recipes.dbnet.metrics.overlap import usable
from toolkit_recipes.dbnet.metrics.scores import Score
from toolkit_recipes.dbnet.metrics.scores import score

AREA_SHARE = 0.3
MOST_CHARACTERS = 100
MOST_IGNORED_CHARACTERS = 10
MOST_WRONG_CHARACTERS = 10

_TINY = 1e-9
"""A length in place of none, so that proportions are numbers."""
_ROUNDING = 1e-6
"""Proportions that are whole numbers but for rounding are whole numbers."""


@frozen
class ClevalCounts:
    """Characters of a page, or of many.

    ``present``: PCCs of all texts; ``found``: those in a detection that stands for their text;
    ``held``: the same, counted once for each such detection; ``splits`` and ``merges``: of texts
    and by detections; ``wrong``: characters of detections that stand for no text.
    """

    present: int = 0
    found: int = 0
    held: int = 0
    splits: int = 0
    merges: int = 0
    wrong: int = 0

    def __add__(self, other: ClevalCounts) -> ClevalCounts:
        return ClevalCounts(
            self.present + other.present,
            self.found + other.found,
            self.held + other.held,
            self.splits + other.splits,
            self.merges + other.merges,
            self.wrong + other.wrong,
        )

    @property
    def score(self) -> Score:
        """Recall and precision over everything that was counted."""
        return score(
            self.found - self.splits,
            self.present,
            self.found - self.merges,
            self.held + self.wrong,
        )


@frozen(eq=False)
class _Centres:
    """PCCs of a page: ``points`` [P, 2], and ``text`` [P], the text that each belongs to."""

    points: Floats
    text: NDArray[np.intp]


def count_characters(
    regions: Sequence[TextRegion], detections: Sequence[Detection], page: Overlap
) -> ClevalCounts:
    """Count the characters of a page.

    Args:
        regions: the texts, clockwise on the screen from the top left corner of their first letter;
            outlines of more than four corners have as many above the text as below it. A text has
            as many characters as its transcription; without one, and on a page where all are
            empty, as many as squares fit along it.
        detections: what was found.
        page: how they overlap.
    """
    centres = _centres(_transcribed(regions))
    inside = _inside(centres.points, [detection.polygon for detection in detections])
    held = _held(centres.text, inside, len(regions))
    covered = _covered(page)
    det_care = _det_care(covered, held, page.ignored)
    own = (held > 0) & ~page.ignored[:, None]
    stands = own & det_care & (np.where(own, covered, 0).sum(axis=0) >= AREA_SHARE)
    wrong = np.flatnonzero(det_care & ~stands.any(axis=0))
    return ClevalCounts(
        present=int((~page.ignored[centres.text]).sum()),
        found=int((inside & stands[centres.text]).any(axis=1).sum()),
        held=int(held[stands].sum()),
        splits=_beyond_first(stands.sum(axis=1)),
        merges=_beyond_first(stands.sum(axis=0)),
        wrong=sum(_wrong_characters(detections[i].polygon) for i in wrong.tolist()),
    )


def _transcribed(regions: Sequence[TextRegion]) -> Sequence[TextRegion]:
    """The texts, without their transcriptions where none was made: data for detection alone."""
    if any(region.text for region in regions):
        return regions
    return [evolve(region, text=None) for region in regions]


def _held(text: NDArray[np.intp], inside: Flags, texts: int) -> NDArray[np.int64]:
    """PCCs of each of G texts in each detection, [G, D]."""
    point, detection = np.nonzero(inside)
    pairs = text[point] * inside.shape[1] + detection
    counts = np.bincount(pairs, minlength=texts * inside.shape[1])
    return counts.reshape(texts, inside.shape[1])


def _covered(page: Overlap) -> Floats:
    """Share [G, D] of each detection that lies in each text.

    Of the texts to be ignored, only what no other text covers too.
    """
    shared = page.shared.copy()
    if page.ignored.any():
        ignored, real = page.gt_shapes[page.ignored], page.gt_shapes[~page.ignored]
        _, close = shapely.STRtree(real).query(ignored)
        rest = shapely.difference(ignored, shapely.union_all(real[np.unique(close)]))
        shared[page.ignored] = shared_area(rest, page.det_shapes)
    return np.divide(shared, page.det_area, out=np.zeros_like(shared), where=page.det_area > 0)


def _det_care(covered: Floats, held: NDArray[np.int64], ignored: Flags) -> Flags:
    """Detections [D] that don't lie in texts to be ignored, in one or in several that they hold."""
    in_ignored = covered[ignored]
    in_held = np.where(held[ignored] > 0, in_ignored, 0).sum(axis=0)
    largest = in_ignored.max(axis=0, initial=0.0)
    care: Flags = np.maximum(largest, in_held) < AREA_SHARE
    return care


def _beyond_first(partners: NDArray[np.int64]) -> int:
    return int(np.maximum(partners - 1, 0).sum())


def _centres(regions: Sequence[TextRegion]) -> _Centres:
    rows = [_line_centres(region) for region in regions]
    text = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return _Centres(np.concatenate([np.zeros((0, 2)), *rows]), text)


def _line_centres(region: TextRegion) -> Floats:
    """PCCs [n, 2] of a text: evenly along the line through the middle of opposite corners."""
    if not usable(region.polygon):
        return np.full((1 if region.text is None else len(region.text), 2), np.nan)
    count = _characters(region)
    upper, lower = _upper_lower(region.polygon)
    middle = (upper + lower) / 2
    walked = _walked(middle)
    at = (np.arange(count) + 0.5) * (walked[-1] / max(count, 1))
    return np.stack((np.interp(at, walked, middle[:, 0]), np.interp(at, walked, middle[:, 1])), 1)


def _characters(region: TextRegion) -> int:
    if region.text is not None and not region.ignore:
        return len(region.text)
    ratio = _ratio(region.polygon)
    most = MOST_IGNORED_CHARACTERS if region.ignore else MOST_CHARACTERS
    return _squares(max(ratio, 1 / ratio), most)


def _wrong_characters(polygon: Floats) -> int:
    """How many characters a detection that stands for no text costs: more if it is tall."""
    if not usable(polygon):
        return 1
    if len(polygon) == 4:
        return _squares(_ratio(polygon), MOST_WRONG_CHARACTERS)
    width, height = np.maximum(np.ptp(polygon, axis=0), _TINY).tolist()
    return _squares(height / width, MOST_WRONG_CHARACTERS)


def _squares(ratio: float, most: int) -> int:
    """Whole squares that cover a rectangle of these proportions, at least 1."""
    return min(max(math.ceil(ratio - _ROUNDING), 1), most)


def _upper_lower(polygon: Floats) -> tuple[Floats, Floats]:
    """The corners above a text and those below it, from left to right and equally many.

    Of an odd number, the leftmost below counts twice.
    """
    half = (len(polygon) + 1) // 2
    return polygon[:half], polygon[::-1][:half]


def _ratio(polygon: Floats) -> float:
    """Height of a text over its width; the mean of two sides each."""
    upper, lower = _upper_lower(polygon)
    width = _walked(upper)[-1] + _walked(lower)[-1]
    height = math.dist(upper[0], lower[0]) + math.dist(upper[-1], lower[-1])
    return max(height, _TINY) / max(width, _TINY)


def _walked(line: Floats) -> list[float]:
    """Length of a line [n, 2] up to each of its points."""
    return list(accumulate(starmap(math.dist, pairwise(line.tolist())), initial=0.0))


def _inside(points: Floats, polygons: Sequence[Floats]) -> Flags:
    """Tell which points [P, 2] lie in which of D polygons, [P, D].

    By counting how often a ray to the right crosses the outline (even: outside). A point on the
    border that two touching boxes share lies in one of them.
    """
    outlines = _closed(polygons)
    inside = _in_frames(points, outlines)
    point, polygon = np.nonzero(inside)
    x, y = points[point, 0, None], points[point, 1, None]
    start, end = outlines[polygon, :-1], outlines[polygon, 1:]
    spans = (start[..., 1] <= y) != (end[..., 1] <= y)
    run, rise = end[..., 0] - start[..., 0], end[..., 1] - start[..., 1]
    part = np.divide(y - start[..., 1], rise, out=np.zeros_like(rise), where=spans)
    crossed = spans & (x < start[..., 0] + part * run)
    inside[point, polygon] = crossed.sum(axis=1) % 2 == 1
    return inside


def _in_frames(points: Floats, outlines: Floats) -> Flags:
    """Tell which points lie in the upright rectangle around which outline, [P, D]."""
    (left, top), (right, bottom) = outlines.min(axis=1).T, outlines.max(axis=1).T
    x, y = points[:, :1], points[:, 1:]
    within: Flags = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return within


def _closed(polygons: Sequence[Floats]) -> Floats:
    """Outlines [D, n, 2] with the first corner at the end too, as often as needed for one n.

    A polygon that can't be used is infinitely far away.
    """
    longest = max((len(polygon) for polygon in polygons), default=0)
    outlines = np.full((len(polygons), longest + 1, 2), np.inf)
    for i, polygon in enumerate(polygons):
        if usable(polygon):
            outlines[i] = polygon[0]
            outlines[i, : len(polygon)] = polygon
    return outlines
