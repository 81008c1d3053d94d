"""What a run has recorded, as MLflow's functions give it back: read from its own journal."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from toolkit import journal
from toolkit import recorded
from toolkit.events import Artifact
from toolkit.events import Figure
from toolkit.events import Table
from toolkit.events import Text
from toolkit.mlflow_api import experiments
from toolkit.mlflow_api.records import Data
from toolkit.mlflow_api.records import Info
from toolkit.mlflow_api.records import Run
from toolkit.recorded import Recorded
from toolkit.rundir import RunDir
from toolkit.tracker import flatten

NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"

_ARTIFACTS = "artifacts"
_STATUSES = ("FINISHED", "FAILED", "KILLED")


def run_of(run: RunDir) -> Run:
    """The run as it stands.

    A metric's value is that of its highest step, and of several there the last one recorded.
    """
    found = recorded.everything(run)
    info, life, tags = found.info, found.life, _tags(found)
    end = int(life.ended.time * 1000) if life.ended else None
    return Run(
        Info(
            run_id=info.id,
            experiment_id=experiments.id_of(info.project or experiments.DEFAULT_NAME),
            user_id=info.user,
            status=life.state if life.state in _STATUSES else "RUNNING",
            start_time=int(info.created * 1000),
            end_time=end,
            lifecycle_stage="active",
            artifact_uri=_folder(run).as_uri(),
            run_name=tags[NAME_TAG],
        ),
        Data(
            metrics={key: point.value for key, point in found.metrics.items()},
            params={key: str(value) for key, value in flatten(found.params)},
            tags=tags,
        ),
    )


def _tags(found: Recorded) -> dict[str, str]:
    """The tags that MLflow would show; a deleted one has no text any more."""
    info = found.info
    described = {
        NAME_TAG: info.display_name,
        NOTE_TAG: info.notes,
        PARENT_TAG: info.parent,
        "mlflow.user": info.user,
        "mlflow.source.git.commit": info.source.commit,
        **found.tags,
    }
    return {key: text for key, text in described.items() if text}


def _folder(run: RunDir) -> Path:
    return run.path / _ARTIFACTS


def artifact_uri(run: RunDir, path: str | None) -> str:
    """Where what has been logged so far can be read by its name, or one file or folder of it.

    A run keeps its files by content; this lays a folder of links to them.
    """
    folder = _folder(run)
    folder.mkdir(exist_ok=True)
    for name, file in _files(run):
        link = folder / name
        with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):  # a file and a
            link.parent.mkdir(parents=True, exist_ok=True)  # folder of one name: the first stays
            partial = link.with_name(f".{link.name}.partial")
            partial.unlink(missing_ok=True)
            partial.symlink_to(os.path.relpath(run.path / file, link.parent))
            partial.replace(link)
    return (folder / path if path else folder).as_uri()


def _files(run: RunDir) -> Iterator[tuple[str, str]]:
    """Names among the artifacts, and where the files lie in the run's folder; later ones win."""
    for _, event in journal.events_of(run.journal, Artifact, Text, Figure, Table):
        if isinstance(event, Artifact):
            for file in event.files:
                yield posixpath.join(event.folder, file.name), file.path
        elif isinstance(event, Text | Figure | Table):
            yield event.name, event.path
