"""Pictures, tables and texts as MLflow's artifacts, where its pages look for them.

Every file has its place by name and step, so that telling an event twice changes nothing:

- a text, table, figure or confusion matrix of the name ``a/b`` is ``a/b`` with its suffix, the
  latest where there are several; one with a step is also ``a/b/step-00000010`` with its suffix;
- a histogram's numbers are ``histograms/<key>.json`` or ``histograms/<key>/step-00000010.json``;
- images, and pictures of histograms and confusion matrices, are in MLflow's image grid:
  ``images/<key>+step+<step>+timestamp+<milliseconds>+<digest>.png``, ``~`` for ``/`` in the key,
  and a preview beside each.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from attrs import frozen

from toolkit import tables
from toolkit.events import ConfusionMatrix
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Media
from toolkit.events import Table
from toolkit.events import Text
from toolkit.events import name_of
from toolkit.tables import Rows
from toolkit_mlflow import drawing
from toolkit_mlflow.batch import MAX_TAG_LENGTH
from toolkit_mlflow.files import Files
from toolkit_mlflow.keys import Keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMAGES_TAG = "mlflow.loggedImages"
TABLES_TAG = "mlflow.loggedArtifacts"
CORNER = "actual / predicted"
"""The first column of a confusion matrix's table."""

_TABLE_SUFFIXES = (".json", ".parquet")
_DIGITS = 12


@frozen
class Places:
    """The names of an event's files: the picture's without its suffix, and the others."""

    picture: str | None = None
    files: tuple[str, ...] = ()


class Gallery:
    """What MLflow has been shown of one run."""

    def __init__(self, files: Files, keys: Keys, tags: Mapping[str, str]) -> None:
        self._files = files
        self._keys = keys
        self._has_images = IMAGES_TAG in tags
        self._tables: list[dict[str, str]] = json.loads(tags.get(TABLES_TAG, "[]"))

    def places(self, event: Media) -> Places:
        """Where the event's files belong."""
        match event:
            case Text():
                return Places(files=(self._keys.path(event.name),))
            case Table():
                stem, suffix = posixpath.splitext(event.name)
                if suffix not in _TABLE_SUFFIXES:
                    stem, suffix = event.name, ".json"
                return Places(files=self._latest_and_stepped(stem, suffix, event.step))
            case Figure():
                return Places(
                    files=self._latest_and_stepped(*posixpath.splitext(event.name), event.step)
                )
            case ConfusionMatrix():
                files = self._latest_and_stepped(event.name, ".json", event.step)
                return Places(self._picture(event), files)
            case Histogram():
                files = self._latest_and_stepped(f"histograms/{event.key}", ".json", event.step)
                return Places(self._picture(event), files[-1:])
            case Image():
                return Places(self._picture(event))

    def put(self, event: Media) -> None:
        """Upload the event's files, then tell MLflow's pages of them.

        Raises:
            OSError: a file of the event is gone.
        """
        places = self.places(event)
        match event:
            case Text() | Figure():
                for name in places.files:
                    self._files.put(Path(event.path), name)
            case Table():
                self._put_table(tables.read(Path(event.path)), places)
            case Image():
                self._hang(Path(event.path).read_bytes(), places)
            case ConfusionMatrix():
                self._put_table(_as_table(event), places)
                self._hang(drawing.confusion_matrix(event), places)
            case Histogram():
                numbers = {"edges": event.edges, "counts": event.counts}
                text = json.dumps({**numbers, "not_finite": event.not_finite})
                self._files.put_text(text, places.files[0])
                self._hang(drawing.histogram(event), places)

    def _latest_and_stepped(self, stem: str, suffix: str, step: int | None) -> tuple[str, ...]:
        stem = self._keys.path(stem)
        latest = f"{stem}{suffix}"
        return (latest,) if step is None else (latest, f"{stem}/step-{step:08}{suffix}")

    def _picture(self, event: Image | Histogram | ConfusionMatrix) -> str:
        key = self._keys[name_of(event)].replace("/", "~")
        stamp = int(event.time * 1000)
        # Several pictures may have one key, step and time. Where the run's folder lies can't count.
        source = Path(event.path).parent.name if isinstance(event, Image) else ""
        said = f"{type(event).__name__} {event.time!r} {source}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]
        return f"images/{key}+step+{event.step or 0}+timestamp+{stamp}+{digest}"

    def _hang(self, picture: bytes, places: Places) -> None:
        """Put a picture into the image grid."""
        self._files.put_bytes(picture, f"{places.picture}.png")
        self._files.put_bytes(drawing.preview(picture), f"{places.picture}+compressed.webp")
        if not self._has_images:
            self._client.set_tag(self._files.run_id, IMAGES_TAG, "True")
            self._has_images = True

    def _put_table(self, rows: Rows, places: Places) -> None:
        """Put a table where `mlflow.load_table` and MLflow's pages find it."""
        for name in places.files:
            self._files.put_bytes(_written(rows, name), name)
        entry = {"path": places.files[0], "type": "table"}
        # As it is, not escaped: `mlflow.load_table` searches for the name in the tag's text.
        listed = json.dumps([*self._tables, entry], ensure_ascii=False)
        # The tag has room for about a hundred names; a table beyond it is a file like others.
        if entry not in self._tables and len(listed) <= MAX_TAG_LENGTH:
            self._client.set_tag(self._files.run_id, TABLES_TAG, listed)
            self._tables.append(entry)

    @property
    def _client(self) -> MlflowClient:
        return self._files.client


def _as_table(event: ConfusionMatrix) -> Rows:
    rows = [[label, *row] for label, row in zip(event.labels, event.counts, strict=True)]
    return Rows([CORNER, *event.labels], rows)


def _written(rows: Rows, name: str) -> bytes:
    """The table in the format that MLflow itself writes; what is no number is null, as there."""
    data = [[_without_nan(cell) for cell in row] for row in rows.data]
    if name.endswith(".parquet"):
        import pandas as pd

        content = io.BytesIO()
        pd.DataFrame(data, columns=rows.columns).to_parquet(content, index=False)
        return content.getvalue()
    text = json.dumps({"columns": rows.columns, "data": data}, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _without_nan(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
