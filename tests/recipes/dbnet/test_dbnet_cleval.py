"""CLEval against the published figures, known cases and a slow, obvious implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from attrs import evolve
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.recipes.dbnet.evaluation_data import NO_INSIDE
from tests.recipes.dbnet.evaluation_data import PageResult
from tests.recipes.dbnet.evaluation_data import Polygon
from tests.recipes.dbnet.evaluation_data import bent_strip
from tests.recipes.dbnet.evaluation_data import box
from tests.recipes.dbnet.evaluation_data import crowded_pages
from tests.recipes.dbnet.evaluation_data import detections
from tests.recipes.dbnet.evaluation_data import expected
from tests.recipes.dbnet.evaluation_data import needs_vectors
from tests.recipes.dbnet.evaluation_data import regions
from tests.recipes.dbnet.evaluation_data import turned_box
from tests.recipes.dbnet.evaluation_data import vectors
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.cleval import ClevalCounts
from toolkit_recipes.dbnet.metrics.cleval import count_characters
from toolkit_recipes.dbnet.metrics.overlap import overlap
from toolkit_recipes.dbnet.metrics.report import evaluate
from toolkit_recipes.dbnet.repair import repair


def count(texts: list[TextRegion], found: list[Detection]) -> ClevalCounts:
    """Count one page."""
    return count_characters(texts, found, overlap(texts, found))


@needs_vectors
def test_published_figures() -> None:
    """Over the receipts that its authors publish, the figures are theirs."""
    total = sum((count(*page) for page in vectors("cleval-doc-kr", "gt_", "")), ClevalCounts())
    figures = expected("cleval-doc-kr")
    assert total.score.recall == pytest.approx(figures["recall"], abs=1e-9)
    assert total.score.precision == pytest.approx(figures["precision"], abs=1e-9)
    assert total.score.hmean == pytest.approx(figures["hmean"], abs=1e-9)


@needs_vectors
def test_repair_keeps_the_figures() -> None:
    """Texts are read from the corner where their annotators began, so the figures stay."""
    pages = vectors("icdar2015-pixellink", "gt_", "res_")
    total = sum((count(*page) for page in pages), ClevalCounts())
    repaired = [([through_repair(text) for text in texts], found) for texts, found in pages]
    assert sum((count(*page) for page in repaired), ClevalCounts()) == total


def through_repair(text: TextRegion) -> TextRegion:
    """A text as the readers pass it on, on a page that is large enough."""
    polygon = repair(text.polygon.tolist(), (10_000, 10_000)).polygon
    assert polygon is not None
    return evolve(text, polygon=polygon)


def one_by_one(page: PageResult) -> ClevalCounts:
    """Count as CLEval is described, one character and one pair at a time."""
    texts, found = page
    shapes = [shapely.Polygon(detection.polygon) for detection in found]
    outlines = [shapely.Polygon(text.polygon) for text in texts]
    chars = [_centres(text) for text in texts]
    inside = [[[s.contains(char) for char in row] for s in shapes] for row in chars]
    wanted = [i for i, text in enumerate(texts) if not text.ignore]
    ignored = [i for i, text in enumerate(texts) if text.ignore]
    real = shapely.union_all([outlines[i] for i in wanted])
    stands: dict[int, list[int]] = {}
    wrong = 0
    for d, shape in enumerate(shapes):
        rest = {i: outlines[i].difference(real).intersection(shape).area for i in ignored}
        in_held = sum(area for i, area in rest.items() if any(inside[i][d]))
        if max(in_held, *rest.values(), 0) >= 0.3 * shape.area:
            continue
        held = [i for i in wanted if any(inside[i][d])]
        if held and sum(outlines[i].intersection(shape).area for i in held) >= 0.3 * shape.area:
            stands[d] = held
        else:
            wrong += _wrong(found[d].polygon)
    partners = [sum(i in held for held in stands.values()) for i in wanted]
    return ClevalCounts(
        present=sum(len(chars[i]) for i in wanted),
        found=sum(
            any(inside[i][d][k] for d in stands if i in stands[d])
            for i in wanted
            for k in range(len(chars[i]))
        ),
        held=sum(sum(inside[i][d]) for d, held in stands.items() for i in held),
        splits=sum(max(count - 1, 0) for count in partners),
        merges=sum(len(held) - 1 for held in stands.values()),
        wrong=wrong,
    )


def _centres(text: TextRegion) -> list[shapely.Point]:
    top_left, top_right, bottom_right, bottom_left = text.polygon
    left, right = (top_left + bottom_left) / 2, (top_right + bottom_right) / 2
    aspect = _aspect(text.polygon)
    if text.text is not None and not text.ignore:
        count = len(text.text)
    else:
        count = min(math.ceil(max(aspect, 1 / aspect)), 10 if text.ignore else 100)
    return [shapely.Point(left + (right - left) * (i + 0.5) / count) for i in range(count)]


def _aspect(polygon: Polygon) -> float:
    a, b, c, d = polygon
    return (math.dist(a, d) + math.dist(b, c)) / (math.dist(a, b) + math.dist(c, d))


def _wrong(polygon: Polygon) -> int:
    return min(math.ceil(_aspect(polygon)), 10)


@st.composite
def messy_pages(draw: st.DrawFn) -> PageResult:
    """Draw texts and detections that lie across each other; no character is on an outline."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def quads(most: int) -> list[Polygon]:
        count = draw(st.integers(0, most))
        return [
            turned_box(
                (rng.uniform(0, 100), rng.uniform(0, 60)),
                rng.uniform(5, 90),
                rng.uniform(4, 20),
                rng.uniform(-20, 20),
            )
            for _ in range(count)
        ]

    texts = [
        TextRegion(
            quad,
            text=None if rng.random() < 0.3 else "x" * int(rng.integers(1, 12)),
            ignore=bool(rng.random() < 0.25),
        )
        for quad in quads(6)
    ]
    return texts, detections(*quads(6))


@given(messy_pages())
@settings(max_examples=300)
def test_messy_pages(page: PageResult) -> None:
    """Any page is counted as one character and one pair at a time."""
    assert count(*page) == one_by_one(page)


@given(crowded_pages())
def test_any_outline(page: PageResult) -> None:
    """No outline is too odd to be counted, and figures are shares."""
    counts = count(*page)
    assert min(counts.present, counts.found, counts.held, counts.splits, counts.wrong) >= 0
    assert counts.found <= counts.present
    assert 0 <= counts.score.recall <= 1
    assert 0 <= counts.score.precision <= 1


@pytest.mark.parametrize("name", NO_INSIDE)
def test_outline_without_inside(name: str) -> None:
    """A text whose outline encloses nothing is missed, and such a detection is one character."""
    counts = count(regions(NO_INSIDE[name], text="abc"), detections(NO_INSIDE[name]))
    assert (counts.present, counts.found, counts.score.recall) == (3, 0, 0)
    assert counts.wrong >= 1


LINE = box(0, 0, 100, 20)


def test_exact() -> None:
    """A text that is found as it is has everything right."""
    assert count(regions(LINE, text="hello"), detections(LINE)).score.hmean == 1


def test_split() -> None:
    """A text found in two halves loses one character of recall."""
    halves = detections(box(0, 0, 50, 20), box(50, 0, 50, 20))
    score = count(regions(LINE, text="hello"), halves).score
    assert (score.recall, score.precision) == (0.8, 1.0)
    assert score.hmean == pytest.approx(8 / 9)


def test_half() -> None:
    """Half of a text has half of its characters."""
    score = count(regions(LINE, text="hello"), detections(box(0, 0, 50, 20))).score
    assert (score.recall, score.precision) == (0.4, 1.0)
    assert score.hmean == pytest.approx(4 / 7)


def test_merge() -> None:
    """A detection of two texts loses one character of precision."""
    two = regions(box(0, 0, 50, 20), box(60, 0, 50, 20), text="abc")
    score = count(two, detections(box(0, 0, 110, 20))).score
    assert (score.recall, score.precision) == (1.0, 5 / 6)


@pytest.mark.parametrize("share", [0.3, 3])
def test_height(share: float) -> None:
    """The height of a detection isn't seen, down to and up to about a third."""
    found = detections(turned_box((50, 10), 100, 20 * share, 0))
    assert count(regions(LINE, text="hello"), found).score.hmean == 1


def test_much_too_large() -> None:
    """A detection of which less than 30 % is text stands for no text."""
    found = detections(turned_box((50, 10), 100, 20 * 3.4, 0))
    assert count(regions(LINE, text="hello"), found).score.hmean == 0


@pytest.mark.parametrize(("width", "height", "characters"), [(300, 20, 1), (20, 300, 10)])
def test_wrong_detection(width: float, height: float, characters: int) -> None:
    """A detection of nothing costs as many characters as it has squares from top to bottom."""
    assert count([], detections(box(0, 0, width, height))).wrong == characters


@pytest.mark.parametrize(
    ("width", "height", "characters"),
    [(20, 20, 1), (21, 20, 2), (100, 20, 5), (20, 100, 5), (9000, 20, 100)],
)
def test_no_transcription(width: float, height: float, characters: int) -> None:
    """A text that isn't transcribed has as many characters as squares fit along it."""
    assert count(regions(box(0, 0, width, height)), []).present == characters


def test_empty_transcription() -> None:
    """A transcription without characters has none, where others have some."""
    texts = [*regions(LINE, text=""), *regions(box(0, 50, 100, 20), text="abc")]
    assert count(texts, []).present == 3


def test_all_transcriptions_empty() -> None:
    """A page on which all are empty isn't transcribed: squares are counted."""
    assert count(regions(LINE, text=""), []).present == count(regions(LINE), []).present == 5


def test_bent_text() -> None:
    """Characters of a bent text lie along its middle: half of it has half of them."""
    text = bent_strip((0, 100), 200, 20, 60)
    left = np.concatenate((text[:4], text[-4:]))
    assert count(regions(text, text="x" * 20), detections(left)).found == 10


def test_shared_border() -> None:
    """A character on the border between two detections is held by one of them."""
    halves = detections(box(0, 0, 50, 20), box(50, 0, 50, 20))
    assert count(regions(LINE, text="abc"), halves).held == 3


def test_ignored_text() -> None:
    """A text to be ignored has no characters, and a detection of it costs none."""
    assert count(regions(LINE, text="###", ignore=True), detections(LINE)) == ClevalCounts()


def test_partly_ignored_detection() -> None:
    """A detection counts for nothing once 30 % of it lie in a text to be ignored."""
    ignored = regions(box(0, 0, 30, 20), ignore=True)
    assert count(ignored, detections(box(0, 0, 99, 20))).wrong == 0
    assert count(ignored, detections(box(0, 0, 101, 20))).wrong == 1


def test_ignored_text_under_text() -> None:
    """What another text covers of a text to be ignored isn't ignored."""
    page = regions(LINE, text="hello") + regions(box(0, 0, 100, 25), ignore=True)
    assert count(page, detections(LINE)).score.hmean == 1


def test_pooled_and_mean() -> None:
    """The figures over all characters and the means over pages differ, and are named."""
    long, short = regions(LINE, text="x" * 30), regions(LINE, text="x" * 10)
    figures = evaluate([(long, detections(LINE)), (short, [])])
    assert figures["cleval_recall"] == pytest.approx(0.75)
    assert figures["cleval_precision"] == 1
    assert figures["cleval_page_recall"] == pytest.approx(0.5)
    assert figures["cleval_page_precision"] == pytest.approx(0.5)
    assert figures["cleval_page_hmean"] == pytest.approx(0.5)


def test_mean_of_hmeans() -> None:
    """A page's mean is that of the pages' own, not made from mean recall and precision."""
    half = (regions(LINE, text="x" * 10), detections(box(0, 0, 50, 20)))
    doubled = (regions(LINE, text="x" * 10), detections(LINE, box(0, 90, 20, 200)))
    first, second = count(*half).score, count(*doubled).score
    figures = evaluate([half, doubled])
    assert figures["cleval_page_hmean"] == pytest.approx((first.hmean + second.hmean) / 2)


def test_empty_page() -> None:
    """A page without texts on which nothing is found is all right."""
    figures = evaluate([([], [])])
    assert figures["hmean"] == figures["cleval_hmean"] == figures["cleval_page_hmean"] == 1
