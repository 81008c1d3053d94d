"""Recall by the height of texts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.recipes.dbnet.evaluation_data import NO_INSIDE
from tests.recipes.dbnet.evaluation_data import box
from tests.recipes.dbnet.evaluation_data import detections
from tests.recipes.dbnet.evaluation_data import regions
from tests.recipes.dbnet.evaluation_data import turned_box
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.heights import HeightCounts
from toolkit_recipes.dbnet.metrics.heights import count_heights
from toolkit_recipes.dbnet.metrics.heights import no_heights
from toolkit_recipes.dbnet.metrics.heights import text_height
from toolkit_recipes.dbnet.metrics.iou import match
from toolkit_recipes.dbnet.metrics.overlap import overlap


def recall(texts: list[TextRegion], found: list[Detection]) -> dict[str, float]:
    """Recall on one page."""
    return counts(texts, found).recall


def counts(texts: list[TextRegion], found: list[Detection]) -> HeightCounts:
    """Counts of one page."""
    return count_heights(texts, match(overlap(texts, found)))


def test_classes() -> None:
    """A text counts in the class from its height on, and the last class has no end."""
    heights = {
        "under_8px": 7.9,
        "8_to_16px": 8.0,
        "16_to_32px": 31.9,
        "32_to_64px": 32.0,
        "from_64px": 500.0,
    }
    for name, height in heights.items():
        text = box(0, 0, 900, height)
        assert recall(regions(text), detections(text)) == {name: 1.0}


def test_share() -> None:
    """A class has the share of its texts that were found; one without texts is left out."""
    small, other, large = box(0, 0, 50, 10), box(0, 50, 50, 10), box(0, 100, 200, 40)
    page = regions(small, other, large)
    assert recall(page, detections(other)) == {"8_to_16px": 0.5, "32_to_64px": 0.0}


def test_ignored() -> None:
    """Texts to be ignored don't count."""
    text = box(0, 0, 50, 10)
    assert recall(regions(text, ignore=True), detections(text)) == {}


@pytest.mark.parametrize("degrees", [0, 30, 90, 145])
def test_height_of_turned_text(degrees: float) -> None:
    """Height is the shorter side, however the text is turned."""
    assert text_height(turned_box((100, 100), 80, 12, degrees)) == pytest.approx(12, abs=1e-3)


@pytest.mark.parametrize("name", NO_INSIDE)
def test_outline_without_inside(name: str) -> None:
    """A text whose outline encloses nothing has no height, and is missed."""
    assert recall(regions(NO_INSIDE[name]), []) == {"under_8px": 0.0}


def test_sum() -> None:
    """Counts of pages add up."""
    text, other = box(0, 0, 50, 10), box(0, 50, 50, 10)
    page = counts(regions(text, other), detections(text))
    total = page + page + no_heights()
    np.testing.assert_array_equal(total.present, [0, 4, 0, 0, 0])
    np.testing.assert_array_equal(total.found, [0, 2, 0, 0, 0])
