"""A run's pictures, tables and texts, for the tests of every plugin."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from toolkit import tables
from toolkit.events import ConfusionMatrix
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Table
from toolkit.events import Text

LABELS = ("cat", "dog $x_1$", "ünï")
COUNTS = ((5, 1, 0), (0, 4, 2), (0, 0, 0))


class Made:
    """Makes events with their files in one folder, each content at its digest's place."""

    def __init__(self, folder: Path, start: float) -> None:
        self._folder = folder
        self._start = start

    def file(self, name: str, content: bytes) -> str:
        """Where a file with this content lies."""
        import hashlib

        path = self._folder / "files" / hashlib.sha256(content).hexdigest()[:32] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def text(self, second: float, name: str, text: str) -> Text:
        """A text."""
        return Text(self._start + second, name, self.file("t.txt", text.encode()))

    def table(self, second: float, name: str, data: Any, step: int | None = None) -> Table:
        """A table of these columns."""
        content = tables.encode(tables.rows_of(name, data))
        return Table(self._start + second, name, self.file("t.json", content), step)

    def image(
        self, second: float, key: str, shade: int, step: int | None = None, caption: str = "c"
    ) -> Image:
        """A picture that is wider than a preview, all in one shade."""
        path = self.file("i.png", png(shade))
        return Image(self._start + second, key, path, step, caption)

    def figure(self, second: float, name: str, content: bytes, step: int | None = None) -> Figure:
        """A figure in its file."""
        return Figure(self._start + second, name, self.file(Path(name).name, content), step, "c")

    def histogram(self, second: float, key: str, step: int | None = None) -> Histogram:
        """Three values in two bins, and one that isn't finite."""
        edges, counts = (0.0, 0.5, 1.0), (1.0, 2.0)
        return Histogram(self._start + second, key, edges, counts, step, not_finite=1)

    def matrix(self, second: float, name: str, step: int | None = None) -> ConfusionMatrix:
        """A confusion matrix with a class that has no examples."""
        return ConfusionMatrix(self._start + second, name, LABELS, COUNTS, step)

    def one_of_each(self) -> list[Event]:
        """Every kind of media, with steps and without."""
        return [
            self.text(1, "reports/a.txt", "é <b>\n"),
            self.table(2, "test/classes", {"Class": ["a", "b"], "F1": [0.5, float("nan")]}),
            *(self.table(3 + n, "val/examples", {"n": [n, n]}, 10 * n) for n in range(2)),
            *(self.image(5 + n, "val/pages", 100 * n, 10 * n) for n in range(2)),
            self.image(7, "last", 50),
            self.figure(8, "plots/a.png", png(7)),
            self.figure(9, "plots/a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 3),
            self.figure(10, "plots/a.html", "<html>é</html>".encode()),
            self.figure(11, "plots/a.pdf", b"%PDF-1.4"),
            self.histogram(12, "grad/w", 10),
            self.histogram(13, "grad/w"),
            self.matrix(14, "test/confusion_matrix"),
            self.matrix(15, "val/confusion_matrix", 10),
        ]


def png(shade: int) -> bytes:
    """A grey picture, 800 x 200."""
    from PIL import Image as Pictures

    content = io.BytesIO()
    Pictures.new("L", (800, 200), shade).save(content, format="PNG")
    return content.getvalue()
