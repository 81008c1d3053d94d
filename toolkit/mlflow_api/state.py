"""Which runs are active: a stack for each thread, as MLflow has it, and what a process shares.

MLflow's functions belong to a module, so what they remember has to belong to one too: it is here,
all of it.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

from attrs import define
from attrs import field
from attrs import frozen

from toolkit.mlflow_api import checks
from toolkit.mlflow_api import records
from toolkit.mlflow_api.told import Told
from toolkit.run import Run

EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"


@define(eq=False)
class Held:
    """A run that this process writes."""

    recording: Run
    told: Told
    starts: int = 1
    """Calls of `start_run` that no `end_run` has answered yet."""


@frozen(eq=False)
class ActiveRun(records.Run):
    """A run that was started; as a context manager, it ends the active run."""

    held: Held = field(kw_only=True, repr=False)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if any(run.info.run_id == self.info.run_id for run in stack()):
            end("FINISHED" if kind is None else "FAILED")
        return kind is None


class _Thread(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.runs: tuple[ActiveRun, ...] = ()
        self.last: str | None = None


@define
class _Process:
    """What the threads of a process share."""

    held: dict[str, Held] = field(factory=dict)
    experiment: str | None = None
    guard: threading.RLock = field(factory=threading.RLock)


_THREAD = _Thread()
_PROCESS = _Process()


def stack() -> tuple[ActiveRun, ...]:
    """This thread's active runs, the innermost last; not those that were ended in other ways."""
    return tuple(run for run in _THREAD.runs if not run.held.recording.is_over)


def last_id() -> str | None:
    """The id of the run that this thread ended last."""
    return _THREAD.last


def push(run: ActiveRun) -> None:
    """Make the run this thread's innermost."""
    _THREAD.runs = (*stack(), run)
    with _PROCESS.guard:
        _PROCESS.held[run.info.run_id] = run.held


def take(run_id: str) -> Held | None:
    """The run of this id, if this process writes it, for one more start."""
    with _PROCESS.guard:
        held = find(run_id)
        if held:
            held.starts += 1
        return held


def find(run_id: str) -> Held | None:
    """The run of this id, if this process writes it."""
    held = _PROCESS.held.get(run_id)
    return held if held and not held.recording.is_over else None


def end(status: str = "FINISHED") -> None:
    """End this thread's innermost run, if there is one.

    A run that was started more than once ends with the last of its ends.
    """
    if not (runs := stack()):
        return
    ending, top = checks.status(status), runs[-1]
    os.environ.pop("MLFLOW_RUN_ID", None)
    _THREAD.runs = runs[:-1]
    _THREAD.last = top.info.run_id
    with _PROCESS.guard:
        top.held.starts -= 1
        if top.held.starts > 0:
            return
        _PROCESS.held.pop(top.info.run_id, None)
    top.held.recording.end(ending)


def experiment() -> str | None:
    """The name of the experiment that this process has set, for as long as its variable says so."""
    name = _PROCESS.experiment
    return name if name == os.environ.get(EXPERIMENT_NAME) else None


def set_experiment(name: str) -> None:
    """Remember the experiment of the runs to come, here and for child processes."""
    _PROCESS.experiment = name
    os.environ[EXPERIMENT_NAME] = name
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
