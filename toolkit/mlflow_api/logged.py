"""Params, metrics and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.mlflow_api import checks
from toolkit.mlflow_api import operations
from toolkit.mlflow_api import runs
from toolkit.mlflow_api.exceptions import MISSING
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.operations import RunOperations
from toolkit.mlflow_api.state import Held

_LEFT = (float, str, type(None))


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Record one param; its value, or the operation where the call counts as asynchronous."""
    operation = log_params({key: value}, synchronous)
    return value if operation is None else operation


def log_params(
    params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None
) -> RunOperations | None:
    """Record params, each as its text; all or none.

    Raises:
        MlflowException: one has another value already, or can't be a param.
    """
    with runs.target(run_id) as held:
        if not params:
            return None
        return operations.perform(
            synchronous, lambda: held.recording.log_params(held.told.add_params(params))
        )


def log_metric(
    key: str,
    value: Any,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> RunOperations | None:
    """Record one number; see `log_metrics`."""
    checks.not_covered("log_metric", model_id=model_id, dataset=dataset)
    return log_metrics({key: value}, step, synchronous, run_id, timestamp)


def log_metrics(
    metrics: Mapping[str, Any],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> RunOperations | None:
    """Record numbers, at one step, at one moment; all or none.

    Raises:
        MlflowException: a key, a value, the step or the timestamp is not as MLflow wants it.
    """
    checks.not_covered("log_metrics", model_id=model_id, dataset=dataset)
    with runs.target(run_id) as held:
        if not metrics:
            return None
        # What MLflow looks at when the call is made; the rest it checks when it writes.
        read = {
            key: value if isinstance(value, _LEFT) else checks.metric_value(key, value)
            for key, value in metrics.items()
        }
        return operations.perform(synchronous, lambda: _log_metrics(held, read, step, timestamp))


def _log_metrics(held: Held, metrics: Mapping[str, Any], step: Any, timestamp: Any) -> None:
    values = {
        key: value if type(value) is float else checks.metric_value(key, value)
        for key, value in metrics.items()
    }
    place = checks.step(step)
    moment = held.told.moment(values.keys(), place, checks.timestamp(timestamp))
    held.recording.log_metrics(values, place, timestamp=moment)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> RunOperations | None:
    """Set one tag; see `set_tags`."""
    return set_tags({key: value}, synchronous)


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> RunOperations | None:
    """Set tags, each as its text; a later one replaces an earlier one of its key.

    Raises:
        MlflowException: one can't be a tag.
    """
    held = runs.current().held
    if not tags:
        return None
    return operations.perform(
        synchronous, lambda: held.recording.set_tags(held.told.add_tags(tags))
    )


def delete_tag(key: str) -> None:
    """Delete a tag that the script has set; trackers are told that it has no text.

    Raises:
        MlflowException: the run has no such tag.
    """
    active = runs.current()
    if key not in active.held.told.tags:
        raise MlflowException(f"run {active.info.run_id} has no tag {key!r} to delete", MISSING)
    active.held.recording.set_tag(key, "")
    active.held.told.tags.discard(key)
