"""``toolkit track``: run any command as a tracked run."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from toolkit import child
from toolkit import discovery
from toolkit import journal
from toolkit import leftovers
from toolkit import lifecycle
from toolkit import options
from toolkit import recorded
from toolkit import rundir
from toolkit import start
from toolkit.cli import beside
from toolkit.cli import events as spoken_events
from toolkit.console import ConsoleRecorder
from toolkit.errors import UsageError
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Left
from toolkit.events import Status
from toolkit.notice import Notices
from toolkit.owner import Backends
from toolkit.owner import Owner
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

_SIGNAL_BASE = 128
_CODES_OF_SIGNALS = (130, 137, 143)  # Ctrl-C, SIGKILL and SIGTERM, as shells report them


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Whom to tell.")
@click.option(
    "-o", "settings", multiple=True, metavar="NAME.FIELD=VALUE", help="An option of a backend."
)
@click.option("--project", help="What the run belongs to.")
@click.option("--name", help="What to call the run.")
@click.option("--group", help="Runs to compare with.")
@click.option("--tag", "tags", multiple=True, help="A label; may be given again.")
@click.option("--resume", metavar="RUN_ID", help="Go on with this run.")
@click.option(
    "--events",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Follow events in this file, until it ends with `left`, or with the COMMAND.",
)
@click.option(
    "--until-exit",
    "writer",
    type=click.IntRange(min=1),
    metavar="PID",
    help="Follow --events FILE until this process is gone.",
)
@click.option("--runs-dir", metavar="DIR", help="Folder of the runs (TOOLKIT_RUNS_DIR, ./runs).")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    backends: tuple[str, ...],
    settings: tuple[str, ...],
    project: str | None,
    name: str | None,
    group: str | None,
    tags: tuple[str, ...],
    resume: str | None,
    events: Path | None,
    writer: int | None,
    runs_dir: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND as a tracked run: `toolkit track --backend mlflow -- python train.py`.

    The command's exit code is passed on, whatever becomes of the delivery. Without a COMMAND,
    events come as lines of JSON from standard input, or from --events FILE.
    """
    _check(command, events, writer)
    if os.environ.get("TOOLKIT_DISABLED") == "1":
        _run_untracked(command, events)
        return
    chosen = _chosen(backends, settings, os.environ)
    home = rundir.runs_dir(runs_dir, os.environ)
    said = Described(time.time(), project, name, group, tags)
    if resume:
        run = _resumed(home, resume, said)
        chosen = start.resumed_backends(run, chosen)
    else:
        run = _created(home, command, said)
    owner = Owner(run, chosen, Notices())
    if resume and (name or group or tags):
        owner.record(start.masked(said, owner.redactor))
    sys.exit(_supervise(owner, command, events) if command else _hear(owner, events, writer))


def _check(command: tuple[str, ...], events: Path | None, writer: int | None) -> None:
    """Refuse what can't be run, before anything is started."""
    if command and shutil.which(command[0]) is None:
        raise UsageError(f"there is no command {command[0]!r}; is it on PATH and executable?")
    if writer and (command or not events):
        raise click.UsageError("--until-exit goes with --events FILE, and without a COMMAND")
    if command and events:
        beside.refuse_content(events)
    if not (command or events or spoken_events.can_come_in()):
        raise click.UsageError(
            "no COMMAND given; put it after `--`, or let events come in: PROGRAM | toolkit track"
        )


def _run_untracked(command: tuple[str, ...], events: Path | None) -> None:
    if command:
        os.environ[beside.VARIABLE] = os.devnull
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    if not events:
        spoken_events.discard()


def _chosen(
    names: tuple[str, ...], settings: tuple[str, ...], environ: Mapping[str, str]
) -> Backends:
    """The backends of the command line, else of the environment, with their options.

    Raises:
        UsageError: an unknown backend, or an option that the backend doesn't have.
    """
    given = options.parse(settings)
    chosen = start.chosen_backends({n: given.get(n, {}) for n in names}, {} if names else environ)
    start.refuse_unused(given, chosen)
    for name in given:
        try:
            options.build(discovery.load(name), given[name])
        except discovery.BrokenPluginError:  # its courier says so, and the run goes on
            continue
    return {name: {**given.get(name, {}), **chosen[name]} for name in chosen}


def _created(home: Path, command: tuple[str, ...], said: Described) -> RunDir:
    outer = os.environ.get("TOOLKIT_RUN")
    parent = Path(outer).name if outer else None
    words = command or ("toolkit", *sys.argv[1:])
    return rundir.create(home, start.new_info(said, words, os.environ, parent))


def _resumed(home: Path, run_id: str, said: Described) -> RunDir:
    """The run to go on with, of which nothing else is said than before.

    Raises:
        UsageError: it is still alive, or has another project, name or group.
    """
    run = rundir.find(home, run_id)
    lifecycle.refuse_if_live(run)
    info = recorded.overview(run).info
    wanted = start.masked(said, Redactor.from_environment(os.environ))
    for what, old, new in (
        ("project", info.project_name, wanted.project),
        ("name", info.name, wanted.name),
        ("group", info.group, wanted.group),
    ):
        if old and new and old != new:
            raise UsageError(
                f"run {info.id} has the {what} {old!r} already, and keeps it; leave --{what} out, "
                "or start another run"
            )
    return run


def _hear(owner: Owner, events: Path | None, writer: int | None) -> int:
    """Record events that come from outside, to their end; the exit code."""
    console = ConsoleRecorder(owner.record, owner.redactor, _console_end(owner.run))
    source = spoken_events.File(events, writer) if events else spoken_events.Pipe()
    return spoken_events.supervise(owner, source, str(events or "standard input"), console)


def _supervise(owner: Owner, command: tuple[str, ...], events: Path | None) -> int:
    """Run the command to its end; the exit code to pass on."""
    run = owner.run.path
    recorder = ConsoleRecorder(owner.record, owner.redactor, _console_end(owner.run))
    console = beside.SharedConsole(recorder)
    listener = beside.Beside(owner, events.absolute() if events else None, console)
    variables = {"TOOLKIT_RUN": str(run), beside.VARIABLE: str(listener.path)}
    guard = leftovers.watch_over(run)
    try:
        job = child.start(command, {**os.environ, **variables})
    except UsageError:
        leftovers.dismiss(guard)
        listener.start()
        listener.finish()  # what an attempt before this one has left
        owner.finish("FAILED")
        raise
    owner.start()
    listener.start()
    code = job.wait(console.feed)
    if code < 0 or job.interrupted_by:
        leftovers.end_processes(run)  # a launcher that was killed leaves its ranks behind
    listener.finish()
    console.close()
    leftovers.dismiss(guard)
    owner.finish(_verdict(owner, code, job.interrupted_by, listener.silent_segment))
    return _SIGNAL_BASE - code if code < 0 else code


def _verdict(
    owner: Owner, code: int, interrupted_by: int | None, silent: int | None = None
) -> Status:
    """How the run ended, by the command's exit code and by what its scripts said on leaving.

    ``silent`` is the number of the segment of those that said nothing of that.
    """
    number = owner.writer.segment.number
    parts = journal.segments(owner.run.journal)
    joined = [part for part in parts if part.number > number and part.number != silent]
    last = [journal.last_event(part) for part in joined if not part.is_alive()]
    has_vanished = any(not isinstance(event, Left) for event in last)
    said = [event.status for event in last if isinstance(event, Left)]
    if interrupted_by or code < 0 or code in _CODES_OF_SIGNALS or has_vanished:
        return "KILLED"
    if code:
        return "FAILED"
    return said[-1] if said else "FINISHED"


def _console_end(run: RunDir) -> int:
    """Where the console of earlier attempts ended."""
    return max(
        (
            event.position + len(event.text)
            for _, event in journal.events_of(run.journal, Console)
            if isinstance(event, Console)
        ),
        default=0,
    )
