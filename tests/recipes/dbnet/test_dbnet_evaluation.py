"""Rules of measuring a network, and of what a run is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate import Accelerator
from attrs import evolve
from attrs import frozen
from rich.console import Console

import toolkit
from tests.recipes.dbnet.drawn_pages import small_network
from toolkit.errors import UsageError
from toolkit.events import Metrics
from toolkit.journal import events_of
from toolkit.run import Run
from toolkit.rundir import RunDir
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.epochs import Progress
from toolkit_recipes.dbnet.evaluation import Evaluator
from toolkit_recipes.dbnet.evaluation import Measured
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.presets import DataConfig
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import EvaluationConfig
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.recording import SHOWN
from toolkit_recipes.dbnet.recording import Recording
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages

CONFIG = DbnetConfig(
    data=DataConfig(workers=0),
    postprocess=PostprocessConfig(thresh=0.05, box_thresh=0.05),
    evaluation=EvaluationConfig(long_side=128, drawn_pages=2),
)
WHOLE = tuple(synthetic_pages(SyntheticConfig(height=128), seed=3, first=0, count=3))


@frozen
class Torn:
    """A page whose image isn't one."""

    name: str
    path: Path

    def load(self) -> LoadedPage:
        """Read the file, which fails."""
        return LoadedPage(self.name, load_image(self.path), ())


@pytest.fixture
def torn(tmp_path: Path) -> tuple[Torn, ...]:
    """Two pages that can't be read."""
    files = [tmp_path / f"torn_{i}.jpg" for i in range(2)]
    for file in files:
        file.write_bytes(b"\xff\xd8\xff")
    return tuple(Torn(file.name, file) for file in files)


def measure(*sources: PageSource) -> Measured:
    """Measure an untrained network, which finds texts that aren't there."""
    reporter = Reporter(Console(quiet=True))
    evaluator = Evaluator(Accelerator(), DBLoss(CONFIG.loss, CONFIG.model.k), CONFIG, reporter)
    return evaluator.measure(small_network(), sources, "validation")


def test_a_page_that_cant_be_read_counts_for_nothing(torn: tuple[Torn, ...]) -> None:
    """All figures are those of the other pages; the reasons are told."""
    measured = measure(torn[0], *WHOLE, torn[1])
    assert measured.figures == measure(*WHOLE).figures
    assert ["torn_" in problem for problem in measured.problems] == [True, True]


def test_the_first_pages_that_can_be_read_are_drawn(torn: tuple[Torn, ...]) -> None:
    """As many as asked for, where there are as many."""
    drawn = measure(torn[0], *WHOLE).pictures
    assert list(drawn) == [page.name for page in WHOLE[:2]]


def test_nothing_to_measure_on_is_refused(torn: tuple[Torn, ...]) -> None:
    """The error says which pages, how many, and why the first can't be read."""
    with pytest.raises(UsageError, match=r"validation: none of the 2 pages .*torn_0\.jpg"):
        measure(*torn)


def _points(run: Run, name: str) -> list[tuple[int | None, float]]:
    assert run.dir is not None
    return [
        (event.step, event.values[name])
        for _, event in events_of(RunDir(run.dir).journal, Metrics)
        if isinstance(event, Metrics) and name in event.values
    ]


def test_unreadable_pages_are_counted_once_and_at_a_step(tmp_path: Path) -> None:
    """A page that stays unreadable is told and counted in the first epoch that meets it."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        recording = Recording(
            run, Reporter(Console(quiet=True)), log_interval=1, steps_per_epoch=3, num_processes=1
        )
        first = Measured(dict.fromkeys(SHOWN, 0.5), ("a: torn", "b: torn"), {})
        recording.epoch(Progress(step=3), first)
        recording.epoch(Progress(step=6), first)
        recording.epoch(Progress(step=9), evolve(first, problems=("c: torn", "a: torn")))
        points = _points(run, "data/unreadable_pages")
    assert points == [(3, 2), (9, 3)]
