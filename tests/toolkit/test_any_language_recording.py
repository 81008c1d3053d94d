"""What becomes of lines that programs in any language write: events in the run's journal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit import tables
from toolkit.console import ConsoleRecorder
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Table
from toolkit.events import Text
from toolkit.hearing import REJECTED
from toolkit.hearing import Hearing
from toolkit.hearing import Problems
from toolkit.journal import Follower
from toolkit.journal import SegmentWriter
from toolkit.journal import segments
from toolkit.lines import Line
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

PNG = b"\x89PNG\r\n\x1a\n" + b"as in any PNG file"
SECRET = "hf_abcdefghijklmnopqrstuvwxyz0123456789"


class Program:
    """A program that says lines of its run, and what became of them."""

    def __init__(self, run: RunDir, folder: Path, *, is_alone: bool = False) -> None:
        self.run = run
        self.told: list[str] = []
        self._owner = SegmentWriter.create(run.journal, "owner")
        redactor = Redactor.from_environment(os.environ)
        console = ConsoleRecorder(self._owner.append, redactor, 0)
        problems = Problems("program", self.told.append, redactor)
        self.hearing = Hearing(run, problems, console.feed, folder, is_alone=is_alone)
        self._count = 0

    def say(self, *lines: str | bytes | dict[str, Any], is_whole: bool = True) -> None:
        """Say the lines, as they are or as JSON."""
        for line in lines:
            text = json.dumps(line) if isinstance(line, dict) else line
            self._count += 1
            content = text.encode() if isinstance(text, str) else text
            self.hearing.hear(Line(self._count, content, is_whole))

    def leave(self) -> None:
        """Say no more."""
        self.hearing.close(self.hearing.said or "FINISHED")
        self._owner.append(Ended(9.0, "FINISHED"))
        self._owner.close()

    def events(self) -> list[Event]:
        """Everything recorded so far."""
        return list(Follower(self.run.journal).read().events)

    def only(self) -> Any:
        """The one event that was recorded, of a program with which nothing is wrong."""
        assert self.told == []
        (event,) = self.events()
        return event

    def kept(self, path: str) -> bytes:
        """The content of a file of the run."""
        assert not Path(path).is_absolute()
        return (self.run.path / path).read_bytes()


@pytest.fixture
def program(run_dir: RunDir, tmp_path: Path) -> Program:
    """A program in a folder of its own."""
    return Program(run_dir, tmp_path)


def test_said_and_left(program: Program) -> None:
    """Events are a joined writer's, which is opened with the first of them, and leaves."""
    assert [part.role for part in segments(program.run.journal)] == ["owner"]
    program.say({"kind": "metrics", "time": 5, "step": 1, "values": {"a": 1}})
    program.say({"kind": "left", "time": 6, "status": "failed"})
    program.leave()

    metrics, left = [event for event in program.events() if not isinstance(event, Ended)]
    assert metrics == Metrics(5.0, {"a": 1.0}, 1)
    assert isinstance(left, Left)
    assert left.status == "FAILED"
    assert [part.role for part in segments(program.run.journal)] == ["owner", "joined"]


def test_nothing_said(program: Program) -> None:
    """Blank lines open no segment."""
    program.say("", "\r", "  ")
    program.leave()

    assert [part.role for part in segments(program.run.journal)] == ["owner"]
    assert (program.hearing.recorded, program.hearing.segment, program.told) == (0, None, [])


@pytest.mark.parametrize("first", ["described", "params"])
def test_alone(run_dir: RunDir, tmp_path: Path, first: str) -> None:
    """Couriers wait for a description: who is alone with a run gives one first, or we do."""
    program = Program(run_dir, tmp_path, is_alone=True)
    program.say(
        {"kind": first, "values": {}} if first == "params" else {"kind": first, "name": "n"}
    )

    event, *others = program.events()
    assert isinstance(event, Described)
    assert event.name == ("n" if first == "described" else None)
    assert len(others) == (first == "params")


def test_paths_are_relative_to_the_folder(program: Program, tmp_path: Path) -> None:
    """Files are copied into the run as they are when the line is read."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.bin").write_bytes(b"weights")
    program.say({"kind": "artifact", "name": "m", "files": "out/model.bin", "aliases": "best"})
    (tmp_path / "out" / "model.bin").write_bytes(b"later")

    event = program.only()
    assert isinstance(event, Artifact)
    assert (event.files[0].name, event.aliases) == ("model.bin", ("best",))
    assert program.kept(event.files[0].path) == b"weights"


def test_folder_of_an_artifact(program: Program, tmp_path: Path) -> None:
    """A folder stands for every file below it."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "a").write_bytes(b"1")
    (tmp_path / "out" / "deep" / "b").write_bytes(b"2")
    program.say({"kind": "artifact", "name": "m", "files": str(tmp_path / "out")})

    event = program.only()
    assert {file.name: program.kept(file.path) for file in event.files} == {
        "out/a": b"1",
        "out/deep/b": b"2",
    }


def test_pictures(program: Program, tmp_path: Path) -> None:
    """PNG files of series, and figures in their own format, are kept as they are."""
    (tmp_path / "page.png").write_bytes(PNG)
    (tmp_path / "curve.svg").write_bytes(b"<svg/>")
    program.say({"kind": "image", "key": "val/page", "path": "page.png", "step": 3})
    program.say({"kind": "figure", "name": "plots/curve.svg", "path": "curve.svg"})

    image, figure = program.events()
    assert isinstance(image, Image)
    assert isinstance(figure, Figure)
    assert (program.kept(image.path), program.kept(figure.path)) == (PNG, b"<svg/>")
    assert image.step == 3


def test_tables_and_texts(program: Program, tmp_path: Path) -> None:
    """Their files are read, and kept without secrets."""
    rows = {"columns": ["a", "b"], "data": [[1, f"key {SECRET}"], ["NaN", "x"]]}
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "notes.txt").write_text(f"my key is {SECRET}\n", encoding="utf-8")
    program.say({"kind": "table", "name": "val/rows", "path": "rows.json", "step": 1})
    program.say({"kind": "text", "name": "notes.txt", "path": "notes.txt"})

    table, text = program.events()
    assert isinstance(table, Table)
    assert isinstance(text, Text)
    assert tables.read(program.run.path / table.path).data[0] == [1, "key ***"]
    assert program.kept(text.path) == b"my key is ***\n"


def test_counts(program: Program) -> None:
    """Histograms and confusion matrices are recorded as they are said."""
    program.say(
        {"kind": "histogram", "time": 1, "key": "w", "edges": [0, 1, 2], "counts": [3, 4]},
        {"kind": "confusionmatrix", "time": 1, "name": "c", "labels": ["a"], "counts": [[5]]},
    )

    assert program.events() == [
        Histogram(1.0, "w", (0.0, 1.0, 2.0), (3.0, 4.0)),
        ConfusionMatrix(1.0, "c", ("a",), ((5,),)),
    ]


def test_console(program: Program) -> None:
    """What a line says was printed goes to the run's console, each text a line at its place."""
    program.say({"kind": "console", "text": "one"}, {"kind": "console", "text": "two\n"})

    texts = [(e.text, e.position) for e in program.events() if isinstance(e, Console)]
    assert texts == [("one\n", 0), ("two\n", 4)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"kind": "artifact", "name": "m", "files": "none.bin"}, "there is no file 'none.bin'"),
        ({"kind": "artifact", "name": "m", "files": []}, "artifact 'm' has no files"),
        ({"kind": "artifact", "name": "m", "files": ""}, "there is no file ''"),
        ({"kind": "image", "key": "k", "path": "/dev/zero"}, "there is no file '/dev/zero'"),
        ({"kind": "image", "key": "k", "path": "a\0b"}, "there is no file"),
        ({"kind": "text", "name": "../t", "path": "here"}, "must be relative"),
        ({"kind": "table", "name": "t", "path": "here"}, "JSONDecodeError"),
        ({"kind": "text", "name": "t", "path": "."}, "IsADirectoryError"),
        ({"kind": "histogram", "key": "h", "edges": [0, 1], "counts": [1, 2]}, "one edge more"),
        ({"kind": "histogram", "key": "h", "edges": [1, 0], "counts": [1]}, "rising"),
        ({"kind": "histogram", "key": "h", "edges": [0, None], "counts": [1]}, "rising"),
        ({"kind": "confusionmatrix", "name": "c", "labels": ["a"], "counts": []}, "as many rows"),
    ],
)
def test_what_cannot_be_recorded(
    program: Program, tmp_path: Path, line: dict[str, Any], said: str
) -> None:
    """It is told with its line number, is kept apart, and what comes next is recorded."""
    (tmp_path / "here").write_text("no table", encoding="utf-8")
    good = {"kind": "metrics", "time": 5, "values": {"a": 1}}
    program.say(line, good)

    (told,) = program.told
    assert told.startswith("program, line 1: ")
    assert said in told
    assert program.events() == [Metrics(5.0, {"a": 1.0})]
    assert json.loads((program.run.path / REJECTED).read_bytes()) == line
    assert (program.hearing.recorded, program.hearing.problems.lines) == (1, 1)


def test_each_kind_of_problem_is_told_once(program: Program) -> None:
    """A problem that comes with every line is told once, and counted."""
    for step in range(100):
        program.say(f"loss {step}", {"kind": "metrics", "step": step, "values": {"a": "x"}})
    assert len(program.told) == 2
    program.leave()

    assert "200 lines" in program.told[2]
    assert "99 as in line 1, 99 as in line 2" in program.told[2]
    assert len((program.run.path / REJECTED).read_bytes().splitlines()) == 200


def test_many_kinds_of_problems(program: Program) -> None:
    """A program that invents fields doesn't fill a terminal."""
    for number in range(100):
        program.say({"kind": "left", f"field{number}": 1})

    assert len(program.told) <= 21


def test_secrets(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are masked in what is recorded, told and kept apart."""
    monkeypatch.setenv("SOME_API_KEY", "w4-very-secret-value")
    hidden = Program(RunDir(program.run.path), program.run.path.parent)
    hidden.say(
        {"kind": "params", "values": {"api_key": "abc", "a": ["w4-very-secret-value"]}},
        {"kind": "described", "notes": f"token={SECRET}", "backends": {"b": {"password": "abc"}}},
        {"kind": "described", "project": SECRET, "name": SECRET, "group": SECRET},
        {"kind": "described", "tags": [SECRET]},
        {"kind": "image", "key": "k", "path": f"/{SECRET}"},
        "w4-very-secret-value",
    )
    hidden.leave()

    written = b"".join(p.read_bytes() for p in program.run.path.rglob("*") if p.is_file())
    for text in (written.decode(), "".join(hidden.told)):
        assert SECRET not in text
        assert "w4-very-secret-value" not in text
        assert '"abc"' not in text


def test_torn_line(program: Program) -> None:
    """A last line without its end is an event if it's whole, else its writer was cut off."""
    program.say({"kind": "left"}, is_whole=False)
    assert not program.hearing.is_torn
    program.say('{"kind":"metr', is_whole=False)
    assert program.hearing.is_torn
    assert "cut off" in program.told[0]


def test_resumed(new_run: Callable[..., RunDir], tmp_path: Path) -> None:
    """Points at steps that an earlier attempt had are passed over, and nothing is wrong."""
    run = new_run()
    for attempt in range(2):
        program = Program(run, tmp_path)
        for step in range(attempt + 2):
            program.say({"kind": "metrics", "step": step, "values": {"a": attempt}})
        program.leave()
        assert program.told == []

    steps = [(e.step, e.values["a"]) for e in program.events() if isinstance(e, Metrics)]
    assert steps == [(0, 0.0), (1, 0.0), (2, 1.0)]
    assert program.hearing.recorded == 3


def test_huge_line(program: Program) -> None:
    """It is told, and what comes next is recorded."""
    program.hearing.hear(Line(1, None))
    program.say({"kind": "params", "time": 1, "values": {}})

    assert "longer than 16 MiB" in program.told[0]
    assert program.events() == [Params(1.0, {})]
