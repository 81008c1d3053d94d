"""What the tests of the MLflow plugin share: a run, and all that MLflow says about it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit.runinfo import Source

if TYPE_CHECKING:
    from mlflow import MlflowClient

CREATED = 1_764_000_000.0


def run_info(directory: Path, **changes: Any) -> RunInfo:
    """A run whose command was started in this folder."""
    values: dict[str, Any] = {
        "id": "20261121-120000-abcdef",
        "created": CREATED,
        "host": Host("node1", "boot"),
        "command": ("accelerate", "launch", "recipes/train.py", "lr=1e-3", "name=a b"),
        "directory": str(directory),
        "user": "ann",
        "project": "receipts",
        "source": Source("c0ffee", "main", is_dirty=True, remote="git@example.org:a/b.git"),
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        **changes,
    }
    return RunInfo(**values)


def everything(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """All that MLflow keeps of a run, as plain values that can be compared."""
    run = client.get_run(run_id)
    return {
        "status": run.info.status,
        "name": run.info.run_name,
        "end": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {key: history(client, run_id, key) for key in run.data.metrics},
        "artifacts": artifacts(client, run_id),
    }


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, int, str]]:
    """Every point of a metric as step, milliseconds and value; as text, for NaN equals itself."""
    points = client.get_metric_history(run_id, key)
    return sorted((point.step, point.timestamp, repr(point.value)) for point in points)


def artifacts(client: MlflowClient, run_id: str) -> dict[str, bytes]:
    """Path and content of every file."""
    with tempfile.TemporaryDirectory() as folder:
        if not client.list_artifacts(run_id):
            return {}
        root = Path(client.download_artifacts(run_id, "", folder))
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in files}
