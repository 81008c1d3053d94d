"""Lines of JSON as programs in any language write them: cut, followed and read."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.toolkit.test_events import EVENTS
from tests.toolkit.test_events import as_read
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Tags
from toolkit.events import Unknown
from toolkit.events import encode
from toolkit.lines import LONGEST_LINE
from toolkit.lines import FollowedFile
from toolkit.lines import Line
from toolkit.lines import LineCutter
from toolkit.spoken import Reader
from toolkit.spoken import Spoken

READER = Reader()
NOW = 1764000000.0


def read(line: bytes | str) -> Spoken:
    """What the line says, at a known moment."""
    return READER.read(line if isinstance(line, bytes) else line.encode(), NOW)


def event_in(line: bytes | str) -> Event:
    """The event of a line with nothing wrong with it."""
    spoken = read(line)
    assert spoken.problems == ()
    assert spoken.event is not None
    return spoken.event


def problem_in(line: bytes | str) -> str:
    """What is wrong with a line that can't be recorded."""
    spoken = read(line)
    assert spoken.event is None
    (problem,) = spoken.problems
    return problem.text


@given(st.lists(st.binary(max_size=5), max_size=12), st.lists(st.integers(1, 7), min_size=1))
def test_pieces_make_no_difference(parts: list[bytes], sizes: list[int]) -> None:
    """However bytes come, they are the same lines, numbered from 1; the last may lack its end."""
    data = b"\n".join(parts)
    cutter, rest = LineCutter(), data
    lines: list[Line] = []
    while rest:
        size = sizes[len(lines) % len(sizes)]
        lines += cutter.feed(rest[:size])
        rest = rest[size:]
    lines += cutter.rest()

    *whole, last = data.split(b"\n")
    expected = [Line(n, part) for n, part in enumerate(whole, 1)]
    expected += [Line(len(whole) + 1, last, is_whole=False)] if last else []
    assert lines == expected


def test_huge_line() -> None:
    """A line that is too long is passed over without being held, and the next one is read."""
    cutter = LineCutter()
    for _ in range(LONGEST_LINE // (1 << 20) + 1):
        assert cutter.feed(b"x" * (1 << 20)) == []
    assert cutter.feed(b"x\n{}\n") == [Line(1, None), Line(2, b"{}")]


def test_followed_file(tmp_path: Path) -> None:
    """A file is read as it grows, from before it is there; its last line once it has its end."""
    path = tmp_path / "events.jsonl"
    file = FollowedFile(path)
    assert file.read() is None
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\ntw")
        assert file.read() == [Line(1, b"one")]
        assert file.read() is None
        writer.write(b"o\nthree")
        assert file.read() == [Line(2, b"two")]
    assert file.rest() == [Line(3, b"three", is_whole=False)]
    file.close()


@pytest.mark.parametrize("how", ["replaced", "cut short"])
def test_replaced_file(tmp_path: Path, how: str) -> None:
    """A file that was replaced or cut short is read from its start; what it had is not lost."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"first\nhalf a li")
    file = FollowedFile(path)
    assert file.read() == [Line(1, b"first")]
    other = tmp_path / "other" if how == "replaced" else path
    other.write_bytes(b"again\n")
    os.replace(other, path)

    assert file.read() == [Line(2, b"half a li", is_whole=False)]
    assert file.read() == [Line(1, b"again")]
    assert file.read() is None
    file.close()


def test_named_pipe(tmp_path: Path) -> None:
    """A named pipe is read without waiting for somebody to write it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = FollowedFile(path)
    assert file.read() is None
    with path.open("wb", buffering=0) as writer:
        assert file.read() is None
        writer.write(b"one\n")
        assert file.read() == [Line(1, b"one")]
    assert file.read() is None
    file.close()


@settings(max_examples=60)
@given(EVENTS.filter(lambda event: not isinstance(event, Unknown)))
def test_journals_form_is_read(event: Event) -> None:
    """What a journal has can be said, and is the same event; milliseconds become seconds."""
    expected: Event = as_read(event)
    if isinstance(expected, Metrics):
        values = {key: value for key, value in expected.values.items() if key.strip()}
        if not values:
            return
        expected = evolve(expected, values=values)
    moment = event.time / 1000 if abs(event.time) >= 1e11 else event.time
    expected = evolve(expected, time=moment if abs(moment) < 1e11 else NOW)

    # Compared as text, because NaN equals nothing.
    assert repr(read(encode(event)).event) == repr(expected)


@given(st.binary())
def test_any_bytes_are_read(line: bytes) -> None:
    """Nothing that comes in raises; what is no event has a problem, unless it is blank."""
    spoken = read(line)
    assert spoken.event or spoken.problems or not line.removeprefix(b"\xef\xbb\xbf").strip()


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=60)
@given(EVENTS, st.data(), JSON)
def test_any_field_is_read(event: Event, data: st.DataObject, value: Any) -> None:
    """Any value of any field is an event that can be written, or a problem that has a text."""
    fields = json.loads(encode(event))
    fields[data.draw(st.sampled_from(sorted(fields)))] = value
    spoken = read(json.dumps(fields))
    if spoken.event:
        encode(spoken.event)
    else:
        assert all(problem.text for problem in spoken.problems)
        assert spoken.problems


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"\r",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\r",
    ],
)
def test_blank_lines(line: bytes) -> None:
    """They say nothing, and nothing is wrong with them."""
    assert read(line) == Spoken()


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('{"kind":"metrics","values":{"a":1}}', Metrics(NOW, {"a": 1.0})),
        ('{"kind":"METRICS","time":5,"values":{"a":1},"step":null}', Metrics(5.0, {"a": 1.0})),
        ('{"kind":"metrics","time":null,"values":{"a":true}}\r', Metrics(NOW, {"a": 1.0})),
        ('\ufeff{"kind":"metrics","values":{"a":"0.5"},"step":3.0}', Metrics(NOW, {"a": 0.5}, 3)),
        ('{"kind":"metrics","time":1764000000500,"values":{}}', Metrics(1764000000.5, {})),
        ('{"kind":"metrics","time":"7","values":{},"step":"3"}', Metrics(7.0, {}, 3)),
        (
            '{"kind":"metrics","time":[7],"values":{"a":[2]},"step":[3]}',
            Metrics(7.0, {"a": 2.0}, 3),
        ),
        ('{"kind":"params","values":[]}', Params(NOW, {})),
        ('{"kind":"params","values":{"a":[1],"b":null}}', Params(NOW, {"a": [1], "b": None})),
        ('{"kind":"tags","values":{"a":1,"b":true}}', Tags(NOW, {"a": "1", "b": "true"})),
        ('{"kind":"described","tags":"one","name":["n"]}', Described(NOW, name="n", tags=("one",))),
        ('{"kind":"left"}', Left(NOW, "FINISHED")),
        ('{"kind":"left","status":"failed"}', Left(NOW, "FAILED")),
        ('{"kind":"ended","status":"Killed"}', Ended(NOW, "KILLED")),
        ('{"kind":"console","text":"x"}', Console(NOW, "x", 0)),
        (
            '{"kind":"artifact","name":"m","files":"out/m.bin"}',
            Artifact(NOW, "m", (File("m.bin", "out/m.bin"),)),
        ),
        (
            '{"kind":"artifact","name":"m","files":["a",{"path":"b/c"},{"name":"n","path":"d"}]}',
            Artifact(NOW, "m", (File("a", "a"), File("c", "b/c"), File("n", "d"))),
        ),
    ],
)
def test_what_other_languages_write(line: str, event: Event) -> None:
    """Other spellings of the same are taken as they are meant."""
    assert event_in(line) == event


@pytest.mark.parametrize("value", ["NaN", '"NaN"', '"nan"', "null", '"NA"', "[null]"])
def test_ways_to_write_nan(value: str) -> None:
    """Bare, as a text, and as what JavaScript and R make of it."""
    event = event_in(f'{{"kind":"metrics","values":{{"a":{value}}}}}')
    assert isinstance(event, Metrics)
    assert math.isnan(event.values["a"])


@pytest.mark.parametrize("value", ["Infinity", '"Infinity"', '"Inf"', '"inf"', "1e999"])
@pytest.mark.parametrize("sign", [1, -1])
def test_ways_to_write_infinity(value: str, sign: int) -> None:
    """Bare and as texts, Python's, JavaScript's and R's."""
    signed = value if sign > 0 else value.replace('"', '"-', 1) if '"' in value else f"-{value}"
    event = event_in(f'{{"kind":"metrics","values":{{"a":{signed}}}}}')
    assert event == Metrics(NOW, {"a": sign * math.inf})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"loss=0.5", "this is not JSON"),
        (b'{"kind":"metrics","values":{"a":0,5}}', "this is not JSON"),
        (b'{"kind":"left"}{"kind":"left"}', "one whole object per line"),
        (b'[{"kind":"left"}]', "write one object per line"),
        (b'{"kind":"params","values":{"a":' + b"[" * 100_000, "this is not JSON"),
        (b"\xff\xfe{\x00", "write the lines in UTF-8"),
        (b"\x00\x00\x00", "write the lines in UTF-8"),
        (b'{"values":{}}', 'there is no "kind"; it is one of described, params, metrics'),
        (b'{"kind":"metric","values":{}}', "did you mean 'metrics'?"),
        (b'{"kind":["metrics"],"values":{}}', "auto_unbox = TRUE"),
        (b'{"kind":"metrics","step":3}', 'metrics has no "values"'),
        (b'{"kind":"metrics","values":[1]}', "metrics.values: expected a mapping"),
        (b'{"kind":"metrics","values":{"a":1},"step":1.5}', "metrics.step: must be a whole number"),
        (b'{"kind":"metrics","values":{"a":1},"step":true}', "got true"),
        (b'{"kind":"metrics","values":{"a":"high"}}', 'metric "a" must be a number, got "high"'),
        (b'{"kind":"metrics","values":{" ":1}}', "a name that isn't empty"),
        (b'{"kind":"tags","values":{"a":{}}}', "tags.values['a']: must be a text, got {}"),
        (b'{"kind":"described","name":null,"tags":[{}]}', "described.tags[0]: must be a text"),
        (b'{"kind":"left","status":"done"}', "must be one of FINISHED, FAILED, KILLED"),
        (b'{"kind":"text","name":"a"}', 'text has no "path"'),
        (b'{"kind":"artifact","name":"m","files":[{"name":"m"}]}', "required field missing"),
        (b'{"kind":"confusionmatrix","name":"m","labels":["a"],"counts":[["x"]]}', "counts[0][0]"),
    ],
)
def test_what_is_told(line: bytes, said: str) -> None:
    """A line that can't be recorded is told with what is wrong, and what to do."""
    assert said in problem_in(line)


def test_good_metrics_survive_bad_ones() -> None:
    """Of metrics, those that are numbers are recorded, and the others told."""
    spoken = read('{"kind":"metrics","step":1,"values":{"loss":0.5,"phase":"warm-up","f1":1}}')

    assert spoken.event == Metrics(NOW, {"loss": 0.5, "f1": 1.0}, 1)
    assert [problem.text for problem in spoken.problems] == [
        'metric "phase" must be a number, got "warm-up"; texts belong in params, tags or summary'
    ]


def test_unknown_fields() -> None:
    """A field that the kind doesn't have is told, with what was meant; the rest is recorded."""
    spoken = read('{"kind":"metrics","steps":1,"values":{"loss":0.5}}')

    assert spoken.event == Metrics(NOW, {"loss": 0.5})
    assert "did you mean 'step'?" in spoken.problems[0].text


@pytest.mark.parametrize("moment", ['"noon"', "1e30", "NaN", "{}"])
def test_time_that_is_none(moment: str) -> None:
    """It is told, and the event is of now."""
    spoken = read(f'{{"kind":"left","time":{moment}}}')

    assert spoken.event == Left(NOW, "FINISHED")
    assert "Unix seconds" in spoken.problems[0].text


def test_bytes_that_are_not_utf8() -> None:
    """They are replaced and told; the event is recorded."""
    spoken = read(b'{"kind":"tags","values":{"caf\xe9":"\xff"}}')

    assert spoken.event == Tags(NOW, {"caf\ufffd": "\ufffd"})
    assert spoken.problems[0].sort == "utf-8"
