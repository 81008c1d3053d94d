"""TensorBoard's own messages, made of a run's events."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit import tables
from toolkit.events import ConfusionMatrix
from toolkit.events import Histogram
from toolkit.events import Table

CORNER = "actual / predicted"
"""The first column of a confusion matrix."""

_PNG_SIZE = struct.Struct(">16xII")


def event(time: float, step: int, value: Any) -> Any:
    """One value at its time and step."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=time, step=step, summary=Summary(value=[value]))


def scalar(key: str, value: float) -> Any:
    """One point of a metric."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=key, simple_value=value)


def picture(key: str, png: bytes) -> Any:
    """A picture in PNG."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = _PNG_SIZE.unpack_from(png)
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=key, image=image)


def histogram(said: Histogram) -> Any:
    """Bins, each with its upper edge; the lowest edge is the minimum."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto
    from tensorboard.compat.proto.summary_pb2 import Summary

    bins = HistogramProto(
        min=said.edges[0],
        max=said.edges[-1],
        num=sum(said.counts),
        bucket_limit=said.edges[1:],
        bucket=said.counts,
    )
    return Summary.Value(tag=said.key, histo=bins)


def table(said: Table) -> Any:
    """A table in Markdown."""
    rows = tables.read(Path(said.path))
    return text(f"table/{said.name}", markdown([rows.columns, *rows.data]))


def matrix(said: ConfusionMatrix) -> Any:
    """A confusion matrix as a table, one row for each actual class."""
    rows = [[label, *row] for label, row in zip(said.labels, said.counts, strict=True)]
    return text(f"matrix/{said.name}", markdown([[CORNER, *said.labels], *rows]))


def markdown(rows: Sequence[Sequence[Any]]) -> str:
    """The rows as a table, the first one its head."""
    head, *rest = rows
    return "\n".join(map(_line, (head, ["---"] * len(head), *rest)))


def text(tag: str, content: str) -> Any:
    """A text, which TensorBoard shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    plugin = SummaryMetadata.PluginData(plugin_name="text")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=[content.encode()])
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
