"""Fifty SIGKILLs at random moments: nothing that was acknowledged is missing, in MLflow neither."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.waiting import wait_until
from toolkit import rundir
from toolkit.events import Metrics

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside MLflow's store

RUNS, ATTEMPTS = 5, 10

# Each attempt goes on at the next thousand; a step is acknowledged once log_metrics has returned.
SCRIPT = """
import itertools, os, sys, toolkit
first, run_id = int(sys.argv[1]), sys.argv[2] or None
acknowledged = os.open("acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with toolkit.start_run(run_id) as run:
    for step in itertools.count(first):
        run.log_metrics({"loss": 1 / (step + 1), "nan": float("nan")}, step=step)
        os.write(acknowledged, f"{step}\\n".encode())
"""


def _kill_once(bench: Bench, first: int, run_id: str, generator: random.Random) -> list[int]:
    """Start an attempt, kill it a moment after its first step; the acknowledged steps."""
    path = bench.folder / "acknowledged"
    path.unlink(missing_ok=True)
    with bench.started(sys.executable, bench.script(SCRIPT), str(first), run_id) as process:
        wait_until(lambda: path.exists() and path.stat().st_size)
        time.sleep(generator.uniform(0, 0.02))  # the random moment itself
        process.kill()
    lines = path.read_text().split("\n")[:-1]
    return [int(line) for line in lines]


def test_kills(bench: Bench) -> None:
    """Every acknowledged step is in the journal and, after `sync`, once in MLflow; KILLED there."""
    pytest.importorskip("mlflow")
    generator = random.Random(50)
    acknowledged: dict[str, set[int]] = {}
    for _ in range(RUNS):
        run_id = ""
        for attempt in range(ATTEMPTS):
            steps = _kill_once(bench, 1_000_000 * attempt, run_id, generator)
            new = [
                r.path.name for r in rundir.all_runs(bench.runs) if r.path.name not in acknowledged
            ]
            run_id = run_id or new[0]
            acknowledged.setdefault(run_id, set()).update(steps)
    assert sum(map(len, acknowledged.values())) > RUNS * ATTEMPTS

    done = bench.toolkit("sync", "--backend", "mlflow", timeout=300)
    assert done.returncode == 0, done.stderr
    for run_id, steps_of_run in acknowledged.items():
        run = rundir.find(bench.runs, run_id)
        recorded = [event.step for event in of_kind(run, Metrics)]
        assert steps_of_run <= set(recorded)
        assert status(run) == "KILLED"
        assert _told(bench.folder, run_id) == ("KILLED", sorted(recorded), sorted(recorded))


def _told(folder: Path, run_id: str) -> tuple[str, list[int], list[int]]:
    """Status, and the steps of both metrics, as MLflow has them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (found,) = client.search_runs(experiments, f"tags.`toolkit.run_id` = '{run_id}'")
    steps = [
        sorted(point.step for point in client.get_metric_history(found.info.run_id, key))
        for key in ("loss", "nan")
    ]
    return found.info.status, steps[0], steps[1]
