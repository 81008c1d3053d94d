"""Python processes that tests talk to over pipes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from typing import Any


@contextmanager
def python(code: str, *args: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the code; killed at the end, if it still lives then."""
    given: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, *map(str, args)]
    with subprocess.Popen(command, **(given | options)) as process:
        try:
            yield process
        finally:
            process.kill()


def line_from(process: subprocess.Popen[str]) -> str:
    """The next line that the process prints, without its newline."""
    return _stream(process.stdout).readline().rstrip("\n")


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    """Give the process one line to read."""
    stdin = _stream(process.stdin)
    stdin.write(line + "\n")
    stdin.flush()


def kill(process: subprocess.Popen[str]) -> None:
    """End the process as nothing but SIGKILL does, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "the process was started without this pipe"
    return stream
