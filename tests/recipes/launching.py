"""Running a recipe as a user would, and reading back what it recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

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

    def file(self, name: str) -> str:
        """Return a recorded text by the path it was given."""
        (run,) = (self.folder / "runs").iterdir()
        paths: list[str] = [event["path"] for event in self.events("text") if event["name"] == name]
        return (run / paths[-1]).read_text(encoding="utf-8")


def launch(folder: Path, script: str, *arguments: str, options: tuple[str, ...] = ()) -> Launched:
    """Run ``accelerate launch [options] script arguments`` in a folder, to its end."""
    return _run(folder, [*_LAUNCH, *options, str(RECIPES / script), *arguments])


def run_plainly(folder: Path, script: str, *arguments: str) -> Launched:
    """Run the script with Python alone."""
    return _run(folder, [sys.executable, str(RECIPES / script), *arguments])


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
