"""Measuring a network on pages: what it finds, and its losses, page by page.

Pages are read one at a time, so that a page's figures never depend on the pages beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from attrs import evolve
from attrs import field
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.dataset import EvaluationBatch
from toolkit_recipes.dbnet.dataset import EvaluationPages
from toolkit_recipes.dbnet.dataset import MeasuredPage
from toolkit_recipes.dbnet.dataset import normalised
from toolkit_recipes.dbnet.loading import evaluation_pages
from toolkit_recipes.dbnet.losses import BatchTargets
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.metrics.report import Tally
from toolkit_recipes.dbnet.metrics.report import figures
from toolkit_recipes.dbnet.metrics.report import tally
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.pictures import beside_maps
from toolkit_recipes.dbnet.pictures import draw_page
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import DbnetConfig

Map = NDArray[np.float32]
Image = NDArray[np.uint8]


@frozen(eq=False)
class ReadPage:
    """A page and what the network says about it, without padding."""

    page: MeasuredPage
    image: Image
    """[h, w, 3]: the page as the network saw it."""
    prob: Map
    """[h, w]."""
    thresh: Map
    """[h, w]."""
    losses: tuple[float, ...]
    """As in :class:`Losses`."""
    problems: tuple[str, ...]
    """Why the page couldn't be read."""


@frozen(eq=False)
class PageResult:
    """What one page adds to the figures: nothing, where there are problems."""

    tally: Tally
    losses: tuple[float, ...]
    problems: tuple[str, ...]


@frozen(eq=False)
class Measured:
    """Figures over all pages, and pictures of some of them; the same on every process."""

    figures: dict[str, float]
    problems: tuple[str, ...]
    pictures: dict[str, Image] = field(repr=False)
    """By name of the page; only on the main process."""


@frozen(eq=False)
class Evaluator:
    """Measures a network on pages.

    Args:
        accelerator: deals the pages to the processes.
        loss: is measured as well.
        config: of targets, post-processing, evaluation and data.
        reporter: is told about the progress.
    """

    accelerator: Accelerator
    loss: DBLoss
    config: DbnetConfig
    reporter: Reporter

    def measure(self, network: DBNet, sources: Sequence[PageSource], name: str) -> Measured:
        """Measure the network, which is asked in evaluation mode.

        Pages that can't be read count for nothing.

        Args:
            network: the same on every process.
            sources: the pages; of those that the main process reads, the first
                ``evaluation.drawn_pages`` are drawn.
            name: of these pages, for the progress and for errors.

        Raises:
            UsageError: no page can be read.
        """
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        drawn = self.config.evaluation.drawn_pages if self.accelerator.is_main_process else 0
        own: list[PageResult] = []
        pictures: dict[str, Image] = {}
        for read in self.read(network, sources[rank::world], name):
            if read.problems:
                own.append(PageResult(Tally(), (), read.problems))
                continue
            detections = self.detections(read)
            counts = tally(read.page.regions, detections, self.config.evaluation.iou)
            own.append(PageResult(counts, read.losses, ()))
            if len(pictures) < drawn:
                pictures[read.page.name] = _picture(read, detections)
        found: list[PageResult] = gather_object(own) if world > 1 else own
        problems = tuple(problem for result in found for problem in result.problems)
        readable = [result for result in found if not result.problems]
        if not readable:
            raise none_readable(name, problems)
        return Measured(_figures(readable), problems, pictures)

    def read(self, network: DBNet, sources: Sequence[PageSource], name: str) -> Iterator[ReadPage]:
        """Ask the network about each page."""
        config = self.config
        pages = EvaluationPages(sources, config.evaluation.long_side, config.targets)
        batches = evaluation_pages(pages, range(len(pages)), config.data.workers)
        for _ in self.reporter.track(range(len(pages)), name):
            yield self._read(network, next(batches))

    def detections(self, read: ReadPage) -> list[Detection]:
        """Find the texts of a page, in coordinates of the page as it was."""
        ratio, page = self.config.targets.shrink_ratio, read.page
        return find_texts(read.prob, self.config.postprocess, ratio, page.page_size, page.scale)

    @torch.no_grad()
    def _read(self, network: DBNet, batch: EvaluationBatch) -> ReadPage:
        network.eval()
        device = self.accelerator.device
        with self.accelerator.autocast():
            maps = network(normalised(batch.images.to(device)))
        losses = self.loss(maps, BatchTargets(*(target.to(device) for target in batch.targets)))
        (page,) = batch.pages
        height, width = page.size
        prob, thresh = (
            logits[0, :height, :width].float().sigmoid().cpu().numpy() for logits in maps
        )
        return ReadPage(
            page=page,
            image=batch.images[0, :, :height, :width].permute(1, 2, 0).numpy(),
            prob=prob,
            thresh=thresh,
            losses=tuple(float(value) for value in losses),
            problems=batch.problems,
        )


def none_readable(name: str, problems: Sequence[str]) -> UsageError:
    """Return the error to raise where none of the pages can be read, with the first reason."""
    first = f", first {problems[0]}" if problems else ""
    return UsageError(
        f"{name}: none of the {len(problems)} pages can be read{first}; see that the images are "
        "still whole and where they were"
    )


def loss_figures(losses: Iterable[float | Tensor]) -> dict[str, float]:
    """Name the losses as they are logged."""
    names = ("loss", "loss_prob", "loss_thresh", "loss_binary")
    return {name: float(value) for name, value in zip(names, losses, strict=True)}


def _figures(results: Sequence[PageResult]) -> dict[str, float]:
    total = sum((result.tally for result in results), Tally())
    means = np.array([result.losses for result in results]).mean(axis=0)
    return figures(total) | loss_figures(means.tolist())


def _picture(read: ReadPage, detections: Sequence[Detection]) -> Image:
    """Draw a page as the network saw it, with its texts, what was found, and the maps beside."""
    scale = np.array(read.page.scale)
    regions = [evolve(r, polygon=r.polygon * scale) for r in read.page.regions]
    found = [Detection(d.polygon * scale, d.score) for d in detections]
    return beside_maps(draw_page(read.image, regions, found), [read.prob, read.thresh])
