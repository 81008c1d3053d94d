"""MLflow's functions over a run of the toolkit: ``import toolkit.fluent as mlflow``.

A script's tracking calls then go into the journal of a run on local disk, and from there to any
backend. Names, arguments, what is given back and what is refused are MLflow's; docs/fluent.md says
what is covered and what differs. MLflow itself is not imported.
"""

from __future__ import annotations

from typing import NoReturn

from toolkit.mlflow_api import exceptions
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.exceptions import NotCoveredError
from toolkit.mlflow_api.experiments import create_experiment
from toolkit.mlflow_api.experiments import delete_experiment_tag
from toolkit.mlflow_api.experiments import get_experiment
from toolkit.mlflow_api.experiments import get_experiment_by_name
from toolkit.mlflow_api.experiments import search_experiments
from toolkit.mlflow_api.experiments import set_experiment
from toolkit.mlflow_api.experiments import set_experiment_tag
from toolkit.mlflow_api.experiments import set_experiment_tags
from toolkit.mlflow_api.files import flush_artifact_async_logging
from toolkit.mlflow_api.files import get_artifact_uri
from toolkit.mlflow_api.files import log_artifact
from toolkit.mlflow_api.files import log_artifacts
from toolkit.mlflow_api.files import log_dict
from toolkit.mlflow_api.files import log_figure
from toolkit.mlflow_api.files import log_image
from toolkit.mlflow_api.files import log_stream
from toolkit.mlflow_api.files import log_table
from toolkit.mlflow_api.files import log_text
from toolkit.mlflow_api.logged import delete_tag
from toolkit.mlflow_api.logged import log_metric
from toolkit.mlflow_api.logged import log_metrics
from toolkit.mlflow_api.logged import log_param
from toolkit.mlflow_api.logged import log_params
from toolkit.mlflow_api.logged import set_tag
from toolkit.mlflow_api.logged import set_tags
from toolkit.mlflow_api.operations import RunOperations
from toolkit.mlflow_api.runs import active_run
from toolkit.mlflow_api.runs import end_run
from toolkit.mlflow_api.runs import get_parent_run
from toolkit.mlflow_api.runs import get_run
from toolkit.mlflow_api.runs import last_active_run
from toolkit.mlflow_api.runs import start_run
from toolkit.mlflow_api.settings import autolog
from toolkit.mlflow_api.settings import disable_system_metrics_logging
from toolkit.mlflow_api.settings import enable_system_metrics_logging
from toolkit.mlflow_api.settings import flush_async_logging
from toolkit.mlflow_api.settings import flush_trace_async_logging
from toolkit.mlflow_api.settings import get_tracking_uri
from toolkit.mlflow_api.settings import is_tracking_uri_set
from toolkit.mlflow_api.settings import set_system_metrics_sampling_interval
from toolkit.mlflow_api.settings import set_tracking_uri
from toolkit.mlflow_api.state import ActiveRun

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
