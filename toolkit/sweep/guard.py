"""``python -m toolkit.sweep.guard``: takes a trial along when its sweep is killed.

Reads process ids from standard input, one a line: the trial that runs, 0 for none. When the input
ends, whoever wrote it is gone, and the last process named is asked to end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from types import TracebackType

from attrs import field
from attrs import frozen


@frozen
class Guard:
    """A guard that this process has started."""

    _process: subprocess.Popen[str] = field(init=False)

    @_process.default
    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "toolkit.sweep.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )

    def watch(self, pid: int) -> None:
        """Take this process along; 0 for none."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            self._process.stdin.write(f"{pid}\n")
            self._process.stdin.flush()

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.watch(0)
        self._process.communicate()


def main() -> None:
    """Wait for the input's end."""
    pid = 0
    for line in sys.stdin:
        pid = int(line)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    main()
