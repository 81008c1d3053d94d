"""Events of a tracked command: the file that TOOLKIT_EVENTS names, followed while it runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from toolkit.cli import events
from toolkit.cli.events import Interruption
from toolkit.console import ConsoleRecorder
from toolkit.console import Stream
from toolkit.errors import UsageError
from toolkit.hearing import Hearing
from toolkit.hearing import Problems
from toolkit.lines import FollowedFile
from toolkit.lines import Line
from toolkit.owner import Owner
from toolkit.rundir import RunDir

VARIABLE = "TOOLKIT_EVENTS"
"""Names the file in which a tracked command may write events."""

_FILE = "events.jsonl"
_LOOK_SECONDS = 0.1


def refuse_content(path: Path) -> None:
    """Raise UsageError where a file for a command's events has some of an earlier one in it."""
    if path.is_dir() or (path.is_file() and path.stat().st_size):
        raise UsageError(
            f"--events {path}: it is there already, and what is in it is not of this command's; "
            "remove it, name another, or leave --events out and use $TOOLKIT_EVENTS"
        )


class SharedConsole:
    """The console of a run, to which the command's output and its events both go."""

    def __init__(self, console: ConsoleRecorder) -> None:
        self._console = console
        self._guard = threading.Lock()

    def feed(self, stream: Stream, data: bytes) -> None:
        """Record what was printed."""
        with self._guard:
            self._console.feed(stream, data)

    def close(self) -> None:
        """Record what stands after the last newlines."""
        with self._guard:
            self._console.close()


class _File:
    """A file that is followed until the command is over."""

    def __init__(self, path: Path, is_ending: threading.Event) -> None:
        self._file = FollowedFile(path)
        self._is_ending = is_ending
        self._was_ending = False

    def read(self) -> list[Line] | None:
        """The next lines."""
        is_ending = self._is_ending.is_set()  # asked before reading: what there is then is all
        lines = self._file.read()
        if lines is None:
            self._was_ending = is_ending
            self._is_ending.wait(_LOOK_SECONDS)
        return lines

    def rest(self) -> list[Line]:
        """The last line, where it has no end."""
        return self._file.rest()

    def is_over(self, hearing: Hearing, interruption: Interruption) -> bool:
        """Whether the command is over, whatever one of its scripts said of itself."""
        return self._was_ending


class Beside:
    """Follows the file in which a command may write events.

    Args:
        owner: who holds the run.
        chosen: the file, if somebody chose one; else it lies in the run's folder, and goes at the
            end, when everything in it has been read.
        console: where events of what was printed go.
    """

    def __init__(self, owner: Owner, chosen: Path | None, console: SharedConsole) -> None:
        self.path = chosen or _own_file(owner.run)
        self._is_ours = chosen is None
        self._is_ending = threading.Event()
        problems = Problems(str(chosen or f"${VARIABLE}"), events.tell, owner.redactor)
        self._hearing = Hearing(owner.run, problems, console.feed, Path.cwd(), is_alone=False)
        self._thread = threading.Thread(target=self._follow, name="toolkit-events", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self) -> None:
        """Read what there is, and no more."""
        self._is_ending.set()
        self._thread.join()
        self._hearing.close(self._hearing.said or "FINISHED")

    @property
    def silent_segment(self) -> int | None:
        """Number of the segment that was written, if nobody said in it how the command left."""
        return self._hearing.segment if self._hearing.said is None else None

    def _follow(self) -> None:
        try:
            events.hear_out(_File(self.path, self._is_ending), self._hearing, Interruption())
        except OSError as error:
            events.tell(f"can't read the events in {self.path}: {error}")
            return
        if self._is_ours:
            self.path.unlink(missing_ok=True)


def _own_file(run: RunDir) -> Path:
    """The file in the run's folder; what an attempt that was killed has left in it is still there.

    Nobody else may read it: secrets are masked only when it is recorded.
    """
    path = run.path / _FILE
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # the attempt was cut off
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)
    return path
