"""Change one part of TaxoClass at a time, and measure what it was worth.

    python recipes/taxoclass_ablation.py data=FOLDER [preset=NAME] [parts=PART,...] [key=value ...]

``help`` lists the keys. Each variant becomes a child of the run that this starts, so that a tracker
compares them; texts are encoded once. Labels of the test documents measure, nothing learns from
them.
"""

from __future__ import annotations

import tempfile

import attrs
from accelerate import Accelerator
from rich.console import Console

import toolkit
from toolkit.run import Run
from toolkit_recipes.config import as_dict
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import refuse_several_processes
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.paths import given_path
from toolkit_recipes.taxoclass.ablation import COMPARISONS
from toolkit_recipes.taxoclass.ablation import AblationConfig
from toolkit_recipes.taxoclass.ablation import configurations
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.evidence import find_models
from toolkit_recipes.taxoclass.pipeline import Pipeline
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.recording import log_quality
from toolkit_recipes.tracking import start_recipe_run

PROJECT = "taxoclass-hierarchical"
TAGS = ("taxonomy", "ablation")
STAGES = ("zero_shot", "stage3_test", "test")


def main(config: AblationConfig) -> None:
    """Measure the unchanged configuration, then every variant."""
    unchanged = config.unchanged
    data = read_dataset(SAMPLE if unchanged.data is None else given_path(unchanged.data))
    wanted = configurations(unchanged, config.parts)
    accelerator = start_accelerator(unchanged.mixed_precision, unchanged.seed, unchanged.threads)
    refuse_several_processes(accelerator)
    reporter = Reporter(Console())
    columns: dict[str, list[str | float]] = {name: [] for name in ("variant", *STAGES)}
    with (
        tempfile.TemporaryDirectory() as folder,
        start_recipe_run(unchanged, unchanged.tracking, PROJECT, TAGS) as run,
    ):
        run.log_params(as_dict(config) | environment(accelerator, unchanged.seed))
        for name, varied in reporter.track(wanted, "variants"):
            group = unchanged.tracking.group or "ablation"
            with toolkit.start_run(name=name, nested=True, group=group) as child:
                child.log_params(as_dict(varied))
                cached = attrs.evolve(varied, cache=unchanged.cache or folder)
                found = _measure(cached, data, accelerator, child)
            columns["variant"].append(name)
            for stage, value in zip(STAGES, found, strict=True):
                columns[stage].append(value)
            reporter.say(f"{name}: " + ", ".join(f"{value:.4f}" for value in found))
        run.log_table(columns, "ablation/example_f1")


def _measure(
    config: TaxoClassConfig, data: Dataset, accelerator: Accelerator, run: Run
) -> tuple[float, ...]:
    """Return Example-F1 on the test documents untrained, after stage 3 and after stage 4."""
    quiet = Reporter(Console(quiet=True))
    stages = Pipeline.create(config, data, find_models(config), accelerator, quiet, run)
    evidence = stages.compare()
    core = stages.mine(evidence)
    run.log_metrics(stages.core_quality(core), step=0)
    targets = stages.targets(core, evidence)
    trained = stages.train(evidence, targets, stages.split(targets))
    results = [stages.zero_shot(evidence), stages.classify(trained)]
    trained = stages.self_train(trained)
    results.append(stages.classify(trained))
    qualities = [
        log_quality(run, data, result, stage, trained.step)
        for stage, result in zip(STAGES, results, strict=True)
    ]
    return tuple(
        quality[f"{stage}/example_f1"] for stage, quality in zip(STAGES, qualities, strict=True)
    )


if __name__ == "__main__":
    run_recipe(main, AblationConfig, COMPARISONS)
