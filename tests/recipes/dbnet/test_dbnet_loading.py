"""Rules of the order in which pages are learned from, and of how they are dealt out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch

from tests.waiting import LIMIT
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.dataset import EvaluationPages
from toolkit_recipes.dbnet.dataset import TrainingPages
from toolkit_recipes.dbnet.loading import Share
from toolkit_recipes.dbnet.loading import epoch_batches
from toolkit_recipes.dbnet.loading import evaluation_pages
from toolkit_recipes.dbnet.loading import steps_per_epoch
from toolkit_recipes.dbnet.loading import training_steps
from toolkit_recipes.dbnet.presets import AugmentationConfig
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages


@pytest.fixture(scope="module")
def sources() -> Sequence[PageSource]:
    """Seven small receipts."""
    return synthetic_pages(SyntheticConfig(height=96), seed=1, first=0, count=7)


def _training_pages(sources: Sequence[PageSource]) -> TrainingPages:
    return TrainingPages(sources, 96, AugmentationConfig(crop=64), TargetConfig(), seed=3)


@pytest.mark.parametrize(("count", "size", "steps"), [(7, 2, 3), (8, 2, 4), (3, 4, 1), (1, 4, 1)])
def test_an_epoch_has_whole_batches(count: int, size: int, steps: int) -> None:
    """What doesn't fill a batch is left out; fewer pages than a batch are repeated to fill it."""
    batches = epoch_batches(count, size, seed=0, epoch=5)
    assert [len(batch) for batch in batches] == [size] * steps
    assert steps_per_epoch(count, size) == steps
    seen = {draw.index for batch in batches for draw in batch}
    assert len(seen) == min(count, size * steps)
    assert {draw.epoch for batch in batches for draw in batch} == {5}


@pytest.mark.parametrize(("world", "accumulation"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_processes_and_parts_share_a_batch(world: int, accumulation: int) -> None:
    """Every page of a batch is in exactly one part, and all parts are equally large."""
    (batch,) = epoch_batches(8, 8, seed=0, epoch=0)
    shares = [Share(8, accumulation, world, rank) for rank in range(world)]
    parts = [part for share in shares for part in share.parts(batch)]
    assert {len(part) for part in parts} == {8 // (world * accumulation)}
    assert sorted(draw.index for part in parts for draw in part) == list(range(8))


def test_a_batch_that_cant_be_dealt_evenly_is_refused() -> None:
    """The message says what would fit."""
    with pytest.raises(UsageError, match="multiple of 6"):
        Share(8, accumulation=3, num_processes=2)


def test_going_on_later_reads_what_would_have_come(sources: Sequence[PageSource]) -> None:
    """From the second epoch on, the batches are the same as without a break, pixel for pixel."""
    pages = _training_pages(sources)
    whole = list(training_steps(pages, Share(2), range(2), workers=0))
    rest = list(training_steps(pages, Share(2), range(1, 2), workers=0))
    assert len(whole) == 6
    assert len(rest) == 3
    for (expected,), (found,) in zip(whole[3:], rest, strict=True):
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.targets.thresh, expected.targets.thresh)


COMPARISON = """
import torch
from toolkit_recipes.dbnet.dataset import TrainingPages
from toolkit_recipes.dbnet.loading import Share
from toolkit_recipes.dbnet.loading import training_steps
from toolkit_recipes.dbnet.presets import AugmentationConfig
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages

sources = synthetic_pages(SyntheticConfig(height=96), seed=1, first=0, count=7)
pages = TrainingPages(sources, 96, AugmentationConfig(crop=64), TargetConfig(), seed=3)
share = Share(4, accumulation=2)
shared = list(training_steps(pages, share, range(1), workers=2))
alone = list(training_steps(pages, share, range(1), workers=0))
assert len(alone) == len(shared) == 1
for expected, found in zip(alone[0], shared[0], strict=True):
    assert torch.equal(found.images, expected.images)
"""


OPENCV_HAS_HAD_THREADS = """
import cv2
import numpy as np

cv2.setNumThreads(2)
cv2.GaussianBlur(np.zeros((1000, 1000, 3), np.uint8), (0, 0), 5)
"""


@pytest.mark.parametrize("before", ["", OPENCV_HAS_HAD_THREADS])
def test_workers_change_nothing(before: str) -> None:
    """Pages prepared by other processes are the same, in the same order, whatever OpenCV did."""
    # In a process of its own: workers are forked, which needs one without other threads.
    subprocess.run([sys.executable, "-c", before + COMPARISON], check=True, timeout=LIMIT)


def test_pages_are_measured_one_at_a_time(sources: Sequence[PageSource]) -> None:
    """No page is padded to the size of another, and the order is the one asked for."""
    pages = EvaluationPages(sources, 96, TargetConfig())
    found = list(evaluation_pages(pages, [4, 1], workers=0))
    assert [batch.pages[0].name for batch in found] == [sources[4].name, sources[1].name]
    assert all(len(batch.images) == 1 for batch in found)
