"""Trackers that misbehave on request, on top of the one that writes files."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from attrs import define
from attrs import evolve
from toolkit_file import FileTracker

from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import Unreachable


@define
class RefusingTracker(FileTracker):
    """Fails on every batch that holds a metric named "bad"."""

    def write(self, events: Sequence[Event]) -> None:
        """Refuse, or write."""
        for event in events:
            if isinstance(event, Metrics) and "bad" in event.values:
                raise ValueError("a metric named 'bad'")
        super().write(events)


@define
class SilentTracker(FileTracker):
    """Can't be reached as long as a file named ``down`` lies in its folder."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Open, if it can be reached."""
        self._check()
        return super().open(run, memory)

    def write(self, events: Sequence[Event]) -> None:
        """Write, if it can be reached."""
        self._check()
        super().write(events)

    def _check(self) -> None:
        if (Path(self.folder) / "down").exists():
            raise Unreachable("connection refused")


@define
class ViewedTracker(FileTracker):
    """Says how to look at all of its runs."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Open, and say where."""
        return evolve(super().open(run, memory), view=f"look into {self.folder}")


@define
class LittererTracker(FileTracker):
    """Leaves a password in the environment, and fails where one was left."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Litter, then open."""
        assert "LEFT_PASSWORD" not in os.environ
        os.environ["LEFT_PASSWORD"] = "secret"
        return super().open(run, memory)


@define
class WornTracker(FileTracker):
    """Can be opened only once in a process."""

    is_worn: ClassVar[bool] = False

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Open, the first time."""
        assert not WornTracker.is_worn
        WornTracker.is_worn = True
        return super().open(run, memory)


@define
class AskingTracker(FileTracker):
    """Reads whatever standard input there is, in a process of its own."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Ask, then open."""
        answer = subprocess.run(["cat"], stdout=subprocess.PIPE, check=True).stdout
        assert answer == b""
        return super().open(run, memory)


@define
class ForgetfulTracker(FileTracker):
    """Appends, and so can't be told anything twice: it starts afresh at every open."""

    repeatable: ClassVar[bool] = False

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Drop what was there."""
        (Path(self.folder) / f"{run.id}.json").unlink(missing_ok=True)
        return super().open(run, memory)


@define
class UploadingTracker(FileTracker):
    """Copies a large file at the run's end, one part after the other, for three seconds."""

    def close(self, ended: Ended) -> None:
        """Copy, then end as usual."""
        part = bytes(1 << 18)
        with (Path(self.folder) / "upload").open("wb", buffering=0) as copy:
            for _ in range(30):
                copy.write(part)
                time.sleep(0.1)
        super().close(ended)


@define
class HangingTracker(FileTracker):
    """Never comes back from a write."""

    def write(self, events: Sequence[Event]) -> None:
        """Hang, and swallow what a friendly end would say."""
        while True:
            try:
                time.sleep(3600)
            except Exception:  # noqa: S112 - as careless plugins do
                continue
