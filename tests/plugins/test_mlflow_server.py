"""A real MLflow server: what reaches it, what its pages are, what happens while it is away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.plugins.mlflow_server import Server
from tests.plugins.mlflow_support import CREATED
from tests.plugins.mlflow_support import everything
from tests.plugins.mlflow_support import history
from tests.plugins.mlflow_support import run_info
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Tags
from toolkit.tracker import Unreachable
from toolkit_mlflow.console import part_name
from toolkit_mlflow.keys import accepted
from toolkit_mlflow.params import FILE_NAME
from toolkit_mlflow.tracker import MlflowTracker

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def batch(stored: Path) -> list[Event]:
    """Some of everything, over the limits of one request."""
    stored.write_bytes(b"weights")
    return [
        *(
            Metrics(time=CREATED + i, step=i, values={"loss": i / 10, "nan": float("nan")})
            for i in range(600)
        ),
        Metrics(time=CREATED, step=1, values={"system/cpu_utilization_percentage": 10.0}),
        Params(time=CREATED, values={f"p{i}": "é" * 6000 for i in range(40)}),
        Params(time=CREATED, values={"nothing": ""}),
        Tags(time=CREATED, values={"P@1": "yes", "nothing": ""}),
        Artifact(
            time=CREATED,
            name="model",
            files=(File("sub/mödel #1.pt", str(stored)),),
            folder="best",
            aliases=("best",),
        ),
        Console(time=CREATED, text="hello\r\n", position=0),
    ]


def test_a_run_told_to_a_server_reads_the_same_told_twice(server: Server, tmp_path: Path) -> None:
    """Metrics, params, tags, proxied artifacts and status arrive through the server's interface."""
    from mlflow import MlflowClient

    tracker = MlflowTracker(tracking_uri=server.uri)
    run = run_info(tmp_path, project="it's a server")
    link = tracker.open(run, None)
    assert link.url == f"{server.uri}/#/experiments/{link.state['experiment']}/runs/{link.id}"
    events = batch(tmp_path / "stored")
    tracker.write(events)
    tracker.close(Ended(time=CREATED + 9, status="FINISHED"))
    client = MlflowClient(tracking_uri=server.uri)
    once = everything(client, link.id)
    again = MlflowTracker(tracking_uri=server.uri)
    assert again.open(run, None) == link
    again.write(events)
    again.close(Ended(time=CREATED + 9, status="FINISHED"))
    assert everything(client, link.id) == once
    assert once["status"] == "FINISHED"
    assert len(once["metrics"]["loss"]) == len(once["metrics"]["nan"]) == 600
    assert len(once["params"]) == 41
    assert once["params"]["nothing"] == once["tags"]["nothing"] == ""
    assert once["artifacts"].keys() >= {part_name(0), FILE_NAME}
    [odd] = [path for path in once["artifacts"] if path.startswith("best/")]
    assert odd.startswith("best/sub/mödel _1.pt-")
    assert once["artifacts"][part_name(0)] == b"hello\r\n"


def test_an_outage_is_reported_at_once_and_nothing_is_missing_afterwards(
    server: Server, tmp_path: Path
) -> None:
    """Every call says so within seconds; when the server is back, the same calls work."""
    from mlflow import MlflowClient

    tracker = MlflowTracker(tracking_uri=server.uri)
    link = tracker.open(run_info(tmp_path, id="outage"), None)
    tracker.write([Metrics(time=CREATED, step=0, values={"loss": 1.0})])
    stored = tmp_path / "stored"
    stored.write_bytes(b"weights")
    lost: list[Event] = [
        Metrics(time=CREATED + 1, step=1, values={"loss": 0.5}),
        Params(time=CREATED, values={"lr": 0.1}),
        Artifact(time=CREATED, name="model", files=(File("model.pt", str(stored)),)),
        Console(time=CREATED, text="hello", position=0),
        Described(time=CREATED, name="chosen", tags=("x",)),
        Tags(time=CREATED, values={"P@1": "yes"}),
    ]
    server.stop()
    began = time.monotonic()
    for events in (lost, *([event] for event in lost)):
        with pytest.raises(Unreachable):
            tracker.write(events)
    with pytest.raises(Unreachable):
        tracker.close(Ended(time=CREATED, status="FINISHED"))
    with pytest.raises(Unreachable):
        MlflowTracker(tracking_uri=server.uri).open(run_info(tmp_path, id="new"), None)
    assert time.monotonic() - began < 60  # MLflow alone tries each call for minutes
    server.start()
    tracker.write(lost)
    tracker.close(Ended(time=CREATED + 2, status="FINISHED"))
    client = MlflowClient(tracking_uri=server.uri)
    found = everything(client, link.id)
    assert [step for step, _, _ in history(client, link.id, "loss")] == [0, 1]
    assert found["params"] == {"lr": "0.1"}
    assert found["artifacts"].keys() == {"model.pt", part_name(0), FILE_NAME}
    assert found["artifacts"][part_name(0)] == b"hello"
    assert (found["name"], found["tags"]["tag.x"]) == ("chosen", "true")
    assert found["tags"][f"toolkit.key.{accepted('P@1')}"] == "P@1"
    assert found["status"] == "FINISHED"
