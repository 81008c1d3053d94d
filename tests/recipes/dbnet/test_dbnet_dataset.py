"""Tests of the batches that the network learns from and is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import frozen

from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.augmentation import PADDING
from toolkit_recipes.dbnet.dataset import Draw
from toolkit_recipes.dbnet.dataset import EvaluationPages
from toolkit_recipes.dbnet.dataset import TrainingPages
from toolkit_recipes.dbnet.dataset import collate_evaluation
from toolkit_recipes.dbnet.dataset import collate_training
from toolkit_recipes.dbnet.dataset import normalised
from toolkit_recipes.dbnet.dataset import training_batches
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.presets import AugmentationConfig
from toolkit_recipes.dbnet.presets import TargetConfig

CROP = 96
LINE = np.array([[10.0, 10], [90, 10], [90, 24], [10, 24]])
RANDOM = AugmentationConfig(crop=CROP, scale_jitter=0.3, rotation=8, flip=0.5, colour=0.5, blur=0.5)


@frozen
class Sheet:
    """A page of noise with some lines of text."""

    name: str
    size: tuple[int, int] = (300, 200)

    def load(self) -> LoadedPage:
        """The page, the same each time."""
        pixels = np.random.default_rng(len(self.name)).integers(0, 255, (*self.size, 3))
        lines = tuple(TextRegion(LINE + np.array([0, 30 * i])) for i in range(self.size[0] // 40))
        return LoadedPage(self.name, pixels.astype(np.uint8), lines)


@frozen
class DamagedSheet:
    """A page whose image isn't one."""

    name: str
    path: Path

    def load(self) -> LoadedPage:
        """Read the file, which fails."""
        return LoadedPage(self.name, load_image(self.path), ())


@pytest.fixture
def damaged(tmp_path: Path) -> DamagedSheet:
    """A page whose file holds no image."""
    path = tmp_path / "page.jpg"
    path.write_bytes(b"no image")
    return DamagedSheet("page", path)


def pages(*sheets: Sheet | DamagedSheet, seed: int = 1) -> TrainingPages:
    """Pages to learn from."""
    return TrainingPages(sheets, 300, RANDOM, TargetConfig(), seed)


def test_a_page_of_an_epoch_is_always_the_same_and_differs_from_other_epochs() -> None:
    """What is learned from follows from seed, epoch and index, not from what was drawn before."""
    sheets = [Sheet("a"), Sheet("bb"), Sheet("ccc")]
    first, again = pages(*sheets), pages(*sheets)
    first[Draw(0, 0)]
    assert np.array_equal(first[Draw(2, 1)].image, again[Draw(2, 1)].image)
    assert not np.array_equal(first[Draw(2, 1)].image, first[Draw(3, 1)].image)
    assert not np.array_equal(first[Draw(2, 1)].image, pages(*sheets, seed=2)[Draw(2, 1)].image)


def test_an_epoch_has_every_page_once_in_an_order_of_its_own() -> None:
    """All pages come, in an order that follows from seed and epoch."""
    orders = [
        [draw for batch in training_batches(50, 8, seed, epoch) for draw in batch]
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert all(sorted(draw.index for draw in order) == list(range(50)) for order in orders)
    assert orders[0] == orders[1]
    assert {tuple(draw.index for draw in order) for order in orders[1:]} == {
        tuple(draw.index for draw in order) for order in (orders[0], orders[2], orders[3])
    }
    assert len({tuple(draw.index for draw in order) for order in orders}) == 3


def test_a_batch_holds_images_and_maps_of_one_size() -> None:
    """Images are uint8 with channels last in memory, maps are single precision and masks."""
    batch = collate_training([pages(Sheet("a"), Sheet("bb"))[Draw(0, i)] for i in range(2)])
    assert batch.images.shape == (2, 3, CROP, CROP)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert all(target.shape == (2, CROP, CROP) for target in batch.targets)
    assert batch.targets.thresh.dtype == torch.float32
    assert batch.targets.prob.any()
    assert batch.problems == ()


def test_a_page_that_cant_be_read_counts_for_nothing_and_is_reported(
    damaged: DamagedSheet,
) -> None:
    """It is an empty page with empty masks; the batch says why, the other pages stay the same."""
    mixed, fine = pages(Sheet("a"), damaged), pages(Sheet("a"), Sheet("bb"))
    batch = collate_training([mixed[Draw(0, 0)], mixed[Draw(0, 1)]])
    assert not batch.targets.prob_mask[1].any()
    assert not batch.targets.thresh_mask[1].any()
    (problem,) = batch.problems
    assert "page.jpg" in problem
    expected = collate_training([fine[Draw(0, 0)]])
    assert torch.equal(batch.images[:1], expected.images)


def test_pages_to_be_measured_on_come_with_what_maps_back() -> None:
    """Each page keeps its own texts, its size and its scale, and is padded to the batch's size."""
    dataset = EvaluationPages((Sheet("a"), Sheet("bb", (100, 400))), 160, TargetConfig())
    batch = collate_evaluation([dataset[0], dataset[1]])
    assert batch.images.shape == (2, 3, 160, 160)
    assert [page.name for page in batch.pages] == ["a", "bb"]
    assert [page.page_size for page in batch.pages] == [(300, 200), (100, 400)]
    assert [page.size for page in batch.pages] == [(160, 107), (40, 160)]
    assert batch.pages[1].scale == pytest.approx((0.4, 0.4))
    assert np.array_equal(batch.pages[0].regions[0].polygon, LINE)


def test_padding_counts_for_nothing_when_measured() -> None:
    """Neither a page's own padding nor that of the batch is in the loss."""
    dataset = EvaluationPages((Sheet("a"), Sheet("bb", (100, 400))), 160, TargetConfig())
    batch = collate_evaluation([dataset[0], dataset[1]])
    for mask in (batch.targets.prob_mask, batch.targets.thresh_mask):
        assert not mask[0, :, 107:].any()
        assert not mask[1, 40:].any()
    assert batch.targets.prob_mask[0, :, :107].all()
    assert (batch.images[1, :, 40:] == torch.tensor(PADDING)[:, None, None]).all()


def test_a_page_to_be_measured_on_that_cant_be_read_has_no_texts(damaged: DamagedSheet) -> None:
    """It is reported, keeps its name, and counts for nothing."""
    batch = collate_evaluation([EvaluationPages((damaged,), 160, TargetConfig())[0]])
    assert batch.pages[0].name == "page"
    assert batch.pages[0].regions == ()
    assert len(batch.problems) == 1
    assert not batch.targets.prob_mask.any()


def test_normalised_images_are_as_imagenets_networks_expect() -> None:
    """Red, green and blue less the mean over the deviation; the padding becomes nearly zero."""
    images = torch.tensor(PADDING, dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    images = images.contiguous(memory_format=torch.channels_last)
    found = normalised(images)
    assert found.dtype == torch.float32
    assert found.abs().max() < 0.01
    assert found.is_contiguous(memory_format=torch.channels_last)
    white = normalised(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    assert white[0, 0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229)
    assert white[0, 2, 0, 0].item() == pytest.approx((1 - 0.406) / 0.225)
