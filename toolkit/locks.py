"""File locks that tell whether a process is alive.

POSIX record locks (``lockf``), not ``flock``: a forked DataLoader worker doesn't inherit them, so a
lock ends with exactly the process that took it. Their price is that closing any descriptor of the
file gives the lock up, and that threads of one process don't exclude each other; so this module is
the only one that opens lock files, one thread at a time, and it remembers which ones this process
holds.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import ClassVar

from attrs import define
from attrs import field

_POLL_SECONDS = 0.02


@define
class _Held:
    """The names of the locks that one process holds, which the kernel can't be asked."""

    names: set[str] = field(factory=set)
    guard: threading.Lock = field(factory=threading.Lock)


class Lock:
    """A lock held by this process, until released or until the process ends."""

    # By process id, because a forked child inherits this, but neither locks nor threads.
    _held: ClassVar[dict[int, _Held]] = {}

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._descriptor = descriptor
        self._pid = os.getpid()
        self._is_released = False

    @classmethod
    def _here(cls) -> _Held:
        return cls._held.setdefault(os.getpid(), _Held())

    @classmethod
    def try_acquire(cls, path: Path) -> Lock | None:
        """The lock, or None when this or another process holds it."""
        here, name = cls._here(), str(path.resolve())
        with here.guard:
            if name in here.names:
                return None
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if not _lock(descriptor, fcntl.LOCK_EX):
                return None
            here.names.add(name)
            return cls(name, descriptor)

    @classmethod
    def acquire(cls, path: Path) -> Lock:
        """The lock, as soon as nobody else holds it."""
        while (lock := cls.try_acquire(path)) is None:
            time.sleep(_POLL_SECONDS)
        return lock

    @classmethod
    def is_held(cls, path: Path) -> bool:
        """Whether this or another process of this machine holds the lock."""
        here, name = cls._here(), str(path.resolve())
        with here.guard:
            if name in here.names:
                return True
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            # Shared, so that those who ask at the same time don't take each other for a holder.
            if not _lock(descriptor, fcntl.LOCK_SH):
                return True
            os.close(descriptor)
            return False

    def release(self) -> None:
        """Give the lock up; more than once does nothing, nor does it in a forked child."""
        if self._is_released or self._pid != os.getpid():
            return
        self._is_released = True
        here = self._here()
        with here.guard:
            os.close(self._descriptor)
            here.names.discard(self._name)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def _lock(descriptor: int, how: int) -> bool:
    """Whether the lock could be had at once; if not, the descriptor is closed."""
    try:
        fcntl.lockf(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
