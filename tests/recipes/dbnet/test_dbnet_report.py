"""Everything that is measured, by name."""

from __future__ import annotations

from tests.recipes.dbnet.evaluation_data import box
from tests.recipes.dbnet.evaluation_data import detections
from tests.recipes.dbnet.evaluation_data import regions
from toolkit_recipes.dbnet.metrics.report import Tally
from toolkit_recipes.dbnet.metrics.report import evaluate
from toolkit_recipes.dbnet.metrics.report import figures
from toolkit_recipes.dbnet.metrics.report import tally

PAGES = [
    (regions(box(0, 0, 60, 10), box(0, 40, 60, 40)), detections(box(0, 0, 60, 10))),
    (regions(box(0, 0, 60, 10)), detections(box(0, 0, 60, 10), box(0, 90, 60, 10))),
]


def test_figures() -> None:
    """The figures are those of both protocols and of each height that occurs."""
    found = evaluate(PAGES)
    assert set(found) == {
        *("recall", "precision", "hmean"),
        *("cleval_recall", "cleval_precision", "cleval_hmean"),
        *("cleval_page_recall", "cleval_page_precision", "cleval_page_hmean"),
        *("recall_8_to_16px", "recall_32_to_64px"),
    }
    assert (found["recall"], found["precision"]) == (2 / 3, 2 / 3)
    assert (found["recall_8_to_16px"], found["recall_32_to_64px"]) == (1, 0)


def test_threshold() -> None:
    """The overlap that counts as found can be given."""
    page = (regions(box(0, 0, 60, 10)), detections(box(0, 0, 60, 6)))
    assert evaluate([page])["hmean"] == 1
    assert evaluate([page], iou=0.7)["hmean"] == 0


def test_parts() -> None:
    """Pages that were counted apart add up to the figures of all."""
    apart = Tally() + tally(*PAGES[0]) + tally(*PAGES[1])
    assert figures(apart) == evaluate(PAGES)


def test_no_pages() -> None:
    """Without pages there are no means over pages."""
    assert set(evaluate([])) == {
        *("recall", "precision", "hmean"),
        *("cleval_recall", "cleval_precision", "cleval_hmean"),
    }
