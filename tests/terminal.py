"""A terminal, as a person sits at one: what is typed into it, and what it shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

_LOOK_SECONDS = 0.02

# Makes the terminal on standard input the controlling one, then becomes the program.
_LOG_IN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A pseudo-terminal whose output is read all the time, so that nobody waits for it."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        self._shown = bytearray()
        self._is_over = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, text: str) -> None:
        """Type the text; control characters do what they do."""
        os.write(self._master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)

    def shown(self) -> str:
        """Everything that was shown so far."""
        return bytes(self._shown).decode(errors="replace")

    def hang_up(self) -> None:
        """Close the window; more than once does nothing."""
        if not self._is_over.is_set():
            self._is_over.set()
            self._reader.join()  # a read that still waits would keep the window open
            os.close(self.slave)
            os.close(self._master)

    def foreground(self) -> int:
        """The process group that gets what is typed."""
        return os.tcgetpgrp(self._master)

    def _read(self) -> None:
        while not self._is_over.is_set():
            if select.select([self._master], [], [], _LOOK_SECONDS)[0]:
                self._shown += os.read(self._master, 65536)


@contextlib.contextmanager
def at_terminal(
    program: Sequence[object], **options: Any
) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """A program in a session of its own whose terminal this is; both are gone at the end."""
    terminal = Terminal()
    given: dict[str, Any] = {
        "stdin": terminal.slave,
        "stdout": terminal.slave,
        "stderr": terminal.slave,
    }
    command = [sys.executable, "-c", _LOG_IN, *map(str, program)]
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, start_new_session=True, text=False, **(given | options)
        )
        try:
            yield terminal, process
        finally:
            process.kill()
            process.wait()
    finally:
        terminal.hang_up()
