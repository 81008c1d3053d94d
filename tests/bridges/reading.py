"""What runs hold, as tests compare it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.commands import of_kind
from toolkit import rundir
from toolkit.events import Artifact
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.recorded import merge
from toolkit.rundir import RunDir

Curves = dict[str, list[tuple[int | None, float]]]


def runs_in(folder: Path) -> list[RunDir]:
    """Every run of the folder's runs, oldest first, as they were made."""
    return sorted(rundir.all_runs(folder / "runs"), key=lambda run: run.info().created)


def only_run(folder: Path) -> RunDir:
    """The one run that there is."""
    (run,) = runs_in(folder)
    return run


def curves(run: RunDir) -> Curves:
    """Step and value of every point of each metric, in their order."""
    found: Curves = {}
    for event in of_kind(run, Metrics):
        for key, value in event.values.items():
            found.setdefault(key, []).append((event.step, value))
    return found


def params(run: RunDir) -> dict[str, Any]:
    """All params, nested as recorded."""
    found: dict[str, Any] = {}
    for event in of_kind(run, Params):
        merge(found, event.values)
    return found


def summary(run: RunDir) -> dict[str, Any]:
    """The latest value of each name."""
    return {key: value for event in of_kind(run, Summary) for key, value in event.values.items()}


def artifacts(run: RunDir) -> list[tuple[str, str, tuple[str, ...]]]:
    """Folder, name and aliases of each artifact, in their order."""
    return [(event.folder, event.name, event.aliases) for event in of_kind(run, Artifact)]
