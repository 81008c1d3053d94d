"""Tune the post-processing of a trained DBNet network: one pass of the network, many settings.

    python recipes/dbnet_tune.py model=FOLDER|RUN [data=FOLDER] [key=value ...]

``help`` lists the keys. Each setting becomes a child of the run that this starts, so that a tracker
compares them; the summary holds the baseline (the network's own setting) and the best.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from attrs import evolve
from rich.console import Console

import toolkit
from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.evaluation import Evaluator
from toolkit_recipes.dbnet.evaluation import none_readable
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.model_files import ARTIFACTS
from toolkit_recipes.dbnet.model_files import SavedNetwork
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.recording import log_problems
from toolkit_recipes.dbnet.tuning import SWEPT
from toolkit_recipes.dbnet.tuning import StoredMap
from toolkit_recipes.dbnet.tuning import Trial
from toolkit_recipes.dbnet.tuning import TuneConfig
from toolkit_recipes.dbnet.tuning import as_columns
from toolkit_recipes.dbnet.tuning import find_tuning_pages
from toolkit_recipes.dbnet.tuning import name_of
from toolkit_recipes.dbnet.tuning import plot_recall_and_precision
from toolkit_recipes.dbnet.tuning import settings
from toolkit_recipes.dbnet.tuning import try_setting
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.model_source import model_folder


def main(config: TuneConfig) -> None:
    """Ask the network about every page once, then try the settings."""
    if config.model is None:
        raise UsageError("model is missing; give model=FOLDER of a saved network, or model=RUN")
    with model_folder(config.model, ARTIFACTS) as folder:
        saved = load_network(folder)
    pages = find_tuning_pages(config, saved.config)
    own, ratio = saved.config.postprocess, saved.config.targets.shrink_ratio
    iou = saved.config.evaluation.iou
    tried = list(settings(config, own))
    accelerator = start_accelerator(config.mixed_precision, seed=0)
    reporter = Reporter(Console())

    with (
        tempfile.TemporaryDirectory() as cache,
        toolkit.start_run(project="ocr-receipt-detection", tags=["dbnet", "tuning"]) as run,
    ):
        run.log_params(as_dict(config) | {"baseline": as_dict(own), "found": dict(pages.counts)})
        log_problems(run, reporter, pages.problems)
        maps = _maps(saved, pages.sources, accelerator, reporter, config.workers, Path(cache))
        trials: list[Trial] = []
        for setting in reporter.track(tried, "settings"):
            name = "baseline" if not trials else name_of(setting)
            trial = Trial(name, setting, try_setting(setting, maps, ratio, iou))
            with toolkit.start_run(name=name, nested=True) as child:
                child.log_params(as_dict(setting))
                child.log_metrics({f"val/{n}": v for n, v in trial.figures.items()}, step=0)
            trials.append(trial)
        baseline, best = trials[0], max(trials, key=lambda trial: trial.figures[config.metric])
        run.log_table(as_columns(trials), "tuning/settings")
        figure = plot_recall_and_precision(baseline, best, trials)
        run.log_figure(figure, "tuning/recall_and_precision.png")
        summary: dict[str, float] = {f"best/{n}": getattr(best.setting, n) for n in SWEPT}
        for label, trial in (("baseline", baseline), ("best", best)):
            for name in ("hmean", "recall", "precision", "cleval_hmean"):
                summary[f"{label}/{name}"] = trial.figures[name]
        run.log_summary(summary)
        reporter.table(f"Best of {len(trials)} settings by {config.metric}", summary)


def _maps(
    saved: SavedNetwork,
    pages: Sequence[PageSource],
    accelerator: Accelerator,
    reporter: Reporter,
    workers: int,
    cache: Path,
) -> list[StoredMap]:
    network = saved.network.to(accelerator.device)
    loss = DBLoss(saved.config.loss, saved.config.model.k)
    data = evolve(saved.config.data, workers=workers)
    evaluator = Evaluator(accelerator, loss, evolve(saved.config, data=data), reporter)
    maps: list[StoredMap] = []
    problems: list[str] = []
    for read in evaluator.read(network, pages, "pages"):
        for problem in read.problems:
            problems.append(problem)
            reporter.say(f"counts for nothing: {problem}")
        if not read.problems:
            file = cache / f"{len(maps)}.npy"
            page = read.page
            stored = StoredMap.store(file, read.prob, page.regions, page.page_size, page.scale)
            maps.append(stored)
    if not maps:
        raise none_readable("pages", problems)
    return maps


if __name__ == "__main__":
    run_recipe(main, TuneConfig, {})
