"""What a run can say: one frozen class per kind of event, and its form as a line of JSON.

What is too big for a line lies in a file of the run. The field ``path`` says where: relative to the
run's folder in the journal, absolute when a tracker gets the event (`located`).

The kind of an event is its class name in lower case. Every event has ``time`` in Unix seconds;
those with a place on an axis have ``step``; those that carry a mapping call it ``values``. NaN and
the infinities are written as the strings "NaN", "Infinity" and "-Infinity", so that every language
can read a journal.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from math import inf
from math import isfinite
from math import isnan
from math import nan
from pathlib import Path
from typing import Any
from typing import Literal

import attrs
import orjson
from attrs import evolve
from attrs import field
from attrs import frozen

Status = Literal["FINISHED", "FAILED", "KILLED"]


@frozen
class Described:
    """What a script says about the run that it is part of; None and () leave things as they are."""

    time: float
    project: str | None = None
    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    backends: Mapping[str, Mapping[str, str]] = field(factory=dict)
    """Backends the script asks for, each with its options; secrets are masked."""


@frozen
class Params:
    """Inputs of the run, nested as given."""

    time: float
    values: Mapping[str, Any]


@frozen
class Metrics:
    """Measured numbers, at one step or at none."""

    time: float
    values: Mapping[str, float]
    step: int | None = None


@frozen
class Tags:
    """Key and text pairs; a later one replaces an earlier one of its key."""

    time: float
    values: Mapping[str, str]


@frozen
class Summary:
    """Results of the whole run: numbers or text; a later one replaces an earlier one."""

    time: float
    values: Mapping[str, Any]


@frozen
class File:
    """One file of an artifact: its name inside the artifact and where its bytes lie."""

    name: str
    path: str


@frozen
class Artifact:
    """Files kept with the run, under ``folder`` ("" is the top), as one named and typed thing."""

    time: float
    name: str
    files: tuple[File, ...]
    folder: str = ""
    type: str = "file"
    aliases: tuple[str, ...] = ()


@frozen
class Text:
    """A text to be looked at, in a UTF-8 file; ``name`` is its path among the run's artifacts."""

    time: float
    name: str
    path: str


@frozen
class Table:
    """Rows under named columns, in a file that `toolkit.tables.read` reads."""

    time: float
    name: str
    path: str
    step: int | None = None


@frozen
class Image:
    """One picture of the series ``key``, in a PNG file."""

    time: float
    key: str
    path: str
    step: int | None = None
    caption: str | None = None


@frozen
class Figure:
    """A picture or page by itself; ``name`` is its path among the artifacts and says its format."""

    time: float
    name: str
    path: str
    step: int | None = None
    caption: str | None = None


@frozen
class Histogram:
    """How many values lie between one edge and the next; the last bin includes its upper edge."""

    time: float
    key: str
    edges: tuple[float, ...]
    """One more than counts, rising."""
    counts: tuple[float, ...]
    step: int | None = None
    not_finite: int = 0
    """Values that were NaN or infinite, and are in no bin."""


@frozen
class ConfusionMatrix:
    """``counts[i][j]`` examples of class ``labels[i]`` were taken for class ``labels[j]``."""

    time: float
    name: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    step: int | None = None


@frozen
class Console:
    """What the command printed; ``position`` is its first character's place in the run's console.

    Writing each text at its position makes repeated delivery harmless.
    """

    time: float
    text: str
    position: int
    stream: Literal["stdout", "stderr"] = "stdout"


@frozen
class Left:
    """A script that joined the run has left it, and how."""

    time: float
    status: Status


@frozen
class Ended:
    """The run is over; written once, by its owner or by whoever settles it."""

    time: float
    status: Status


@frozen
class Unknown:
    """An event of a kind that this version doesn't know: kept, and passed over by plugins."""

    time: float
    kind: str
    fields: Mapping[str, Any]


Media = Text | Table | Image | Figure | Histogram | ConfusionMatrix
"""What is looked at rather than plotted."""

Event = (
    Described
    | Params
    | Metrics
    | Tags
    | Summary
    | Artifact
    | Media
    | Console
    | Left
    | Ended
    | Unknown
)

STEPPED = (Table, Image, Figure, Histogram, ConfusionMatrix)
MEDIA: tuple[type[Media], ...] = (Text, *STEPPED)
_CLASSES: tuple[type[Any], ...] = (
    Described,
    Params,
    Metrics,
    Tags,
    Summary,
    Artifact,
    *MEDIA,
    Console,
    Left,
    Ended,
)
KINDS: Mapping[str, type[Any]] = {cls.__name__.lower(): cls for cls in _CLASSES}
SPELLED_OUT: Mapping[str, float] = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}
_FIELDS = {cls: [f.name for f in attrs.fields(cls)] for cls in (*_CLASSES, File)}
_ENCODER = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), default=lambda value: _as_mapping(value)
)


def _as_mapping(value: Any) -> dict[str, Any]:
    """The fields of one of our attrs objects, for JSON."""
    if type(value) not in _FIELDS:
        raise TypeError(f"a {type(value).__name__} object has no JSON form")
    return {name: getattr(value, name) for name in _FIELDS[type(value)]}


def spell_out(value: Any) -> Any:
    """The value with every NaN and infinity, at any depth, as its name in `SPELLED_OUT`."""
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: spell_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spell_out(item) for item in value]
    return value


def name_of(event: Media) -> str:
    """What the picture, table or text is called, or the series that it belongs to."""
    return event.key if isinstance(event, Image | Histogram) else event.name


def located(event: Event, folder: Path) -> Event:
    """The event with the path of every file made absolute; ``folder`` is the run's.

    Raises:
        ValueError: a path leads out of the folder, as only a forged journal's does.
    """
    located: Event = _located(event, folder)
    return located


def _located(thing: Any, folder: Path) -> Any:
    names = _FIELDS.get(type(thing), ())
    changes: dict[str, Any] = {}
    if "path" in names:
        path = (folder / thing.path).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"{thing.path!r} is not a file of the run")
        changes["path"] = str(path)
    if "files" in names:
        changes["files"] = tuple(_located(file, folder) for file in thing.files)
    return evolve(thing, **changes) if changes else thing


def encode(event: Event) -> bytes:
    """One line of ASCII JSON for the event, with its newline.

    Raises:
        TypeError: a value in the event has no JSON form.
    """
    if type(event) is Metrics and (quick := _encode_metrics(event)) is not None:
        return quick
    if isinstance(event, Unknown):
        fields = {"kind": event.kind, "time": event.time, **event.fields}
    else:
        fields = {"kind": type(event).__name__.lower(), **_as_mapping(event)}
    try:
        line = _ENCODER.encode(fields)
    except ValueError:  # JSON has no NaN; spelling them out only now keeps the common case fast
        line = _ENCODER.encode(spell_out(fields))
    return line.encode("ascii") + b"\n"


def _encode_metrics(event: Metrics) -> bytes | None:
    """The same line, in a third of the time: training waits for this one at every step.

    None for a line that `encode` would spell differently: with other than finite numbers or ASCII.
    """
    if not all(map(isfinite, event.values.values())):
        return None
    fields = {"kind": "metrics", "time": event.time, "values": event.values, "step": event.step}
    try:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # such as half a surrogate pair in a key
        return None
    return line if line.isascii() else None


@functools.cache  # it compiles a reader for each class that it meets, which takes milliseconds
def _converter() -> Any:
    from cattrs import Converter

    converter = Converter()
    # Values of params and summaries are any JSON: they pass through as they are.
    converter.register_structure_hook(Any, lambda value, _: value)
    return converter


class Decoder:
    """Reads lines of JSON back into events."""

    def __init__(self) -> None:
        self._converter = _converter()

    def decode(self, line: bytes) -> Event:
        """The event in this line; one of an unknown kind comes back as `Unknown`.

        Raises:
            ValueError: the line is not an event.
        """
        try:
            fields = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
            raise ValueError("not a JSON object with a 'kind'")
        kind = fields.pop("kind")
        try:
            if kind not in KINDS:
                return Unknown(time=float(fields.pop("time", 0.0)), kind=kind, fields=fields)
            event: Event = self._converter.structure(fields, KINDS[kind])
        except Exception as error:  # cattrs groups several kinds of error under one base
            raise ValueError(f"not a valid {kind} event") from error
        return event
