"""A killed training goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load

from tests.recipes.launching import run_plainly
from tests.recipes.tracked import curves
from tests.recipes.tracked import kill_at
from tests.recipes.tracked import lines
from tests.recipes.tracked import start
from tests.waiting import LIMIT
from toolkit import recorded
from toolkit.rundir import RunDir

SETTINGS = (
    "synthetic.train_pages=16",
    "synthetic.val_pages=3",
    "synthetic.height=128",
    "augmentation.crop=64",
    "augmentation.rotation=5",
    "augmentation.colour=0.5",
    "evaluation.long_side=128",
    "model.width=0.125",
    "model.neck_channels=16",
    "training.batch_size=2",
    "training.epochs=3",
    "training.patience=3",
    "training.ema=0.9",
    "data.workers=1",
    "log_interval=1",
)
STEPS = 24
"""Eight in each of three epochs."""


def _models(folder: Path) -> dict[str, bytes]:
    """The weights of every kept epoch."""
    return {
        line["name"]: (run / file["path"]).read_bytes()
        for run in (folder / "runs").iterdir()
        for line in lines(folder)
        if line["kind"] == "artifact"
        for file in line["files"]
        if file["name"] == "model.safetensors"
    }


def _artifact(folder: Path, name: str, copy: Path) -> Path:
    """Bring the files of an artifact of the only run together."""
    (run,) = (folder / "runs").iterdir()
    for line in lines(folder):
        if line["kind"] == "artifact" and line["name"] == name:
            for file in line["files"]:
                target = copy / file["name"]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(run / file["path"], target)
    return copy


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, "dbnet.py", *SETTINGS).wait(LIMIT) == 0
    return folder


@pytest.mark.parametrize("seed", [4, 5])
def test_killed_and_resumed_is_the_same(tmp_path: Path, undisturbed: Path, seed: int) -> None:
    """Killed at any step: the same weights bit for bit, one run, the same points on every curve."""
    step = random.Random(seed).randrange(1, STEPS - 1)
    kill_at(tmp_path, start(tmp_path, "dbnet.py", *SETTINGS), "dbnet.py", "train/loss", step + 1)
    (run,) = os.listdir(tmp_path / "runs")
    assert start(tmp_path, "dbnet.py", *SETTINGS, resume=run).wait(LIMIT) == 0
    assert os.listdir(tmp_path / "runs") == [run]
    assert len(curves(undisturbed)["train/loss"]) == STEPS
    assert curves(tmp_path) == curves(undisturbed)
    assert _models(tmp_path) == _models(undisturbed)


def test_training_goes_on_from_a_kept_model(tmp_path: Path, undisturbed: Path) -> None:
    """A new run from the model of an epoch ends as the run that went on by itself."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    started = start(tmp_path, "dbnet.py", *SETTINGS, f"training.start_from={kept}")
    assert started.wait(LIMIT) == 0
    later = {
        name: [(step, value) for step, value in points if step > 8 - name.startswith("train/")]
        for name, points in curves(undisturbed).items()
    }
    assert len(later["train/loss"]) == 16
    assert curves(tmp_path) == later
    models = _models(undisturbed)
    del models["model-epoch-01"]
    assert _models(tmp_path) == models


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.neck_channels=32", "was trained with model "),
        ("training.ema=0", "was trained with training.ema 0.9, not 0"),
        ("training.epochs=1", "has had 1 epochs; give more than that"),
        ("training.batch_size=4", "its epochs had 8 steps, and now have 4"),
    ],
)
def test_what_cant_be_gone_on_from_is_refused(
    tmp_path: Path, undisturbed: Path, change: str, complaint: str
) -> None:
    """Another network, another mean of the weights, other steps, or no epochs left."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    done = run_plainly(tmp_path, "dbnet.py", *SETTINGS, f"training.start_from={kept}", change).done
    assert done.returncode == 2
    assert f"training.start_from={kept}: {complaint}" in done.stderr


def test_a_refused_resume_changes_nothing(tmp_path: Path, undisturbed: Path) -> None:
    """The params stay those that the run was trained with, which the message points to."""
    shutil.copytree(undisturbed / "runs", tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    before = recorded.overview(RunDir(run)).params
    assert start(tmp_path, "dbnet.py", *SETTINGS, "training.lr=0.5", resume=run.name).wait(LIMIT)
    assert recorded.overview(RunDir(run)).params == before


def test_a_model_without_its_state_cant_be_gone_on_from(tmp_path: Path, undisturbed: Path) -> None:
    """It is good for prediction only."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    shutil.rmtree(kept / "state")
    done = run_plainly(tmp_path, "dbnet.py", *SETTINGS, f"training.start_from={kept}").done
    assert done.returncode == 2
    assert "has no state/, so it can be used, but not gone on from" in done.stderr


def test_a_new_training_begins_with_kept_weights(tmp_path: Path, undisturbed: Path) -> None:
    """At step 0 of a whole training of its own; without ever learning, it ends with them."""
    kept = _artifact(undisturbed, "model-epoch-02", tmp_path / "kept")
    shutil.rmtree(kept / "state")
    changes = (f"model.weights={kept}", "training.lr=1e-12", "training.ema=0")
    assert start(tmp_path, "dbnet.py", *SETTINGS, *changes).wait(LIMIT) == 0
    assert [step for step, _ in curves(tmp_path)["train/loss"]] == list(range(STEPS))
    before, after = (
        load(_models(folder)[name])
        for folder, name in ((undisturbed, "model-epoch-02"), (tmp_path, "model-epoch-03"))
    )
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    assert len(learned) > 60
    assert all((before[name] - after[name]).abs().max() < 1e-8 for name in learned)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.neck_channels=32", "has model.neck_channels=16, not 32; give the same"),
        ("training.start_from=runs/1", "training.start_from goes on with weights of its own"),
    ],
)
def test_kept_weights_that_do_not_fit_are_refused(
    tmp_path: Path, undisturbed: Path, change: str, complaint: str
) -> None:
    """Weights of another network, or of two."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    done = run_plainly(tmp_path, "dbnet.py", *SETTINGS, f"model.weights={kept}", change).done
    assert done.returncode == 2
    assert f"model.weights={kept}: " in done.stderr
    assert complaint in done.stderr
