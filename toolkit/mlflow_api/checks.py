"""MLflow's rules for what it is given; they hold here whatever the backend."""

from __future__ import annotations

import numbers
import os
import posixpath
import re
from typing import Any
from typing import cast

from toolkit.errors import InvalidValueError
from toolkit.events import Status
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.exceptions import NotCoveredError
from toolkit.values import number
from toolkit.values import shown

MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000
MAX_EXPERIMENT_NAME_LENGTH = 500
STATUSES: tuple[Status, ...] = ("FINISHED", "FAILED", "KILLED")

_KEY = re.compile(r"[/\w.\- :]*")
_IMAGE_KEY = re.compile(r"[a-zA-Z0-9_\-./ ]+")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_NOT_IN_A_TABLES_NAME = "\"',:[]{}"


def not_covered(function: str, **arguments: Any) -> None:
    """Refuse arguments that mean something in MLflow, and nothing here.

    Raises:
        NotCoveredError: one of them was given.
    """
    for name, value in arguments.items():
        if value is not None:
            raise NotCoveredError(f"{function}({name}=...)")


def key(kind: str, name: Any) -> str:
    """The name of a metric, param or tag.

    Raises:
        MlflowException: it isn't text of at most 250 letters, digits and ``_ - . : /`` and spaces,
            or doesn't read as a relative path without detours.
    """
    if not isinstance(name, str) or not _KEY.fullmatch(name) or not _is_plain_path(name):
        raise MlflowException(
            f"the key of a {kind} must be text of letters, digits, '_', '-', '.', ':', '/' and "
            f"spaces that reads as a relative path, got {shown(name)}"
        )
    if len(name) > MAX_KEY_LENGTH:
        raise MlflowException(
            f"the key of a {kind} has at most {MAX_KEY_LENGTH} characters, got {len(name)}: "
            f"{shown(name)}"
        )
    return name


def text(kind: str, value: Any, limit: int) -> str:
    """The value's text, cut to the limit as MLflow does.

    Raises:
        MlflowException: it is longer, and MLFLOW_TRUNCATE_LONG_VALUES=false forbids to cut it.
    """
    whole = str(value)
    if len(whole) > limit and os.environ.get("MLFLOW_TRUNCATE_LONG_VALUES", "").lower() in {
        "false",
        "0",
    }:
        raise MlflowException(
            f"a {kind} has at most {limit} characters, got {len(whole)}: {shown(value)}"
        )
    return whole[:limit]


def metric_value(name: Any, value: Any) -> float:
    """The metric's value as a float.

    Raises:
        MlflowException: it is not one number.
    """
    try:
        return number(str(name), value)
    except InvalidValueError as error:
        raise MlflowException(str(error)) from error


def step(value: Any) -> int | None:
    """The step of a metric; None stays None, which MLflow shows at step 0.

    Raises:
        MlflowException: it is not a number.
    """
    if value is None or type(value) is int:
        return value
    if not value:
        return 0
    if not isinstance(value, numbers.Real):
        raise MlflowException(f"the step of a metric must be a whole number, got {shown(value)}")
    return int(cast("float", value))


def timestamp(value: Any) -> int | None:
    """Unix milliseconds; None for now, which 0 stands for too.

    Raises:
        MlflowException: it is not a number from 0.
    """
    if not value:
        return None
    if not isinstance(value, numbers.Real) or value < 0:
        raise MlflowException(f"a timestamp is Unix milliseconds from 0, got {shown(value)}")
    return int(cast("float", value))


def status(value: Any) -> Status:
    """How a run can end.

    Raises:
        NotCoveredError: it is a status of MLflow that is no end.
        MlflowException: it is none of MLflow's.
    """
    if value in ("RUNNING", "SCHEDULED"):
        raise NotCoveredError(f"end_run(status={value!r})")
    if value not in STATUSES:
        raise MlflowException(f"a run ends as {', '.join(STATUSES)}, got {shown(value)}")
    return cast("Status", value)


def run_id(value: Any) -> str:
    """The id of a run.

    Raises:
        MlflowException: it can't be one.
    """
    if not isinstance(value, str) or not _RUN_ID.fullmatch(value):
        raise MlflowException(f"a run's id is letters, digits, '_' and '-', got {shown(value)}")
    return value


def experiment_name(value: Any) -> str:
    """The name of an experiment.

    Raises:
        MlflowException: it can't be one.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_EXPERIMENT_NAME_LENGTH:
        raise MlflowException(
            f"the name of an experiment is text of 1 to {MAX_EXPERIMENT_NAME_LENGTH} characters, "
            f"got {shown(value)}"
        )
    return value


def artifact_file(path: Any) -> str:
    """The path of a file among the artifacts, without detours.

    Raises:
        TypeError: it is no path.
        MlflowException: it leads out of the artifacts, or has no name.
    """
    name: str = posixpath.normpath(os.fspath(path))
    if name in {".", ".."} or name.startswith(("../", "/")):
        raise MlflowException(f"{path!r} is not the relative path of a file among the artifacts")
    return name


def artifact_folder(path: Any) -> str | None:
    """The path of a folder among the artifacts; None and "" are the top.

    Raises:
        MlflowException: it isn't a relative path without detours.
    """
    if not path:
        return None
    if not isinstance(path, str) or not _is_plain_path(path):
        raise MlflowException(
            f"artifact_path must be a relative path without detours, got {shown(path)}"
        )
    return path


def table_file(path: Any) -> str:
    """The path of a table among the artifacts.

    Raises:
        ValueError: it isn't text that ends with .json or .parquet, or has one of ``"',:[]{}``.
    """
    if not isinstance(path, str) or not path.endswith((".json", ".parquet")):
        raise InvalidValueError(f"a table's file ends with .json or .parquet, got {shown(path)}")
    refused = [char for char in _NOT_IN_A_TABLES_NAME if char in path]
    if refused:
        raise InvalidValueError(f"a table's file can't have {refused[0]} in its name: {path!r}")
    return artifact_file(path)


def image_key(name: str) -> str:
    """The name of a series of images.

    Raises:
        ValueError: it has other characters than ASCII letters, digits, and ``_ - . /`` and spaces.
    """
    if not _IMAGE_KEY.fullmatch(name):
        raise InvalidValueError(
            "the key of an image is ASCII letters, digits, '_', '-', '.', '/' and spaces, got "
            f"{shown(name)}"
        )
    return name


def _is_plain_path(path: str) -> bool:
    plain = posixpath.normpath(path)
    return plain == path and plain != "." and not plain.startswith(("..", "/"))
