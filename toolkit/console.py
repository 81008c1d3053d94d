"""What a command prints, as events: whole lines, readable without a terminal, secrets masked."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable
from typing import Literal

from toolkit.events import Console
from toolkit.redact import Redactor

Stream = Literal["stdout", "stderr"]

_LONGEST_LINE = 65536
# Colours and cursor movements (CSI); titles, links and pictures (OSC, DCS, APC and the like, up to
# their terminator); and the shorter escapes.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\r]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)


class StreamRecorder:
    """Cuts one stream into lines and keeps of each what was last to be seen."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> str:
        """The lines that these bytes complete, as text that ends with a newline; or nothing."""
        self._pending += self._decoder.decode(data)
        if len(self._pending) > _LONGEST_LINE and "\n" not in self._pending:
            # A progress bar that never ends a line: only its last state is ever to be seen.
            self._pending = _after_last_return(self._pending)
        cut = self._pending.rfind("\n") + 1
        if not cut and len(self._pending) > _LONGEST_LINE:
            cut = len(self._pending)
        whole, self._pending = self._pending[:cut], self._pending[cut:]
        # Not splitlines(), to which "\r" and several others end a line as well.
        return "\n".join(map(_as_seen, whole.split("\n")))

    def rest(self) -> str:
        """What came after the last newline."""
        rest, self._pending = self._pending + self._decoder.decode(b"", final=True), ""
        return _as_seen(rest)


def _as_seen(line: str) -> str:
    """The line without escapes; of a progress bar that overwrote itself, its last state."""
    return _after_last_return(_ESCAPES.sub("", line)).rstrip("\r")


def _after_last_return(line: str) -> str:
    """What the last carriage return begins; one at the very end overwrites nothing."""
    return line[line.rstrip("\r").rfind("\r") + 1 :]


class ConsoleRecorder:
    """Records both streams of a command, each text at its place in the run's console.

    Args:
        record: keeps an event.
        redactor: masks secrets.
        position: where the console of earlier attempts ended.
    """

    def __init__(
        self, record: Callable[[Console], None], redactor: Redactor, position: int
    ) -> None:
        self._write = record
        self._redactor = redactor
        self._position = position
        self._streams: dict[Stream, StreamRecorder] = {
            "stdout": StreamRecorder(),
            "stderr": StreamRecorder(),
        }

    def feed(self, stream: Stream, data: bytes) -> None:
        """Record what the command has just printed."""
        self._record(stream, self._streams[stream].feed(data))

    def close(self) -> None:
        """Record what stands after the last newlines."""
        for stream, recorder in self._streams.items():
            self._record(stream, recorder.rest())

    def _record(self, stream: Stream, text: str) -> None:
        if not text:
            return
        text = self._redactor.text(text)
        self._write(Console(time.time(), text, self._position, stream))
        self._position += len(text)
