"""A whole tracker in one module: each run becomes one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar

from attrs import define
from attrs import field

from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import flatten


@define
class FileTracker:
    """Writes ``<folder>/<run id>.json``."""

    protocol_version: ClassVar[int] = 1

    folder: str = field(default="tracked", metadata={"doc": "where the files go"})
    note: str = field(default="", metadata={"doc": "kept in each file"})
    _file: Path = field(init=False, default=Path())
    _record: dict[str, Any] = field(init=False, factory=dict)

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Go on with the run's file, or make it."""
        self._file = Path(self.folder).absolute() / f"{run.id}.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self._record = json.loads(self._file.read_text(encoding="utf-8"))
        else:
            kinds = ("params", "metrics", "tags", "summary", "artifacts", "console")
            self._record = {"project": run.project_name, "status": None} | {k: {} for k in kinds}
        self._record |= {"name": run.display_name, "note": self.note, "pid": os.getpid()}
        self._save()
        return Link(id=run.id, url=self._file.as_uri())

    def write(self, events: Sequence[Event]) -> None:
        """Put each value at its own place, so that repeating a batch changes nothing."""
        for event in events:
            match event:
                case Params():
                    self._record["params"].update(flatten(event.values))
                case Metrics():
                    for key, value in event.values.items():
                        points = self._record["metrics"].setdefault(key, {})
                        points[f"{event.step}@{event.time}"] = value
                case Tags():
                    self._record["tags"].update(event.values)
                case Summary():
                    self._record["summary"].update(event.values)
                case Artifact():
                    for file in event.files:
                        self._record["artifacts"][f"{event.folder}/{file.name}"] = file.path
                case Text():
                    self._record["artifacts"][event.name] = event.path
                case Console():
                    self._record["console"][str(event.position)] = event.text
        self._save()

    def close(self, ended: Ended) -> None:
        """Note how the run ended."""
        self._record["status"] = ended.status
        self._save()

    def _save(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._record), encoding="utf-8")
        partial.replace(self._file)
