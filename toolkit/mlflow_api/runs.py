"""Starting, ending and finding runs, by MLflow's rules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit import delivery
from toolkit import journal
from toolkit import lifecycle
from toolkit import start
from toolkit.mlflow_api import checks
from toolkit.mlflow_api import experiments
from toolkit.mlflow_api import places
from toolkit.mlflow_api import reading
from toolkit.mlflow_api import records
from toolkit.mlflow_api import settings
from toolkit.mlflow_api import state
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.reading import NAME_TAG
from toolkit.mlflow_api.reading import NOTE_TAG
from toolkit.mlflow_api.state import ActiveRun
from toolkit.mlflow_api.state import Held
from toolkit.mlflow_api.told import Told
from toolkit.run import Run
from toolkit.rundir import RunDir

Backends = Mapping[str, Mapping[str, Any]]


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: dict[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Start a run, or go on with one, and make it this thread's active run.

    Args:
        run_id: go on with this run; MLFLOW_RUN_ID, if not given, which is used up.
        experiment_id: the experiment to put it into; the current one, if not given.
        run_name: what to call it; its id, if not given.
        nested: make a child of the active run.
        parent_run_id: make a child of this run.
        tags: keys and texts.
        description: a note.
        log_system_metrics: sample the machine; as `enable_system_metrics_logging` says, if None.

    Returns:
        The run; as a context manager it ends FAILED when the body raises, else FINISHED.

    Raises:
        MlflowException: a run is active and this one isn't nested, or there is no such run or
            experiment.
        UsageError: the run still lives elsewhere, or a backend is unknown.
    """
    if (active := active_run()) and not nested:
        raise MlflowException(
            f"run {active.info.run_id} is active already: end it first with mlflow.end_run(), or "
            "use start_run(nested=True) for a child"
        )
    if experiment_id is not None and not isinstance(experiment_id, str | int):
        raise MlflowException(f"experiment_id must be text, got {experiment_id!r}")
    said = _said(tags, description)
    resumed = run_id or os.environ.pop("MLFLOW_RUN_ID", None)
    with settings.sampling(log_system_metrics):
        if resumed and not start.is_silent(os.environ):
            run = _go_on(resumed, run_name, said)
        else:
            run = _begin(experiment_id, run_name, _parent(parent_run_id), said)
    state.push(run)
    return run


def end_run(status: str = "FINISHED") -> None:
    """End the active run, if there is one, and wait until its backends have been told.

    Raises:
        MlflowException: a run doesn't end so.
    """
    state.end(status)


def active_run() -> ActiveRun | None:
    """This thread's active run, or None; also one that `toolkit.start_run` has started."""
    if runs := state.stack():
        return runs[-1]
    if recording := start.active_run():
        state.push(_active(Held(recording, _told(recording))))
        return state.stack()[-1]
    return None


def last_active_run() -> records.Run | None:
    """The active run, else the run that this thread ended last, or None."""
    last = state.last_id()
    if (run := active_run()) or last is None:
        return run
    return None if start.is_silent(os.environ) else get_run(last)


def get_run(run_id: str) -> records.Run:
    """A run of the folder of runs, as it stands.

    Raises:
        MlflowException: there is none of this id.
    """
    return reading.run_of(places.existing(run_id))


def get_parent_run(run_id: str) -> records.Run | None:
    """The run that this one is a child of, or None."""
    parent = places.existing(run_id).info().parent
    return get_run(parent) if parent else None


def current() -> ActiveRun:
    """This thread's active run; without one, a run is started."""
    return active_run() or start_run()


@contextmanager
def target(run_id: str | None) -> Iterator[Held]:
    """The run of this id, or the current one; a run that is over is opened for this one call.

    Raises:
        MlflowException: there is none of this id.
    """
    if run_id is None or start.is_silent(os.environ):
        yield current().held
        return
    if held := state.find(run_id):
        yield held
        return
    run = places.existing(run_id)
    ended = lifecycle.settle(run).ended  # none has the run of `toolkit track`, which is joined
    with settings.sampling(False):
        held = _resumed(run)
    try:
        yield held
    finally:
        held.recording.end(ended.status if ended else "FINISHED")


def _said(tags: Mapping[str, Any] | None, description: str | None) -> dict[str, str]:
    """The tags of a start; the description is one."""
    said = {str(key): str(value) for key, value in (tags or {}).items()}
    if not description:
        return said
    if NOTE_TAG in said:
        raise MlflowException(f"give either description, or the tag {NOTE_TAG}")
    return {**said, NOTE_TAG: description}


def _parent(parent_run_id: str | None) -> str | None:
    """The id of the run to make a child of.

    A command that ``toolkit track`` runs joins its run once; its later runs are children of that.
    """
    active = active_run()
    if start.is_silent(os.environ):
        return parent_run_id
    if parent_run_id:
        if active and active.info.run_id != parent_run_id:
            raise MlflowException(
                f"run {active.info.run_id} is active and isn't the parent {parent_run_id} that was "
                "asked for: end it first with mlflow.end_run()"
            )
        return places.existing(parent_run_id).path.name
    if active:
        return active.info.run_id
    tracked = places.tracked()
    return tracked.path.name if tracked and _has_joined(tracked) else None


def _has_joined(tracked: RunDir) -> bool:
    return any(
        part.role == "joined" and part.writer_pid() == os.getpid()
        for part in journal.segments(tracked.journal)
    )


def _begin(
    experiment_id: str | int | None, run_name: str | None, parent: str | None, said: dict[str, str]
) -> ActiveRun:
    """A new run, or the one that ``toolkit track`` made."""
    experiment = experiments.chosen(None if experiment_id is None else str(experiment_id))
    name = said.pop(NAME_TAG, None)
    if run_name and name and run_name != name:
        raise MlflowException(f"run_name is {run_name!r}, and the tag {NAME_TAG} is {name!r}")
    recording = start.start_run(
        project=experiment.name,
        name=run_name or name,
        tags={**experiments.as_run_tags(experiment.tags), **said},
        notes=said.get(NOTE_TAG),
        backend=_backends(RunDir(places.home() / parent) if parent else None),
        nested=bool(state.stack()),
        parent_run_id=parent,
        runs_dir=places.home(),
    )
    return _active(Held(recording, _told(recording)))


def _go_on(run_id: str, run_name: str | None, said: dict[str, str]) -> ActiveRun:
    """A run that was started before."""
    run = places.existing(run_id)
    project = reading.run_of(run).info.experiment_id
    chosen = None if experiments.fixed_project() else state.experiment()
    if chosen is not None and experiments.id_of(chosen) != project:
        raise MlflowException(
            f"run {run_id} belongs to experiment {project}, and set_experiment chose {chosen!r}"
        )
    tags = {**said, **({NAME_TAG: run_name} if run_name else {})}
    for key in tags:
        checks.key("tag", key)
    held = state.take(run_id) or _resumed(run)
    if tags:
        held.recording.set_tags(held.told.add_tags(tags))
    return _active(held)


def _resumed(run: RunDir) -> Held:
    told, tracked = Told.of(run), places.tracked()
    if tracked and tracked.path.name == run.path.name and not state.stack():
        return Held(start.start_run(backend=_backends(None)), told)
    recording = start.start_run(
        run.path.name,
        backend=_backends(run),
        nested=True,
        runs_dir=run.path.parent,
        known_steps="record",
    )
    return Held(recording, told)


def _backends(near: RunDir | None) -> Backends | None:
    """Whom to tell: those who know the run, or its parent, else MLflow where it was set to be."""
    if near and delivery.backends(near):
        return None
    uri = os.environ.get(settings.TRACKING_URI)
    return {"mlflow": {"tracking_uri": uri} if uri else {}}


def _told(recording: Run) -> Told:
    return Told() if recording.dir is None else Told.of(RunDir(recording.dir))


def _active(held: Held) -> ActiveRun:
    recording = held.recording
    if recording.dir is not None:
        now = reading.run_of(RunDir(recording.dir))
        return ActiveRun(now.info, now.data, held=held)
    uri, name = Path(places.home(), recording.id).as_uri(), recording.id  # it records nothing
    info = records.Info(name, experiments.DEFAULT_ID, "", "RUNNING", 0, None, "active", uri, name)
    return ActiveRun(info, records.Data(), held=held)
