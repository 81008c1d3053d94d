"""Change one part of TaxoClass at a time, and measure what it was worth.

    python recipes/taxoclass_ablation.py data=FOLDER [preset=NAME] [parts=PART,...] [key=value ...]

``help`` lists the keys. Each variant becomes a child of the run that this starts, so that a tracker
compares them; texts are encoded once. Labels of the test documents measure, nothing learns from
them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs
from accelerate import Accelerator
from rich.console import Console

import toolkit
from toolkit.run import Run
from toolkit_recipes.config import as_dict
from toolkit_recipes.config import changed
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.taxoclass.ablation import COMPARISONS
from toolkit_recipes.taxoclass.ablation import AblationConfig
from toolkit_recipes.taxoclass.ablation import variants
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.evidence import find_models
from toolkit_recipes.taxoclass.pipeline import Pipeline
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import check_together
from toolkit_recipes.taxoclass.recording import log_quality

PROJECT = "taxoclass-hierarchical"
STAGES = ("zero_shot", "stage3_test", "test")


def main(config: AblationConfig) -> None:
    """Measure the unchanged configuration, then every variant."""
    unchanged = config.unchanged
    data = read_dataset(SAMPLE if unchanged.data is None else Path(unchanged.data).expanduser())
    accelerator = start_accelerator(unchanged.mixed_precision, unchanged.seed, unchanged.threads)
    reporter = Reporter(Console())
    columns: dict[str, list[str | float]] = {name: [] for name in ("variant", *STAGES)}
    tags = ["taxonomy", "ablation"]
    with (
        tempfile.TemporaryDirectory() as folder,
        toolkit.start_run(project=PROJECT, tags=tags) as run,
    ):
        run.log_params(as_dict(config) | environment(accelerator, unchanged.seed))
        cached = attrs.evolve(unchanged, cache=unchanged.cache or folder)
        for variant in reporter.track(variants(config.parts), "variants"):
            varied = changed(cached, variant.settings)
            with toolkit.start_run(name=variant.name, nested=True, group="ablation") as child:
                child.log_params(as_dict(varied))
                found = _measure(varied, data, accelerator, child)
            columns["variant"].append(variant.name)
            for stage, value in zip(STAGES, found, strict=True):
                columns[stage].append(value)
            reporter.say(f"{variant.name}: " + ", ".join(f"{value:.4f}" for value in found))
        run.log_table(columns, "ablation/example_f1")


def _measure(
    config: TaxoClassConfig, data: Dataset, accelerator: Accelerator, run: Run
) -> tuple[float, ...]:
    """Return Example-F1 on the test documents untrained, after stage 3 and after stage 4."""
    check_together(config)
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
