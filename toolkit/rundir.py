"""One run's folder on disk: where everything lies, and how to find it.

::

    runs/<run_id>/
      run.json                      what the run is
      run.lock                      held by who joins, resumes or settles
      journal/<n>-<role>.jsonl      events
      files/<digest>/<name>         what events point to
      delivery/<backend>.json       what that backend has been told
      delivery/<backend>.log        what its courier had to say
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from toolkit import jsonfile
from toolkit.errors import UsageError
from toolkit.locks import Lock
from toolkit.runinfo import RunInfo

DEFAULT_RUNS_DIR = "runs"


def new_id(now: float) -> str:
    """An id that sorts by time and won't be given twice."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(3)


def runs_dir(chosen: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    """The folder that holds the runs: as chosen, else TOOLKIT_RUNS_DIR, else ./runs."""
    return Path(chosen or environ.get("TOOLKIT_RUNS_DIR") or DEFAULT_RUNS_DIR).absolute()


@frozen
class RunDir:
    """The folder of one run."""

    path: Path

    @property
    def journal(self) -> Path:
        """Segments of events."""
        return self.path / "journal"

    @property
    def files(self) -> Path:
        """What events point to."""
        return self.path / "files"

    @property
    def delivery(self) -> Path:
        """What each backend has been told."""
        return self.path / "delivery"

    @property
    def info_path(self) -> Path:
        """What the run is."""
        return self.path / "run.json"

    def lock(self) -> Lock:
        """The run's exclusive lock, as soon as it is free."""
        return Lock.acquire(self.path / "run.lock")

    def info(self) -> RunInfo:
        """What run.json says.

        Raises:
            UsageError: it is missing or damaged.
        """
        try:
            return jsonfile.read(self.info_path, RunInfo)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.info_path} can't be read ({error}); is {self.path} really a run's folder?"
            ) from error


def create(parent: Path, info: RunInfo) -> RunDir:
    """Make the folder of a new run.

    Raises:
        UsageError: the folder can't be made there.
    """
    run = RunDir(parent / info.id)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        run.path.mkdir()
        for folder in (run.journal, run.files, run.delivery):
            folder.mkdir()
        jsonfile.write(run.info_path, info)
    except OSError as error:
        raise UsageError(
            f"can't make a run's folder in {parent}: {error}; choose another with --runs-dir or "
            "TOOLKIT_RUNS_DIR"
        ) from error
    return run


def find(parent: Path, run_id: str) -> RunDir:
    """The run with this id, or the only one whose id begins or ends with it.

    Raises:
        UsageError: there is no such run, or more than one.
    """
    ids = [run.path.name for run in all_runs(parent)]
    found = [i for i in ids if i == run_id] or [
        i for i in ids if run_id and (i.startswith(run_id) or i.endswith(run_id))
    ]
    if len(found) == 1:
        return RunDir(parent / found[0])
    if found:
        raise UsageError(f"run {run_id!r} could be {', '.join(found)}; give more of its id")
    raise UsageError(f"no run {run_id!r} in {parent}; `toolkit runs list` shows what is there")


def all_runs(parent: Path) -> list[RunDir]:
    """Every run in the folder, oldest first."""
    return [RunDir(path.parent) for path in sorted(parent.glob("*/run.json"))]
