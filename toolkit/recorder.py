"""Recorder: writes what one process says into the run's journal and its files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from attrs import field
from attrs import frozen

from toolkit import filestore
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Media
from toolkit.journal import SegmentWriter
from toolkit.notice import warn
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

T = TypeVar("T")

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@frozen
class LastSteps:
    """The last step that earlier attempts recorded of each thing that has steps."""

    metrics: Mapping[str, int] = field(factory=dict)
    media: Mapping[tuple[type[Media], str], int] = field(factory=dict)
    """By kind and name."""


class Recorder:
    """Writes the events of one process into its segment, and nowhere else.

    Args:
        run_dir: the run's folder.
        writer: this process's segment.
        last_steps: where earlier attempts got to; points at or before that are passed over, so that
            replaying from a checkpoint leaves one curve.
    """

    def __init__(self, run_dir: RunDir, writer: SegmentWriter, last_steps: LastSteps) -> None:
        self.run_dir = run_dir
        self.passed_over = 0
        self.redactor = Redactor.from_environment(os.environ)
        self._writer = writer
        self._last_steps = last_steps
        self._pid = os.getpid()
        self._lost = 0

    def is_here(self) -> bool:
        """Whether this is the recording process, and not one forked from it."""
        return os.getpid() == self._pid

    def write(self, event: Event) -> None:
        """Append the event; a disk that refuses it costs one warning, never the training."""
        try:
            self._writer.append(event)
        except OSError as error:
            self._lose(error)

    def keep(
        self, found: Iterable[tuple[str, Path]], store: Callable[[Path, Path, str], Path]
    ) -> tuple[File, ...]:
        """Put files into the run's folder, each with the name that it is to have.

        None, and one warning, when the disk is full.
        """

        def kept() -> tuple[File, ...]:
            paths = [(name, store(path, self.run_dir.files, path.name)) for name, path in found]
            return tuple(File(name, self._relative(path)) for name, path in paths)

        return self._unless_full(kept) or ()

    def keep_bytes(self, content: bytes, name: str) -> str | None:
        """Put a content into the run's folder as a file; its path there.

        None, and one warning, when the disk is full.
        """
        files = self.run_dir.files
        return self._unless_full(lambda: self._relative(filestore.keep_bytes(content, files, name)))

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.run_dir.path))

    def _unless_full(self, store: Callable[[], T]) -> T | None:
        try:
            return store()
        except OSError as error:
            if error.errno not in _FULL_DISK:
                raise
            self._lose(error)
            return None

    def _lose(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1:
            warn(f"can't record any more: {error}; training goes on")

    def not_yet_recorded(self, values: dict[str, float], step: int | None) -> dict[str, float]:
        """Those of the values whose step is beyond the last one recorded before this attempt."""
        last = self._last_steps.metrics
        if step is None or not last:
            return values
        new = {k: v for k, v in values.items() if step > last.get(k, step - 1)}
        self.passed_over += len(values) - len(new)
        return new

    def was_recorded(self, kind: type[Media], name: str, step: int | None) -> bool:
        """Whether an earlier attempt had this step of a picture, table or series."""
        if step is None or step > self._last_steps.media.get((kind, name), step - 1):
            return False
        self.passed_over += 1
        return True

    def close(self) -> None:
        """Leave the journal."""
        if self._lost:
            warn(f"{self._lost} events could not be recorded")
        self._writer.close()
