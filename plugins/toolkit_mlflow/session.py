"""One MLflow run while it is told: turns events into what MLflow keeps."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.events import MEDIA
from toolkit.events import SPELLED_OUT
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.runinfo import RunInfo
from toolkit.tracker import flatten
from toolkit_mlflow import params
from toolkit_mlflow import runs
from toolkit_mlflow.batch import Batch
from toolkit_mlflow.batch import clip
from toolkit_mlflow.console import ConsoleParts
from toolkit_mlflow.files import Files
from toolkit_mlflow.keys import Keys
from toolkit_mlflow.media import Gallery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Session:
    """The conversation about one run."""

    def __init__(self, client: MlflowClient, run: RunInfo, known: Run) -> None:
        self._client = client
        self._run = run
        self._id = str(known.info.run_id)
        self._experiment = str(known.info.experiment_id)
        self._has_parent = runs.PARENT_TAG in known.data.tags
        self._described = run
        self._keys = Keys()
        self._files = Files(client, self._id)
        self._console = ConsoleParts(self._files)
        self._gallery = Gallery(self._files, self._keys, known.data.tags)
        self._params = params.Params(self._files, known.data.params, known.data.tags)

    def write(self, events: Sequence[Event]) -> None:
        """Tell the events: the database's share in bulk, then the files."""
        batch = Batch()
        for event in events:
            self._take(event, batch)
        self._send(batch)
        kinds = {type(event) for event in events}
        if Params in kinds:  # what can't be uploaded is the fault of these events only
            self._params.flush()
        if Console in kinds:
            self._console.flush()
        for event in events:
            if isinstance(event, Artifact):
                self._upload(event)
            elif isinstance(event, MEDIA):
                self._gallery.put(event)

    def close(self, ended: Ended) -> None:
        """Set the run's status and end."""
        self.adopt()
        self._client.set_terminated(self._id, ended.status, end_time=_milliseconds(ended.time))

    def adopt(self) -> None:
        """Put the run under its parent, once the parent is in MLflow."""
        if self._run.parent is None or self._has_parent:
            return
        parent = runs.find_parent(self._client, self._experiment, self._run.parent)
        if parent is not None:
            self._client.set_tag(self._id, runs.PARENT_TAG, parent)
            self._has_parent = True

    def is_writable(self) -> bool:
        """Whether MLflow still has the run, and not as a deleted one."""
        return runs.is_writable(self._client, self._id)

    def _take(self, event: Event, batch: Batch) -> None:
        match event:
            case Metrics():
                self._measure(event.values, event.time, event.step or 0, batch)
            case Console():
                self._console.write(event)
            case Params():
                self._params.add(event.values, self._keys, batch)
            case Tags():
                for key, value in event.values.items():
                    batch.tags[self._keys[key]] = clip(value)
            case Summary():
                self._summarise(event, batch)
            case Artifact():
                self._name(event, batch)
            case _ if isinstance(event, MEDIA):
                self._gallery.places(event)  # which keeps the originals of mapped names
            case Described():
                self._run = self._run.described(event)

    def _measure(self, values: Mapping[str, float], time: float, step: int, batch: Batch) -> None:
        from mlflow.entities import Metric

        keys, stamp = self._keys, _milliseconds(time)
        batch.metrics += [Metric(keys[key], value, stamp, step) for key, value in values.items()]

    def _summarise(self, event: Summary, batch: Batch) -> None:
        """Numbers become metrics at the last step of their curve; anything else becomes tags.

        MLflow shows the value of the last step as that of the run, and there of the latest time.
        """
        for key, value in flatten(event.values):
            number = _number(value)
            if number is not None:
                self._conclude(key, number, event.time, batch)
            else:
                text = value if isinstance(value, str) else json.dumps(value, default=str)
                batch.tags[self._keys[f"summary.{key}"]] = clip(text)

    def _conclude(self, key: str, value: float, time: float, batch: Batch) -> None:
        """Put a point at the end of a curve, unless it was put there when that was elsewhere."""
        name, told = self._keys[key], (_milliseconds(time), str(value))
        curve = [*self._client.get_metric_history(self._id, name), *batch.metrics]
        points = [point for point in curve if point.key == name]
        if all((point.timestamp, str(point.value)) != told for point in points):
            step = max((point.step for point in points), default=0)
            self._measure({key: value}, time, step, batch)

    def _name(self, event: Artifact, batch: Batch) -> None:
        """Tag each alias of an artifact with the path of what it stands for."""
        paths = self._paths(event)
        path = paths[0] if len(paths) == 1 else event.folder or "."
        for alias in event.aliases:
            batch.tags[self._keys[f"toolkit.alias.{event.name}.{alias}"]] = clip(path)

    def _upload(self, event: Artifact) -> None:
        for file, path in zip(event.files, self._paths(event), strict=True):
            self._files.put(Path(file.path), path)

    def _paths(self, event: Artifact) -> list[str]:
        return [self._keys.path(posixpath.join(event.folder, file.name)) for file in event.files]

    def _send(self, batch: Batch) -> None:
        originals = dict(self._keys.unsaid)
        batch.tags.update({tag: clip(original) for tag, original in originals.items()})
        before, now = self._described, self._run
        if now != before:
            batch.tags.update(runs.description(now).items() - runs.description(before).items())
        batch.send(self._client, self._id)
        if now.display_name != before.display_name:
            self._client.update_run(self._id, name=now.display_name)
        # Only now: of a batch that did not arrive nothing is remembered as told.
        self._described = now
        self._params.keep(batch)
        for tag in originals:
            del self._keys.unsaid[tag]


def _milliseconds(time: float) -> int:
    return int(time * 1000)


def _number(value: object) -> float | None:
    """The value as a metric; journals spell NaN and the infinities out."""
    if isinstance(value, str):
        return SPELLED_OUT.get(value)
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
