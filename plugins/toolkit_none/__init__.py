"""The tracker that tells nobody: the run stays in its folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from toolkit.events import Ended
from toolkit.events import Event
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link


@frozen
class NoneTracker:
    """Accepts everything and keeps nothing."""

    protocol_version: ClassVar[int] = 1

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Name the run by its own id; there is no page to look at."""
        return Link(id=run.id)

    def write(self, events: Sequence[Event]) -> None:
        """Pass over the events."""

    def close(self, ended: Ended) -> None:
        """Nothing was opened."""
