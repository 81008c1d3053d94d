"""Lines out of bytes that come in pieces: of any length, and from files that others still write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import frozen

LONGEST_LINE = 1 << 24
"""Bytes; of a longer line no more than that is ever held."""
_CHUNK = 1 << 16


@frozen
class Line:
    """One line, without its end."""

    number: int
    """From 1."""
    content: bytes | None
    """None where it is longer than `LONGEST_LINE`."""
    is_whole: bool = True
    """Whether it was ended; the last one of a writer that was killed may not be."""


class LineCutter:
    """Cuts bytes into lines, in whatever pieces they come."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._length = 0
        self._number = 0

    def feed(self, data: bytes) -> list[Line]:
        """The lines that these bytes complete."""
        *parts, rest = data.split(b"\n")
        lines = [self._end(part, is_whole=True) for part in parts]
        self._add(rest)
        return lines

    def rest(self) -> list[Line]:
        """What came after the last newline, where something did."""
        return [self._end(b"", is_whole=False)] if self._length else []

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= LONGEST_LINE:
            self._pending += part
        else:
            self._pending.clear()

    def _end(self, part: bytes, *, is_whole: bool) -> Line:
        self._add(part)
        self._number += 1
        content = bytes(self._pending) if self._length <= LONGEST_LINE else None
        self._pending.clear()
        self._length = 0
        return Line(self._number, content, is_whole)


class FollowedFile:
    """Reads a file's lines while another process writes it; it needn't be there yet.

    A file that was replaced, or cut short, is read from its start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cutter = LineCutter()
        self._descriptor: int | None = None

    def read(self) -> list[Line] | None:
        """The next lines; None at the end of what is there now.

        Raises:
            OSError: the file can't be read.
        """
        data = self._read()
        if data:
            return self._cutter.feed(data)
        if self._descriptor is None or not self._was_replaced(self._descriptor):
            return None
        lines = self.rest()
        self.close()
        self._cutter = LineCutter()
        return lines

    def rest(self) -> list[Line]:
        """The last line, where it has no end."""
        return self._cutter.rest()

    def close(self) -> None:
        """Read no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> bytes:
        if self._descriptor is None:
            try:  # without waiting for somebody who writes, where it's a named pipe
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        try:
            return os.read(self._descriptor, _CHUNK)
        except BlockingIOError:  # a named pipe whose writer is silent
            return b""

    def _was_replaced(self, descriptor: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            return True
        if not stat.S_ISREG(ours.st_mode):
            return False
        return there.st_size < os.lseek(descriptor, 0, os.SEEK_CUR)
