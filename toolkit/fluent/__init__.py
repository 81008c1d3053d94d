"""MLflow's functions over a run of the toolkit: ``import toolkit.fluent as mlflow``.

A script's tracking calls then go into the journal of a run on local disk, and from there to any
backend. Names, arguments, what is given back and what is refused are MLflow's; docs/fluent.md says
what is covered and what differs. MLflow itself is not imported.
"""

from __future__ import annotations

from typing import NoReturn

from toolkit.fluent import exceptions
from toolkit.fluent.exceptions import MlflowException
from toolkit.fluent.exceptions import NotCoveredError
from toolkit.fluent.experiments import create_experiment
from toolkit.fluent.experiments import delete_experiment_tag
from toolkit.fluent.experiments import get_experiment
from toolkit.fluent.experiments import get_experiment_by_name
from toolkit.fluent.experiments import search_experiments
from toolkit.fluent.experiments import set_experiment
from toolkit.fluent.experiments import set_experiment_tag
from toolkit.fluent.experiments import set_experiment_tags
from toolkit.fluent.files import flush_artifact_async_logging
from toolkit.fluent.files import get_artifact_uri
from toolkit.fluent.files import log_artifact
from toolkit.fluent.files import log_artifacts
from toolkit.fluent.files import log_dict
from toolkit.fluent.files import log_figure
from toolkit.fluent.files import log_image
from toolkit.fluent.files import log_stream
from toolkit.fluent.files import log_table
from toolkit.fluent.files import log_text
from toolkit.fluent.logged import delete_tag
from toolkit.fluent.logged import log_metric
from toolkit.fluent.logged import log_metrics
from toolkit.fluent.logged import log_param
from toolkit.fluent.logged import log_params
from toolkit.fluent.logged import set_tag
from toolkit.fluent.logged import set_tags
from toolkit.fluent.operations import RunOperations
from toolkit.fluent.runs import active_run
from toolkit.fluent.runs import end_run
from toolkit.fluent.runs import get_parent_run
from toolkit.fluent.runs import get_run
from toolkit.fluent.runs import last_active_run
from toolkit.fluent.runs import start_run
from toolkit.fluent.settings import autolog
from toolkit.fluent.settings import disable_system_metrics_logging
from toolkit.fluent.settings import enable_system_metrics_logging
from toolkit.fluent.settings import flush_async_logging
from toolkit.fluent.settings import flush_trace_async_logging
from toolkit.fluent.settings import get_tracking_uri
from toolkit.fluent.settings import is_tracking_uri_set
from toolkit.fluent.settings import set_system_metrics_sampling_interval
from toolkit.fluent.settings import set_tracking_uri
from toolkit.fluent.state import ActiveRun

__all__ = [
    "ActiveRun",
    "MlflowException",
    "RunOperations",
    "active_run",
    "autolog",
    "create_experiment",
    "delete_experiment_tag",
    "delete_tag",
    "disable_system_metrics_logging",
    "enable_system_metrics_logging",
    "end_run",
    "exceptions",
    "flush_artifact_async_logging",
    "flush_async_logging",
    "flush_trace_async_logging",
    "get_artifact_uri",
    "get_experiment",
    "get_experiment_by_name",
    "get_parent_run",
    "get_run",
    "get_tracking_uri",
    "is_tracking_uri_set",
    "last_active_run",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_figure",
    "log_image",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_stream",
    "log_table",
    "log_text",
    "search_experiments",
    "set_experiment",
    "set_experiment_tag",
    "set_experiment_tags",
    "set_system_metrics_sampling_interval",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "start_run",
]


def __getattr__(name: str) -> NoReturn:
    if name.startswith("_"):  # what Python itself asks modules for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise NotCoveredError(name)
