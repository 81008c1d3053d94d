"""Put documents into a taxonomy from class names alone: the four stages of TaxoClass.

    accelerate launch recipes/taxoclass.py [preset=NAME] [config=FILE] [key=value ...]

``help`` lists the keys. Without ``data=FOLDER`` it works on the small corpus that comes with it.
"""

from __future__ import annotations

import time

from toolkit_recipes.config import as_dict
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import main_process_first
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.loop import start_reporter
from toolkit_recipes.paths import given_path
from toolkit_recipes.taxoclass.core_classes import mining_statistics
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.evidence import find_models
from toolkit_recipes.taxoclass.level_calibration import calibration_errors
from toolkit_recipes.taxoclass.pipeline import Pipeline
from toolkit_recipes.taxoclass.presets import PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import check_together
from toolkit_recipes.taxoclass.recording import log_final
from toolkit_recipes.taxoclass.recording import log_quality
from toolkit_recipes.taxoclass.recording import say_advice
from toolkit_recipes.taxoclass.similarity import similarity_statistics
from toolkit_recipes.taxoclass.targets import target_statistics
from toolkit_recipes.tracking import start_recipe_run

PROJECT = "taxoclass-hierarchical"
TAGS = ("hierarchical", "taxonomy", "gnn")


def main(config: TaxoClassConfig) -> None:
    """Run all stages, and measure on the test documents what each of them is worth."""
    started = time.monotonic()
    check_together(config)
    data = read_dataset(SAMPLE if config.data is None else given_path(config.data))
    accelerator = start_accelerator(config.mixed_precision, config.seed, config.threads)
    reporter = start_reporter(accelerator)
    with main_process_first(accelerator):
        models = find_models(config)

    with start_recipe_run(config, config.tracking, PROJECT, TAGS) as run:
        setting = environment(accelerator, config.seed) | models.sources()
        run.log_params(as_dict(config) | setting)
        run.log_dict(as_dict(config), "config.json")
        reporter.table("Setting", data.summary() | setting)
        stages = Pipeline.create(config, data, models, accelerator, reporter, run)

        reporter.stage("Stage 1: similarity of documents and classes")
        evidence = stages.compare()
        stage1 = similarity_statistics(evidence.similarity(evidence.corpus))
        run.log_metrics(stage1, step=0)

        reporter.stage("Stage 2: candidate and core classes")
        core = stages.mine(evidence)
        stage2 = mining_statistics(core) | stages.core_quality(core)
        run.log_metrics(stage2, step=0)
        zero_shot = log_quality(run, data, stages.zero_shot(evidence), "zero_shot", step=0)

        reporter.stage("Stage 3: train the classifier")
        targets = stages.targets(core, evidence)
        split = stages.split(targets)
        counts = {"stage3/train_samples": len(split.train), "stage3/val_samples": len(split.val)}
        stage3 = target_statistics(targets) | counts
        run.log_metrics(stage3, step=0)
        trained = stages.train(evidence, targets, split)
        before = log_quality(run, data, stages.classify(trained), "stage3_test", trained.step)

        reporter.stage("Stage 4: self-training")
        trained = stages.self_train(trained)

        reporter.stage("Test")
        scores = stages.scores(trained)
        decoded = decode(scores, data.taxonomy)
        quality = log_quality(run, data, decoded, "test", trained.step)
        errors = calibration_errors(trained.levels, scores, data.test_gold, data.taxonomy)
        run.log_metrics(errors, step=trained.step)
        log_final(run, data, decoded, quality, hours=(time.monotonic() - started) / 3600)
        stages.keep_model(trained, quality | errors)
        reporter.table("Results", stage1 | stage2 | stage3 | zero_shot | before | quality | errors)
        say_advice(run, reporter, stage1, stage2, len(data.taxonomy), config.similarity.backend)
        if run.dir:
            reporter.say(f"Recorded in {run.dir}; look at it with `toolkit runs show {run.id}`")
    accelerator.end_training()


if __name__ == "__main__":
    run_recipe(main, TaxoClassConfig, PRESETS)
