"""Batches of pages in the order of training and of measuring, read ahead by worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import cv2
import torch
from accelerate import Accelerator
from attrs import frozen
from torch.utils.data import DataLoader

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.dataset import Draw
from toolkit_recipes.dbnet.dataset import EvaluationBatch
from toolkit_recipes.dbnet.dataset import EvaluationPages
from toolkit_recipes.dbnet.dataset import TrainingBatch
from toolkit_recipes.dbnet.dataset import TrainingPages
from toolkit_recipes.dbnet.dataset import collate_evaluation
from toolkit_recipes.dbnet.dataset import collate_training
from toolkit_recipes.dbnet.dataset import start_worker
from toolkit_recipes.dbnet.dataset import training_batches
from toolkit_recipes.dbnet.presets import TrainingConfig


@frozen
class Share:
    """Which part of each batch is this process's, and in how many parts it is computed.

    Raises:
        UsageError: the batch can't be dealt out evenly.
    """

    batch_size: int
    accumulation: int = 1
    num_processes: int = 1
    process_index: int = 0

    def __attrs_post_init__(self) -> None:
        """Check that all parts are equally large, as their gradients are averaged."""
        parts = self.accumulation * self.num_processes
        if self.batch_size % parts:
            raise UsageError(
                f"training.batch_size={self.batch_size} can't be dealt out evenly to "
                f"{self.num_processes} processes in {self.accumulation} parts each; give a "
                f"multiple of {parts}"
            )

    @classmethod
    def of(cls, config: TrainingConfig, accelerator: Accelerator) -> Share:
        """Return the share of this process."""
        return cls(
            config.batch_size,
            config.accumulation,
            accelerator.num_processes,
            accelerator.process_index,
        )

    def parts(self, batch: Sequence[Draw]) -> list[list[Draw]]:
        """Return this process's parts of a batch of ``batch_size``."""
        own = list(batch[self.process_index :: self.num_processes])
        return [own[place :: self.accumulation] for place in range(self.accumulation)]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many batches an epoch of so many pages has."""
    return max(1, count // batch_size)


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[list[Draw]]:
    """Deal the pages of an epoch into whole batches.

    The pages that don't fill one are left out, others in each epoch. Where there are fewer pages
    than a batch has, they are repeated to fill it, changed in another way each time.
    """
    if count < batch_size:
        (order,) = training_batches(count, count, seed, epoch)
        return [
            [Draw(epoch, order[place % count].index, place // count) for place in range(batch_size)]
        ]
    batches = training_batches(count, batch_size, seed, epoch)
    return [batch for batch in batches if len(batch) == batch_size]


def training_steps(
    pages: TrainingPages, share: Share, epochs: range, workers: int
) -> Iterator[list[TrainingBatch]]:
    """Yield the parts of every step of the epochs, without a pause between epochs."""
    wanted = _Wanted(len(pages), share, pages.seed, epochs)
    loader: DataLoader[Any] = DataLoader(
        pages, batch_sampler=wanted, collate_fn=collate_training, **_reading(workers)
    )
    batches = iter(loader)
    for _ in range(len(wanted) // share.accumulation):
        yield list(itertools.islice(batches, share.accumulation))


@frozen
class _Wanted:
    """The parts of this process, epoch after epoch, made as they are needed."""

    count: int
    share: Share
    seed: int
    epochs: range

    def __len__(self) -> int:
        steps = steps_per_epoch(self.count, self.share.batch_size)
        return len(self.epochs) * steps * self.share.accumulation

    def __iter__(self) -> Iterator[list[Draw]]:
        for epoch in self.epochs:
            for batch in epoch_batches(self.count, self.share.batch_size, self.seed, epoch):
                yield from self.share.parts(batch)


def evaluation_pages(
    pages: EvaluationPages, rows: Sequence[int], workers: int
) -> Iterator[EvaluationBatch]:
    """Yield these pages one at a time, so that none is padded to the size of another."""
    loader: DataLoader[Any] = DataLoader(
        pages,
        batch_sampler=[[row] for row in rows],
        collate_fn=collate_evaluation,
        **_reading(workers),
    )
    yield from loader


def _reading(workers: int) -> dict[str, Any]:
    # A forked worker would wait forever for OpenCV's threads in this process. Only 1 ends them at
    # once; 0 keeps them idle.
    cv2.setNumThreads(1)
    return {
        "num_workers": workers,
        "worker_init_fn": start_worker,
        # Only from pinned memory do copies to a GPU go on beside its work.
        "pin_memory": torch.cuda.is_available(),
    }
