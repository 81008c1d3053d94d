"""A killed run goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
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


def _track(folder: Path, encoder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "toolkit", "track", *options, "--", sys.executable]
    command += [str(RECIPES / "taxoclass.py"), f"encoder.model={encoder}", *SETTINGS]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _lines(folder: Path) -> Iterator[dict[str, object]]:
    for segment in sorted((folder / "runs").glob("*/journal/*.jsonl")):
        for line in segment.read_text(encoding="utf-8").split("\n")[:-1]:
            yield json.loads(line)


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every metric's points in the order they were recorded."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in _lines(folder):
        if line["kind"] == "metrics":
            for name, value in line["values"].items():  # type: ignore[attr-defined]
                found.setdefault(name, []).append((line["step"], value))  # type: ignore[arg-type]
    return found


def _result(folder: Path) -> dict[str, bytes]:
    """The weights that stages 3 and 4 ended with."""
    return {f.name: f.read_bytes() for f in (folder / "runs").glob("*/cache/stage[34]-*")}


def _kill_at(folder: Path, tracked: subprocess.Popen[bytes], metric: str, points: int) -> None:
    """Kill the recipe, not what tracks it, once a curve has so many points."""
    end = time.monotonic() + LIMIT
    while len(_curves(folder).get(metric, [])) < points:
        assert tracked.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.1)
    (recipe,) = (
        child
        for child in psutil.Process(tracked.pid).children(recursive=True)
        if child.cmdline()[1:2] == [str(RECIPES / "taxoclass.py")]
    )
    recipe.kill()
    assert tracked.wait(LIMIT) == 128 + 9


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The folder of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert _track(folder, tiny_encoder).wait(LIMIT) == 0
    return folder


STEPS = {"stage3/train_loss": 45, "stage4/self_train_loss": 20}
"""About as many points as each curve has."""


@pytest.mark.parametrize("seed", [3, 7])
@pytest.mark.parametrize("metric", STEPS)
def test_killed_and_resumed_is_the_same(
    tmp_path: Path, tiny_encoder: Path, undisturbed: Path, metric: str, seed: int
) -> None:
    """Killed at any step: the same weights bit for bit, one run, the same points on every curve."""
    points = random.Random(seed).randrange(1, STEPS[metric] * 9 // 10)
    _kill_at(tmp_path, _track(tmp_path, tiny_encoder), metric, points)
    before = _result(tmp_path)
    assert len(before) == (1 if metric.startswith("stage4") else 0)
    (run,) = os.listdir(tmp_path / "runs")
    assert _track(tmp_path, tiny_encoder, "--resume", run).wait(LIMIT) == 0
    assert os.listdir(tmp_path / "runs") == [run]
    assert len(_result(undisturbed)) == 2
    assert _result(tmp_path) == _result(undisturbed)
    assert _curves(tmp_path) == _curves(undisturbed)
    assert not list((tmp_path / "runs" / run / "checkpoints").rglob("*.safetensors"))


def test_curves_are_as_long_as_thought(undisturbed: Path) -> None:
    """The steps at which the others are killed are those of the run."""
    curves = _curves(undisturbed)
    assert all(count <= len(curves[metric]) for metric, count in STEPS.items())
