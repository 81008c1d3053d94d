"""Recording what programs in any language say of their run, line by line (`toolkit.spoken`)."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from pathlib import PurePosixPath

from attrs import evolve

from toolkit import filestore
from toolkit import media
from toolkit import start
from toolkit import tables
from toolkit.console import Stream
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import STEPPED
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
from toolkit.events import Media
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.events import name_of
from toolkit.journal import SegmentWriter
from toolkit.lines import LONGEST_LINE
from toolkit.lines import Line
from toolkit.recorder import Recorder
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.spoken import Problem
from toolkit.spoken import Reader
from toolkit.values import relative_path

REJECTED = "rejected.jsonl"
"""The file, in the run's folder, of lines that could not be recorded as they are."""

_MOST_TOLD = 20
"""Sorts of problems; a program that invents fields must not fill a terminal."""
_OTHERS = "others"


class Problems:
    """Tells of each sort of problem once, and counts them all.

    Args:
        source: where the lines come from.
        tell: called with one line at a time.
        redactor: masks secrets in what is told.
    """

    def __init__(self, source: str, tell: Callable[[str], None], redactor: Redactor) -> None:
        self._source = source
        self._tell = tell
        self.redactor = redactor
        self._first: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self.lines = 0
        """How many lines have problems."""

    def note(self, line: int, problems: Sequence[Problem]) -> None:
        """Count what is wrong with a line; tell what has not been wrong before."""
        self.lines += 1
        for problem in problems:
            is_known = problem.sort in self._first
            sort = problem.sort if is_known or len(self._first) < _MOST_TOLD else _OTHERS
            self._counts[sort] += 1
            if sort not in self._first:
                self._first[sort] = line
                text = self.redactor.text(problem.text).encode(errors="backslashreplace").decode()
                self._tell(f"{self._source}, line {line}: {text}")

    def conclude(self) -> None:
        """Tell how often the same was wrong again."""
        again = [
            f"{count - 1} as in line {self._first[sort]}"
            for sort, count in self._counts.items()
            if count > 1
        ]
        if self.lines:
            also = f" ({', '.join(again)})" if again else ""
            self._tell(
                f"{self._source}: {self.lines} lines could not be recorded, or only in part{also}; "
                f"they are kept as {REJECTED} in the run's folder"
            )


class Hearing:
    """Records lines into a segment of the run's journal that it opens with the first of them.

    Args:
        run: the run's folder.
        problems: who hears of lines that can't be recorded.
        console: takes what a line says was printed.
        folder: what paths of files are relative to.
        is_alone: whether nobody else describes the run, so that couriers needn't wait for it.
    """

    def __init__(
        self,
        run: RunDir,
        problems: Problems,
        console: Callable[[Stream, bytes], None],
        folder: Path,
        *,
        is_alone: bool,
    ) -> None:
        self.problems = problems
        self.recorded = 0
        """How many events were recorded, or passed over because an attempt before had them."""
        self.said: Status | None = None
        """How the program said that it left."""
        self.has_left = False
        """Whether that was the last thing it said."""
        self.is_torn = False
        """Whether the program was cut off in the middle of a line."""
        self._run = run
        self._console = console
        self._folder = folder
        self._is_alone = is_alone
        self._writer: SegmentWriter | None = None
        self._recorder: Recorder | None = None

    @functools.cached_property  # most commands say nothing, and it costs milliseconds
    def _reader(self) -> Reader:
        return Reader()

    @property
    def segment(self) -> int | None:
        """Number of the segment that was written; None where nothing was said."""
        return self._writer.segment.number if self._writer else None

    def hear(self, line: Line) -> None:
        """Record what the line says; whatever is wrong with it is told, and no error."""
        if line.content is None:
            text = f"longer than {LONGEST_LINE >> 20} MiB; put what is so large into a file"
            self.problems.note(line.number, [Problem("length", text)])
            return
        spoken = self._reader.read(line.content, time.time())
        problems = list(spoken.problems)
        if spoken.event is None and problems and not line.is_whole:
            self.is_torn = True
            problems = [Problem("torn", "the line has no end: who wrote it was cut off there")]
        if spoken.event is not None:
            problems += self._attempt(spoken.event)
        if problems:
            self.problems.note(line.number, problems)
            self._set_aside(line)

    def close(self, status: Status) -> None:
        """Record how the program left, and tell what is left to tell of problems."""
        if self._writer:
            with contextlib.suppress(OSError):  # a full disk
                self._append(Left(time.time(), status))
            self._writer.close()
        self.problems.conclude()

    def _set_aside(self, line: Line) -> None:
        """Keep a line that isn't recorded as it is, without its secrets."""
        content = (line.content or b"").decode(errors="backslashreplace")
        path = self._run.path / REJECTED
        with contextlib.suppress(OSError), path.open("ab") as file:
            if file.tell() < LONGEST_LINE:
                file.write(self.problems.redactor.text(content).encode() + b"\n")

    def _attempt(self, event: Event) -> Iterator[Problem]:
        kind = type(event).__name__.lower()
        try:
            self._record(event)
            self.recorded += 1
        except UsageError as error:
            yield Problem(f"{kind} content", str(error))
        except Exception as error:  # a damaged file can break whatever library reads it
            cause = f"{type(error).__name__}: {error}"
            yield Problem(f"{kind} {type(error).__name__}", f"{kind} can't be recorded: {cause}")

    def _record(self, event: Event) -> None:
        self.has_left = isinstance(event, Left | Ended)
        if self._recorder is None:
            self._begin(event)
        assert self._recorder is not None  # noqa: S101 - it has just been made
        if isinstance(event, Left | Ended):
            self.said = event.status
        elif isinstance(event, Console):
            self._console(event.stream, _as_lines(event.text))
        elif (kept := _kept(event, self._recorder, self._folder)) is not None:
            self._append(kept)

    def _begin(self, first: Event) -> None:
        with self._run.lock():
            self._writer = SegmentWriter.create(self._run.journal, "joined")
        self._recorder = Recorder(self._run, self._writer, start.last_steps(self._run))
        if self._is_alone and not isinstance(first, Described):
            self._append(Described(time.time()))

    def _append(self, event: Event) -> None:
        assert self._writer is not None  # noqa: S101 - made before anything is appended
        self._writer.append(event)


def _as_lines(text: str) -> bytes:
    return (text if text.endswith("\n") else f"{text}\n").encode(errors="backslashreplace")


def _kept(event: Event, recorder: Recorder, folder: Path) -> Event | None:
    """The event as it is to be recorded, with its files in the run; None if an attempt had it.

    Raises:
        UsageError: a value that can't be recorded, or a file that isn't there.
        ValueError: a file that isn't what it should be.
        OSError: a file that can't be read, or a disk that is full.
    """
    redactor = recorder.redactor
    match event:
        case Metrics():
            values = recorder.not_yet_recorded(dict(event.values), event.step)
            return Metrics(event.time, values, event.step) if values else None
        case Params() | Tags() | Summary():
            return evolve(event, values=redactor.values(event.values))
        case Described():
            return start.masked(event, redactor)
        case Artifact():
            return _kept_artifact(event, recorder, folder)
        case Text() | Table() | Image() | Figure() | Histogram() | ConfusionMatrix():
            name = relative_path(name_of(event))
            step = event.step if isinstance(event, STEPPED) else None
            if recorder.was_recorded(type(event), name, step):
                return None
            return _kept_media(event, name, recorder, folder)
    raise UsageError(f"a {type(event).__name__.lower()} can't be recorded from outside")


def _kept_media(event: Media, name: str, recorder: Recorder, folder: Path) -> Event:
    redactor = recorder.redactor
    match event:
        case Histogram():
            _check_histogram(event)
            return evolve(event, key=name)
        case ConfusionMatrix():
            labels, counts = media.confusion(name, event.labels, event.counts)
            masked = tuple(map(redactor.text, labels))
            return evolve(event, name=name, labels=masked, counts=counts)
        case Text():
            text = _there(folder, event.path).read_text(encoding="utf-8", errors="replace")
            return evolve(event, name=name, path=_put(recorder, redactor.text(text).encode(), name))
        case Table():
            rows = tables.masked(tables.read(_there(folder, event.path)), redactor)
            path = _put(recorder, tables.encode(rows), f"{name}.json")
            return evolve(event, name=name, path=path)
    caption = redactor.text(event.caption) if event.caption else None
    source = _there(folder, event.path)
    if isinstance(event, Image):
        path = _put(recorder, media.image_file(name, source), f"{name}.png")
        return evolve(event, key=name, path=path, caption=caption)
    content = media.image_file(name, source, PurePosixPath(name).suffix.lower())
    return evolve(event, name=name, path=_put(recorder, content, name), caption=caption)


def _put(recorder: Recorder, content: bytes, name: str) -> str:
    path = recorder.keep_bytes(content, name)
    if path is None:
        raise UsageError(f"{name}: the disk is full")
    return path


def _kept_artifact(event: Artifact, recorder: Recorder, folder: Path) -> Artifact:
    found = [
        (relative_path(name), path)
        for file in event.files
        for name, path in _below(file.name, _there(folder, file.path))
    ]
    if not found:
        raise UsageError(f"artifact {event.name!r} has no files")
    files = recorder.keep(found, filestore.keep)
    if not files:
        raise UsageError(f"artifact {event.name!r}: the disk is full")
    return evolve(event, files=files, folder=relative_path(event.folder) if event.folder else "")


def _there(folder: Path, given: str) -> Path:
    path = folder / given
    if not given or not (path.is_file() or path.is_dir()):
        raise UsageError(f"there is no file {given!r} in {folder}")
    return path


def _below(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """The file under its name; or every file below a folder, which then begins their names."""
    if not path.is_dir():
        yield name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield f"{name}/{file.relative_to(path).as_posix()}", file


def _check_histogram(event: Histogram) -> None:
    edges, counts = event.edges, event.counts
    rising = all(low < high for low, high in pairwise(edges))
    if not (all(map(isfinite, (*edges, *counts))) and rising and min((0.0, *counts)) >= 0):
        raise InvalidValueError(
            f"histogram {event.key!r}: edges must be rising numbers, and counts from 0"
        )
    if not (1 <= len(counts) <= media.MAX_BINS and len(edges) == len(counts) + 1):
        raise InvalidValueError(
            f"histogram {event.key!r}: 1 to {media.MAX_BINS} counts need one edge more than that, "
            f"got {len(counts)} counts and {len(edges)} edges"
        )
