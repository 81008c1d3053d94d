"""How this plugin is checked: read back with TensorBoard's own reader of event files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import SkipTest

from toolkit.tables import Rows
from toolkit.testing import Bins
from toolkit.testing import Item
from toolkit.testing import Matrix
from toolkit.testing import Point
from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.tracker import Link
from toolkit_tensorboard.tracker import TensorBoardTracker


class TensorBoardContract(TrackerContract):
    """Event files in a temporary folder."""

    keeps_doubles = "TensorBoard's scalars have 32 bits"
    keeps_missing_steps = "an event of TensorBoard always has a step: 0 where there is none"

    def make_tracker(self, folder: Path) -> TensorBoardTracker:
        """A tracker that keeps its runs in the folder."""
        return TensorBoardTracker(logdir=str(folder / "logs"))

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """What TensorBoard shows of the run; files are not among it."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (run,) = (folder / "logs").glob(f"*/{link.id}")
        kinds = ("scalars", "images", "histograms", "tensors")
        shown = EventAccumulator(str(run), dict.fromkeys(kinds, 0), purge_orphaned_data=False)
        shown.Reload()
        return _recorded(shown)

    def away(self, folder: Path) -> AbstractContextManager[None]:
        """It is always there."""
        raise SkipTest("event files have no server that could be away")


def _recorded(shown: Any) -> Recorded:
    tags = shown.Tags()
    texts = {tag: [Item(_text(e), e.step) for e in shown.Tensors(tag)] for tag in tags["tensors"]}
    run = _latest(texts, "run/description")
    images = {
        tag: [Item(e.encoded_image_string, e.step) for e in shown.Images(tag)]
        for tag in tags["images"]
    }
    return Recorded(
        project=run["project_name"],
        labels=run["tags"],
        **{name: run[name] for name in ("name", "group", "notes", "parent", "status")},
        params=_latest(texts, "run/params"),
        metrics={
            tag: [Point(e.step, e.value, e.wall_time) for e in shown.Scalars(tag)]
            for tag in tags["scalars"]
        },
        tags=_latest(texts, "run/tags"),
        summary=_latest(texts, "run/summary"),
        texts={name: items[-1].content for name, items in _under(texts, "text/")},
        tables={name: [_rows(item) for item in items] for name, items in _under(texts, "table/")},
        images=images,
        figures=images,
        histograms={
            tag: [Item(_bins(e.histogram_value), e.step) for e in shown.Histograms(tag)]
            for tag in tags["histograms"]
        },
        matrices={
            name: [_matrix(_rows(item)) for item in items]
            for name, items in _under(texts, "matrix/")
        },
        console="".join(item.content for item in texts.get("console", ())),
    )


def _text(event: Any) -> str:
    (text,) = event.tensor_proto.string_val
    return str(text, "utf-8")


def _latest(texts: dict[str, list[Item[str]]], tag: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(texts[tag][-1].content) if tag in texts else {}
    return found


def _under(texts: dict[str, list[Item[str]]], prefix: str) -> Iterator[tuple[str, list[Item[str]]]]:
    for tag, items in texts.items():
        if tag.startswith(prefix):
            yield tag.removeprefix(prefix), items


def _rows(item: Item[str]) -> Item[Rows]:
    """The table that the Markdown shows."""
    columns, _, *data = [
        line.removeprefix("| ").removesuffix(" |").split(" | ")
        for line in item.content.splitlines()
    ]
    return Item(Rows(columns, data), item.step)


def _matrix(table: Item[Rows]) -> Item[Matrix]:
    counts = [[float(cell) for cell in row[1:]] for row in table.content.data]
    return Item(Matrix(table.content.columns[1:], counts), table.step)


def _bins(shown: Any) -> Bins:
    return Bins([shown.min, *shown.bucket_limit], shown.bucket)
