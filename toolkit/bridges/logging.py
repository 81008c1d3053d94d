"""A handler that takes `logging` records into the active run.

The text of a record goes into the run's console, its ``extra={"metrics": {...}, "step": n}`` into
the run's metrics.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping

from toolkit import journal
from toolkit.events import Console
from toolkit.run import Run
from toolkit.rundir import RunDir
from toolkit.start import active_run

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_OWN = "toolkit"


class ToolkitHandler(logging.Handler):
    """Records log records, with tracebacks, and never raises into the program.

    Under ``toolkit track`` what is printed is recorded already. So there a record is printed to
    standard error, unless another handler prints it anyway; no record comes twice.

    Secrets are masked. Records of toolkit's own loggers, and those that are made while a record is
    handled, are passed over. Without a run that goes on, a record is nothing to keep.

    Args:
        level: the lowest that is recorded.
        run: record in this run; the active one, if not given.
    """

    def __init__(self, level: int | str = logging.NOTSET, *, run: Run | None = None) -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter(FORMAT))
        self._run = run
        self._is_given = run is not None
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Record what the log record says."""
        if record.name.split(".")[0] == _OWN or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            if run := self._current():
                self._tell(run, record)
        except Exception:
            self.handleError(record)
        finally:
            self._busy.now = False

    def _current(self) -> Run | None:
        """The run, if it goes on; other threads than the one that started it don't see it."""
        if not self._is_given:
            self._run = active_run() or self._run
        return self._run if self._run and not self._run.is_over else None

    def _tell(self, run: Run, record: logging.LogRecord) -> None:
        metrics = getattr(record, "metrics", None)
        if isinstance(metrics, Mapping):
            run.log_metrics(metrics, getattr(record, "step", None))
        if run.dir is None:  # nothing is recorded here
            return
        if str(run.dir) != os.environ.get("TOOLKIT_RUN"):
            _console_of(run).add(f"{self.format(record)}\n")
        elif not _is_printed(record):
            print(self.format(record), file=sys.stderr)  # noqa: T201 - that is what records it


class _Lines:
    """The console of a run whose command is not watched: what handlers add to it."""

    def __init__(self, run: Run) -> None:
        assert run.dir is not None  # noqa: S101 - a silent run has no console
        self._run = run
        self._lock = threading.Lock()
        self._position = _end_of_console(RunDir(run.dir))

    def add(self, text: str) -> None:
        """Record the text behind what is there."""
        recorder = self._run.recording()
        if recorder is None:
            return
        text = recorder.redactor.text(text)
        with self._lock:
            recorder.write(Console(time.time(), text, self._position, "stderr"))
            self._position += len(text)


# All handlers of a run write to one console. Who is forgotten here is read from the journal again.
@functools.lru_cache(maxsize=16)
def _console_of(run: Run) -> _Lines:
    return _Lines(run)


def _end_of_console(run: RunDir) -> int:
    ends = (
        event.position + len(event.text)
        for _, event in journal.events_of(run.journal, Console)
        if isinstance(event, Console)
    )
    return max(ends, default=0)


def _is_printed(record: logging.LogRecord) -> bool:
    """Whether another handler writes the record to standard output or error."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(_prints(handler, record) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _prints(handler: logging.Handler, record: logging.LogRecord) -> bool:
    # The handler of rich has a console, which has a file.
    stream = getattr(handler, "stream", getattr(getattr(handler, "console", None), "file", None))
    return record.levelno >= handler.level and stream in (sys.stdout, sys.stderr)
