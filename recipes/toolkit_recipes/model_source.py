"""Finding a saved model: a folder, or the run that trained it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from toolkit import rundir
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.journal import events_of
from toolkit.rundir import RunDir
from toolkit_recipes.paths import given_path

BEST = "best"
"""Alias of the version to take, where any has it."""


@contextmanager
def model_folder(model: str, artifact: str, option: str = "model") -> Iterator[Path]:
    """Give the folder of a model for as long as it takes to load it.

    Of several models of a run the last one that is called best is taken, else the last one.

    Args:
        model: the folder itself, the folder of a run, or the id of a run in ``TOOLKIT_RUNS_DIR``
            (``./runs``), of which a part that no other run has is enough. The files of a run lie
            apart from each other, so they are brought together by links in a temporary folder.
        artifact: what a run calls its models; ``*`` stands for anything.
        option: what the user gives it as, for messages.

    Raises:
        UsageError: there is no such folder or run, or the run has no model.
    """
    path = given_path(model)
    if os.path.isdir(path) and not os.path.isfile(path / "run.json"):
        yield path
        return
    run = RunDir(path) if os.path.isdir(path) else _find_run(model, option)
    found = _best_model(run, artifact)
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        _link(found, run, Path(folder))
        yield Path(folder)


def _find_run(model: str, option: str) -> RunDir:
    try:
        return rundir.find(rundir.runs_dir(None, os.environ), model)
    except UsageError as error:
        raise UsageError(f"{option}={model}: no such folder, and {error}") from None


def _best_model(run: RunDir, artifact: str) -> Artifact:
    found = [
        event
        for _, event in events_of(run.journal, Artifact)
        if isinstance(event, Artifact) and fnmatchcase(event.name, artifact)
    ]
    if not found:
        raise UsageError(
            f"{run.path}: the run has no artifact {artifact!r}; it hasn't got as far as saving its "
            f"model, see `toolkit runs show {run.path.name}`"
        )
    return ([event for event in found if BEST in event.aliases] or found)[-1]


def _link(artifact: Artifact, run: RunDir, folder: Path) -> None:
    for file in artifact.files:
        source, link = (run.path / file.path).resolve(), folder / file.name
        if not link.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{run.path}: {file.name!r} would lie outside the model's folder")
        if not source.is_file():
            raise UsageError(f"{source}: missing; the run's files have been removed")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
