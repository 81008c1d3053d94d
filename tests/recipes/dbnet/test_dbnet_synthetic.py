"""Rules of the generated receipts: what a page follows from, and what is on it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.recipes.dbnet.page_fingerprint import fingerprint
from toolkit_recipes.dbnet.polygons import ordered
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic.fonts import find_faces
from toolkit_recipes.dbnet.synthetic.receipts import Scene
from toolkit_recipes.dbnet.synthetic.receipts import draw_scene
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages

SMALL = SyntheticConfig(height=320)

OTHER_PROCESS = """
import sys
from tests.recipes.dbnet.page_fingerprint import fingerprint
from tests.recipes.dbnet.test_dbnet_synthetic import SMALL
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages
for page in synthetic_pages(SMALL, 7, 3, 3):
    print(fingerprint(page.load()))
"""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """What is on the first pages of a row."""
    return [
        draw_scene(np.random.default_rng([5, number]), SyntheticConfig(), find_faces())
        for number in range(80)
    ]


def test_a_page_follows_from_seed_and_number_alone() -> None:
    """The order of loading and the first page asked for change nothing."""
    ahead = [fingerprint(page.load()) for page in synthetic_pages(SMALL, 7, 0, 6)]
    back = [fingerprint(page.load()) for page in synthetic_pages(SMALL, 7, 3, 3)[::-1]]
    assert ahead[3:] == back[::-1]
    assert len(set(ahead)) == 6


def test_another_process_draws_the_same_pages() -> None:
    """Pages are the same in each process."""
    here = [fingerprint(page.load()) for page in synthetic_pages(SMALL, 7, 3, 3)]
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == here


def test_another_seed_draws_other_pages() -> None:
    """The seed counts."""
    one, other = (synthetic_pages(SMALL, seed, 0, 1)[0].load() for seed in (1, 2))
    assert one.image.shape != other.image.shape or (one.image != other.image).any()


def test_pages_can_be_sent_to_a_worker() -> None:
    """A pickled page draws the same image."""
    page = synthetic_pages(SMALL, 3, 9, 1)[0]
    assert fingerprint(pickle.loads(pickle.dumps(page)).load()) == fingerprint(page.load())  # noqa: S301


@pytest.mark.parametrize("height", [64, 320, 1024])
def test_pages_have_the_height_that_was_asked_for(height: int) -> None:
    """Images are RGB of the configured height; widths differ."""
    config = SyntheticConfig(height=height)
    pages = [page.load() for page in synthetic_pages(config, 1, 0, 5)]
    assert {page.image.shape[0] for page in pages} == {height}
    assert {page.image.shape[2] for page in pages} == {3}
    assert {page.image.dtype for page in pages} == {np.dtype(np.uint8)}
    assert len({page.image.shape[1] for page in pages}) > 1


@pytest.mark.parametrize("curvature", [0.0, 1.0])
def test_polygons_lie_on_the_page_and_run_clockwise_from_the_top_left(curvature: float) -> None:
    """Outlines keep the conventions of all pages, and none is cut by the page's border."""
    for source in synthetic_pages(SyntheticConfig(height=320, curvature=curvature), 2, 0, 12):
        page = source.load()
        size = page.image.shape[1::-1]
        for region in page.regions:
            assert (region.polygon >= 0).all()
            assert (region.polygon <= size).all()
            assert np.array_equal(ordered(region.polygon), region.polygon)


def test_flat_pages_have_quadrilaterals() -> None:
    """Four points are exact where nothing is bent."""
    pages = (page.load() for page in synthetic_pages(SyntheticConfig(curvature=0), 4, 0, 6))
    assert {len(region.polygon) for page in pages for region in page.regions} == {4}


def test_bent_pages_have_polygons_of_more_points() -> None:
    """Long lines of a bent page need more than four points."""
    for source in synthetic_pages(SyntheticConfig(curvature=1), 4, 0, 6):
        page = source.load()
        assert not page.regions or max(len(region.polygon) for region in page.regions) > 4


def test_curvature_is_the_share_of_bent_pages(scenes: list[Scene]) -> None:
    """About so many pages are bent as was asked for."""
    bent = [scene.distortion.bend is not None for scene in scenes]
    assert 12 <= sum(bent) <= 36


def test_some_pages_have_no_text_and_some_texts_are_not_to_be_found(scenes: list[Scene]) -> None:
    """Text-free pages and illegible texts exist, and are few."""
    wordless = sum(not scene.sheet.lines for scene in scenes)
    texts = [line for scene in scenes for line in scene.sheet.lines]
    faded = sum(line.ignore for line in texts)
    assert 1 <= wordless <= 9
    assert 1 <= faded <= 0.03 * len(texts)


def test_receipts_are_short_and_long(scenes: list[Scene]) -> None:
    """From a few texts on a page to more than a hundred."""
    counts = [len(scene.sheet.lines) for scene in scenes if scene.sheet.lines]
    assert min(counts) < 25
    assert max(counts) > 120


def test_tiny_texts_are_not_to_be_found() -> None:
    """On a page too low for its letters, all texts are don't-care."""
    pages = [page.load() for page in synthetic_pages(SyntheticConfig(height=64), 1, 0, 8)]
    regions = [region for page in pages for region in page.regions]
    heights = [np.linalg.norm(region.polygon[0] - region.polygon[-1]) for region in regions]
    tiny = [region.ignore for region, height in zip(regions, heights, strict=True) if height < 3.5]
    assert tiny
    assert all(tiny)


def test_texts_that_count_can_be_seen() -> None:
    """Within its outline a text that is to be found differs from its paper."""
    faint = total = 0
    for source in synthetic_pages(SyntheticConfig(), 6, 0, 15):
        page = source.load()
        grey = page.image.mean(axis=2)
        for region in page.regions:
            low, high = np.floor(region.polygon.min(axis=0)), np.ceil(region.polygon.max(axis=0))
            (left, top), (right, bottom) = low.astype(int), high.astype(int)
            dark, light = np.percentile(grey[top:bottom, left:right], [3, 90])
            total += not region.ignore
            faint += not region.ignore and light - dark < 20
    assert faint <= 0.01 * total
