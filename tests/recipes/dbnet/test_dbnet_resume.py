"""A killed training goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from tests.recipes.launching import run_plainly
from tests.waiting import LIMIT
from tests.waiting import wait_until

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


def _track(folder: Path, *options: str, more: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "toolkit", "track", *options, "--", sys.executable]
    return subprocess.Popen(
        [*command, str(RECIPES / "dbnet.py"), *SETTINGS, *more],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for segment in sorted((folder / "runs").glob("*/journal/*.jsonl")):
        for line in segment.read_text(encoding="utf-8").split("\n")[:-1]:
            yield json.loads(line)


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every metric's points in the order they were recorded, but for those that measure time."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in _lines(folder):
        if line["kind"] == "metrics":
            for name, value in line["values"].items():
                if name != "train/images_per_second":
                    found.setdefault(name, []).append((line["step"], value))
    return found


def _models(folder: Path) -> dict[str, bytes]:
    """The weights of every kept epoch."""
    return {
        line["name"]: (run / file["path"]).read_bytes()
        for run in (folder / "runs").iterdir()
        for line in _lines(folder)
        if line["kind"] == "artifact"
        for file in line["files"]
        if file["name"] == "model.safetensors"
    }


def _artifact(folder: Path, name: str, copy: Path) -> Path:
    """Bring the files of an artifact of the only run together."""
    (run,) = (folder / "runs").iterdir()
    for line in _lines(folder):
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
    assert _track(folder).wait(LIMIT) == 0
    return folder


@pytest.mark.parametrize("seed", [4, 5])
def test_killed_and_resumed_is_the_same(tmp_path: Path, undisturbed: Path, seed: int) -> None:
    """Killed at any step: the same weights bit for bit, one run, the same points on every curve."""
    step = random.Random(seed).randrange(1, STEPS - 1)
    tracked = _track(tmp_path)
    wait_until(lambda: len(_curves(tmp_path).get("train/loss", [])) > step or tracked.poll())
    (recipe,) = (
        child
        for child in psutil.Process(tracked.pid).children(recursive=True)
        if child.cmdline()[1:2] == [str(RECIPES / "dbnet.py")] and child.ppid() == tracked.pid
    )
    recipe.kill()
    assert tracked.wait(LIMIT) == 128 + 9
    (run,) = os.listdir(tmp_path / "runs")
    assert _track(tmp_path, "--resume", run).wait(LIMIT) == 0
    assert os.listdir(tmp_path / "runs") == [run]
    assert len(_curves(undisturbed)["train/loss"]) == STEPS
    assert _curves(tmp_path) == _curves(undisturbed)
    assert _models(tmp_path) == _models(undisturbed)


def test_training_goes_on_from_a_kept_model(tmp_path: Path, undisturbed: Path) -> None:
    """A new run from the model of an epoch ends as the run that went on by itself."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    done = _track(tmp_path, more=(f"training.start_from={kept}",))
    assert done.wait(LIMIT) == 0
    later = {
        name: [(step, value) for step, value in points if step > 8 - name.startswith("train/")]
        for name, points in _curves(undisturbed).items()
    }
    assert len(later["train/loss"]) == 16
    assert _curves(tmp_path) == later
    models = _models(undisturbed)
    del models["model-epoch-01"]
    assert _models(tmp_path) == models


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.neck_channels=32", "was trained with model "),
        ("training.ema=0", "was trained with training.ema 0.9, not 0"),
        ("training.epochs=1", "has had 1 epochs; give more than that"),
    ],
)
def test_what_cant_be_gone_on_from_is_refused(
    tmp_path: Path, undisturbed: Path, change: str, complaint: str
) -> None:
    """Another network, another mean of the weights, or no epochs left."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    done = run_plainly(tmp_path, "dbnet.py", *SETTINGS, f"training.start_from={kept}", change).done
    assert done.returncode == 2
    assert f"training.start_from={kept}: {complaint}" in done.stderr


def test_a_model_without_its_state_cant_be_gone_on_from(tmp_path: Path, undisturbed: Path) -> None:
    """It is good for prediction only."""
    kept = _artifact(undisturbed, "model-epoch-01", tmp_path / "kept")
    shutil.rmtree(kept / "state")
    done = run_plainly(tmp_path, "dbnet.py", *SETTINGS, f"training.start_from={kept}").done
    assert done.returncode == 2
    assert "has no state/, so it can be used, but not gone on from" in done.stderr
