"""Rules of stage 3: which epoch is kept, when training stops, and what it can't go on from."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from attrs import evolve
from attrs import field
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

import toolkit
from toolkit.errors import UsageError
from toolkit.events import Metrics
from toolkit.journal import events_of
from toolkit.run import Run
from toolkit.rundir import RunDir
from toolkit_recipes.console import Reporter
from toolkit_recipes.storage import Checkpoint
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import ClassMatcher
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import Schedule
from toolkit_recipes.taxoclass.learner import StepOptions
from toolkit_recipes.taxoclass.learner import VectorDocuments
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.taxonomy import build
from toolkit_recipes.taxoclass.training import Journal
from toolkit_recipes.taxoclass.training import Progress
from toolkit_recipes.taxoclass.training import Split
from toolkit_recipes.taxoclass.training import Training
from toolkit_recipes.taxoclass.training import split_documents

TREE = build("abcd", "abcd", [(0, 1), (0, 2)])
VECTORS = torch.randn(8, 8, generator=torch.Generator().manual_seed(2))
SAME_TWICE = VectorDocuments(torch.cat([VECTORS, VECTORS]))
"""Documents 0 to 7, and the same again as 8 to 15."""
POSITIVE = torch.randint(0, 2, (8, 4), generator=torch.Generator().manual_seed(3))
AGREEING = torch.cat([POSITIVE, POSITIVE])
CONTRADICTING = torch.cat([POSITIVE, 1 - POSITIVE])
"""What is learned from the first eight is wrong for the last eight."""
HALVES = Split(train=list(range(8)), val=list(range(8, 16)))
DIVERGING = 1e30
SILENT = Run("none", None, lambda status: None)


def _learner(rate: float) -> Learner:
    """A small classifier, the same one each time, that begins near probabilities of one half."""
    torch.manual_seed(0)
    features = torch.randn(4, 8)
    undecided = ClassifierConfig(dropout=0.0, initial_scale=0.01, initial_bias=0.0)
    matcher = ClassMatcher(8, features, both_directions(TREE), undecided)
    schedule = Schedule(rate, rate, steps=1, falls=False)
    return Learner.create(Accelerator(), matcher, SAME_TWICE, StepOptions(schedule, seed=1))


def _training(rate: float, targets: Tensor, epochs: int, folder: Path | None = None) -> Training:
    """Two steps per epoch."""
    return Training(
        learner=_learner(rate),
        targets=targets,
        split=HALVES,
        epochs=epochs,
        batch_size=4,
        patience=2,
        seed=1,
        journal=Journal(SILENT, Reporter(Console(quiet=True)), 1, checkpoint_every=2),
        checkpoints=Checkpoints(folder, "k", Accelerator()),
    )


def _assert_same_weights(one: Learner, other: Learner) -> None:
    expected = other.weights()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in one.weights().items())


def test_training_stops_after_patience_and_keeps_the_best_weights() -> None:
    """The validation loss rises from the first epoch on: two more, then the first one's weights."""
    training, one_epoch = (_training(0.01, CONTRADICTING, epochs) for epochs in (9, 1))
    progress, first = training.run(), one_epoch.run()
    assert (progress.best_epoch, progress.epoch, progress.step) == (1, 3, 6)
    assert progress.best_val_loss == first.best_val_loss
    _assert_same_weights(training.learner, one_epoch.learner)


def test_training_goes_on_while_the_loss_falls() -> None:
    """Held-out documents that agree: the last of all epochs is the best."""
    progress = _training(0.01, AGREEING, epochs=6).run()
    assert (progress.best_epoch, progress.epoch, progress.is_over) == (6, 6, False)


def test_without_held_out_documents_the_last_epoch_is_kept() -> None:
    """There is nothing to stop by: all epochs are run, and no validation loss is the best."""
    training = evolve(_training(0.01, AGREEING, 4), split=Split(train=list(range(8)), val=[]))
    progress = training.run()
    assert (progress.best_epoch, progress.epoch, progress.is_over) == (4, 4, False)
    assert progress.best_val_loss == math.inf


def test_a_diverged_epoch_is_never_the_best(tmp_path: Path) -> None:
    """After an epoch that was finite, losses that aren't: the weights of the former come back."""
    first = _training(0.01, AGREEING, epochs=1)
    progress = first.run()
    kept = first.learner.weights()
    with toolkit.start_run(runs_dir=tmp_path) as run:
        second = _training(DIVERGING, AGREEING, epochs=5)
        second.learner.restore(kept)
        journal = evolve(second.journal, run=run)
        after = evolve(second, journal=journal, first=progress).run()
        assert run.dir
        losses = _points(run.dir, "stage3/epoch_val_loss")
    assert losses
    assert not any(math.isfinite(loss) for _, loss in losses)
    assert (after.best_epoch, after.best_val_loss) == (1, progress.best_val_loss)
    assert after.epoch == 3, "patience counts from the beginning of the phase"
    _assert_same_weights(second.learner, first.learner)


@pytest.mark.parametrize("val", [HALVES.val, []])
def test_training_that_never_was_finite_says_what_to_change(val: list[int]) -> None:
    """With held-out documents or without, NaN is no result."""
    training = evolve(_training(DIVERGING, AGREEING, epochs=5), split=Split(HALVES.train, val))
    with pytest.raises(UsageError) as caught:
        training.run()
    for key in ("training.head_lr", "training.encoder_lr", "mixed_precision"):
        assert key in str(caught.value)


@frozen
class Watched(Checkpoints):
    """Checkpoints that remember at which steps they were saved."""

    steps: list[int] = field(factory=list)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save, and remember the step."""
        self.steps.append(checkpoint.progress["step"])
        Checkpoints.save(self, checkpoint)


@pytest.mark.parametrize("every", [1, 2])
def test_the_last_step_of_an_epoch_has_one_checkpoint(tmp_path: Path, every: int) -> None:
    """Where an epoch ends at a step for a checkpoint, only that of the epoch's end is saved."""
    checkpoints = Watched(tmp_path, "k", Accelerator())
    training = _training(0.01, AGREEING, epochs=2)
    journal = evolve(training.journal, checkpoint_every=every)
    progress = evolve(training, journal=journal, checkpoints=checkpoints).run()
    assert checkpoints.steps == list(range(every, 5, every))
    checkpoint = checkpoints.load()
    assert checkpoint
    assert Progress.restored(checkpoint.progress) == progress


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Three epochs are one epoch, and two more in another process: the same weights."""
    whole = _training(0.01, AGREEING, epochs=3)
    _training(0.01, AGREEING, epochs=1, folder=tmp_path).run()
    resumed = _training(0.01, AGREEING, epochs=3, folder=tmp_path)
    assert resumed.run() == whole.run()
    _assert_same_weights(resumed.learner, whole.learner)


def test_progress_survives_as_json() -> None:
    """Infinity, which JSON hasn't, comes back."""
    for progress in (Progress(), Progress(step=3, epoch=1, best_val_loss=0.5, best_epoch=1)):
        assert Progress.restored(progress.saved()) == progress
    assert Progress().saved()["best_val_loss"] is None


@given(st.lists(st.sampled_from([1, 0, -1]), min_size=1, max_size=30), st.floats(0, 0.99))
def test_documents_are_split_among_those_with_a_core_class(values: list[int], share: float) -> None:
    """Every document with a positive is on one side, none else; one is learned from at least."""
    targets = torch.tensor([*values, 1])[:, None]
    rows = [row for row, value in enumerate([*values, 1]) if value == 1]
    split = split_documents(targets, share, seed=5)
    assert sorted(split.train + split.val) == rows
    assert len(split.val) == min(round(share * len(rows)), len(rows) - 1)
    assert split == split_documents(targets, share, seed=5)


def test_the_split_follows_from_the_seed() -> None:
    """Another seed holds out other documents."""
    targets = torch.ones(40, 2)
    assert split_documents(targets, 0.5, seed=1) != split_documents(targets, 0.5, seed=2)


def test_no_core_class_at_all_says_what_to_change() -> None:
    """Targets without a single positive teach nothing: the settings of stage 2 are named."""
    with pytest.raises(UsageError, match=r"mining\.rule=gap .* mining\.share"):
        split_documents(torch.full((5, 3), -1), 0.1, seed=1)


def _points(run_dir: Path, name: str) -> list[tuple[int | None, float]]:
    logged = [event for _, event in events_of(RunDir(run_dir).journal, Metrics)]
    events = [event for event in logged if isinstance(event, Metrics)]
    return [(event.step, event.values[name]) for event in events if name in event.values]
