"""A run as a script holds it, without couriers: its events, and how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.events import Artifact
from toolkit.events import Event
from toolkit.events import Status
from toolkit.journal import Follower
from toolkit.journal import SegmentWriter
from toolkit.recorder import LastSteps
from toolkit.recorder import Recorder
from toolkit.run import Run
from toolkit.rundir import RunDir


class Script:
    """A run as a script holds it, and what became of it."""

    def __init__(self, run_dir: RunDir, last_steps: LastSteps | None = None) -> None:
        self.run_dir = run_dir
        self.endings: list[Status] = []
        self.writer = SegmentWriter.create(run_dir.journal, "owner")
        recorder = Recorder(run_dir, self.writer, last_steps or LastSteps())
        self.run = Run("the-id", recorder, self.endings.append)

    def events(self) -> list[Event]:
        """Everything recorded so far."""
        return list(Follower(self.run_dir.journal).read().events)

    def only(self) -> Any:
        """The one event that was recorded."""
        (event,) = self.events()
        return event

    def file(self, event: Any) -> Path:
        """Where the event's only file lies."""
        path = event.files[0].path if isinstance(event, Artifact) else event.path
        return Path(self.run_dir.path, path)
