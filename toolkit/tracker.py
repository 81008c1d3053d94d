"""The Tracker protocol: what a plugin implements.

A plugin is a class under the entry-point group ``toolkit.trackers``; the entry point's name is what
``--backend`` takes. Its options are its attrs fields. Its methods are called in order, in one
thread of a process of their own: `open` once, `write` any number of times, `close` when the run has
ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Protocol

from attrs import field
from attrs import frozen

from toolkit.events import Ended
from toolkit.events import Event
from toolkit.runinfo import RunInfo

PROTOCOL_VERSION = 1


@frozen
class Link:
    """Where a backend keeps a run: its id there, how to look at it, what the plugin remembers."""

    id: str
    url: str | None = None
    """The run's page."""
    view: str | None = None
    """What to type to look at it, where there is no page."""
    state: Mapping[str, Any] = field(factory=dict)
    """JSON values only; no secrets."""


class Unreachable(Exception):  # noqa: N818 - the name that plugin authors raise
    """The backend can't be reached now; the same call is tried again later."""


class Tracker(Protocol):
    """One backend, told about one run."""

    protocol_version: ClassVar[int]
    """Equals `PROTOCOL_VERSION` of the toolkit that the plugin was written for."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Create the backend's run, or go on with the one in ``memory``.

        ``memory`` is the Link last returned for this run. When it is None, look in the backend for
        ``run.id`` first: a crash may have come between creating and remembering.

        Raises:
            Unreachable: try again later.
        """
        ...

    def write(self, events: Sequence[Event]) -> None:
        """Tell a batch of events, in order per writer, file paths absolute.

        After a crash the same events may come again, and the result must read the same: write by
        name and position, not by appending. A plugin that can't do this sets ``repeatable = False``
        on itself; it is then told the run from its start at every `open`, and replaces what was
        there; of a batch that failed half-way and comes again in parts, it skips what it has taken.
        Kinds that the plugin does not know are passed over.

        Raises:
            Unreachable: the whole batch is tried again later, after another `open` where the
                tracker isn't repeatable. On any other error the batch is split
                until the bad event is found, noted and passed over.
        """
        ...

    def close(self, ended: Ended) -> None:
        """The run has really ended; called after everything was written."""
        ...


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted key and leaf (``gnn.layers``) for backends without nesting.

    An empty mapping is a leaf; lists are leaves.
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
