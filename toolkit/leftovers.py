"""Processes of a run's command: finding those that are left, and taking them along.

A command is more than one process: launchers start ranks, in sessions of their own. They all
inherit TOOLKIT_RUN, and that is how they are found.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_GRACE_SECONDS = 5.0


def end_processes(run: Path) -> None:
    """End every process that was started for this run: SIGTERM first, then SIGKILL."""
    import psutil

    for number in (signal.SIGTERM, signal.SIGKILL):
        # Looked for each time: what was asked to end may have started others meanwhile.
        found = [process for process in psutil.process_iter() if _belongs(process, str(run))]
        for process in found:
            _send(process, number)
        psutil.wait_procs(found, timeout=_GRACE_SECONDS)


def _belongs(process: object, run: str) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)  # noqa: S101 - psutil is imported late
    try:
        return process.pid != os.getpid() and process.environ().get("TOOLKIT_RUN") == run
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return False


def _send(process: object, number: int) -> None:
    import psutil

    assert isinstance(process, psutil.Process)  # noqa: S101
    try:
        process.send_signal(number)
    except psutil.Error:  # gone meanwhile
        return


def watch_over(run: Path) -> int:
    """Fork a guard that ends the run's processes if this process dies without `dismiss`.

    Returns:
        A descriptor to give to `dismiss`.
    """
    reading, writing = os.pipe()
    is_ready, readying = os.pipe()
    if os.fork():
        os.close(reading)
        os.close(readying)
        os.read(is_ready, 1)  # ends when the guard has let go of it, and so is out of harm's way
        os.close(is_ready)
        return writing
    try:
        os.setsid()  # a terminal's Ctrl-C is for the command, not for its guard
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _let_go_of_everything_but(reading)
        if not os.read(reading, 1):  # end of file: the other end died
            end_processes(run)
    finally:
        os._exit(0)


def _let_go_of_everything_but(descriptor: int) -> None:
    """A background process that holds a pipe makes `| tee` and CI hang."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def dismiss(guard: int) -> None:
    """Tell the guard that all is well."""
    with contextlib.suppress(BrokenPipeError):  # somebody killed it
        os.write(guard, b"1")
    os.close(guard)
