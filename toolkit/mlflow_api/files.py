"""Artifacts: files, texts, pictures and tables."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from typing import Any

from toolkit import tables
from toolkit.errors import InvalidValueError
from toolkit.events import Text
from toolkit.mlflow_api import checks
from toolkit.mlflow_api import reading
from toolkit.mlflow_api import runs
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.exceptions import NotCoveredError
from toolkit.rundir import RunDir
from toolkit.tables import Rows
from toolkit.values import plain
from toolkit.values import relative_path
from toolkit.values import shown


def log_artifact(
    local_path: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep a file with the run, below ``artifact_path``; a folder under its own name there.

    Raises:
        UsageError: there is no such file, or ``artifact_path`` leads elsewhere.
    """
    source = os.fspath(local_path)
    if os.path.isdir(source):
        name = os.path.basename(os.path.normpath(source))
        log_artifacts(source, posixpath.join(artifact_path or "", name), run_id)
        return
    with runs.target(run_id) as held:
        held.recording.log_artifact(source, checks.artifact_folder(artifact_path))


def log_artifacts(
    local_dir: str | os.PathLike[str], artifact_path: str | None = None, run_id: str | None = None
) -> None:
    """Keep every file below a folder with the run, below ``artifact_path``.

    Raises:
        UsageError: there is no such folder, or ``artifact_path`` leads elsewhere.
    """
    with runs.target(run_id) as held:
        folder, top = checks.artifact_folder(artifact_path), Path(local_dir)
        if not top.is_dir() or any(path.is_file() for path in top.rglob("*")):
            held.recording.log_artifacts(top, folder)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a text as a file of the run.

    Raises:
        TypeError: it is no text.
        MlflowException: the path leads out of the artifacts.
    """
    with runs.target(run_id) as held:
        if not isinstance(text, str):
            raise TypeError(f"log_text: expected text, got {shown(text)}")
        held.recording.log_text(text, checks.artifact_file(artifact_file))


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a mapping or list as a file of the run: YAML if it's named so, else JSON.

    Raises:
        TypeError: its keys have no JSON form.
        MlflowException: the path leads out of the artifacts.
    """
    with runs.target(run_id) as held:
        name = relative_path(checks.artifact_file(artifact_file))
        is_yaml = name.endswith((".yml", ".yaml"))
        value = plain(dictionary) if is_yaml else json.loads(json.dumps(dictionary, default=str))
        if recorder := held.recording.recording():
            # Masked by its names, which its text alone doesn't always show.
            masked = recorder.redactor.values({"value": value})["value"]
            text = _as_yaml(masked) if is_yaml else json.dumps(masked, indent=2)
            if path := recorder.keep_bytes(text.encode(), name):
                recorder.write(Text(time.time(), name, path))


def log_stream(stream: IO[bytes], artifact_file: str, run_id: str | None = None) -> None:
    """Keep what can be read from a binary stream as a file of the run.

    Raises:
        MlflowException: the path leads out of the artifacts.
    """
    with runs.target(run_id) as held, tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
        folder, name = posixpath.split(checks.artifact_file(artifact_file))
        source = Path(scratch, name)
        with source.open("wb") as file:
            shutil.copyfileobj(stream, file)
        held.recording.log_artifact(source, folder or None, move=True)


def log_figure(
    figure: Any, artifact_file: str, *, save_kwargs: dict[str, Any] | None = None
) -> None:
    """Keep a figure of Matplotlib or Plotly as a file of the run; see `toolkit.Run.log_figure`."""
    held = runs.current().held
    held.recording.log_figure(figure, checks.artifact_file(artifact_file), save_kwargs=save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = False,
) -> None:
    """Keep a picture: of the series ``key``, or by itself as ``artifact_file``.

    It may be anything that `toolkit.Run.log_image` takes. Arrays are drawn as MLflow draws them:
    floats from 0 to 1 are cut, not rounded, to one of 256 shades.

    Raises:
        TypeError: it has to be either ``artifact_file`` alone, or ``key``.
        ValueError: it is no picture, or the key has other characters than MLflow takes.
    """
    held = runs.current().held
    if artifact_file is not None and (key, step, timestamp) != (None, None, None):
        raise TypeError("log_image takes artifact_file alone, or key with step and timestamp")
    if artifact_file is not None:
        held.recording.log_image(_as_mlflow_draws(image), checks.artifact_file(artifact_file))
        return
    if key is None:
        raise TypeError("log_image needs artifact_file, or the key of a series")
    held.recording.log_image(
        _as_mlflow_draws(image),
        key=checks.image_key(key),
        step=step or 0,
        timestamp=checks.timestamp(timestamp),
    )


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Record a table; rows of a name that the run has already are added to it.

    Args:
        data: a mapping of columns, or a DataFrame.
        artifact_file: its path among the artifacts, with .json or .parquet.
        run_id: the run; the active one, if not given.

    Raises:
        MlflowException: it is neither.
        ValueError: the name doesn't end so, or has one of ``"',:[]{}``.
        NotCoveredError: there are pictures in it.
    """
    with runs.target(run_id) as held:
        name = checks.table_file(artifact_file)
        whole = held.told.add_to_table(name, _rows(name, data))
        columns = {
            column: [row[place] for row in whole.data] for place, column in enumerate(whole.columns)
        }
        held.recording.log_table(columns, name)


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """Where the active run's artifacts, or one of them, can be read on this machine.

    It is a folder of links to what has been logged before this call, whatever the backend.
    """
    active = runs.current()
    folder = active.held.recording.dir
    path = checks.artifact_folder(artifact_path)
    if folder is None:
        return posixpath.join(active.info.artifact_uri, path or "")
    return reading.artifact_uri(RunDir(folder), path)


def flush_artifact_async_logging() -> None:
    """Return at once: files are recorded when the call that gave them returns."""
    runs.current()


def _as_yaml(value: Any) -> str:
    import yaml

    return str(yaml.dump(value, indent=2, default_flow_style=False))


def _rows(name: str, data: Any) -> Rows:
    if not isinstance(data, dict) and not hasattr(data, "to_dict"):
        raise MlflowException(f"table {name!r}: expected a dict or a DataFrame, got {shown(data)}")
    try:
        rows = tables.rows_of(name, _without_images(data))
    except InvalidValueError:
        if not isinstance(data, dict):
            raise
        # Columns of different lengths are one row, with what they hold as its cells.
        rows = tables.rows_of(name, {key: [value] for key, value in data.items()})
    return rows


def _without_images(data: Any) -> Any:
    columns = data.to_dict("list") if hasattr(data, "to_dict") else data
    for column in columns.values():
        single = isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable)
        for cell in [column] if single else column:
            if all(hasattr(cell, name) for name in ("save", "resize", "size")):
                raise NotCoveredError("log_table(data=...) with pictures in it")
    return columns


def _as_mlflow_draws(image: Any) -> Any:
    """An array of floats as MLflow's shades; anything else as it is."""
    numpy = sys.modules.get("numpy")  # without it there are no arrays
    if numpy is None or not isinstance(image, numpy.ndarray) or image.dtype.kind != "f":
        return image
    if not image.size or not numpy.isfinite(image).all():
        return image
    low, high = image.min(), image.max()
    if (low < 0 or high > 1) and low < high:
        image = (image - low) / (high - low)
    return (image * 255).astype(numpy.uint8) if image.min() >= 0 and image.max() <= 1 else image
