from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from toolkit.events import KINDS
from toolkit.events import MEDIA
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Decoder
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Left
from toolkit.events import Media
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.events import Unknown
from toolkit.events import encode
from toolkit.events import located
from toolkit.events import name_of

DECODER = Decoder()


def as_json_has_it(text: str) -> str:
    """The text with each pair of surrogates made into the one character that it stands for."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


TEXTS = st.text(st.characters(exclude_categories=())).map(as_json_has_it)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(TEXTS, NESTED, max_size=4)
LABELS = st.lists(TEXTS, max_size=3).map(tuple)
STEPS = st.none() | st.integers()
STATUSES = st.sampled_from(["FINISHED", "FAILED", "KILLED"])
RESERVED = ("kind", "time")
NEW_KINDS = TEXTS.filter(lambda kind: kind not in KINDS)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Described,
        time=TIMES,
        project=st.none() | TEXTS,
        name=st.none() | TEXTS,
        group=st.none() | TEXTS,
        tags=LABELS,
        notes=st.none() | TEXTS,
        backends=st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2),
    ),
    st.builds(Params, time=TIMES, values=MAPPINGS),
    st.builds(
        Metrics,
        time=TIMES,
        values=st.dictionaries(TEXTS, st.floats(), max_size=4),
        step=STEPS,
    ),
    st.builds(Tags, time=TIMES, values=st.dictionaries(TEXTS, TEXTS, max_size=4)),
    st.builds(Summary, time=TIMES, values=MAPPINGS),
    st.builds(
        Artifact,
        time=TIMES,
        name=TEXTS,
        files=st.lists(st.builds(File, name=TEXTS, path=TEXTS), max_size=3).map(tuple),
        folder=TEXTS,
        type=TEXTS,
        aliases=LABELS,
    ),
    st.builds(Text, time=TIMES, name=TEXTS, path=TEXTS),
    st.builds(Table, time=TIMES, name=TEXTS, path=TEXTS, step=STEPS),
    st.builds(Image, time=TIMES, key=TEXTS, path=TEXTS, step=STEPS, caption=st.none() | TEXTS),
    st.builds(Figure, time=TIMES, name=TEXTS, path=TEXTS, step=STEPS, caption=st.none() | TEXTS),
    st.builds(
        Histogram,
        time=TIMES,
        key=TEXTS,
        edges=st.lists(st.floats(), max_size=4).map(tuple),
        counts=st.lists(st.floats(), max_size=3).map(tuple),
        step=STEPS,
        not_finite=st.integers(min_value=0),
    ),
    st.builds(
        ConfusionMatrix,
        time=TIMES,
        name=TEXTS,
        labels=LABELS,
        counts=st.lists(st.lists(st.integers(), max_size=3).map(tuple), max_size=3).map(tuple),
        step=STEPS,
    ),
    st.builds(
        Console,
        time=TIMES,
        text=TEXTS,
        position=st.integers(min_value=0),
        stream=st.sampled_from(["stdout", "stderr"]),
    ),
    st.builds(Left, time=TIMES, status=STATUSES),
    st.builds(Ended, time=TIMES, status=STATUSES),
    st.builds(
        Unknown,
        time=TIMES,
        kind=NEW_KINDS,
        fields=MAPPINGS.map(lambda fields: {k: fields[k] for k in fields if k not in RESERVED}),
    ),
)


def spelled_out(value: Any) -> Any:
    """The value as a journal's reader gets it: NaN and infinities by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: spelled_out(item) for key, item in value.items()}
    return [spelled_out(item) for item in value] if isinstance(value, list) else value


def as_read(event: Event) -> Event:
    """The event as its reader gets it: only metrics know that their values are numbers."""
    match event:
        case Params(time, values):
            return Params(time, spelled_out(values))
        case Summary(time, values):
            return Summary(time, spelled_out(values))
        case Unknown(time, kind, fields):
            return Unknown(time, kind, spelled_out(fields))
    return event


@given(EVENTS)
def test_round_trip(event: Event) -> None:
    """Every event comes back as it was written, NaN, infinities and lone surrogates included."""
    # Compared as text, because NaN equals nothing.
    assert repr(DECODER.decode(encode(event))) == repr(as_read(event))


@given(EVENTS)
def test_one_line_of_ascii(event: Event) -> None:
    """An event is exactly one line of ASCII, and JSON that any language can read."""
    line = encode(event)

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "name"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_numbers_without_a_json_form(value: float, name: str) -> None:
    """NaN and the infinities are written by name, at any depth, and metrics get numbers back."""
    metrics = encode(Metrics(1.0, {"loss": value}, 3))
    params = encode(Params(1.0, {"a": {"b": [1, {"c": value}]}}))

    assert json.loads(metrics)["values"] == {"loss": name}
    assert json.loads(params)["values"] == {"a": {"b": [1, {"c": name}]}}
    decoded = DECODER.decode(metrics)
    assert isinstance(decoded, Metrics)
    assert str(decoded.values["loss"]) == str(value)


def test_documented_form() -> None:
    """A line has the form that the reference documents."""
    line = encode(Metrics(1764000000.123, {"train/loss": 0.7}, 10))

    assert json.loads(line) == {
        "kind": "metrics",
        "time": 1764000000.123,
        "step": 10,
        "values": {"train/loss": 0.7},
    }


def test_whole_numbers_are_metrics_too() -> None:
    """A journal written in another language may hold 1 for 1.0."""
    decoded = DECODER.decode(b'{"kind":"metrics","time":1,"values":{"epoch":1}}')

    assert decoded == Metrics(1.0, {"epoch": 1.0}, None)


def test_unknown_kinds_are_kept() -> None:
    """An event of a later version is kept with all its fields, and written again unchanged."""
    line = b'{"kind":"hologram","time":2.5,"depth":{"cm":[1,2]},"step":4}\n'
    event = DECODER.decode(line)

    assert event == Unknown(2.5, "hologram", {"depth": {"cm": [1, 2]}, "step": 4})
    assert encode(event) == line


def test_fields_of_a_later_version_are_ignored() -> None:
    """A known kind with a field more is read as what is known of it."""
    line = b'{"kind":"left","time":1.0,"status":"FAILED","because":"out of memory"}'

    assert DECODER.decode(line) == Left(1.0, "FAILED")


def test_missing_optional_fields_have_defaults() -> None:
    """An event of an earlier version, without the fields that came later, can be read."""
    line = b'{"kind":"artifact","time":1.0,"name":"m","files":[{"name":"m","path":"files/x/m"}]}'

    assert DECODER.decode(line) == Artifact(1.0, "m", (File("m", "files/x/m"),))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"[]",
        b"null",
        b'"metrics"',
        b'{"time":1.0}',
        b'{"kind":5,"time":1.0}',
        b'{"kind":"metrics","time":1.0}',
        b'{"kind":"metrics","time":1.0,"values":[1.0]}',
        b'{"kind":"metrics","time":1.0,"values":{"a":null}}',
        b'{"kind":"metrics","time":1.0,"values":{"a":"high"}}',
        b'{"kind":"metrics","time":null,"values":{}}',
        b'{"kind":"ended","time":1.0,"status":"EXPLODED"}',
        b'{"kind":"console","time":1.0,"text":"x","position":0,"stream":"stdin"}',
        b'{"kind":"artifact","time":1.0,"name":"m","files":[{"name":"m"}]}',
        b'{"kind":"hologram","time":null}',
        b'{"kind":"hologram","time":"noon"}',
        b'{"kind":"hologram","time":1' + b"0" * 400 + b"}",
        b'{"kind":"params","time":1,"values":{"a":' + b"[" * 100_000,
        b'{"kind":"tags","time":1,"values":{"a":"\xff\xfe"}}',
        b'{"kind":"left","time":1.0,"status":"FAILED"}{"kind":"left"}',
        b"\x00" * 64,
    ],
)
def test_bad_lines(line: bytes) -> None:
    """A line that is not an event is a ValueError, whatever is wrong with it."""
    with pytest.raises(ValueError):  # noqa: PT011 - the reason differs, the type is the promise
        DECODER.decode(line)


@given(st.binary())
def test_any_bytes_are_an_event_or_a_value_error(line: bytes) -> None:
    """Reading never fails in any other way than with ValueError."""
    try:
        DECODER.decode(line)
    except ValueError:
        return


@given(st.sampled_from([*KINDS, "hologram"]), MAPPINGS, st.sampled_from(["time", "values"]), NESTED)
def test_any_fields_are_an_event_or_a_value_error(
    kind: str, fields: dict[str, Any], name: str, value: Any
) -> None:
    """A known kind with any fields at all is an event or a ValueError."""
    line = json.dumps({"time": 1.0, **fields, name: value, "kind": kind}).encode()
    try:
        encode(DECODER.decode(line))
    except ValueError:
        return


def test_value_without_a_json_form() -> None:
    """What has no JSON form is a TypeError when it's written, not a damaged line."""
    with pytest.raises(TypeError, match="object"):
        encode(Params(1.0, {"a": object()}))


WithPath = Text | Table | Image | Figure
FILES: list[WithPath] = [
    Text(1.0, "a", "p"),
    Table(1.0, "a", "p"),
    Image(1.0, "a", "p"),
    Figure(1.0, "a", "p"),
]


@pytest.mark.parametrize("event", FILES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("folder", ["/runs/r", "elsewhere"])
def test_trackers_get_files_by_their_place_on_this_machine(event: WithPath, folder: str) -> None:
    """The path is absolute and below the run's folder; nothing else is touched."""
    found = located(event, Path(folder))

    assert found == evolve(event, path=str(Path(folder, "p").absolute()))


def test_each_file_of_an_artifact_is_located() -> None:
    """Its name inside the artifact stays."""
    event = Artifact(1.0, "m", (File("a", "files/1/a"), File("b/c", "files/2/c")), "folder")
    files = (File("a", "/r/files/1/a"), File("b/c", "/r/files/2/c"))

    assert located(event, Path("/r")) == evolve(event, files=files)


@given(EVENTS)
def test_events_without_files_are_told_as_they_are(event: Event) -> None:
    """Values that happen to be called ``path`` are values."""
    if not isinstance(event, Artifact | WithPath):
        assert located(event, Path("/r")) is event


@pytest.mark.parametrize("path", ["/etc/x", "../x", "files/../../x"])
@pytest.mark.parametrize("event", FILES, ids=lambda event: type(event).__name__)
def test_paths_that_leave_the_run(event: WithPath, path: str) -> None:
    """Only a forged journal has them; they are refused."""
    with pytest.raises(ValueError, match="is not a file of the run"):
        located(evolve(event, path=path), Path("/runs/r"))


def test_every_kind_of_media_has_a_name() -> None:
    """A series is called by its key, anything else by its name."""
    made: list[Media] = [
        Text(1.0, "a", "p"),
        Table(1.0, "a", "p"),
        Image(1.0, "a", "p"),
        Figure(1.0, "a", "p"),
        Histogram(1.0, "a", (0.0, 1.0), (2.0,)),
        ConfusionMatrix(1.0, "a", ("x",), ((1,),)),
    ]
    assert {type(event) for event in made} == set(MEDIA)
    assert {name_of(event) for event in made} == {"a"}
