"""Run: what a training script holds. Methods named as MLflow's go in, events come out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from pathlib import PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from weakref import WeakSet

from toolkit import filestore
from toolkit import media
from toolkit import moments
from toolkit import tables
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Described
from toolkit.events import Figure
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.recorder import Recorder
from toolkit.values import axis_step
from toolkit.values import metric_key
from toolkit.values import number
from toolkit.values import plain
from toolkit.values import relative_path

if TYPE_CHECKING:
    from toolkit.watching import Watch
    from toolkit.watching import What

Ending = Callable[[Status], None]


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
        self._watches: WeakSet[Watch] = WeakSet()

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
        recorder = self.recording()
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
            moment = moments.seconds(timestamp)
            recorder.write(Metrics(moment, values, step))

    def log_param(self, key: str, value: Any) -> Any:
        """Record one input of the run; returns it."""
        self.log_params({key: value})
        return value

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record inputs of the run, nested as given; what JSON doesn't know is kept as its text."""
        if recorder := self.recording():
            recorder.write(Params(time.time(), recorder.redactor.values(plain(params))))

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Record results of the whole run; a later one replaces an earlier one of its name."""
        if recorder := self.recording():
            recorder.write(Summary(time.time(), recorder.redactor.values(plain(values))))

    def set_tag(self, key: str, value: Any) -> None:
        """Set one tag; see `set_tags`."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags: key and text pairs; a later one replaces an earlier one of its key."""
        if recorder := self.recording():
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
        recorder, source = self.recording(), Path(local_path)
        if recorder is None:
            return
        if source.is_dir():
            self.log_artifacts(
                source, artifact_path, name=name, type=type, aliases=aliases, move=move
            )
            return
        if not source.is_file():
            raise UsageError(f"log_artifact: there is no file {source}")
        folder = relative_path(artifact_path) if artifact_path else ""
        files = recorder.keep([(source.name, source)], filestore.take if move else filestore.keep)
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
        recorder, top = self.recording(), Path(local_dir)
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
        folder = relative_path(artifact_path) if artifact_path else ""
        files = recorder.keep(found, filestore.take if move else filestore.keep)
        self._record_artifact(name or top.resolve().name, files, folder, type, aliases)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Keep a text as a file of the run; ``artifact_file`` is its path there."""
        if recorder := self.recording():
            _keep_text(recorder, recorder.redactor.text(text), relative_path(artifact_file))

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Keep a mapping or list as a file of the run: YAML if it's named so, else JSON."""
        if recorder := self.recording():
            value = recorder.redactor.values({"value": plain(dictionary)})["value"]
            _keep_text(recorder, _written_out(value, artifact_file), relative_path(artifact_file))

    def log_table(self, data: Any, artifact_file: str, *, step: int | None = None) -> None:
        """Record a table; a later one replaces an earlier one of its name, or of its step.

        Args:
            data: a mapping of column names to sequences of one length, or a DataFrame.
            artifact_file: its name; ``.json`` is added by backends that need it.
            step: place on the axis.

        Raises:
            InvalidValueError: it is no such mapping, or the name leads out of the artifacts.
        """
        recorder = self.recording()
        if recorder is None:
            return
        name, step = relative_path(artifact_file), axis_step(step)
        if recorder.was_recorded(Table, name, step):
            return
        masked = tables.masked(tables.rows_of(name, data), recorder.redactor)
        path = recorder.keep_bytes(tables.encode(masked), f"{name}.json")
        if path:
            recorder.write(Table(time.time(), name, path, step))

    def log_image(
        self,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        *,
        caption: str | None = None,
    ) -> None:
        """Record a picture: of the series ``key``, or by itself as ``artifact_file``.

        Args:
            image: a PIL image; an array or tensor, H x W, H x W x C or C x H x W with 1, 3 or 4
                channels, of integers 0 to 255 or floats 0 to 1; or the path of an image file.
            artifact_file: its path among the artifacts, whose suffix is the format.
            key: the name of its series.
            step: place in the series.
            timestamp: Unix milliseconds; now, if not given.
            caption: what to write under it.

        Raises:
            InvalidValueError: it is no image, or not one of key and artifact_file was given.
        """
        recorder = self.recording()
        if recorder is None:
            return
        place = (step, timestamp) if artifact_file is not None else (None, None)
        if (artifact_file is None) is (key is None) or place != (None, None):
            raise InvalidValueError(
                "log_image takes either artifact_file alone, or key with step and timestamp; got "
                f"artifact_file={artifact_file!r}, key={key!r}, step={step!r}, "
                f"timestamp={timestamp!r}"
            )
        caption = recorder.redactor.text(caption) if caption else None
        if artifact_file is not None:
            name = relative_path(artifact_file)
            content = media.image_file(name, image, PurePosixPath(name).suffix.lower())
            if path := recorder.keep_bytes(content, name):
                recorder.write(Figure(time.time(), name, path, None, caption))
            return
        name, step = relative_path(key, "image key"), axis_step(step)
        if recorder.was_recorded(Image, name, step):
            return
        if path := recorder.keep_bytes(media.image_file(name, image), f"{name}.png"):
            moment = moments.seconds(timestamp)
            recorder.write(Image(moment, name, path, step, caption))

    def log_figure(
        self,
        figure: Any,
        artifact_file: str,
        *,
        save_kwargs: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Record a figure of Matplotlib or Plotly as a file.

        Args:
            figure: what has been drawn.
            artifact_file: its path among the artifacts; .png, .svg or .html can be looked at
                everywhere, other suffixes that the library writes are kept.
            save_kwargs: what else to tell the library's function that writes the file.
            step: place on the axis.

        Raises:
            InvalidValueError: it is no figure, or the library doesn't write this format.
        """
        recorder = self.recording()
        if recorder is None:
            return
        name, step = relative_path(artifact_file), axis_step(step)
        if recorder.was_recorded(Figure, name, step):
            return
        content = media.figure_file(figure, name, save_kwargs or {})
        if path := recorder.keep_bytes(content, name):
            recorder.write(Figure(time.time(), name, path, step))

    def log_histogram(
        self, key: str, values: Any, step: int | None = None, *, bins: int = 64
    ) -> None:
        """Record how values are distributed over equal bins.

        Args:
            key: the name of its series.
            values: an array, tensor or sequence of real numbers of any shape; those that are NaN or
                infinite are in no bin, and their number is recorded.
            step: place in the series.
            bins: how many, 1 to 512.

        Raises:
            InvalidValueError: the values are not real numbers.
        """
        recorder = self.recording()
        if recorder is None:
            return
        key, step = relative_path(key, "histogram key"), axis_step(step)
        if recorder.was_recorded(Histogram, key, step):
            return
        edges, counts, rest = media.histogram(key, values, bins)
        recorder.write(Histogram(time.time(), key, edges, counts, step, rest))

    def log_confusion_matrix(
        self, name: str, labels: Any, counts: Any, step: int | None = None
    ) -> None:
        """Record which classes were taken for which.

        Args:
            name: what to call it.
            labels: the classes, all different.
            counts: K x K whole numbers, K the number of labels; row i, column j: examples of class
                i that were taken for class j.
            step: place on the axis.

        Raises:
            InvalidValueError: labels and counts are not as described.
        """
        recorder = self.recording()
        if recorder is None:
            return
        name, step = relative_path(name, "confusion matrix"), axis_step(step)
        if recorder.was_recorded(ConfusionMatrix, name, step):
            return
        texts, numbers = media.confusion(name, labels, counts)
        masked = tuple(map(recorder.redactor.text, texts))
        recorder.write(ConfusionMatrix(time.time(), name, masked, numbers, step))

    def watch(
        self,
        model: Any,
        *,
        every: int = 100,
        what: What = "all",
        first_step: int = 0,
        bins: int = 64,
        name: str = "",
    ) -> Watch:
        """Record histograms of a model's gradients and parameters while optimizers train it.

        They are ``gradients/<parameter>`` and ``parameters/<parameter>``, as `log_histogram` would
        record them, taken before the optimizer's step, with gradients as it is about to use them:
        accumulated, unscaled and clipped. What no optimizer was given is not recorded.

        Args:
            model: a PyTorch module; wrapped or compiled, its parameters keep their plain names.
            every: record at those steps that this divides.
            what: "all", "gradients" or "parameters".
            first_step: what to call the next step of an optimizer; they count from there.
            bins: how many, 1 to 512.
            name: goes between, as in ``gradients/<name>/<parameter>``, to tell models apart.

        Returns:
            A handle to close, or to use as a context manager; the run closes it when it ends.

        Raises:
            InvalidValueError: it is no module with parameters, or an argument is out of range.
            UsageError: a parameter of this name is watched already.
        """
        from toolkit import watching

        recorder = self.recording()
        if recorder is None:
            return watching.Watch()
        name = relative_path(name, "watch name") if name else ""
        choice = watching.Choice(model, every, what, first_step, bins, name)
        watching.refuse_twice(choice, self._watches)
        watch = watching.Watch(recorder, choice)
        self._watches.add(watch)
        return watch

    def _record_artifact(
        self,
        name: str,
        files: tuple[File, ...],
        folder: str,
        kind: str,
        aliases: Iterable[str],
    ) -> None:
        recorder = self.recording()
        if recorder and files:
            recorder.write(Artifact(time.time(), name, files, folder, kind, tuple(aliases)))

    def describe(self, described: Described) -> None:
        """Record what the script says about the run."""
        if recorder := self.recording():
            recorder.write(described)

    def end(self, status: Status = "FINISHED") -> None:
        """Leave the run; ends it, if this process owns it. More than once does nothing."""
        if self._is_over or (self._recorder and not self._recorder.is_here()):
            return
        self._is_over = True
        for watch in list(self._watches):
            watch.close()
        self._ending(status)

    def recording(self) -> Recorder | None:
        """Where events of the run go; None where nothing is recorded.

        Raises:
            UsageError: the run is over.
        """
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


def _keep_text(recorder: Recorder, masked: str, name: str) -> None:
    if path := recorder.keep_bytes(masked.encode("utf-8", "backslashreplace"), name):
        recorder.write(Text(time.time(), name, path))


def _written_out(value: Any, artifact_file: str) -> str:
    if artifact_file.endswith((".yaml", ".yml")):
        import yaml

        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    return json.dumps(value, indent=2, ensure_ascii=False)
