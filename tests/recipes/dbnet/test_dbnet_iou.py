"""ICDAR's recall and precision against published counts and a slow, obvious implementation."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import settings
from shapely.geometry.base import BaseGeometry

from tests.recipes.dbnet.evaluation_data import NO_INSIDE
from tests.recipes.dbnet.evaluation_data import PageResult
from tests.recipes.dbnet.evaluation_data import Polygon
from tests.recipes.dbnet.evaluation_data import box
from tests.recipes.dbnet.evaluation_data import crowded_pages
from tests.recipes.dbnet.evaluation_data import detections
from tests.recipes.dbnet.evaluation_data import expected
from tests.recipes.dbnet.evaluation_data import needs_vectors
from tests.recipes.dbnet.evaluation_data import regions
from tests.recipes.dbnet.evaluation_data import tidy_pages
from tests.recipes.dbnet.evaluation_data import vectors
from toolkit_recipes.dbnet.metrics.iou import IouCounts
from toolkit_recipes.dbnet.metrics.iou import count


@needs_vectors
def test_published_counts() -> None:
    """The counts of PixelLink's results on ICDAR 2015 are those of the reference evaluator."""
    pages = vectors("icdar2015-pixellink", "gt_", "res_")
    total = sum((count(*page) for page in pages), IouCounts())
    figures = expected("icdar2015-pixellink")
    assert len(pages) == figures["images"]
    assert (total.care_gt, total.care_det, total.matched) == (2077, 2046, 1696)
    assert total.score.precision == pytest.approx(figures["precision"], abs=1e-6)
    assert total.score.recall == pytest.approx(figures["recall"], abs=1e-6)
    assert total.score.hmean == pytest.approx(figures["hmean"], abs=1e-6)


def pairwise_count(page: PageResult, threshold: float) -> IouCounts:
    """Count as the protocol is written, one pair at a time."""
    texts, found = page
    shapes = [_shape(detection.polygon) for detection in found]
    wanted = [_shape(text.polygon) for text in texts if not text.ignore]
    ignored = [_shape(text.polygon) for text in texts if text.ignore]
    care = [
        shape
        for shape in shapes
        if not any(shape.intersection(other).area > shape.area / 2 for other in ignored)
    ]
    free, matched = list(care), 0
    for text in wanted:
        for shape in free:
            union = text.area + shape.area - text.intersection(shape).area
            if union and text.intersection(shape).area / union > threshold:
                free.remove(shape)
                matched += 1
                break
    return IouCounts(len(wanted), len(care), matched)


def _shape(polygon: Polygon) -> BaseGeometry:
    return shapely.make_valid(shapely.Polygon(polygon))


@given(crowded_pages())
def test_crowded_pages(page: PageResult) -> None:
    """Any outlines, across each other and across themselves, are counted as one pair at a time."""
    for threshold in (0.0, 0.3, 0.5):
        assert count(*page, threshold) == pairwise_count(page, threshold)


@given(tidy_pages())
@settings(max_examples=50)
def test_tidy_pages(page: PageResult) -> None:
    """Texts that were found more or less well are counted as one pair at a time."""
    assert count(*page) == pairwise_count(page, 0.5)


@given(tidy_pages())
@settings(max_examples=50)
def test_symmetry(page: PageResult) -> None:
    """Recall and precision change places with texts and detections, where none overlap."""
    texts, found = page
    turned = count(
        regions(*(detection.polygon for detection in found)),
        detections(*(text.polygon for text in texts)),
    )
    score = count(texts, found).score
    assert (turned.score.precision, turned.score.recall) == (score.recall, score.precision)


@given(tidy_pages())
@settings(max_examples=50)
def test_order(page: PageResult) -> None:
    """The order of texts and detections doesn't matter where none overlap."""
    texts, found = page
    assert count(texts[::-1], found[::-1]) == count(texts, found)


def test_nothing_to_find() -> None:
    """Nothing found where there is nothing is right; either alone is wrong."""
    one = box(0, 0, 10, 10)
    assert count([], []).score.hmean == 1
    assert count([], detections(one)).score.hmean == 0
    assert count(regions(one), []).score.hmean == 0


def test_threshold() -> None:
    """An overlap of exactly the threshold is no match."""
    half = count(regions(box(0, 0, 10, 10)), detections(box(0, 0, 10, 5)))
    more = count(regions(box(0, 0, 10, 10)), detections(box(0, 0, 10, 5.01)))
    assert (half.matched, more.matched) == (0, 1)


def test_one_to_one() -> None:
    """A detection matches one text only, and a text one detection."""
    text = box(0, 0, 10, 10)
    assert count(regions(text, text), detections(text)) == IouCounts(2, 1, 1)
    assert count(regions(text), detections(text, text)) == IouCounts(1, 2, 1)


def test_ignored_text() -> None:
    """A text to be ignored is neither missed nor found."""
    text = box(0, 0, 10, 10)
    assert count(regions(text, ignore=True), []) == IouCounts(0, 0, 0)
    assert count(regions(text, ignore=True), detections(text)) == IouCounts(0, 0, 0)


def test_detection_in_ignored_text() -> None:
    """A detection counts for nothing only if more than half of it lies in a text to be ignored."""
    ignored = regions(box(0, 0, 10, 10), ignore=True)
    assert count(ignored, detections(box(0, 5, 10, 10))).care_det == 1
    assert count(ignored, detections(box(0, 4, 10, 10))).care_det == 0


def test_detection_in_ignored_text_finds_nothing() -> None:
    """A detection that counts for nothing doesn't find the text that it also lies on."""
    text = box(0, 0, 10, 10)
    page = regions(text) + regions(text, ignore=True)
    assert count(page, detections(text)) == IouCounts(1, 0, 0)


@pytest.mark.parametrize("name", NO_INSIDE)
def test_outline_without_inside(name: str) -> None:
    """A text whose outline encloses nothing is missed, and such a detection is wrong."""
    assert count(regions(NO_INSIDE[name]), detections(NO_INSIDE[name])) == IouCounts(1, 1, 0)


def test_crossing_outline() -> None:
    """An outline that crosses itself stands for all areas that it encloses."""
    bow_tie = np.array([[0.0, 0.0], [10.0, 10.0], [10.0, 0.0], [0.0, 10.0]])
    left, right = np.array([[0, 0], [5, 5], [0, 10.0]]), np.array([[10, 0], [10, 10.0], [5, 5]])
    assert count(regions(bow_tie), detections(bow_tie)).matched == 1
    assert count(regions(bow_tie), detections(left), 0.49).matched == 1
    assert count(regions(bow_tie), detections(right), 0.49).matched == 1


def test_sum() -> None:
    """Counts of pages add up to those of the set."""
    assert IouCounts(1, 2, 1) + IouCounts(3, 4, 2) == IouCounts(4, 6, 3)
