"""The server goes away in the middle of a run: the training doesn't notice, nothing is missing."""

from __future__ import annotations

import json
import statistics
import sys
import time

import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.plugins.mlflow_server import Server
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import delivery
from toolkit import rundir
from toolkit.events import Metrics

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

AWAY_SECONDS = 20.0

# Steps of 5 ms until told to stop; how long each call of log_metrics took, and when.
SCRIPT = """
import itertools, json, pathlib, time, toolkit
took = []
with toolkit.start_run(project="outage") as run:
    for step in itertools.count():
        start = time.perf_counter()
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        took.append((time.time(), time.perf_counter() - start))
        time.sleep(0.005)
        if pathlib.Path("stop").exists():
            break
pathlib.Path("took.json").write_text(json.dumps(took))
"""


def test_outage(server: Server, bench: Bench) -> None:
    """Stopped for 20 s: log_metrics costs what it cost before, and all values arrive once."""
    from mlflow import MlflowClient

    env = {"MLFLOW_TRACKING_URI": server.uri}
    command = [sys.executable, "-m", "toolkit", "track", "--backend", "mlflow", "--"]
    with bench.started(*command, sys.executable, bench.script(SCRIPT), env=env) as process:
        wait_until(lambda: _told(bench) > 100)
        went = time.time()
        server.stop()
        wait_until(lambda: time.time() > went + AWAY_SECONDS, 2 * AWAY_SECONDS)
        server.start()
        came = time.time()
        before = _told(bench)
        wait_until(lambda: _told(bench) > before)
        (bench.folder / "stop").touch()
        _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors

    took = json.loads((bench.folder / "took.json").read_text())
    usual = statistics.median(seconds for moment, seconds in took if moment < went)
    away = statistics.median(seconds for moment, seconds in took if went < moment < came)
    assert away < 2 * usual
    recorded = [event.step for event in of_kind(bench.only_run(), Metrics)]
    link = delivery.load(bench.only_run(), "mlflow").link
    assert link
    points = MlflowClient(server.uri).get_metric_history(link.id, "loss")
    assert sorted(point.step for point in points) == recorded == list(range(len(recorded)))
    assert MlflowClient(server.uri).get_run(link.id).info.status == "FINISHED"


def _told(bench: Bench) -> int:
    runs = rundir.all_runs(bench.runs)
    return delivery.load(runs[0], "mlflow").told if runs else 0
