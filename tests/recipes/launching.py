"""Running a recipe as a user would, and reading back what it recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from toolkit import tables

RECIPES = Path(__file__).parents[2] / "recipes"
_NOT_INHERITED = (
    "TOOLKIT_",
    "MLFLOW_",
    "WANDB_",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "ACCELERATE_",
)
_SET = {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "TOOLKIT_SYSTEM_INTERVAL": "0"}
_LAUNCH = (sys.executable, "-m", "accelerate.commands.launch")
TWO_PROCESSES = ("--multi_gpu", "--num_processes", "2")
"""Two processes that talk over gloo, on a machine without a GPU."""


@frozen
class Launched:
    """A recipe that has run to its end."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind of the only run."""
        (run,) = (self.folder / "runs").iterdir()
        lines = [
            json.loads(line)
            for segment in sorted((run / "journal").glob("*.jsonl"))
            for line in segment.read_text(encoding="utf-8").splitlines()
        ]
        return [line for line in lines if line["kind"] == kind]

    def values(self, kind: str) -> dict[str, Any]:
        """Return all values recorded by events of a kind."""
        return {name: v for event in self.events(kind) for name, v in event["values"].items()}

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return step and value of every point of each metric, in their order."""
        found: dict[str, list[tuple[int, float]]] = {}
        for event in self.events("metrics"):
            for name, value in event["values"].items():
                found.setdefault(name, []).append((event["step"], value))
        return found

    def table(self, name: str) -> dict[str, list[Any]]:
        """Return the columns of the only table of this name."""
        (run,) = (self.folder / "runs").iterdir()
        (path,) = (event["path"] for event in self.events("table") if event["name"] == name)
        rows = tables.read(run / path)
        return {column: [row[i] for row in rows.data] for i, column in enumerate(rows.columns)}

    def file(self, name: str) -> str:
        """Return a recorded text by the path it was given."""
        (run,) = (self.folder / "runs").iterdir()
        paths: list[str] = [event["path"] for event in self.events("text") if event["name"] == name]
        return (run / paths[-1]).read_text(encoding="utf-8")


def launch(folder: Path, script: str, *arguments: str, options: tuple[str, ...] = ()) -> Launched:
    """Run ``accelerate launch [options] script arguments`` in a folder, to its end.

    Each process has one thread, as other tests run beside it.
    """
    return _run(folder, [*_LAUNCH, *options, str(RECIPES / script), "threads=1", *arguments])


def run_plainly(folder: Path, script: str, *arguments: str) -> Launched:
    """Run the script with Python alone."""
    return _run(folder, [sys.executable, str(RECIPES / script), *arguments])


def predict(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return what the prediction script of TaxoClass says of each document."""
    done = run_plainly(folder, "taxoclass_predict.py", *arguments).done
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def track(folder: Path, options: tuple[str, ...], script: str, *arguments: str) -> Launched:
    """Run ``toolkit track options -- python script arguments`` in a folder, to its end."""
    command = [sys.executable, "-m", "toolkit", "track", *options, "--", sys.executable]
    return _run(folder, [*command, str(RECIPES / script), *arguments])


def clean_environment() -> dict[str, str]:
    """Return the environment of a user without trackers, network or other processes."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
    return inherited | _SET


def _run(folder: Path, command: list[str]) -> Launched:
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return Launched(folder, done)
