"""``toolkit track`` told by programs in any language: through a pipe, or a file that they write."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

import click
from attrs import define

from toolkit import signals
from toolkit.console import ConsoleRecorder
from toolkit.errors import UsageError
from toolkit.events import Status
from toolkit.hearing import Hearing
from toolkit.hearing import Problems
from toolkit.lines import FollowedFile
from toolkit.lines import Line
from toolkit.lines import LineCutter
from toolkit.owner import Owner

_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 5.0
"""For how long a program that says more and more is heard after we were told to stop."""
_SILENT_SECONDS = 10.0
"""After so much silence from its start, a user may wonder what we wait for."""
_CHUNK = 1 << 16
_SIGNAL_BASE = 128
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def can_come_in(descriptor: int = 0) -> bool:
    """Whether events can come from here: not from a terminal, nor from /dev/null."""
    return not stat.S_ISCHR(os.fstat(descriptor).st_mode)


def discard(descriptor: int = 0) -> None:
    """Read what comes, so that whoever writes it isn't stopped, and record nothing."""
    while os.read(descriptor, _CHUNK):
        continue


@define
class Interruption:
    """Whether we were asked to stop, and when."""

    number: int | None = None
    deadline: float = math.inf

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal has come; a second one ends all patience."""
        if self.number:
            self.deadline = 0.0
        elif number != signal.SIGINT:
            self.deadline = time.monotonic() + _GRACE_SECONDS
        self.number = number

    def is_urgent(self) -> bool:
        """Whether to stop where there is nothing to read.

        Ctrl-C isn't: who writes into our pipe got it as well, and may have something left to say.
        """
        return self.number not in (None, signal.SIGINT)

    def is_impatient(self) -> bool:
        """Whether to stop, whatever is still to come."""
        return time.monotonic() > self.deadline


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take signals that would end us as notes."""
    interruption = Interruption()
    with signals.handled(_ENDING, interruption.note):
        yield interruption


class Source(Protocol):
    """Where lines come from."""

    def read(self) -> list[Line] | None:
        """The next lines; None where there are none now, after having waited for some."""
        ...

    def rest(self) -> list[Line]:
        """The last line, where it has no end."""
        ...

    def is_over(self, hearing: Hearing, interruption: Interruption) -> bool:
        """Whether nothing will come any more, now that nothing was left to read."""
        ...


class Pipe:
    """Standard input, which is read to its end."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._cutter = LineCutter()
        self._has_ended = False
        self._told_at = time.monotonic() + _SILENT_SECONDS

    def read(self) -> list[Line] | None:
        """The next lines."""
        if self._has_ended or not select.select([self._descriptor], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() > self._told_at:
                tell("no COMMAND was given, so events are awaited on standard input")
                self._told_at = math.inf
            return None
        self._told_at = math.inf
        data = os.read(self._descriptor, _CHUNK)
        self._has_ended = not data
        return self._cutter.feed(data)

    def rest(self) -> list[Line]:
        """The last line, where it has no end."""
        return self._cutter.rest()

    def is_over(self, hearing: Hearing, interruption: Interruption) -> bool:
        """Whether the end of input has come, or we have to leave."""
        return self._has_ended or interruption.is_urgent()


class File:
    """A file that is followed until it ends with ``left``, or its writer is gone.

    Args:
        path: the file; it may come later.
        writer: the process that writes it; None where it isn't known.
    """

    def __init__(self, path: Path, writer: int | None) -> None:
        self._file = FollowedFile(path)
        self._writer = _Process(writer) if writer is not None else None
        self._was_writer_gone = False
        if not path.exists():
            tell(f"waiting for {path}")

    def read(self) -> list[Line] | None:
        """The next lines."""
        is_gone = self._writer is not None and not self._writer.is_alive()
        lines = self._file.read()
        if lines is None:
            # Asked before reading: what a writer that is gone has left is all there is.
            self._was_writer_gone = is_gone
            time.sleep(_LOOK_SECONDS)
        return lines

    def rest(self) -> list[Line]:
        """The last line, where it has no end."""
        return self._file.rest()

    def is_over(self, hearing: Hearing, interruption: Interruption) -> bool:
        """Whether the program has left, or is gone; or nobody wants to wait for it."""
        return hearing.has_left or self._was_writer_gone or interruption.number is not None


class _Process:
    """A process of this machine, told apart from a later one of the same number."""

    def __init__(self, pid: int) -> None:
        import psutil

        try:
            self._process: psutil.Process | None = psutil.Process(pid)
        except psutil.NoSuchProcess:  # it was quicker than we are
            self._process = None

    def is_alive(self) -> bool:
        import psutil

        try:
            return (
                self._process is not None
                and self._process.is_running()
                and self._process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False


def hear_out(source: Source, hearing: Hearing, interruption: Interruption) -> None:
    """Record lines until the source is over."""
    while not interruption.is_impatient():
        lines = source.read()
        for line in lines or ():
            hearing.hear(line)
        if lines is None and source.is_over(hearing, interruption):
            break
    for line in source.rest():
        hearing.hear(line)


def supervise(owner: Owner, source: Source, name: str, console: ConsoleRecorder) -> int:
    """Record what is said to its end; the exit code.

    0: all was recorded; 1: not all of it; 2: nothing; 128+N: a signal stopped us.

    Raises:
        UsageError: the source can't be read.
    """
    problems = Problems(name, tell, owner.redactor)
    hearing = Hearing(owner.run, problems, console.feed, Path.cwd(), is_alone=True)
    owner.start()
    with interruptible() as interruption:
        try:
            hear_out(source, hearing, interruption)
        except OSError as error:
            hearing.close("FAILED")
            owner.finish("FAILED")
            raise UsageError(f"can't read {name}: {error.strerror}") from error
    console.close()
    status = _verdict(hearing, interruption)
    hearing.close(status)
    if not hearing.recorded:
        tell(f"{name}: there was no event in it that could be recorded")
    owner.finish(status)
    return _exit_code(hearing, interruption)


def tell(line: str) -> None:
    """Say something to the user."""
    click.echo(f"toolkit: {line}", err=True)


def _verdict(hearing: Hearing, interruption: Interruption) -> Status:
    if interruption.number:
        return "KILLED"
    if not hearing.recorded:
        return "FAILED"
    if hearing.is_torn and not hearing.has_left:
        return "KILLED"
    return hearing.said or "FINISHED"


def _exit_code(hearing: Hearing, interruption: Interruption) -> int:
    if interruption.number:
        return _SIGNAL_BASE + interruption.number
    if not hearing.recorded:
        return 2
    return 1 if hearing.problems.lines else 0
