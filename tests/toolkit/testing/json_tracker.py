"""A tracker that keeps each run in one JSON file, and its contract: what mutants are made of."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar

from attrs import asdict

from toolkit.events import Artifact
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
from toolkit.tables import Rows
from toolkit.testing import Bins
from toolkit.testing import Item
from toolkit.testing import Matrix
from toolkit.testing import Point
from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.tracker import Link
from toolkit.tracker import Unreachable
from toolkit.tracker import flatten

DOWN = "down"
"""A file of this name in the folder makes it unreachable."""


class JsonTracker:
    """Every value has its place, by name, step and time; so telling it again changes nothing."""

    protocol_version: ClassVar[int] = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run: RunInfo
        self.record: dict[str, Any] = {}

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Go on with the run's file, or make it."""
        self.reach()
        self.run = run
        path = self.path()
        self.record = json.loads(path.read_text()) if path.exists() else {}
        self.record["status"] = "RUNNING"
        self.save()
        return Link(id=run.id, url=path.as_uri(), state={"file": path.name})

    def write(self, events: Sequence[Event]) -> None:
        """Take the events, then write the file anew."""
        self.reach()
        for event in events:
            self.take(event)
        self.save()

    def close(self, ended: Ended) -> None:
        """Note how the run ended."""
        self.reach()
        self.record["status"] = ended.status
        self.save()

    def take(self, event: Event) -> None:
        """Put what the event says in its place."""
        match event:
            case Metrics():
                for key, value in event.values.items():
                    self.point(key, value, event)
            case Params() | Summary() | Tags():
                kind = type(event).__name__.lower()
                self.record.setdefault(kind, {}).update(flatten(event.values))
            case Described():
                self.run = self.run.described(event)
            case Artifact():
                self.keep(event)
            case Console():
                self.record.setdefault("console", {})[str(event.position)] = event.text
            case Text() | Table() | Image() | Figure():
                self.show(event, self.read(event.path).decode("latin-1"))
            case Histogram() | ConfusionMatrix():
                self.show(event, asdict(event))

    def point(self, key: str, value: float, event: Metrics) -> None:
        """One point of a metric; its place is its step and time."""
        curve = self.record.setdefault("metrics", {}).setdefault(key, {})
        curve[f"{event.step}@{event.time}"] = [event.step, value, event.time]

    def show(self, event: Any, content: Any) -> None:
        """One thing of a series; its place is its step and time."""
        name = getattr(event, "key", None) or event.name
        kind = type(event).__name__.lower()
        series = self.record.setdefault(kind, {}).setdefault(name, {})
        step = getattr(event, "step", None)
        series[f"{step}@{event.time}"] = [step, content]

    def keep(self, event: Artifact) -> None:
        """The files of an artifact, and what stands for them."""
        paths = [f"{event.folder}/{file.name}" for file in event.files]
        for path, file in zip(paths, event.files, strict=True):
            content = self.read(file.path).decode("latin-1")
            self.record.setdefault("artifacts", {})[path] = content
        top = paths[0] if len(paths) == 1 else event.folder
        self.record.setdefault("aliases", {})[top] = event.aliases

    def read(self, path: str) -> bytes:
        """The content of an event's file."""
        return Path(path).read_bytes()

    def path(self) -> Path:
        """Where the run is kept."""
        return self.folder / f"{self.run.id}.json"

    def save(self) -> None:
        """Write the file."""
        names = ("project", "name", "group", "notes", "tags", "parent")
        self.record["run"] = {name: getattr(self.run, name) for name in names}
        self.path().write_text(json.dumps(self.record))

    def reach(self) -> None:
        """Look whether the folder is there for us."""
        if (self.folder / DOWN).exists():
            raise Unreachable("somebody has put it away")


class JsonContract(TrackerContract):
    """Reads the JSON file itself."""

    tracker: ClassVar[type[JsonTracker]] = JsonTracker

    def make_tracker(self, folder: Path) -> JsonTracker:
        """A tracker of the class that is to be checked."""
        return self.tracker(folder)

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """What the file says."""
        record = json.loads((folder / link.state["file"]).read_text())
        run = record["run"]
        console = sorted(record.get("console", {}).items(), key=lambda pair: int(pair[0]))
        return Recorded(
            labels=run.pop("tags"),
            **run,
            status=record["status"],
            params=record.get("params", {}),
            metrics={
                key: [Point(*point) for point in curve.values()]
                for key, curve in record.get("metrics", {}).items()
            },
            tags=record.get("tags", {}),
            summary=record.get("summary", {}),
            texts={name: items[-1].content for name, items in _items(record, "text").items()},
            tables=_items(record, "table", _rows),
            images=_items(record, "image", _bytes),
            figures=_items(record, "figure", _bytes),
            histograms=_items(record, "histogram", lambda c: Bins(c["edges"], c["counts"])),
            matrices=_items(record, "confusionmatrix", lambda c: Matrix(c["labels"], c["counts"])),
            artifacts={path: _bytes(c) for path, c in record.get("artifacts", {}).items()},
            aliases=record.get("aliases", {}),
            console="".join(text for _, text in console),
        )

    @contextlib.contextmanager
    def away(self, folder: Path) -> Iterator[None]:
        """Put it away."""
        (folder / DOWN).touch()
        yield
        (folder / DOWN).unlink()


def _items(record: Mapping[str, Any], kind: str, made: Any = None) -> dict[str, list[Item[Any]]]:
    make = made or (lambda content: content.encode("latin-1").decode())
    return {
        name: [Item(make(content), step) for step, content in series.values()]
        for name, series in record.get(kind, {}).items()
    }


def _bytes(content: str) -> bytes:
    return content.encode("latin-1")


def _rows(content: str) -> Rows:
    said = json.loads(_bytes(content))
    return Rows(said["columns"], said["data"])
