"""Train DBNet to find text on pages.

    accelerate launch recipes/dbnet.py [preset=NAME] [config=FILE] [key=value ...]

``help`` lists the keys. Without ``data.train=FOLDER`` it learns from generated receipts.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator

from accelerate.utils import gather_object

from toolkit_recipes.config import as_dict
from toolkit_recipes.dbnet.dataset import TrainingBatch
from toolkit_recipes.dbnet.dataset import TrainingPages
from toolkit_recipes.dbnet.epochs import Keeper
from toolkit_recipes.dbnet.epochs import Progress
from toolkit_recipes.dbnet.evaluation import Evaluator
from toolkit_recipes.dbnet.evaluation import none_readable
from toolkit_recipes.dbnet.kept_pages import keep_drawn
from toolkit_recipes.dbnet.loading import Share
from toolkit_recipes.dbnet.loading import steps_per_epoch
from toolkit_recipes.dbnet.loading import training_steps
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.network import build_network
from toolkit_recipes.dbnet.pages import find_pages
from toolkit_recipes.dbnet.presets import PRESETS
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.recording import Recording
from toolkit_recipes.dbnet.trainer import Trainer
from toolkit_recipes.loop import environment
from toolkit_recipes.loop import main_process_first
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.loop import start_reporter
from toolkit_recipes.tracking import start_recipe_run

PROJECT = "ocr-receipt-detection"
TAGS = ("baseline", "dbnet")


def main(config: DbnetConfig) -> None:
    """Train epoch by epoch, measure after each, and test the best network at the end."""
    pages = find_pages(config)
    accelerator = start_accelerator(config.mixed_precision, config.seed, config.threads)
    reporter = start_reporter(accelerator)
    pages = keep_drawn(pages, accelerator)
    with main_process_first(accelerator):
        network, origin = build_network(config.model)
    training = config.training
    share = Share.of(training, accelerator)
    steps = steps_per_epoch(len(pages.train), training.batch_size)
    loss = DBLoss(config.loss, config.model.k)
    trainer = Trainer.create(
        accelerator, network, loss, training, training.epochs * steps, config.seed
    )
    evaluator = Evaluator(accelerator, loss, config, reporter)

    with start_recipe_run(config, config.tracking, PROJECT, TAGS) as run:
        recording = Recording(run, reporter, config.log_interval, steps, accelerator.num_processes)
        setting = environment(accelerator, config.seed) | {
            "backbone_weights": config.model.weights or origin
        }
        keeper = Keeper.create(run, accelerator, config, pages)
        progress, best = keeper.restore(trainer)
        recording.begin(as_dict(config), setting, pages)
        batches = training_steps(
            TrainingPages.of(pages.train, config),
            share,
            range(progress.epoch, training.epochs),
            config.data.workers,
        )
        while not progress.is_over:
            reporter.stage(f"Epoch {progress.epoch + 1} of {training.epochs}")
            turns = reporter.track(range(steps), "training")
            progress = learn(trainer, turns, batches, recording, progress)
            measured = evaluator.measure(trainer.best_guess, pages.val, "validation")
            recording.epoch(progress, measured)
            progress, best = keeper.end_epoch(trainer, progress, best, measured.figures)

        network.load_state_dict(best)
        test = evaluator.measure(network, pages.test, "test") if pages.test else None
        recording.end(progress, test)
    accelerator.end_training()


def learn(
    trainer: Trainer,
    steps: Iterable[int],
    batches: Iterator[list[TrainingBatch]],
    recording: Recording,
    progress: Progress,
) -> Progress:
    """Take the steps of an epoch, each from the next batch; returns the progress after them.

    Raises:
        UsageError: none of the pages could be read.
    """
    recording.resume_timing()
    count = 0
    problems: list[str] = []
    for _ in steps:
        parts = next(batches)
        losses = trainer.step(progress.step, parts)
        recording.step(progress, losses, trainer.schedule.rate(progress.step), parts)
        progress = progress.after_step()
        count += sum(len(part.images) for part in parts)
        problems += [problem for part in parts for problem in part.problems]
    problems = gather_object(problems)
    if len(problems) == count * trainer.accelerator.num_processes:
        raise none_readable("training", list(dict.fromkeys(problems)))
    trainer.settle()
    return progress


if __name__ == "__main__":
    run_recipe(main, DbnetConfig, PRESETS)
