"""File locks that tell whether a process is alive.

POSIX record locks (``lockf``), not ``flock``: a forked DataLoader worker doesn't inherit them, so a
lock ends with exactly the process that took it. Their price is that closing any descriptor of the
file gives the lock up; so this module is the only one that opens lock files, and it remembers which
ones this process holds.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import ClassVar

_POLL_SECONDS = 0.02


class Lock:
    """A lock held by this process, until released or until the process ends."""

    _held: ClassVar[set[str]] = set()  # the kernel's state of this process, which it can't be asked

    def __init__(self, path: Path, descriptor: int) -> None:
        self._name = str(path.resolve())
        self._descriptor = descriptor
        self._held.add(self._name)

    @classmethod
    def try_acquire(cls, path: Path) -> Lock | None:
        """The lock, or None when this or another process holds it."""
        if str(path.resolve()) in cls._held:
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    @classmethod
    def acquire(cls, path: Path) -> Lock:
        """The lock, as soon as nobody else holds it."""
        while (lock := cls.try_acquire(path)) is None:
            time.sleep(_POLL_SECONDS)
        return lock

    @classmethod
    def is_held(cls, path: Path) -> bool:
        """Whether this or another process of this machine holds the lock."""
        if not path.exists():
            return False
        lock = cls.try_acquire(path)
        if lock is None:
            return True
        lock.release()
        return False

    def release(self) -> None:
        """Give the lock up; more than once does nothing."""
        if self._name in self._held:
            self._held.discard(self._name)
            os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
