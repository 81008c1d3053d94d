"""Run: what a training script holds. Methods named as MLflow's go in, events come out."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from toolkit import filestore
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import Described
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.journal import SegmentWriter
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.values import axis_step
from toolkit.values import metric_key
from toolkit.values import number
from toolkit.values import plain

Ending = Callable[[Status], None]

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recorder:
    """Writes the events of one process into its segment, and nowhere else.

    Args:
        run_dir: the run's folder.
        writer: this process's segment.
        last_steps: each metric's last step in earlier attempts; points at or before it are passed
            over, so that replaying from a checkpoint leaves one curve.
    """

    def __init__(
        self, run_dir: RunDir, writer: SegmentWriter, last_steps: Mapping[str, int]
    ) -> None:
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

    def keep(self, store: Callable[[], tuple[File, ...]]) -> tuple[File, ...]:
        """The files that ``store`` keeps; none, and one warning, when the disk is full."""
        try:
            return store()
        except OSError as error:
            if error.errno not in _FULL_DISK:
                raise
            self._lose(error)
            return ()

    def _lose(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1:
            _warn(f"can't record any more: {error}; training goes on")

    def not_yet_recorded(self, values: dict[str, float], step: int | None) -> dict[str, float]:
        """Those of the values whose step is beyond the last one recorded before this attempt."""
        if step is None or not self._last_steps:
            return values
        new = {k: v for k, v in values.items() if step > self._last_steps.get(k, step - 1)}
        self.passed_over += len(values) - len(new)
        return new

    def close(self) -> None:
        """Leave the journal."""
        if self._lost:
            _warn(f"{self._lost} events could not be recorded")
        self._writer.close()


def _warn(line: str) -> None:
    """Tell the user; standard error may lie on the very disk that is full."""
    with contextlib.suppress(OSError):
        print(f"toolkit: {line}", file=sys.stderr)  # noqa: T201 - there is no other way


class Run:
    """One run, as its script sees it.

    Every call returns once its event is on disk. Where nothing is recorded (a rank other than 0,
    TOOLKIT_DISABLED=1, a forked child), every call is accepted and does nothing.
    """

    def __init__(self, run_id: str, recorder: Recorder | None, ending: Ending) -> None:
        self._id = run_id
        self._recorder = recorder
        self._ending = ending
        self._is_over = False

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def dir(self) -> Path | None:
        """The run's folder; None where nothing is recorded."""
        return self._recorder.run_dir.path if self._recorder else None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, or this script has left it."""
        return self._is_over

    @property
    def passed_over(self) -> int:
        """How many points were not recorded because an earlier attempt already had them."""
        return self._recorder.passed_over if self._recorder else 0

    def log_metric(
        self, key: str, value: Any, step: int | None = None, *, timestamp: int | None = None
    ) -> None:
        """Record one number; see `log_metrics`."""
        self.log_metrics({key: value}, step, timestamp=timestamp)

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        *,
        timestamp: int | None = None,
    ) -> None:
        """Record numbers, at one step or at none.

        Args:
            metrics: names and numbers, or anything of one element that is a number.
            step: place on the axis.
            timestamp: Unix milliseconds; now, if not given.

        Raises:
            InvalidValueError: a value is not a number, or a key is not text.
        """
        recorder = self._recording()
        if recorder is None:
            return
        values = {
            key if type(key) is str and key.strip() else metric_key(key): (
                value if type(value) is float else number(key, value)
            )
            for key, value in metrics.items()
        }
        step = axis_step(step)
        values = recorder.not_yet_recorded(values, step)
        if values:
            moment = time.time() if timestamp is None else timestamp / 1000
            recorder.write(Metrics(moment, values, step))

    def log_param(self, key: str, value: Any) -> Any:
        """Record one input of the run; returns it."""
        self.log_params({key: value})
        return value

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record inputs of the run, nested as given; what JSON doesn't know is kept as its text."""
        if recorder := self._recording():
            recorder.write(Params(time.time(), recorder.redactor.values(plain(params))))

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Record results of the whole run; a later one replaces an earlier one of its name."""
        if recorder := self._recording():
            recorder.write(Summary(time.time(), recorder.redactor.values(plain(values))))

    def set_tag(self, key: str, value: Any) -> None:
        """Set one tag; see `set_tags`."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags: key and text pairs; a later one replaces an earlier one of its key."""
        if recorder := self._recording():
            texts = {str(key): str(value) for key, value in tags.items()}
            recorder.write(Tags(time.time(), recorder.redactor.values(texts)))

    def log_artifact(
        self,
        local_path: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        name: str | None = None,
        type: str = "file",  # noqa: A002 - the trackers' own word
        aliases: Iterable[str] = (),
        move: bool = False,
    ) -> None:
        """Keep a file with the run, or every file below a folder.

        Args:
            local_path: the file or folder.
            artifact_path: folder to show it in; the top, if not given.
            name: what the artifact is called; the file's or folder's own name, if not given.
            type: what it is, such as "model" or "dataset".
            aliases: names that point to this version from now on, such as "best".
            move: hand the files over instead of having them copied.

        Raises:
            UsageError: there is no such file.
        """
        recorder, source = self._recording(), Path(local_path)
        if recorder is None:
            return
        if source.is_dir():
            self.log_artifacts(
                source, artifact_path, name=name, type=type, aliases=aliases, move=move
            )
            return
        if not source.is_file():
            raise UsageError(f"log_artifact: there is no file {source}")
        folder = _relative(artifact_path) if artifact_path else ""
        files = _keep([(source.name, source)], recorder, filestore.take if move else filestore.keep)
        self._record_artifact(name or source.name, files, folder, type, aliases)

    def log_artifacts(
        self,
        local_dir: str | os.PathLike[str],
        artifact_path: str | None = None,
        *,
        name: str | None = None,
        type: str = "file",  # noqa: A002
        aliases: Iterable[str] = (),
        move: bool = False,
    ) -> None:
        """Keep every file below a folder with the run, as one artifact; see `log_artifact`."""
        recorder, top = self._recording(), Path(local_dir)
        if recorder is None:
            return
        if not top.is_dir():
            raise UsageError(f"log_artifacts: there is no folder {top}")
        found = [
            (path.relative_to(top).as_posix(), path)
            for path in sorted(top.rglob("*"))
            if path.is_file()
        ]
        if not found:
            raise UsageError(f"log_artifacts: there is no file in {top}")
        folder = _relative(artifact_path) if artifact_path else ""
        files = _keep(found, recorder, filestore.take if move else filestore.keep)
        self._record_artifact(name or top.resolve().name, files, folder, type, aliases)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Keep a text as a file of the run; ``artifact_file`` is its path there."""
        if recorder := self._recording():
            folder, _, name = _relative(artifact_file).rpartition("/")
            path, masked = recorder.run_dir.path, recorder.redactor.text(text)

            def store() -> tuple[File, ...]:
                kept = filestore.keep_text(masked, recorder.run_dir.files, name)
                return (File(name, str(kept.relative_to(path))),)

            self._record_artifact(name, recorder.keep(store), folder, "file", ())

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Keep a mapping or list as a file of the run: YAML if it's named so, else JSON."""
        if recorder := self._recording():
            value = recorder.redactor.values({"value": plain(dictionary)})["value"]
            self.log_text(_written_out(value, artifact_file), artifact_file)

    def _record_artifact(
        self,
        name: str,
        files: tuple[File, ...],
        folder: str,
        kind: str,
        aliases: Iterable[str],
    ) -> None:
        recorder = self._recording()
        if recorder and files:
            recorder.write(Artifact(time.time(), name, files, folder, kind, tuple(aliases)))

    def describe(self, described: Described) -> None:
        """Record what the script says about the run."""
        if recorder := self._recording():
            recorder.write(described)

    def end(self, status: Status = "FINISHED") -> None:
        """Leave the run; ends it, if this process owns it. More than once does nothing."""
        if self._is_over or (self._recorder and not self._recorder.is_here()):
            return
        self._is_over = True
        self._ending(status)

    def _recording(self) -> Recorder | None:
        if self._is_over:
            raise UsageError(
                f"run {self._id} is over: this call came after it ended; start another run, or "
                "resume it with start_run(run_id=...)"
            )
        recorder = self._recorder
        return recorder if recorder and recorder.is_here() else None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(status_of(error))


def status_of(error: BaseException | None) -> Status:
    """How a run ended that was left by this exception, or by none."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


def _keep(
    found: Iterable[tuple[str, Path]], recorder: Recorder, store: Callable[[Path, Path, str], Path]
) -> tuple[File, ...]:
    """Put files into the run's folder; each comes with the name that it is to have."""
    run = recorder.run_dir

    def kept() -> tuple[File, ...]:
        paths = [(name, store(path, run.files, path.name)) for name, path in found]
        return tuple(File(name, str(path.relative_to(run.path))) for name, path in paths)

    return recorder.keep(kept)


def _relative(path: str) -> str:
    """The path of a file among the run's artifacts, as given, if it stays among them."""
    parts = path.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or parts[-1] in {"", "."}:
        raise InvalidValueError(
            f"artifact path {path!r} must be relative, without '..', and end with a name"
        )
    return "/".join(part for part in parts if part not in {"", "."})


def _written_out(value: Any, artifact_file: str) -> str:
    if artifact_file.endswith((".yaml", ".yml")):
        import yaml

        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    return json.dumps(value, indent=2, ensure_ascii=False)
