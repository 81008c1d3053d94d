"""Rules of the advice that a run gives about its figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

import toolkit
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.advice import EpochLosses
from toolkit_recipes.taxoclass.advice import History
from toolkit_recipes.taxoclass.advice import advice
from toolkit_recipes.taxoclass.advice import read_history
from toolkit_recipes.taxoclass.recording import say_advice

STAGE1 = {"stage1/similarity_mean": 0.07, "stage1/similarity_std": 0.09}
STAGE2 = {"stage2/num_core_classes": 25}


def losses(*pairs: tuple[float, float]) -> History:
    """Training and validation losses of epochs."""
    return History(epochs=tuple(EpochLosses(train, val) for train, val in pairs))


def iterations(*pairs: tuple[float, float]) -> History:
    """Confidence ratio and target entropy of iterations."""
    names = ("stage4/confidence_ratio", "stage4/avg_target_entropy")
    return History(self_training=tuple(dict(zip(names, pair, strict=True)) for pair in pairs))


def test_nothing_is_said_where_all_is_well() -> None:
    """Figures of a run that fits its data give no advice."""
    falling = losses((0.9, 0.8), (0.5, 0.6), (0.4, 0.5))
    surer = iterations((0.2, 0.4), (0.3, 0.3))
    assert advice(STAGE1, STAGE2, 100) == []
    assert advice(STAGE1, STAGE2, 100, falling) == []
    assert advice(STAGE1, STAGE2, 100, surer) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stage1/similarity_mean": 0.01}, "the mean similarity is 0.010, below 0.03"),
        ({"stage1/similarity_std": 0.02}, "spread by only 0.020, less than 0.04"),
    ],
)
def test_similarity_too_low_or_too_flat(changed: dict[str, float], words: str) -> None:
    """Model and data that don't fit, and classes that look alike, are each named."""
    (found,) = advice(STAGE1 | changed, STAGE2, 100)
    assert words in found


@pytest.mark.parametrize(
    ("count", "words"),
    [(9, "9 of 100 classes (9%)"), (61, "61 of 100 classes (61%)"), (10, ""), (60, "")],
)
def test_core_classes_far_from_usual(count: int, words: str) -> None:
    """Less than half of 20 % and more than twice 30 % are far from the usual share."""
    found = advice(STAGE1, {"stage2/num_core_classes": count}, 100)
    assert bool(found) == bool(words)
    assert words in "".join(found)


def test_learning_by_heart_is_named_with_its_epoch() -> None:
    """The validation loss rises after its best epoch while the training loss goes on falling."""
    (found,) = advice(STAGE1, STAGE2, 100, losses((0.9, 0.8), (0.5, 0.6), (0.3, 0.7)))
    assert "after epoch 2 the validation loss rose from 0.6000 to 0.7000" in found


def test_losses_that_both_rise_are_not_learning_by_heart() -> None:
    """A rate that is too high makes both rise; that is another matter."""
    assert advice(STAGE1, STAGE2, 100, losses((0.5, 0.6), (0.7, 0.8))) == []


def test_self_training_that_becomes_less_sure() -> None:
    """A confidence ratio that falls and an entropy that rises are each named."""
    ratio, entropy = advice(STAGE1, STAGE2, 100, iterations((0.5, 0.2), (0.4, 0.3)))
    assert "confidence ratio fell from 0.5000 to 0.4000" in ratio
    assert "entropy of the targets rose from 0.2000 to 0.3000" in entropy


def test_small_changes_are_not_named() -> None:
    """A change below one hundredth of the figure is noise."""
    assert advice(STAGE1, STAGE2, 100, losses((0.5, 0.600), (0.4, 0.601))) == []
    assert advice(STAGE1, STAGE2, 100, iterations((0.5, 0.2), (0.499, 0.201))) == []


def test_the_history_is_read_from_the_run(tmp_path: Path) -> None:
    """Of a run that goes on: epochs with both losses, and iterations, among all other metrics."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        run.log_metrics({"stage3/train_loss": 0.9, "stage3/epoch": 0}, step=0)
        for epoch, (train, val) in enumerate([(0.5, 0.6), (0.3, 0.7)], start=1):
            values = {"stage3/epoch_train_loss": train, "stage3/epoch_val_loss": val}
            run.log_metrics(values | {"stage3/best_epoch": 1}, step=epoch)
        run.log_metrics({"stage3/epoch_train_loss": 0.2}, step=3)
        (iteration,) = iterations((0.5, 0.2)).self_training
        run.log_metrics(iteration, step=4)
        assert run.dir
        found = read_history(run.dir)
    assert found.epochs == losses((0.5, 0.6), (0.3, 0.7)).epochs
    assert found.self_training == (iteration,)


def test_entailment_is_not_measured_by_the_limits_of_cosines() -> None:
    """Probabilities of unrelated pairs are next to 0; named is a model that says yes or no to all.

    The key to change is that of the language inference model.
    """
    usual = {
        "stage1/similarity_min": 0.001,
        "stage1/similarity_max": 0.98,
        "stage1/similarity_mean": 0.01,
        "stage1/similarity_std": 0.02,
    }
    assert advice(usual, STAGE2, 100, backend="entailment") == []
    (never,) = advice(usual | {"stage1/similarity_max": 0.4}, STAGE2, 100, backend="entailment")
    assert "highest probability of entailment is 0.400" in never
    (always,) = advice(usual | {"stage1/similarity_min": 0.6}, STAGE2, 100, backend="entailment")
    assert "lowest probability of entailment is 0.600" in always
    assert all("similarity.model" in sentence for sentence in (never, always))


def test_the_run_keeps_advice_for_its_backend(tmp_path: Path) -> None:
    """The same figures are worth a word as cosines, and none as probabilities."""
    figures = {
        "stage1/similarity_min": 0.001,
        "stage1/similarity_max": 0.98,
        "stage1/similarity_mean": 0.01,
        "stage1/similarity_std": 0.02,
    }
    cases: list[tuple[Literal["embedding", "entailment"], bool]]
    cases = [("embedding", True), ("entailment", False)]
    for backend, expected in cases:
        shown = io.StringIO()
        with toolkit.start_run(runs_dir=tmp_path) as run:
            say_advice(run, Reporter(Console(file=shown)), figures, STAGE2, 100, backend)
        assert ("mean similarity" in shown.getvalue()) == expected
