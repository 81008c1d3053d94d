"""The tracker: one folder of event files for each run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar
from urllib.parse import quote

from attrs import define
from attrs import field

from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import flatten
from toolkit_tensorboard import values

EVENT_FILES = "events.out.tfevents.*"


@define(eq=False)
class TensorBoardTracker:
    """Writes ``<logdir>/<project>/<run id>``."""

    protocol_version: ClassVar[int] = 1
    repeatable: ClassVar[bool] = False
    """Event files can only be appended to: every `open` starts them anew."""

    logdir: str = field(
        default="tensorboard",
        metadata={"doc": "folder of all runs; a relative one starts at the command's folder"},
    )
    _run: RunInfo | None = field(default=None, init=False)
    _writer: Any = field(default=None, init=False)
    _said: dict[str, dict[str, Any]] = field(factory=dict, init=False)
    """The latest params, tags and summary: TensorBoard shows each as one text."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Start the run's event file; one from an earlier telling is removed."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is not None:
            self._writer.close()
        folder = folder_of(Path(run.directory, self.logdir), run)
        folder.mkdir(parents=True, exist_ok=True)
        for older in folder.glob(EVENT_FILES):
            older.unlink()
        self._run, self._said = run, {}
        self._writer = EventFileWriter(str(folder))
        self._add([values.event(run.created, 0, self._description("RUNNING"))])
        return Link(id=run.id, view=f"tensorboard --logdir {shlex.quote(str(folder.parent))}")

    def write(self, events: Sequence[Event]) -> None:
        """Append the events: all of them, or none where one of them fails."""
        self._add([made for event in events for made in self._events(event)])

    def close(self, ended: Ended) -> None:
        """Note how the run ended."""
        self._add([values.event(ended.time, 0, self._description(ended.status))])
        self._writer.close()

    def _events(self, event: Event) -> Iterator[Any]:
        """What TensorBoard is told of the event; nothing of kinds that it can't show."""
        step = getattr(event, "step", None) or 0
        for value in self._values(event):
            yield values.event(event.time, step, value)

    def _values(self, event: Event) -> Iterator[Any]:
        match event:
            case Metrics():
                yield from (values.scalar(key, value) for key, value in event.values.items())
            case Params() | Tags() | Summary():
                yield self._merged(type(event).__name__.lower(), dict(flatten(event.values)))
            case Described() if self._run is not None:
                self._run = self._run.described(event)
                yield self._description("RUNNING")
            case Image():
                yield values.picture(event.key, Path(event.path).read_bytes())
            case Figure() if event.name.endswith(".png"):
                yield values.picture(event.name, Path(event.path).read_bytes())
            case Histogram():
                yield values.histogram(event)
            case Text():
                yield values.text(f"text/{event.name}", Path(event.path).read_text("utf-8"))
            case Table():
                yield values.table(event)
            case ConfusionMatrix():
                yield values.matrix(event)
            case Console():
                yield values.text("console", event.text)

    def _merged(self, kind: str, new: dict[str, Any]) -> Any:
        self._said[kind] = {**self._said.get(kind, {}), **new}
        return values.text(f"run/{kind}", json.dumps(self._said[kind], ensure_ascii=False))

    def _description(self, status: str) -> Any:
        assert self._run is not None, "open() comes first"
        names = ("project_name", "name", "group", "notes", "tags", "parent")
        said = {name: getattr(self._run, name) for name in names}
        text = json.dumps({**said, "status": status}, ensure_ascii=False)
        return values.text("run/description", text)

    def _add(self, events: Sequence[Any]) -> None:
        for event in events:
            self._writer.add_event(event)
        self._writer.flush()


def folder_of(logdir: Path, run: RunInfo) -> Path:
    """Where the run's event files lie."""
    return logdir.absolute() / quote(run.project_name, safe=" ") / run.id
