"""What a backend holds of a run, in the toolkit's terms: the answer of `TrackerContract.read_back`.

A field that is left None means that this backend can't show such things; rules about them are
skipped, with that reason. A field that is given may hold more than the run was told: rules look for
what they have told, under the names they have told it by.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Generic
from typing import TypeVar

from attrs import frozen

from toolkit.tables import Rows

T = TypeVar("T")


@frozen
class Point:
    """One value of a metric; ``time`` in Unix seconds."""

    step: int | None
    value: float
    time: float | None = None
    """None where the backend keeps no times."""


@frozen
class Item(Generic[T]):
    """One thing of a series that is looked at, such as an image."""

    content: T
    step: int | None = None


@frozen
class Bins:
    """A histogram: ``counts[i]`` values lie between ``edges[i]`` and ``edges[i + 1]``."""

    edges: Sequence[float]
    counts: Sequence[float]


@frozen
class Matrix:
    """A confusion matrix: ``counts[i][j]`` of class ``labels[i]`` were taken for ``labels[j]``."""

    labels: Sequence[str]
    counts: Sequence[Sequence[float]]


@frozen(kw_only=True)
class Recorded:
    """One run as its backend holds it. Every field may be left None: it can't be shown."""

    project: str | None = None
    name: str | None = None
    group: str | None = None
    notes: str | None = None
    labels: Collection[str] | None = None
    """The tags without a value, `RunInfo.tags`."""
    parent: str | None = None
    """The parent's id: that of the toolkit, or that of the backend."""
    status: str | None = None
    """FINISHED, FAILED or KILLED; of a run without an end RUNNING."""
    params: Mapping[str, Any] | None = None
    """The latest values: nested as told, or flat with dotted keys; as told, or as texts."""
    metrics: Mapping[str, Sequence[Point]] | None = None
    """Every point of every key, in the order in which the backend shows them."""
    tags: Mapping[str, str] | None = None
    summary: Mapping[str, Any] | None = None
    """The latest values: nested as told, or flat with dotted keys; as told, or as texts."""
    texts: Mapping[str, str] | None = None
    tables: Mapping[str, Sequence[Item[Rows]]] | None = None
    images: Mapping[str, Sequence[Item[bytes]]] | None = None
    """The PNG files, as bytes."""
    figures: Mapping[str, Sequence[Item[bytes]]] | None = None
    """The files, as bytes."""
    histograms: Mapping[str, Sequence[Item[Bins]]] | None = None
    matrices: Mapping[str, Sequence[Item[Matrix]]] | None = None
    artifacts: Mapping[str, bytes] | None = None
    """Content by path, which is the artifact's folder, ``/``, and the file's name."""
    aliases: Mapping[str, Collection[str]] | None = None
    """Aliases by path: of the only file, else of the folder."""
    console: str | None = None
