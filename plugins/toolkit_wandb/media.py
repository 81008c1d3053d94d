"""Pictures, tables and texts as wandb's own types, for a row of the history."""

from __future__ import annotations

import html
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any

from toolkit import tables
from toolkit.events import ConfusionMatrix
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Media
from toolkit.events import Table
from toolkit.events import Text
from toolkit.events import name_of

MATRIX_COLUMNS = ("Actual", "Predicted", "nPredictions")
"""What the columns of W&B's own confusion matrix are called."""

_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"))
_PAGES = frozenset((".html", ".htm", ".svg"))
_TABLE_SUFFIXES = (".json", ".parquet")
_MOST_ROWS = 10_000  # of a table; wandb drops the rest


def row(event: Media) -> dict[str, Any]:
    """The event's columns; none for what W&B can't show.

    Raises:
        OSError: a file of the event is gone.
    """
    import wandb

    name = name_of(event)
    match event:
        case Text():
            text = html.escape(Path(event.path).read_text(encoding="utf-8"))
            return {name: wandb.Html(f"<pre>{text}</pre>", data_is_not_path=True)}
        case Table():
            rows = tables.read(Path(event.path))
            return {table_name(name): _table(rows.columns, rows.data)}
        case Image():
            return {name: wandb.Image(event.path, caption=event.caption)}
        case Figure():
            return _figure(event)
        case Histogram():
            return _histogram(event)
        case ConfusionMatrix():
            return {name: _confusion_matrix(event)}


def table_name(name: str) -> str:
    """The table's name without the suffix that MLflow wants."""
    stem, suffix = name[: name.rfind(".")], PurePosixPath(name).suffix
    return stem if suffix in _TABLE_SUFFIXES else name


def _table(columns: list[str], data: list[list[Any]]) -> Any:
    import wandb

    return wandb.Table(columns=list[str | int](columns), data=data, allow_mixed_types=True)


def _figure(event: Figure) -> dict[str, Any]:
    import wandb

    suffix = PurePosixPath(event.name).suffix.lower()
    if suffix in _PICTURES:
        return {event.name: wandb.Image(event.path, caption=event.caption)}
    if suffix in _PAGES:
        page = Path(event.path).read_text(encoding="utf-8")
        return {event.name: wandb.Html(page, data_is_not_path=True)}
    return {}


def _histogram(event: Histogram) -> dict[str, Any]:
    import wandb

    lists: Any = (list(event.counts), list(event.edges))
    rest = {f"{event.key}/not_finite": event.not_finite} if event.not_finite else {}
    return {event.key: wandb.Histogram(np_histogram=lists), **rest}


def _confusion_matrix(event: ConfusionMatrix) -> Any:
    """W&B's own chart of this kind, which wandb itself makes from single predictions only."""
    import wandb

    keeps_zeros = len(event.labels) ** 2 <= _MOST_ROWS
    cells = [
        [actual, predicted, count]
        for actual, counts in zip(event.labels, event.counts, strict=True)
        for predicted, count in zip(event.labels, counts, strict=True)
        if count or keeps_zeros
    ]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=_table(list(MATRIX_COLUMNS), cells),
        fields={column: column for column in MATRIX_COLUMNS},
        string_fields={"title": event.name},
    )
