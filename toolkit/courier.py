"""Courier: reads a run's journal, tells one tracker, and remembers how far it got.

It is a process of its own, one for each run and backend, started by the run's owner or by
``toolkit sync``. It lives as long as the run does; when the run is over, it is done after
everything has been told, or when there has been no progress for a while. Then it may be sent again,
to tell another run.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from toolkit import delivery
from toolkit import discovery
from toolkit import journal
from toolkit import lifecycle
from toolkit import options
from toolkit.delivery import Delivery
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import located
from toolkit.journal import Follower
from toolkit.locks import Lock
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.runinfo import RunInfo
from toolkit.tracker import Tracker
from toolkit.tracker import Unreachable

T = TypeVar("T")

TOLD = b"0"
"""What a courier answers when it has told everything about a run."""
NOT_TOLD = b"1"
"""What it answers when it has given up."""
BROKEN = b"2"
"""What it answers when it has given up, and a courier with nothing behind it might not have to."""

_POLL_SECONDS = 0.5
_DESCRIPTION_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_NOTES_KEPT = 100
_NICENESS = 10  # the training comes first


class GivingUp(BaseException):
    """The rest stays owed; the message says why."""


class Broken(GivingUp):
    """The plugin has failed."""


class Stopped(GivingUp):
    """Somebody has ended this process."""


class _StartingAfresh(BaseException):
    """What was told is in doubt, and can't be told again: open once more, tell from the start."""


class Courier:
    """Tells one backend about one run."""

    def __init__(self, run: RunDir, backend: str, patience: Patience) -> None:
        self._run = run
        self._state = delivery.load(run, backend)
        self._patience = patience
        self._redactor = Redactor.from_environment(os.environ)
        self._progress_at = time.monotonic()

    def work(self) -> None:
        """Tell everything there is and will be, up to the run's end.

        Raises:
            GivingUp: not everything could be told.
        """
        if self._state.is_complete(self._run, lifecycle.look(self._run)):
            return
        tracker = self._tracker()
        info = self._info()
        while True:
            link = self._persist("open", lambda: tracker.open(info, self._state.link))
            link = evolve(link, url=self._shown(link.url), view=self._shown(link.view))
            # From the start: what can't be told twice, and what had to be made anew.
            is_same = self._state.link is not None and self._state.link.id == link.id
            place = self._state.place if is_same and _is_repeatable(tracker) else {}
            told = self._state.told if place else 0
            self._remember(evolve(self._state, link=link, place=place, told=told, closed=None))
            try:
                self._follow(tracker)
            except _StartingAfresh:
                continue
            return

    def _follow(self, tracker: Tracker) -> None:
        follower = Follower(self._run.journal, self._state.place)
        while True:
            life = lifecycle.look(self._run)  # before reading: what is read then is all there is
            batch = follower.read()
            if batch.events or batch.damaged:
                refused = self._tell(tracker, [e for e in batch.events if not isinstance(e, Ended)])
                noted = (*self._state.passed_over, *batch.damaged, *refused)[-_NOTES_KEPT:]
                told = self._state.told + len(batch.events)
                self._remember(evolve(self._state, place=batch.place, told=told, passed_over=noted))
            elif life.ended is not None:
                self._persist("close", partial(tracker.close, life.ended))
                self._remember(evolve(self._state, closed=life.end_segment))
                return
            elif life.state == "ELSEWHERE":
                raise GivingUp("told so far; only the machine that it runs on can tell its end")
            elif lifecycle.settle(self._run).state == "RUNNING":
                time.sleep(_POLL_SECONDS)

    def _tracker(self) -> Tracker:
        backend = self._state.backend
        try:
            given = self._state.open_options(options.from_environment(backend, os.environ))
            return options.build(discovery.load(backend), given)
        except (UsageError, discovery.BrokenPluginError) as error:
            raise GivingUp(str(error)) from error

    def _info(self) -> RunInfo:
        """The run with what scripts have said about it, once they have had time to say it."""
        info = self._run.info()
        patient_until = info.created + _DESCRIPTION_SECONDS
        while True:
            state = lifecycle.look(self._run).state
            said = [e for _, e in journal.events_of(self._run.journal, Described)]
            if said or state != "RUNNING" or time.time() > patient_until or self._state.link:
                break
            time.sleep(_POLL_SECONDS)
        for event in said:
            assert isinstance(event, Described)  # noqa: S101 - what was asked for
            info = info.described(event)
        return info

    def _tell(self, tracker: Tracker, events: Sequence[Event]) -> list[str]:
        """Write the events; those that the backend refuses are passed over, and returned."""
        if not events:
            return []
        try:
            absolute = [located(event, self._run.path) for event in events]
            self._persist("write", lambda: tracker.write(absolute), _is_repeatable(tracker))
        except Exception as error:  # any plugin, any error
            if len(events) == 1:
                kind = type(events[0]).__name__.lower()
                note = self._redactor.text(f"{kind} passed over: {_cause(error)}")
                print(note, flush=True)  # noqa: T201 - into the courier's log
                return [note]
            half = len(events) // 2
            return [*self._tell(tracker, events[:half]), *self._tell(tracker, events[half:])]
        return []

    def _persist(self, what: str, call: Callable[[], T], is_repeatable: bool = True) -> T:
        """Call until the backend can be reached.

        Raises:
            GivingUp: the run is over and there has been no progress for too long.
            Broken: the plugin failed in `open` or `close`.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = call()
            except Unreachable as error:
                self._remember_problem(f"can't be reached, trying again: {_cause(error)}")
                self._wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                if what == "write" and not is_repeatable:
                    raise _StartingAfresh from error
            except Exception as error:
                if what == "write":
                    raise
                raise Broken(f"{what} failed: {_cause(error)}") from error
            else:
                self._progress_at = time.monotonic()
                if self._state.problem:
                    self._remember(evolve(self._state, problem=None))
                return result

    def _wait(self, seconds: float) -> None:
        """Pause; give up when the run is over and the backend has been silent for too long."""
        if lifecycle.settle(self._run).state != "RUNNING":
            left = self._progress_at + self._patience.without_progress - time.monotonic()
            if left <= 0:
                raise GivingUp(self._state.problem or "no progress")
            seconds = min(seconds, left)
        else:
            self._progress_at = time.monotonic()
        time.sleep(seconds)

    def _shown(self, text: str | None) -> str | None:
        return self._redactor.text(text) if text else text

    def _remember_problem(self, problem: str) -> None:
        problem = self._redactor.text(problem)
        if problem != self._state.problem:
            print(problem, flush=True)  # noqa: T201 - into the courier's log
            self._remember(evolve(self._state, problem=problem))

    def _remember(self, state: Delivery) -> None:
        self._state = state
        delivery.save(self._run, state)

    def give_up(self, reason: GivingUp) -> None:
        """Note why the rest stays owed; what there was to wait for says more than being stopped."""
        if not (isinstance(reason, Stopped) and self._state.problem):
            self._remember_problem(str(reason))


def _is_repeatable(tracker: Tracker) -> bool:
    return bool(getattr(tracker, "repeatable", True))


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}" if text else type(error).__name__


def _leave(signum: int, frame: object) -> None:
    raise Stopped("stopped before everything was told")


def main(argv: Sequence[str]) -> int:
    """Deliver the run in folder ``argv[0]`` to backend ``argv[1]``, then those that are sent after.

    Their folders come on standard input, each a line of JSON. What became of a run is answered on
    the pipe with the number ``argv[2]``. Only who has told everything is sent again.
    """
    backend, answers, starter = argv[1], int(argv[2]), os.getppid()
    os.set_inheritable(answers, False)
    orders = os.dup(sys.stdin.fileno())
    with open(os.devnull, "rb") as nothing:  # which plugins and their processes are to read
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    environ = dict(os.environ)
    signal.signal(signal.SIGTERM, _leave)
    os.nice(_NICENESS)
    try:
        for folder in itertools.chain(argv[:1], _folders(orders, starter)):
            answer = _deliver(RunDir(Path(folder)), backend)
            with suppress(BrokenPipeError):  # nobody is left to hear it
                os.write(answers, answer)
            if answer != TOLD:
                return 1
            # What a plugin has put there, such as a password, is not for the next run.
            os.environ.clear()
            os.environ.update(environ)
    except GivingUp:  # stopped while another courier was still at it, or after the last run
        return 1
    return 0


def _folders(orders: int, starter: int) -> Iterator[str]:
    """Yield those of further runs, for as long as the process that started this one lives."""
    # Its end alone doesn't end the pipe, while a data-loader worker that it forked lives on.
    with os.fdopen(orders) as lines:
        while os.getppid() == starter:
            is_there, _, _ = select.select([lines], [], [], _POLL_SECONDS)
            if is_there:
                line = lines.readline()
                if not line:
                    return
                yield json.loads(line)


def _deliver(run: RunDir, backend: str) -> bytes:
    """Tell everything about a run; returns the answer."""
    _speak_into(delivery.log_path(run, backend))
    with Lock.acquire(delivery.lock_path(run, backend)):
        courier = Courier(run, backend, Patience.from_environment(os.environ))
        try:
            courier.work()
        except GivingUp as reason:
            courier.give_up(reason)
            return BROKEN if isinstance(reason, Broken) else NOT_TOLD
    return TOLD


def _speak_into(log: Path) -> None:
    """Have whatever this process says go into a file."""
    sys.stdout.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
