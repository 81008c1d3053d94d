"""Starting a run: join the one that this process is part of, resume one, or make a new one."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any
from typing import Literal

from attrs import evolve
from attrs import field
from attrs import frozen

from toolkit import delivery
from toolkit import discovery
from toolkit import environment
from toolkit import journal
from toolkit import lifecycle
from toolkit import options
from toolkit import rundir
from toolkit.dispatch import IdleCouriers
from toolkit.errors import UsageError
from toolkit.events import STEPPED
from toolkit.events import Described
from toolkit.events import Left
from toolkit.events import Media
from toolkit.events import Metrics
from toolkit.events import Status
from toolkit.events import name_of
from toolkit.journal import SegmentWriter
from toolkit.notice import Notices
from toolkit.owner import Backends
from toolkit.owner import Owner
from toolkit.recorder import LastSteps
from toolkit.recorder import Recorder
from toolkit.redact import Redactor
from toolkit.run import Run
from toolkit.run import status_of
from toolkit.rundir import RunDir
from toolkit.runinfo import RunInfo

KnownSteps = Literal["pass over", "record"]


@frozen
class _Active:
    """A run that was started here."""

    run: Run
    backends: Backends = field(factory=dict, repr=False)
    """Whom this process tells about it, with options as they were given, secrets and all."""
    project: str | None = None
    """What it belongs to, and its children unless they say otherwise."""
    notices: Notices = field(factory=Notices, repr=False)
    """To the user, its children's included."""


_ACTIVE: ContextVar[tuple[_Active, ...]] = ContextVar("toolkit_active_runs", default=())


def active_run() -> Run | None:
    """The innermost run started and not yet ended in this thread."""
    active = _active()
    return active.run if active else None


def _active() -> _Active | None:
    living = [active for active in _ACTIVE.get() if not active.run.is_over]
    return living[-1] if living else None


def end_run(status: Status = "FINISHED") -> None:
    """End the active run; does nothing where there is none."""
    if run := active_run():
        run.end(status)


def start_run(
    run_id: str | None = None,
    *,
    project: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Iterable[str] | Mapping[str, Any] = (),
    notes: str | None = None,
    backend: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    known_steps: KnownSteps = "pass over",
) -> Run:
    """Start recording: in the run of ``toolkit track``, where there is one, else in a new run.

    Use it as a context manager, so that an exception ends the run as FAILED.

    Args:
        run_id: resume this run.
        project: what the run belongs to; a command line or environment that chose one wins. A child
            belongs where its active parent does, if not given.
        name: what to call it; likewise.
        group: runs to compare with; likewise.
        tags: labels, or keys and texts.
        notes: a description.
        backend: whom to tell: a name, several, or names with options.
        nested: make a child of the active run.
        parent_run_id: make a child of this run.
        runs_dir: folder of the runs; TOOLKIT_RUNS_DIR or ./runs, if not given.
        known_steps: of a run resumed by its id, whether points at steps that it had before are
            passed over, or recorded again.

    Raises:
        UsageError: a run is active already, an unknown backend, a run that can't be resumed.
    """
    parent = _active()
    if parent and not nested:
        raise UsageError(
            f"run {parent.run.id} is active already: end it first with toolkit.end_run(), or use "
            "start_run(nested=True) for a child"
        )
    environ = os.environ
    if is_silent(environ):
        return _activate(_Active(Run(_silent_id(environ), None, lambda status: None)))
    labels, texts = _split_tags(tags)
    project = project or (parent.project if parent else None)
    said = Described(time.time(), project, name, group, labels, notes, _backends(backend))
    if environ.get("TOOLKIT_RUN") and not parent and run_id is None and parent_run_id is None:
        run = _join(RunDir(Path(environ["TOOLKIT_RUN"])), said)
    else:
        beside = parent.run.dir if parent else None
        home = beside.parent if beside else rundir.runs_dir(runs_dir, environ)
        parent_id = parent_run_id or (parent.run.id if parent else None)
        run = _own(home, run_id, parent_id, said, known_steps)
    if texts:
        run.set_tags(texts)
    return run


def is_silent(environ: Mapping[str, str]) -> bool:
    """Whether this process records nothing: switched off, or not the first of its job."""
    return environ.get("TOOLKIT_DISABLED") == "1" or environ.get("RANK", "0") != "0"


def _join(run_dir: RunDir, said: Described) -> Run:
    """Take part in a run that another process owns."""
    with run_dir.lock():
        writer = SegmentWriter.create(run_dir.journal, "joined")
    recorder = Recorder(run_dir, writer, last_steps(run_dir))

    def leave(status: Status) -> None:
        recorder.write(Left(time.time(), status))
        recorder.close()

    run = Run(run_dir.path.name, recorder, leave)
    run.describe(masked(said, recorder.redactor))
    return _activate(_Active(run, project=run_dir.info().project or said.project))


def _own(
    home: Path, run_id: str | None, parent: str | None, said: Described, known_steps: KnownSteps
) -> Run:
    """Make a run, or go on with one, that this process owns."""
    chosen = chosen_backends(said.backends, os.environ)
    if run_id:
        run_dir = rundir.find(home, run_id)
        lifecycle.refuse_if_live(run_dir)
        chosen = resumed_backends(run_dir, chosen)
    else:
        if parent:
            chosen = chosen or _inherited_backends(rundir.find(home, parent))
        info = new_info(Described(said.time), sys.orig_argv, os.environ, parent)
        run_dir = rundir.create(home, info)
    active = _active()
    notices = active.notices if active else Notices()
    owner = Owner(run_dir, chosen, notices, _idle_couriers(os.getpid()))
    had = last_steps(run_dir) if known_steps == "pass over" else LastSteps()
    recorder = Recorder(run_dir, owner.writer, had)
    run = Run(run_dir.path.name, recorder, owner.finish)
    run.describe(masked(said, recorder.redactor))
    owner.start()
    return _activate(_Active(run, chosen, run_dir.info().project or said.project, notices))


@cache
def _idle_couriers(process: int) -> IdleCouriers:
    """Those of this process, whose id a forked child hasn't; they leave with it at the latest."""
    kept = IdleCouriers()
    atexit.register(kept.dismiss)
    return kept


def new_info(
    said: Described, command: Sequence[str], environ: Mapping[str, str], parent: str | None = None
) -> RunInfo:
    """What a new run of this machine, folder and command is, without its secrets.

    Args:
        said: what is fixed about it from the start.
        command: the words of its command line.
        environ: may name the project, and has secrets that are masked.
        parent: the run that it is a child of.
    """
    redactor = Redactor.from_environment(environ)
    fixed = masked(evolve(said, project=said.project or environ.get("TOOLKIT_PROJECT")), redactor)
    here = Path.cwd()
    return RunInfo(
        id=rundir.new_id(said.time),
        created=said.time,
        host=environment.host(),
        command=redactor.command(command),
        directory=str(here),
        user=environment.user(),
        parent=parent,
        project=fixed.project,
        name=fixed.name,
        group=fixed.group,
        tags=fixed.tags,
        notes=fixed.notes,
        source=environment.source(here),
        versions=environment.versions(),
    )


def last_steps(run_dir: RunDir) -> LastSteps:
    """The last steps of the attempts before the present one; none for a first attempt."""
    parts = journal.segments(run_dir.journal)
    owners = [part.number for part in parts if part.role == "owner"]
    if len(owners) < 2:
        return LastSteps()
    metrics: dict[str, int] = {}
    media: dict[tuple[type[Media], str], int] = {}
    for segment, event in journal.events_of(run_dir.journal, Metrics, *STEPPED):
        if segment.number >= owners[-1]:
            continue
        if isinstance(event, Metrics) and event.step is not None:
            for key in event.values:
                metrics[key] = max(event.step, metrics.get(key, event.step))
        elif isinstance(event, STEPPED) and event.step is not None:
            place = (type(event), name_of(event))
            media[place] = max(event.step, media.get(place, event.step))
    return LastSteps(metrics, media)


def chosen_backends(asked: Backends, environ: Mapping[str, str]) -> Backends:
    """The backends that TOOLKIT_BACKEND names, else those asked for; each is checked to exist.

    Raises:
        UsageError: there is no such backend.
    """
    names = [n.strip() for n in environ.get("TOOLKIT_BACKEND", "").split(",") if n.strip()]
    chosen = {name: asked.get(name, {}) for name in names} or dict(asked)
    for name in chosen:
        discovery.find(name)
    return chosen


def refuse_unused(given: Backends, chosen: Collection[str]) -> None:
    """Raise UsageError where an option is given for a backend that isn't told anything."""
    if unused := sorted(given.keys() - set(chosen)):
        raise UsageError(f"-o {unused[0]}.*: add --backend {unused[0]}, or leave the option out")


def remembered_backends(run_dir: RunDir) -> Backends:
    """The backends that a run has been told to, with their options, whose secrets are masked."""
    return {name: delivery.load(run_dir, name).options for name in delivery.backends(run_dir)}


def resumed_backends(run_dir: RunDir, chosen: Backends) -> Backends:
    """The backends chosen for a run that is gone on with, else those that it has been told to.

    Raises:
        UsageError: an option held a secret when the run was told to it before, and isn't given now.
    """
    backends = chosen or remembered_backends(run_dir)
    for name, given in backends.items():
        delivery.load(run_dir, name).open_options(
            {**options.from_environment(name, os.environ), **delivery.without_secrets(given)}
        )
    return backends


def _inherited_backends(parent: RunDir) -> Backends:
    """Whom the parent is told to; options with secrets are known to the process that owns it."""
    own = [a.backends for a in _ACTIVE.get() if a.run.id == parent.path.name and a.backends]
    return own[-1] if own else remembered_backends(parent)


def _backends(asked: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None) -> Backends:
    if asked is None:
        return {}
    if isinstance(asked, str):
        asked = [name.strip() for name in asked.split(",") if name.strip()]
    if not isinstance(asked, Mapping):
        return {name: {} for name in asked}
    return {
        name: {key: str(value) for key, value in given.items() if value is not None}
        for name, given in asked.items()
    }


def masked(said: Described, redactor: Redactor) -> Described:
    """What is said about a run, without its secrets."""
    project, name, group, notes = (
        redactor.text(text) if text else text
        for text in (said.project, said.name, said.group, said.notes)
    )
    return Described(
        said.time,
        project,
        name,
        group,
        tuple(map(redactor.text, said.tags)),
        notes,
        {backend: redactor.values(given) for backend, given in said.backends.items()},
    )


def _split_tags(tags: Iterable[str] | Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    if isinstance(tags, str):
        raise UsageError(f"tags={tags!r}: give a list of labels, or a mapping of keys to texts")
    if isinstance(tags, Mapping):
        return (), dict(tags)
    return tuple(str(tag) for tag in tags), {}


def _silent_id(environ: Mapping[str, str]) -> str:
    joined = environ.get("TOOLKIT_RUN")
    return Path(joined).name if joined else "disabled"


def _activate(started: _Active) -> Run:
    _ACTIVE.set((*(other for other in _ACTIVE.get() if not other.run.is_over), started))
    atexit.register(_end_at_exit, started.run)
    return started.run


def _end_at_exit(run: Run) -> None:
    # The interpreter leaves an uncaught exception here before it calls the exit functions.
    run.end(status_of(getattr(sys, "last_value", None)))
