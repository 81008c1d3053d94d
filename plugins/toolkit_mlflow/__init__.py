"""MLflow as a backend: runs, metrics, params, tags, artifacts and console."""
