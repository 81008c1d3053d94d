"""Settings for the whole process, kept where MLflow keeps them: in environment variables."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.exceptions import NotCoveredError

TRACKING_URI = "MLFLOW_TRACKING_URI"
ASYNC_LOGGING = "MLFLOW_ENABLE_ASYNC_LOGGING"

_SYSTEM_METRICS = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
_MLFLOWS_INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
_OUR_INTERVAL = "TOOLKIT_SYSTEM_INTERVAL"
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}
_SAMPLING = threading.Lock()


def set_tracking_uri(uri: str | Path) -> None:
    """Tell MLflow, at this address, about the runs that are started from now on.

    What TOOLKIT_BACKEND or the command line of ``toolkit track`` chose comes before it.
    """
    if isinstance(uri, Path):
        uri = uri.absolute().resolve().as_uri()
    _set(TRACKING_URI, uri or None)


def get_tracking_uri() -> str:
    """The address that was set, else the database ``mlflow.db`` in the working folder."""
    return os.environ.get(TRACKING_URI) or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def is_tracking_uri_set() -> bool:
    """Whether an address was set, here or in the environment."""
    return bool(os.environ.get(TRACKING_URI))


def enable_system_metrics_logging() -> None:
    """Sample the machine in the runs that are started from now on."""
    _set(_SYSTEM_METRICS, "true")


def disable_system_metrics_logging() -> None:
    """Don't sample the machine in the runs that are started from now on."""
    _set(_SYSTEM_METRICS, "false")


def set_system_metrics_sampling_interval(interval: float | None) -> None:
    """Seconds between samples of the machine; None is the default, 10."""
    _set(_MLFLOWS_INTERVAL, None if interval is None else str(interval))


def flush_async_logging() -> None:
    """Return at once: every call has recorded what it was given when it returns."""


def flush_trace_async_logging(terminate: bool = False) -> None:
    """Return at once: traces are not covered, so there are none to wait for."""


def autolog(
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    log_traces: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    extra_tags: dict[str, str] | None = None,
    exclude_flavors: list[str] | None = None,
) -> None:
    """Do nothing with ``disable=True``: nothing is logged by itself.

    Raises:
        NotCoveredError: without it. MLflow's patches of other libraries log to MLflow alone.
    """
    if not disable:
        raise NotCoveredError("autolog")


def switch(variable: str) -> bool | None:
    """What a variable says that MLflow reads as yes or no; None where it isn't set.

    Raises:
        MlflowException: it says something else.
    """
    said = os.environ.get(variable)
    if not said:
        return None
    if said.lower() not in _SWITCHES:
        raise MlflowException(f"{variable}={said!r} must be true, false, 1 or 0")
    return _SWITCHES[said.lower()]


@contextmanager
def sampling(is_asked: bool | None) -> Iterator[None]:
    """Start a run inside: it samples the machine if asked to, as an argument or in the environment.

    TOOLKIT_SYSTEM_INTERVAL alone asks for it too; without any of them there are no samples.
    """
    is_wanted = switch(_SYSTEM_METRICS) if is_asked is None else is_asked
    with _SAMPLING:
        before = os.environ.get(_OUR_INTERVAL)
        _set(_OUR_INTERVAL, _interval(is_wanted, before))
        try:
            yield
        finally:
            _set(_OUR_INTERVAL, before)


def _interval(is_wanted: bool | None, before: str | None) -> str | None:
    """Seconds between samples; None is the default, "0" is never."""
    if is_wanted is None:
        return before or "0"
    if not is_wanted:
        return "0"
    return os.environ.get(_MLFLOWS_INTERVAL) or (None if before == "0" else before)


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
