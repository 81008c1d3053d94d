"""What the contract watches while a tracker works: the time it takes, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

_RING_AGAIN_SECONDS = 1.0


class TookTooLongError(BaseException):
    """A call did not come back in time. No Exception: a tracker that hangs may catch those."""


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Interrupt what takes longer. In the main thread only: others have no alarm.

    Raises:
        TookTooLongError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: object) -> None:
        raise TookTooLongError(f"{what} did not come back within {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _RING_AGAIN_SECONDS)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, such as that of a test runner
            left = max(left - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Keep what is printed from the terminal; the call yielded returns what that was.

    Both ways are watched: Python's streams, and the descriptors that libraries in C and other
    processes write to.
    """
    with tempfile.TemporaryFile() as heard, contextlib.ExitStack() as undo:
        text = open(heard.fileno(), "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        undo.callback(text.close)
        for descriptor in (1, 2):
            _flush()
            kept = os.dup(descriptor)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, descriptor)
            os.dup2(heard.fileno(), descriptor)
        undo.enter_context(contextlib.redirect_stdout(text))
        undo.enter_context(contextlib.redirect_stderr(text))

        def said() -> str:
            text.flush()
            size = heard.seek(0, os.SEEK_END)
            return os.pread(heard.fileno(), size, 0).decode("utf-8", "replace")

        yield said


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # closed
            stream.flush()


@frozen
class Surroundings:
    """What a tracker finds around it, and has to leave as it is."""

    directory: str
    variables: dict[str, str]
    handlers: tuple[object, ...]

    @classmethod
    def now(cls, own_variables: Sequence[str] = ()) -> Surroundings:
        """As they are; variables with these beginnings are the tracker's own business."""
        variables = {k: v for k, v in os.environ.items() if not k.startswith(tuple(own_variables))}
        watched = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        return cls(os.getcwd(), variables, tuple(map(signal.getsignal, watched)))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in the folder with its content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
