"""MLflow as a backend: runs, metrics, params, tags, artifacts and console."""

from __future__ import annotations

from toolkit_mlflow.tracker import MlflowTracker

__all__ = ["MlflowTracker"]
