"""A killed run goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.recipes.tracked import curves
from tests.recipes.tracked import kill_at
from tests.recipes.tracked import start
from tests.waiting import LIMIT

SETTINGS = (
    "training.encoder=full",
    "training.head_epochs=1",
    "training.epochs=2",
    "training.batch_size=8",
    "self_training.iterations=2",
    "self_training.refresh_every=10",
    "self_training.batch_size=8",
    "self_training.tolerance=0",
    "self_training.agreement=0",
    "log_interval=1",
    "checkpoint_every=7",
)


def _start(folder: Path, encoder: Path, resume: str | None = None) -> subprocess.Popen[bytes]:
    return start(folder, "taxoclass.py", f"encoder.model={encoder}", *SETTINGS, resume=resume)


def _result(folder: Path) -> dict[str, bytes]:
    """The weights that stages 3 and 4 ended with."""
    return {f.name: f.read_bytes() for f in (folder / "runs").glob("*/cache/stage[34]-*")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The folder of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert _start(folder, tiny_encoder).wait(LIMIT) == 0
    return folder


STEPS = {"stage3/train_loss": 45, "stage4/self_train_loss": 20}
"""About as many points as each curve has."""


@pytest.mark.parametrize(("metric", "seed"), list(zip(STEPS, (3, 7), strict=True)))
def test_killed_and_resumed_is_the_same(
    tmp_path: Path, tiny_encoder: Path, undisturbed: Path, metric: str, seed: int
) -> None:
    """Killed at any step: the same weights bit for bit, one run, the same points on every curve."""
    points = random.Random(seed).randrange(1, STEPS[metric] * 9 // 10)
    kill_at(tmp_path, _start(tmp_path, tiny_encoder), "taxoclass.py", metric, points)
    before = _result(tmp_path)
    assert len(before) == (1 if metric.startswith("stage4") else 0)
    (run,) = os.listdir(tmp_path / "runs")
    assert _start(tmp_path, tiny_encoder, resume=run).wait(LIMIT) == 0
    assert os.listdir(tmp_path / "runs") == [run]
    assert len(_result(undisturbed)) == 2
    assert _result(tmp_path) == _result(undisturbed)
    assert curves(tmp_path) == curves(undisturbed)
    assert not list((tmp_path / "runs" / run / "checkpoints").rglob("*.safetensors"))


def test_curves_are_as_long_as_thought(undisturbed: Path) -> None:
    """The steps at which the others are killed are those of the run."""
    recorded = curves(undisturbed)
    assert all(count <= len(recorded[metric]) for metric, count in STEPS.items())


def test_resumed_with_other_settings_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    """Else two trainings would make one curve."""
    kill_at(tmp_path, _start(tmp_path, tiny_encoder), "taxoclass.py", "stage3/train_loss", 25)
    (run,) = os.listdir(tmp_path / "runs")
    before = curves(tmp_path)
    other = (f"encoder.model={tiny_encoder}", *SETTINGS, "training.head_lr=0.005")
    assert start(tmp_path, "taxoclass.py", *other, resume=run).wait(LIMIT) == 2
    assert curves(tmp_path)["stage3/train_loss"] == before["stage3/train_loss"]
