"""Fakes to test a tracker with: a run, and events of every kind with their files."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit import tables
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.events import Unknown
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo

START = 1_764_000_000.0
"""When every sample run began, in Unix seconds."""

_SIDE = 8  # pixels


def sample_run(folder: Path, number: int = 1, **changes: Any) -> RunInfo:
    """A run whose command was started in the folder; fields of `RunInfo` may be changed."""
    values: dict[str, Any] = {
        "id": f"20251124-160000-{number:06x}",
        "created": START,
        "host": Host("node-1", "boot-1"),
        "command": ("python", "train.py", "--lr", "1e-3"),
        "directory": str(folder),
        "user": "ann",
        "project": "contract",
        "versions": {"python": "3.11.9"},
        **changes,
    }
    return RunInfo(**values)


class Samples:
    """Makes events, each a second later than the one before, with their files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._time = START
        self._printed = 0

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> Metrics:
        """Measured values."""
        return Metrics(self._now(), values, step)

    def params(self, values: Mapping[str, Any]) -> Params:
        """Params, nested as given."""
        return Params(self._now(), values)

    def tags(self, values: Mapping[str, str]) -> Tags:
        """Tags with a key."""
        return Tags(self._now(), values)

    def summary(self, values: Mapping[str, Any]) -> Summary:
        """Results of the run."""
        return Summary(self._now(), values)

    def text(self, name: str, text: str) -> Text:
        """A text, in its file."""
        return Text(self._now(), name, self._file("text.txt", text.encode()))

    def table(self, name: str, columns: Mapping[str, Any], step: int | None = None) -> Table:
        """A table of these columns, in its file."""
        content = tables.encode(tables.rows_of(name, columns))
        return Table(self._now(), name, self._file("table.json", content), step)

    def image(self, key: str, shade: int, step: int | None = None) -> Image:
        """A small grey picture, from 0 (black) to 255."""
        return Image(self._now(), key, self._file("image.png", png(shade)), step, "a caption")

    def figure(self, name: str, content: bytes, step: int | None = None) -> Figure:
        """A figure, in a file of the name's format."""
        return Figure(self._now(), name, self._file(Path(name).name, content), step)

    def histogram(
        self, key: str, counts: Sequence[float], edges: Sequence[float], step: int | None = None
    ) -> Histogram:
        """A histogram with one more edge than counts."""
        return Histogram(self._now(), key, tuple(edges), tuple(counts), step)

    def matrix(
        self, name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]
    ) -> ConfusionMatrix:
        """A confusion matrix without a step."""
        return ConfusionMatrix(self._now(), name, tuple(labels), tuple(map(tuple, counts)))

    def artifact(
        self,
        name: str,
        files: Mapping[str, bytes],
        folder: str = "",
        aliases: Sequence[str] = (),
    ) -> Artifact:
        """An artifact of these files."""
        kept = tuple(
            File(inner, self._file(Path(inner).name, content)) for inner, content in files.items()
        )
        return Artifact(self._now(), name, kept, folder, "model", tuple(aliases))

    def lost_artifact(self, name: str) -> Artifact:
        """An artifact whose file is gone."""
        artifact = self.artifact(name, {name: b"lost"})
        Path(artifact.files[0].path).unlink()
        return artifact

    def console(self, text: str, *, is_error: bool = False) -> Console:
        """The next text that the command printed."""
        event = Console(self._now(), text, self._printed, "stderr" if is_error else "stdout")
        self._printed += len(text)
        return event

    def described(self, **said: Any) -> Described:
        """What a script says of its run."""
        return Described(self._now(), **said)

    def left(self) -> Left:
        """A script leaves the run."""
        return Left(self._now(), "FINISHED")

    def unknown(self, kind: str = "hologram") -> Unknown:
        """An event of a kind that no toolkit knows yet."""
        return Unknown(self._now(), kind, {"values": {"depth": 3}, "path": "files/x"})

    def one_of_each(self) -> list[Event]:
        """An event of every kind, the end apart."""
        return [
            self.described(name="first try", group="baselines", tags=("quick",), notes="Note."),
            self.params({"lr": 1e-3, "model": {"layers": 3}}),
            self.metrics({"loss": 0.5, "accuracy": 0.75}, step=1),
            self.tags({"dataset": "v1"}),
            self.summary({"best": 0.75, "verdict": "good"}),
            self.text("notes/readme.txt", "Read me.\n"),
            self.table("examples", {"class": ["a", "b"], "score": [0.5, 0.25]}, step=1),
            self.image("pages", 120, step=1),
            self.figure("plots/curve.png", png(60)),
            self.histogram("weights", (1, 2), (0.0, 0.5, 1.0), step=1),
            self.matrix("confusion", ("cat", "dog"), ((3, 1), (0, 2))),
            self.artifact("model.bin", {"model.bin": b"weights"}, "checkpoints", ["best"]),
            self.console("epoch 1\n"),
            self.left(),
            self.unknown(),
        ]

    def _now(self) -> float:
        self._time += 1.0
        return self._time

    def _file(self, name: str, content: bytes) -> str:
        """Where the content lies: by its digest, as in a run's folder."""
        path = self._folder / hashlib.sha256(content).hexdigest()[:32] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


def sample_events(folder: Path) -> list[Event]:
    """An event of every kind, the end apart, with their files in the folder."""
    return Samples(folder).one_of_each()


def png(shade: int) -> bytes:
    """A small picture in PNG, all in one grey."""
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)  # 8 bits, grey
    rows = (b"\0" + bytes([shade]) * _SIDE) * _SIDE
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
