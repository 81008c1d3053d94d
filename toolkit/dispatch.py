"""Couriers as whoever sends them sees them: started, waited for, sent again, dismissed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from attrs import field
from attrs import frozen

from toolkit import delivery
from toolkit import options
from toolkit.courier import BROKEN
from toolkit.courier import NOT_TOLD
from toolkit.courier import TOLD
from toolkit.delivery import Delivery
from toolkit.patience import Patience
from toolkit.rundir import RunDir

_LOOK_SECONDS = 0.05
_KILL_SECONDS = 5.0
_LOOKS = 10
"""How often a courier's traffic is looked at before patience ends."""
_PART_OF_A_FILE = 1 << 16
"""Bytes between two looks; what is said and heard when a call is only tried again is less."""
_NOT_FOR_COURIERS = ("TOOLKIT_RUN", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MLFLOW_RUN_ID")


@frozen
class _Terms:
    """What a courier is started with, and keeps for every run that it is sent with."""

    backend: str
    folder: str
    identity: tuple[int, int] | None
    """Of the folder: one of the same name that was made anew is another."""
    # Options travel in the environment: a secret among them must not be read off a disk.
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, run: RunDir, backend: str, given: Mapping[str, str]) -> _Terms:
        """Return those for telling a run to a backend with these options."""
        environ = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_COURIERS}
        environ.update(options.to_environment(backend, delivery.without_secrets(given)))
        folder = Path(run.info().directory)
        known = folder.stat() if folder.is_dir() else None
        identity = (known.st_dev, known.st_ino) if known else None
        return cls(backend, str(folder), identity, environ)


class CourierProcess:
    """A courier that this process started, and what it has said so far about its latest run."""

    def __init__(self, run: RunDir, terms: _Terms) -> None:
        self.backend = terms.backend
        self.terms = terms
        self._start(run)

    def _start(self, run: RunDir) -> None:
        self._run = run
        self._answer: bytes | None = None
        self._has_told_another = False
        hearing, speaking = os.pipe()
        os.set_blocking(hearing, False)
        self._answers = open(hearing, "rb", buffering=0)  # noqa: SIM115 - until it is dismissed
        words = (str(run.path), self.backend, str(speaking))
        try:
            with delivery.log_path(run, self.backend).open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "toolkit.courier", *words],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    bufsize=0,
                    pass_fds=[speaking],
                    start_new_session=True,
                    env=self.terms.environ,
                    cwd=self.terms.folder if self.terms.identity else None,
                )
        finally:
            os.close(speaking)

    @classmethod
    def send(cls, run: RunDir, backend: str, given: Mapping[str, str]) -> CourierProcess:
        """Start a courier that tells a run to a backend with these options."""
        return cls(run, _Terms.of(run, backend, given))

    def send_again(self, run: RunDir) -> bool:
        """Have a courier that has told everything tell another run; False if it has vanished."""
        if self._process.poll() is not None:
            return False
        try:
            self._orders.write(json.dumps(str(run.path)).encode() + b"\n")
        except BrokenPipeError:
            return False
        self._run, self._answer, self._has_told_another = run, None, True
        return True

    def mend(self) -> bool:
        """Start a new courier in place of one that broke on a run that wasn't its first.

        What its plugin knows may be from another time, such as of a database that is gone.

        Returns:
            Whether it was so.
        """
        if self.is_working() or self._answer != BROKEN or not self._has_told_another:
            return False
        self.dismiss()
        self._start(self._run)
        return True

    def state(self) -> Delivery:
        """What the courier has told so far."""
        return delivery.load(self._run, self.backend)

    def is_working(self) -> bool:
        """Whether the courier still lives, and isn't done with its run."""
        if self._answer is None:
            self._answer = self._answers.read(1)  # None: nothing yet; empty: it has ended
        return self._answer is None

    def has_told(self) -> bool:
        """Whether the courier is done with its run, and has told everything."""
        return not self.is_working() and self._answer == TOLD

    def wait(self, patience: Patience) -> None:
        """Wait for the courier for as long as there is progress, then dismiss it.

        Progress is an event told, or a part of a large file on its way.
        """
        started = since = looked = time.monotonic()
        place, moved = self.state().place, self._moved()
        while self.is_working() or self.mend():
            now = time.monotonic()
            if (latest := self.state().place) != place:
                place, since = latest, now
            if now - looked > patience.without_progress / _LOOKS:
                before, moved, looked = moved, self._moved(), now
                since = now if moved - before > _PART_OF_A_FILE else since
            if now - since > patience.without_progress or now - started > patience.in_all:
                self.dismiss()
                return
            time.sleep(_LOOK_SECONDS)

    def _moved(self) -> int:
        """Bytes that the courier and what it started have read and written, where that is known."""
        import psutil

        total = 0
        try:
            courier = psutil.Process(self._process.pid)
            for process in (courier, *courier.children(recursive=True)):
                counted = process.io_counters()
                total += counted.read_chars + counted.write_chars
        except (psutil.Error, AttributeError):  # it has just ended; macOS doesn't count
            pass
        return total

    def dismiss(self) -> None:
        """End the courier; what it hasn't told stays owed."""
        # The end of its orders wouldn't reach it: a forked data-loader worker may hold the pipe.
        self._process.terminate()
        try:
            self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:  # a plugin that hangs doesn't get to hold the owner
            self._process.kill()
            self._process.wait()
        self._answer = self._answer or NOT_TOLD
        self._has_told_another = False
        self._orders.close()
        self._answers.close()

    @property
    def _orders(self) -> IO[bytes]:
        assert self._process.stdin  # noqa: S101 - it was asked for
        return self._process.stdin


class IdleCouriers:
    """Couriers that have told everything about a run, kept for the next runs of this process.

    To start one anew takes seconds of computing where a tracker's client is slow to import, which a
    loop over a hundred settings would pay for a hundred times.

    Args:
        most: how many are kept; one more ends the one that has waited longest.
        seconds: for how long each is kept.
    """

    def __init__(self, most: int = 4, seconds: float = 60.0) -> None:
        self._most = most
        self._seconds = seconds
        self._idle: dict[CourierProcess, threading.Timer] = {}
        self._guard = threading.Lock()
        self._pid = os.getpid()

    def send(self, run: RunDir, backend: str, given: Mapping[str, str]) -> CourierProcess:
        """Send one that was started with just these options and environment, else a new one."""
        terms = _Terms.of(run, backend, given)
        while courier := self._taken(terms):
            if courier.send_again(run):
                return courier
            courier.dismiss()
        return CourierProcess(run, terms)

    def _taken(self, terms: _Terms) -> CourierProcess | None:
        with self._guard:
            for courier, timer in self._idle.items():
                if courier.terms == terms:
                    del self._idle[courier]
                    timer.cancel()
                    return courier
        return None

    def keep(self, courier: CourierProcess) -> None:
        """Keep a courier for another run, if it is fit for one; else it is dismissed."""
        if not courier.has_told():
            courier.dismiss()
            return
        timer = threading.Timer(self._seconds, self._drop, [courier])
        timer.daemon = True
        with self._guard:
            self._idle[courier] = timer
            surplus = list(self._idle)[: -self._most]
        try:
            timer.start()
        except RuntimeError:  # the interpreter is ending: there are no next runs
            self._drop(courier)
        for one in surplus:
            self._drop(one)

    def _drop(self, courier: CourierProcess) -> None:
        with self._guard:
            timer = self._idle.pop(courier, None)
        if timer:  # else it was sent again
            timer.cancel()
            courier.dismiss()

    def dismiss(self) -> None:
        """End all that are kept; in a forked child, they are its parent's to end."""
        if os.getpid() == self._pid:
            for courier in list(self._idle):
                self._drop(courier)
