"""Choosing the post-processing of a trained network: all settings on maps that are made once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal

import numpy as np
from attrs import evolve
from attrs import frozen
from attrs import validators
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit_recipes.config import option
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.report import Tally
from toolkit_recipes.dbnet.metrics.report import figures
from toolkit_recipes.dbnet.metrics.report import tally
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.readers.pages import read_pages
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages
from toolkit_recipes.paths import given_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYNTHETIC_SEED = 1_000_003
"""Of receipts that no training with a usual seed has seen."""
SWEPT = ("thresh", "box_thresh", "unclip", "min_size")
"""Settings that are tried, in the order of their names."""
_EACH_PART = validators.deep_iterable(validators.and_(validators.ge(0), validators.le(1)))
_EACH_NOT_NEGATIVE = validators.deep_iterable(validators.ge(0))

_TRIED = "values to try beside the network's own"


@frozen
class TuneConfig:
    """Everything that ``recipes/dbnet_tune.py`` can be told."""

    model: str | None = option(
        None, "folder of a saved network, or folder or id of the run that trained it; must be given"
    )
    data: str | None = option(
        None, "folder of annotated pages to tune on; none: generated receipts"
    )
    format: Literal["auto", "icdar", "sroie", "ufo", "totaltext", "ctw"] = option(
        "auto", "how the pages are annotated; auto: see what lies in the folder"
    )
    exif: bool | None = option(
        None, "turn photographs as their EXIF says; none: as data.exif in training"
    )
    pages: int = option(
        60, "receipts generated as in training, where no data is given", check=validators.ge(1)
    )
    workers: int = option(2, "processes that read pages", check=validators.ge(0))
    metric: Literal["hmean", "cleval_hmean", "cleval_page_hmean"] = option(
        "hmean", "what is to be highest"
    )
    thresh: tuple[float, ...] = option((0.2, 0.3, 0.4), _TRIED, check=_EACH_PART)
    box_thresh: tuple[float, ...] = option((0.4, 0.55, 0.7), _TRIED, check=_EACH_PART)
    unclip: tuple[float, ...] = option((0.0, 1.5), f"{_TRIED}; 0: exact", check=_EACH_NOT_NEGATIVE)
    min_size: tuple[float, ...] = option((2.0, 4.0), _TRIED, check=_EACH_NOT_NEGATIVE)
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the network; auto: bf16 where the hardware computes in it"
    )


@frozen(eq=False)
class TuningPages:
    """Pages to tune on, how much there is of everything, and what was wrong with their folder."""

    sources: Sequence[PageSource]
    counts: Mapping[str, str | float]
    problems: Sequence[str] = ()


def find_tuning_pages(config: TuneConfig, trained: DbnetConfig) -> TuningPages:
    """Read the pages to tune on, or generate receipts that no training with a usual seed has seen.

    Raises:
        UsageError: the folder is no data set, or no text on its pages counts.
    """
    if config.data is None:
        made = synthetic_pages(trained.synthetic, SYNTHETIC_SEED, 0, config.pages)
        return TuningPages(made, {"pages": len(made)})
    exif = trained.data.exif if config.exif is None else config.exif
    read = read_pages(given_path(config.data), config.format, exif=exif)
    if not any(not region.ignore for page in read.pages for region in page.regions):
        raise UsageError(
            f"data={config.data}: its pages hold no text that counts (all are don't care, or there "
            "is none), so no setting can be measured on them; give a folder with annotated texts"
        )
    problems = [f"{config.data}: {problem}" for problem in read.problems]
    return TuningPages(read.pages, read.summary(), problems)


@frozen(eq=False)
class StoredMap:
    """A page's probability map on disk, and what it is judged by."""

    file: Path
    regions: tuple[TextRegion, ...]
    page_size: tuple[int, int]
    scale: tuple[float, float]
    """What x and y of the page are multiplied by on the map."""

    @classmethod
    def store(
        cls,
        file: Path,
        prob: NDArray[np.float32],
        regions: tuple[TextRegion, ...],
        page_size: tuple[int, int],
        scale: tuple[float, float],
    ) -> StoredMap:
        """Write a map [h, w] to a file of its own."""
        np.save(file, prob)
        return cls(file, regions, page_size, scale)

    def load(self) -> NDArray[np.float32]:
        """Read the map [h, w]."""
        prob: NDArray[np.float32] = np.load(self.file, allow_pickle=False)
        return prob


@frozen
class Trial:
    """A setting and what it gave."""

    name: str
    setting: PostprocessConfig
    figures: dict[str, float]


def settings(config: TuneConfig, trained: PostprocessConfig) -> Iterator[PostprocessConfig]:
    """Yield the network's own setting, then every other combination of the values to try.

    The network's own value is tried for each of them, whether it is among those given or not.

    Raises:
        UsageError: there is nothing to try for one of them.
    """
    values = {name: getattr(config, name) for name in SWEPT}
    for name, given in values.items():
        if not given:
            raise UsageError(f"{name}: give at least one value to try")
    tried = [sorted({*given, getattr(trained, name)}) for name, given in values.items()]
    yield trained
    for combination in itertools.product(*tried):
        setting = evolve(trained, **dict(zip(values, combination, strict=True)))
        if setting != trained:
            yield setting


def try_setting(
    setting: PostprocessConfig, maps: Sequence[StoredMap], shrink_ratio: float, iou: float
) -> dict[str, float]:
    """Find the texts on all pages with a setting, and measure them.

    Args:
        setting: of the post-processing.
        maps: of the pages.
        shrink_ratio: that the network was trained with.
        iou: overlap above which a text counts as found.
    """
    total = Tally()
    for page in maps:
        found = find_texts(page.load(), setting, shrink_ratio, page.page_size, page.scale)
        total += tally(page.regions, found, iou)
    return figures(total)


def name_of(setting: PostprocessConfig) -> str:
    """Name a setting by the values that are tried."""
    return " ".join(f"{name}={getattr(setting, name):g}" for name in SWEPT)


def as_columns(trials: Sequence[Trial]) -> dict[str, list[float | str]]:
    """Return a table of all trials: name, setting and figures."""
    columns: dict[str, list[float | str]] = {"name": [trial.name for trial in trials]}
    columns |= {name: [getattr(t.setting, name) for t in trials] for name in SWEPT}
    shared = [n for n in trials[0].figures if all(n in trial.figures for trial in trials)]
    return columns | {name: [trial.figures[name] for trial in trials] for name in shared}


def plot_recall_and_precision(baseline: Trial, best: Trial, trials: Sequence[Trial]) -> Figure:
    """Draw recall against precision of all trials, the baseline and the best one marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    points = np.array([[t.figures["precision"], t.figures["recall"]] for t in trials])
    axes.scatter(points[:, 0], points[:, 1], s=18, color="0.6", label="tried")
    for trial, name, colour in ((baseline, "baseline", "tab:blue"), (best, "best", "tab:red")):
        label = f"{name}: {trial.name}, hmean {trial.figures['hmean']:.4f}"
        at = trial.figures["precision"], trial.figures["recall"]
        axes.scatter(*at, s=60, color=colour, label=label)
    axes.set_xlabel("precision")
    axes.set_ylabel("recall")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return figure
