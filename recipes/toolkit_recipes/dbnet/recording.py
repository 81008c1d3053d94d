"""What a run records and shows of its training: parameters, curves, pictures and results."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from toolkit.run import Run
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.dataset import TrainingBatch
from toolkit_recipes.dbnet.epochs import Progress
from toolkit_recipes.dbnet.evaluation import Measured
from toolkit_recipes.dbnet.evaluation import loss_figures
from toolkit_recipes.dbnet.losses import Losses
from toolkit_recipes.dbnet.pages import Pages

SHOWN = ("hmean", "recall", "precision", "cleval_hmean", "loss")
"""Figures of a validation that are printed."""


def log_problems(run: Run, reporter: Reporter, problems: Sequence[str]) -> None:
    """Say what was wrong with data and what was done about it, and keep it with the run."""
    for problem in problems:
        reporter.say(problem)
    if problems:
        run.log_text("\n".join(problems) + "\n", "data_problems.txt")


class Recording:
    """Tells the run and the person in front of the terminal how training goes.

    Args:
        run: is told.
        reporter: likewise.
        log_interval: steps between points of a curve.
        steps_per_epoch: to say how far an epoch has got.
        num_processes: that share in each step.

    Of the pages to learn from that can't be read, those that this process met are told; of those
    to be measured on, all.
    """

    def __init__(
        self,
        run: Run,
        reporter: Reporter,
        log_interval: int,
        steps_per_epoch: int,
        num_processes: int,
    ) -> None:
        self._run = run
        self._reporter = reporter
        self._log_interval = log_interval
        self._steps_per_epoch = steps_per_epoch
        self._num_processes = num_processes
        self._since = time.monotonic()
        self._pages = 0
        self._unreadable: set[str] = set()

    def begin(self, config: dict[str, Any], setting: Mapping[str, Any], pages: Pages) -> None:
        """Record how the run is set up, and what is wrong with its data."""
        self._run.log_params(config | dict(setting) | {"pages": dict(pages.found)})
        self._run.log_dict(config, "config.json")
        counts = {
            "pages to learn from": len(pages.train),
            "pages to validate on": len(pages.val),
            "pages to test on": len(pages.test),
        }
        self._reporter.table("Setting", counts | dict(setting))
        log_problems(self._run, self._reporter, pages.problems)

    def resume_timing(self) -> None:
        """Leave the time that has gone by since the last step out of the speed."""
        self._since = time.monotonic()
        self._pages = 0

    def step(
        self, progress: Progress, losses: Losses, rate: float, parts: Sequence[TrainingBatch]
    ) -> None:
        """Record a step; ``progress`` is that before it."""
        problems = (problem for part in parts for problem in part.problems)
        self._report_unreadable(problems, progress.step)
        self._pages += self._num_processes * sum(len(part.images) for part in parts)
        if progress.step % self._log_interval:
            return
        now = time.monotonic()
        values = {f"train/{name}": value for name, value in loss_figures(losses).items()}
        values["train/learning_rate"] = rate
        values["train/epoch"] = progress.step / self._steps_per_epoch
        if progress.step:
            values["train/images_per_second"] = self._pages / max(now - self._since, 1e-9)
        self._run.log_metrics(values, step=progress.step)
        self._since, self._pages = now, 0

    def epoch(self, progress: Progress, measured: Measured) -> None:
        """Record a validation; ``progress`` counts the epoch's steps already."""
        self._report_unreadable(measured.problems, progress.step)
        self._figures(measured, "val", progress.step)
        for name, picture in measured.pictures.items():
            self._run.log_image(picture, key=f"val/{name}", step=progress.step)
        shown = ", ".join(f"{name} {measured.figures[name]:.4f}" for name in SHOWN)
        self._reporter.say(f"  {shown}")

    def end(self, progress: Progress, test: Measured | None) -> None:
        """Record the results of the best network, on the pages for testing where there are any."""
        summary: dict[str, float] = {"val/best_hmean": max(progress.hmeans)}
        if test is not None:
            self._report_unreadable(test.problems, progress.step)
            self._figures(test, "test", progress.step)
            for name, picture in test.pictures.items():
                self._run.log_image(picture, key=f"test/{name}", step=progress.step)
            summary |= {f"test/{name}": test.figures[name] for name in SHOWN}
        summary |= {
            "best_epoch": progress.best_epoch,
            "training_time_hours": progress.seconds / 3600,
        }
        self._run.log_summary(summary)
        self._reporter.table("Results", summary)
        if self._run.dir:
            self._reporter.say(
                f"Recorded in {self._run.dir}; look at it with `toolkit runs show {self._run.id}`"
            )

    def _figures(self, measured: Measured, kind: str, step: int) -> None:
        values = {f"{kind}/{name}": value for name, value in measured.figures.items()}
        self._run.log_metrics(values, step=step)

    def _report_unreadable(self, problems: Iterable[str], step: int) -> None:
        new = [p for p in dict.fromkeys(problems) if p not in self._unreadable]
        for problem in new:
            self._reporter.say(f"  counts for nothing: {problem}")
        self._unreadable.update(new)
        if new:
            self._run.log_metrics({"data/unreadable_pages": len(self._unreadable)}, step=step)
