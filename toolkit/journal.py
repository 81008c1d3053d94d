"""Append-only segments of events: write one, list them, follow them.

A run's journal is a folder of segments ``<n>-<role>.jsonl``. Each has exactly one writer, which
holds the lock file ``<n>.lock`` for as long as it lives. An event is one line and one ``write()``:
once `SegmentWriter.append` has returned, the event survives the death of every process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import frozen

from toolkit.events import Decoder
from toolkit.events import Event
from toolkit.events import encode
from toolkit.locks import Lock

Role = Literal["owner", "joined", "settler"]

_TAIL_BYTES = 65536


@frozen
class Segment:
    """One writer's part of a journal."""

    path: Path
    number: int
    role: str

    @property
    def name(self) -> str:
        """The file's name, by which deliveries remember their place."""
        return self.path.name

    @property
    def lock_path(self) -> Path:
        """The file that the writer holds locked while it lives."""
        return self.path.with_name(f"{self.number:04d}.lock")

    def is_alive(self) -> bool:
        """Whether the writer still lives; only its own machine can tell."""
        return Lock.is_held(self.lock_path)

    def writer_pid(self) -> int | None:
        """The process that wrote, or writes, this segment; None where that isn't known."""
        try:
            return int(self.lock_path.with_suffix(".pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


def segments(folder: Path) -> list[Segment]:
    """All segments, in the order in which their writers came."""
    found = []
    for path in folder.glob("*-*.jsonl"):
        number, _, role = path.stem.partition("-")
        if number.isdigit():
            found.append(Segment(path, int(number), role))
    return sorted(found, key=lambda segment: segment.number)


class SegmentWriter:
    """Appends events to a segment of its own. Safe to call from several threads."""

    def __init__(self, segment: Segment, lock: Lock) -> None:
        self.segment = segment
        self._lock = lock
        self._is_torn = False
        # Reentrant: a signal's handler may record something while its thread is in here.
        self._turn = threading.RLock()
        self._descriptor = os.open(
            segment.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
        )

    @classmethod
    def create(cls, folder: Path, role: Role) -> SegmentWriter:
        """Open the next segment of the journal in this folder."""
        number = max((segment.number for segment in segments(folder)), default=0) + 1
        while True:
            segment = Segment(folder / f"{number:04d}-{role}.jsonl", number, role)
            try:  # the pid file is what makes the number ours
                descriptor = os.open(
                    segment.lock_path.with_suffix(".pid"), os.O_WRONLY | os.O_CREAT | os.O_EXCL
                )
                break
            except FileExistsError:
                number += 1
        os.write(descriptor, str(os.getpid()).encode("ascii"))
        os.close(descriptor)
        return cls(segment, Lock.acquire(segment.lock_path))

    def append(self, event: Event) -> None:
        """Write the event; when this returns, it is kept.

        Raises:
            OSError: the disk refused it, or the segment has been given up.
            TypeError: a value in the event has no JSON form.
        """
        line = encode(event)
        with self._turn:
            if self._is_torn:
                line = b"\n" + line
            written = os.write(self._descriptor, line)
            # A full disk may take part of a line: readers drop it, and the next starts afresh.
            self._is_torn = written != len(line)
        if written != len(line):
            raise OSError(f"{self.segment.path}: only {written} of {len(line)} bytes were written")

    def close(self) -> None:
        """Give up the segment: its writer has left."""
        with self._turn:
            # Its number may soon be another file's, into which a late append must not write.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        self._lock.release()


@frozen
class Batch:
    """Events read from a journal, and the place after them: bytes read of each segment."""

    events: tuple[Event, ...]
    place: Mapping[str, int]
    damaged: tuple[str, ...] = ()
    """Lines that were dropped, as ``segment:byte: reason``."""


class Follower:
    """Reads a journal from a place on, again and again, while others write it."""

    def __init__(self, folder: Path, place: Mapping[str, int] | None = None) -> None:
        self._folder = folder
        self._decoder = Decoder()
        self.place: dict[str, int] = dict(place or {})

    def read(self, max_bytes: int = 1 << 18) -> Batch:
        """The next events, those of each segment in order; empty when there is nothing new yet.

        The follower's own place moves on; a caller that has to read again makes a new follower.
        """
        events: list[Event] = []
        damaged: list[str] = []
        for segment in segments(self._folder):
            start = self.place.get(segment.name, 0)
            if max_bytes <= 0 or segment.path.stat().st_size <= start:
                continue
            chunk = _read_lines(segment, start, max_bytes)
            max_bytes -= len(chunk)
            self.place[segment.name] = start + len(chunk)
            for offset, line in _lines(chunk, start):
                try:
                    events.append(self._decoder.decode(line))
                except ValueError as error:
                    damaged.append(f"{segment.name}:{offset}: {error}")
        return Batch(tuple(events), dict(self.place), tuple(damaged))


def _read_lines(segment: Segment, start: int, max_bytes: int) -> bytes:
    """Whole lines from byte ``start``; a torn last line only once its writer is gone."""
    is_alive = segment.is_alive()  # asked before reading: what a dead writer left is all there is
    with segment.path.open("rb") as file:
        file.seek(start)
        chunk = file.read(max_bytes)
        if b"\n" not in chunk:
            chunk += file.readline()  # one line longer than a whole batch
        is_end = not file.read(1)
    if is_end and not is_alive:
        return chunk
    return chunk[: chunk.rfind(b"\n") + 1]


def _lines(chunk: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    offset = start
    for line in chunk.split(b"\n"):  # splitlines() would also split at a damaged line's "\r"
        if line.strip():
            yield offset, line
        offset += len(line) + 1


def events_of(folder: Path, *kinds: type[Event]) -> Iterator[tuple[Segment, Event]]:
    """Every event of these kinds with its segment, in order; cheap where they are few."""
    names = [kind.__name__.lower() for kind in kinds]
    marks = tuple(f':{space}"{name}"'.encode() for name in names for space in ("", " "))
    decoder = Decoder()
    for segment in segments(folder):
        with segment.path.open("rb") as file:
            for line in file:
                if not any(mark in line for mark in marks):  # decoding costs more than looking
                    continue
                try:
                    event = decoder.decode(line)
                except ValueError:  # torn or damaged: couriers report those
                    continue
                if isinstance(event, kinds):
                    yield segment, event


def first_event(segment: Segment) -> Event | None:
    """The first event of a segment; None where it isn't whole yet."""
    with segment.path.open("rb") as file:
        line = file.readline()
    try:
        return Decoder().decode(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def last_event(segment: Segment) -> Event | None:
    """The last whole event of a segment, without reading more than it must."""
    decoder = Decoder()
    reach = _TAIL_BYTES
    with segment.path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while True:
            start = file.seek(max(0, size - reach))
            lines = file.read(size - start).split(b"\n")
            for line in reversed(lines[1:] if start else lines):  # the first may lack its beginning
                try:
                    return decoder.decode(line)
                except ValueError:
                    continue
            if not start:
                return None
            reach *= 8
