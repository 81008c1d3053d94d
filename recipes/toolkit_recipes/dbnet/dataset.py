"""Pages and their maps as batches for the network, prepared in the data loader's workers.

All random numbers of a page follow from the seed, the epoch and the page's number, so that neither
the workers nor a resumed run change what is learned from. Images travel as uint8 and become numbers
around 0 by :func:`normalised` on the device that the network is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.augmentation import PADDING
from toolkit_recipes.dbnet.augmentation import FittedPage
from toolkit_recipes.dbnet.augmentation import augment
from toolkit_recipes.dbnet.augmentation import fit
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.losses import BatchTargets
from toolkit_recipes.dbnet.presets import AugmentationConfig
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import Targets
from toolkit_recipes.dbnet.targets import make_targets

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, of 1."""
DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue, of 1."""

_PAGES, _ORDER = 0, 1
"""Streams of random numbers."""


@frozen
class Draw:
    """A page in an epoch: the key of :class:`TrainingPages`."""

    epoch: int
    index: int
    repeat: int = 0
    """How often the page was drawn in this epoch before."""


@frozen(eq=False)
class Sample:
    """A page that is learned from: image uint8 [H, W, 3], and its maps."""

    image: NDArray[np.uint8]
    targets: Targets
    problem: str | None
    """Why the page couldn't be read; its maps then count for nothing."""


@frozen(eq=False)
class MeasuredPage:
    """What turns detections on a fitted page into those of the page, and judges them."""

    name: str
    regions: tuple[TextRegion, ...]
    """The texts, on the page as it was."""
    page_size: tuple[int, int]
    """Height and width of the page as it was."""
    size: tuple[int, int]
    """Height and width of the page in its image of the batch; the rest is padding."""
    scale: tuple[float, float]
    """What coordinates x and y of the page were multiplied by."""


class TrainingBatch(NamedTuple):
    """Pages to learn from."""

    images: Tensor
    """uint8 [B, 3, H, W], channels last in memory."""
    targets: BatchTargets
    problems: tuple[str, ...]
    """Why pages couldn't be read, which count for nothing."""


class EvaluationBatch(NamedTuple):
    """Pages to be measured on, with maps for the loss."""

    images: Tensor
    """uint8 [B, 3, H, W], channels last in memory."""
    targets: BatchTargets
    pages: tuple[MeasuredPage, ...]
    problems: tuple[str, ...]
    """Why pages couldn't be read, which count for nothing and are not in ``pages``' texts."""


@frozen(eq=False)
class TrainingPages(Dataset[Sample]):
    """Changed pages and their maps, by :class:`Draw`.

    A page whose image can't be read is replaced by an empty one that counts for nothing, and its
    sample says why, so that a damaged file neither ends a run nor changes other pages.
    """

    sources: Sequence[PageSource]
    long_side: int
    """Longest side of a page in pixels, before it is scaled at random."""
    augmentation: AugmentationConfig
    targets: TargetConfig
    seed: int

    @classmethod
    def of(cls, sources: Sequence[PageSource], config: DbnetConfig) -> TrainingPages:
        """Return these pages as a recipe's configuration changes and draws them."""
        long_side = config.evaluation.long_side
        return cls(sources, long_side, config.augmentation, config.targets, config.seed)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, draw: Draw) -> Sample:
        crop = self.augmentation.crop
        try:
            page = self.sources[draw.index].load()
        except ImageError as error:
            return _blank((crop, crop), str(error))
        rng = _generator(self.seed, _PAGES, draw.epoch, draw.index, draw.repeat)
        changed = augment(page, self.long_side, self.augmentation, rng)
        targets = make_targets(changed.regions, (crop, crop), self.targets)
        return Sample(changed.image, targets, problem=None)


@frozen(eq=False)
class EvaluationPages(Dataset[tuple[Sample, MeasuredPage]]):
    """Fitted pages and their maps, by number.

    A page whose image can't be read is replaced by an empty one without texts.
    """

    sources: Sequence[PageSource]
    long_side: int
    targets: TargetConfig

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Sample, MeasuredPage]:
        source, problem = self.sources[index], None
        try:
            page = source.load()
        except ImageError as error:
            problem = str(error)
            page = LoadedPage(source.name, np.full((1, 1, 3), PADDING, np.uint8), ())
        fitted = fit(page, self.long_side)
        return _measured(fitted, self.targets, problem)


def training_batches(count: int, size: int, seed: int, epoch: int) -> Iterator[list[Draw]]:
    """Deal all pages into batches, in an order that follows from seed and epoch alone.

    Args:
        count: number of pages.
        size: pages of a batch; the last one may be smaller.
        seed: of the order.
        epoch: counts from 0 or 1, as long as it always does.
    """
    order = _generator(seed, _ORDER, epoch).permutation(count).tolist()
    for first in range(0, count, size):
        yield [Draw(epoch, index) for index in order[first : first + size]]


def collate_training(samples: Sequence[Sample]) -> TrainingBatch:
    """Stack samples of one size."""
    images, targets = _stacked(samples)
    return TrainingBatch(images, targets, _problems(samples))


def collate_evaluation(items: Sequence[tuple[Sample, MeasuredPage]]) -> EvaluationBatch:
    """Stack fitted pages, padded on the right and below to the largest; padding doesn't count."""
    samples = [sample for sample, _ in items]
    images, targets = _stacked(samples)
    pages = tuple(page for _, page in items)
    return EvaluationBatch(images, targets, pages, _problems(samples))


def image_batch(image: NDArray[np.uint8]) -> Tensor:
    """Turn an image [H, W, 3] into a batch of one: uint8 [1, 3, H, W], channels last in memory."""
    return torch.from_numpy(image)[None].permute(0, 3, 1, 2)


def normalised(images: Tensor) -> Tensor:
    """Turn uint8 [B, 3, H, W] in RGB into float32 around 0, as networks trained on ImageNet expect.

    The layout in memory stays.
    """
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1) * 255
    deviation = torch.tensor(DEVIATION, device=images.device).view(3, 1, 1) * 255
    return (images - mean) / deviation


def start_worker(_worker: int) -> None:
    """Keep a worker of the data loader to one thread: there are as many workers as wanted."""
    cv2.setNumThreads(1)


def _generator(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _blank(size: tuple[int, int], problem: str) -> Sample:
    nothing = np.zeros(size, np.uint8)
    targets = Targets(nothing, nothing, np.zeros(size, np.float32), nothing)
    return Sample(np.full((*size, 3), PADDING, np.uint8), targets, problem)


def _measured(
    page: FittedPage, config: TargetConfig, problem: str | None
) -> tuple[Sample, MeasuredPage]:
    height, width = page.size
    measured = MeasuredPage(page.name, page.page_regions, page.page_size, page.size, page.scale)
    size = page.image.shape[:2]
    if problem is not None:
        return _blank((size[0], size[1]), problem), measured
    targets = make_targets(page.regions, (size[0], size[1]), config)
    for mask in (targets.prob_mask, targets.thresh_mask):
        mask[height:] = 0
        mask[:, width:] = 0
    return Sample(page.image, targets, None), measured


def _problems(samples: Sequence[Sample]) -> tuple[str, ...]:
    return tuple(sample.problem for sample in samples if sample.problem is not None)


def _stacked(samples: Sequence[Sample]) -> tuple[Tensor, BatchTargets]:
    height = max(sample.image.shape[0] for sample in samples)
    width = max(sample.image.shape[1] for sample in samples)
    images = torch.empty((len(samples), height, width, 3), dtype=torch.uint8)
    images[:] = torch.tensor(PADDING, dtype=torch.uint8)
    prob, prob_mask, thresh_mask = (
        torch.zeros((len(samples), height, width), dtype=torch.uint8) for _ in range(3)
    )
    thresh = torch.zeros((len(samples), height, width))
    for i, sample in enumerate(samples):
        rows, columns = sample.image.shape[:2]
        images[i, :rows, :columns] = torch.from_numpy(sample.image)
        prob[i, :rows, :columns] = torch.from_numpy(sample.targets.prob)
        prob_mask[i, :rows, :columns] = torch.from_numpy(sample.targets.prob_mask)
        thresh[i, :rows, :columns] = torch.from_numpy(sample.targets.thresh)
        thresh_mask[i, :rows, :columns] = torch.from_numpy(sample.targets.thresh_mask)
    targets = BatchTargets(prob, prob_mask, thresh, thresh_mask)
    return images.permute(0, 3, 1, 2), targets
