"""Which run a bridge records in, and who ends it.

A bridge records in the run that it was given, else in the active one, else in one that it starts:
under ``toolkit track`` that is the tracked run. It ends what it has started, nothing else.

Libraries say when a training is over, not when their user is done: evaluations and tests follow. So
a run may stay open at the end of its training, until another bridge starts a run in its place, or
the process ends.
"""

from __future__ import annotations

import contextvars
import multiprocessing
import os
from collections.abc import Iterable
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from typing import Literal
from typing import TypedDict

from toolkit.events import Status
from toolkit.run import Run
from toolkit.start import KnownSteps
from toolkit.start import active_run
from toolkit.start import start_run


class MoreOptions(TypedDict, total=False):
    """What `toolkit.start_run` takes besides name and project, under its names there."""

    run_id: str | None
    group: str | None
    tags: Iterable[str] | Mapping[str, Any]
    notes: str | None
    backend: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None
    nested: bool
    parent_run_id: str | None
    runs_dir: str | os.PathLike[str] | None
    known_steps: KnownSteps


class NamedOptions(MoreOptions, total=False):
    """With a name."""

    name: str | None


class RunOptions(NamedOptions, total=False):
    """All that it takes."""

    project: str | None


AfterEnd = Literal["new", "resume"]

_OPEN: ContextVar[tuple[Attachment, ...]] = ContextVar("toolkit_open_attachments", default=())
"""Those that have started a run which is not over."""


class Attachment:
    """Holds a bridge's run.

    Args:
        run: the run to record in, where the user has one.
        options: how to start one, where there is none.
        after_end: what to do when the run that it started has ended and there is more to record.
    """

    def __init__(
        self, run: Run | None, options: RunOptions, *, after_end: AfterEnd = "new"
    ) -> None:
        self._given = run
        self._options = options
        self._after_end = after_end
        self._run: Run | None = None
        self._own: Run | None = None
        self._folder: Path | None = None
        self._pid = os.getpid()
        self.if_replaced: Status | None = None
        """How its run ends when another bridge needs one; None: that one records in it too."""

    @property
    def run(self) -> Run | None:
        """The run of `begin`; None before that."""
        return self._run

    @property
    def is_ours(self) -> bool:
        """Whether the run was started here, and so ends here."""
        return self._run is not None and self._run is self._own

    def begin(self, **more: Any) -> Run:
        """The run to record in, which is the same one until that has ended.

        Args:
            more: options to start it with, where the user has given none of their names.
        """
        if self._pid != os.getpid():
            self._move_in()
        if not self.goes_on():
            self._run = self._given or self._shared() or self._started(more)
            self._folder = self._run.dir
        assert self._run is not None  # noqa: S101 - it goes on
        return self._run

    def has_one(self) -> bool:
        """Whether `begin` would find a run, and so start none."""
        return self.goes_on() or self._given is not None or self._shared() is not None

    def goes_on(self) -> bool:
        """Whether it has a run that is not over."""
        return self._run is not None and not self._run.is_over

    def _move_in(self) -> None:
        """Take part in the run of the process that this one was made by, if it is to train.

        Helpers, such as those that load data, are daemons; they don't write.
        """
        self._pid, self._given, self._run = os.getpid(), None, None
        if self._folder is None:
            return
        if multiprocessing.parent_process() is None or multiprocessing.current_process().daemon:
            self._run = silent_run()
            return
        os.environ["TOOLKIT_RUN"] = str(self._folder)
        # The parent's active run is known here, and is nothing that another process can write to.
        self._take(contextvars.Context().run(start_run))

    def _shared(self) -> Run | None:
        """The active run, where it is free to record in."""
        for other in _OPEN.get():
            if other is not self and other.if_replaced:
                other.end(other.if_replaced)
        wanted, active = self._options.get("run_id"), active_run()
        if active is None or self._options.get("nested") or wanted not in (None, active.id):
            return None
        return active

    def _started(self, more: Mapping[str, Any]) -> Run:
        given = {name: value for name, value in self._options.items() if value is not None}
        options: dict[str, Any] = {**more, **given}
        ended = self._own.dir if self._own and self._after_end == "resume" else None
        if ended and "TOOLKIT_RUN" not in os.environ:
            options |= {"run_id": ended.name, "runs_dir": ended.parent}
        run = start_run(**options)
        self._take(run)
        return run

    def _take(self, run: Run) -> None:
        others = (other for other in _OPEN.get() if other is not self and other.goes_on())
        _OPEN.set((*others, self))
        self._run = self._own = run

    def rest(self) -> None:
        """Leave the run open for what may follow; in a worker process nothing does."""
        if multiprocessing.parent_process() is not None:
            self.end("FINISHED")
        self.if_replaced = "FINISHED"

    def end(self, status: Status) -> None:
        """End the run, if it was started here."""
        if self._run is not None and self.is_ours:
            self._run.end(status)
        self.if_replaced = None

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process needs to take part in the run."""
        return {**self.__dict__, "_given": None, "_run": None, "_own": None}


def silent_run() -> Run:
    """A run that accepts every call and records nothing, for processes other than the main one."""
    return Run("silent", None, lambda status: None)
