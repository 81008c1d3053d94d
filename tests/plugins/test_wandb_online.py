"""Runs told to a server on this machine that takes them, or refuses in every way there is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import wandb_server
from tests.plugins.wandb_environment import without_settings
from tests.plugins.wandb_server import Answer
from tests.plugins.wandb_server import Server
from tests.waiting import wait_until
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit.runinfo import Source
from toolkit.tracker import Link
from toolkit.tracker import Unreachable
from toolkit_wandb import service
from toolkit_wandb.tracker import NotTaken
from toolkit_wandb.tracker import WandbTracker

# In threads of wandb's, when its process is killed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

START = 1.7e9
END = Ended(START + 99, "FINISHED")
KEY = "0123456789" * 4
AGAIN = Link("run-1")
"""What is remembered of a run that was told before."""


@pytest.fixture(autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")), pytest.MonkeyPatch.context() as env:
        env.setenv("WANDB_API_KEY", KEY)
        env.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")  # whole seconds; else 15
        yield


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that knows of nothing yet."""
    with wandb_server.serving() as running:
        yield running


def tracker(server: Server, **options: Any) -> WandbTracker:
    """A tracker with little patience."""
    return WandbTracker(
        mode="online",
        **{"base_url": server.address, "init_timeout": 1.0, "finish_timeout": 1.0, **options},
    )


def run_in(folder: Path) -> RunInfo:
    """A run whose command works in the folder."""
    return RunInfo(
        id="run-1",
        created=START,
        host=Host("node-1", "boot-1"),
        command=("python", "train.py"),
        directory=str(folder),
        project="receipts",
        name="baseline",
        group="folds",
        tags=("first",),
        source=Source(commit="c" * 40, remote="https://git.example/receipts.git"),
    )


def points(first: int, last: int) -> list[Event]:
    """A row and a line of the console for every step."""
    said: list[Event] = []
    for n in range(first, last):
        said.append(Metrics(START + n, {"loss": 1 / (n + 1)}, n))
        said.append(Console(START + n, f"step {n}\n", 8 * n))
    return said


def losses(server: Server) -> list[tuple[int, float]]:
    """Step and value of every row that the server has, in its order."""
    return [(row["toolkit/step"], row["loss"]) for row in server.only().history()]


def test_a_run_is_whole_on_the_server(server: Server, tmp_path: Path) -> None:
    """Rows in order, config, summary, console, artifact, description, end; and the link is it."""
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    teller = tracker(server, job_type="train")
    link = teller.open(run_in(tmp_path), None)
    teller.write([Params(START, {"gnn": {"layers": 3}}), *points(0, 20)])
    file = File("model.bin", str(weights))
    teller.write([Artifact(START, "model", (file,), type="model", aliases=("best",))])
    teller.write([Summary(START, {"best": 0.5})])
    teller.close(END)

    bucket = server.only()
    assert link.url == f"{server.address}/ann/receipts/runs/run-1"
    assert losses(server) == [(n, 1 / (n + 1)) for n in range(20)]
    assert bucket.printed() == [f"step {n}" for n in range(20)]
    assert bucket.config["gnn"] == {"layers": 3}
    assert (bucket.summary["best"], bucket.summary["loss"]) == (0.5, 1 / 20)
    assert (bucket.exit_code, bucket.repeated) == (0, 0)
    said = {name: bucket.said[name] for name in ("displayName", "groupName", "jobType", "commit")}
    assert said == {
        "displayName": "baseline",
        "groupName": "folds",
        "jobType": "train",
        "commit": "c" * 40,
    }
    (artifact,) = server.artifacts
    assert (artifact["artifactTypeName"], artifact["artifactCollectionName"]) == ("model", "model")
    assert {entry["alias"] for entry in artifact["aliases"]} == {"best", "latest"}
    assert server.uploads["/upload/artifact-0/model.bin"] == b"weights"


def test_after_a_crash_nothing_is_there_twice(server: Server, tmp_path: Path) -> None:
    """What the server has is passed over, rows as well as lines; media are told by number."""
    killed = tracker(server)
    link = killed.open(run_in(tmp_path), None)
    killed.write(points(0, 8))
    wait_until(lambda: len(server.only().rows) == len(server.only().console) == 8)
    service.stop()

    again = tracker(server)
    again.open(run_in(tmp_path), link)
    histogram = Histogram(START, "w", (0.0, 1.0), (3.0,), 12)
    again.write([*points(0, 12), histogram, *points(12, 15)])
    again.close(END)
    bucket = server.only()
    assert [row.get("loss") for row in bucket.history()] == [
        *(1 / (n + 1) for n in range(12)),
        None,
        *(1 / (n + 1) for n in range(12, 15)),
    ]
    assert bucket.printed() == [f"step {n}" for n in range(15)]
    assert (bucket.repeated, bucket.exit_code) == (0, 0)


REFUSALS: dict[Answer, tuple[type[Exception], str]] = {
    "401": (UsageError, r"user is not logged in\. Run `wandb login` or set WANDB_API_KEY"),
    "403": (UsageError, r"permission denied\. .*-o wandb\.entity="),
    "404": (UsageError, r"project not found\. .*-o wandb\.project=NAME"),
    "500": (Unreachable, r"HTTP 500: internal server error"),
    "hang": (Unreachable, r"deadline exceeded"),
    "cut": (Unreachable, r"unexpected EOF"),
}


@pytest.mark.parametrize("operation", ["", "UpsertBucket"])
@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refused_run_says_why_and_what_to_do(
    server: Server, tmp_path: Path, answer: Answer, operation: str
) -> None:
    """What only a person can mend is an error of usage; all else is tried again, and then works."""
    kind, message = REFUSALS[answer]
    server.refuse(answer, operation)
    begun = time.monotonic()
    teller = tracker(server)
    with pytest.raises(kind, match=message) as caught:
        teller.open(run_in(tmp_path), None)
    assert time.monotonic() - begun < 60
    assert not re.search(r"[{}]|wandb\.init\(|" + KEY, str(caught.value))

    server.accept()
    teller.open(run_in(tmp_path), None)
    teller.write(points(0, 2))
    teller.close(END)
    assert losses(server) == [(0, 1.0), (1, 0.5)]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_run_refused_half_way_is_not_taken_for_told(
    server: Server, tmp_path: Path, answer: Answer
) -> None:
    """Closing has its limit and is an error, though wandb itself is content; then all is told."""
    teller = tracker(server)
    link = teller.open(run_in(tmp_path), None)
    teller.write(points(0, 2))
    wait_until(lambda: len(server.only().rows) == 2)
    server.refuse(answer)
    teller.write(points(2, 4))
    begun = time.monotonic()
    with pytest.raises(NotTaken, match=r"`toolkit sync` tells it all again"):
        teller.close(END)
    assert time.monotonic() - begun < 60
    assert server.only().exit_code is None

    server.accept()
    again = tracker(server)
    again.open(run_in(tmp_path), link)
    again.write(points(0, 4))
    again.close(END)
    assert losses(server) == [(n, 1 / (n + 1)) for n in range(4)]
    assert (server.only().exit_code, server.only().repeated) == (0, 0)


def test_a_server_that_drops_only_the_end_is_found_out(server: Server, tmp_path: Path) -> None:
    """Uploads that wandb gave up silently: the server still has the run as running."""
    teller = tracker(server)
    teller.open(run_in(tmp_path), None)
    server.refuse("404", "file_stream")
    teller.write(points(0, 2))
    with pytest.raises(NotTaken, match="the server refused what was sent"):
        teller.close(END)


def test_an_artifact_is_not_lost_with_the_connection(server: Server, tmp_path: Path) -> None:
    """The event isn't taken for a bad one, which would be passed over."""
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    teller = tracker(server)
    teller.open(run_in(tmp_path), None)
    server.refuse("cut")
    with pytest.raises(Unreachable, match="verify credentials"):
        teller.write([Artifact(START, "model", (File("model.bin", str(weights)),))])
    service.stop()


def test_must_asks_for_a_run_that_is_there(server: Server, tmp_path: Path) -> None:
    """It is made by no telling; once it is there, it is gone on with."""
    with pytest.raises(UsageError, match=r"doesn't have the run run-1.*wandb\.resume=allow"):
        tracker(server, resume="must").open(run_in(tmp_path), None)
    assert server.buckets == {}
    first = tracker(server)
    first.open(run_in(tmp_path), None)
    first.write(points(0, 2))
    first.close(END)
    more = tracker(server, resume="must")
    more.open(run_in(tmp_path), AGAIN)
    more.write(points(0, 4))
    more.close(END)
    assert losses(server) == [(n, 1 / (n + 1)) for n in range(4)]


def test_never_refuses_a_run_that_is_there(server: Server, tmp_path: Path) -> None:
    """Unless we have told it before: a crash of the delivery is no second run."""
    first = tracker(server, resume="never")
    first.open(run_in(tmp_path), None)
    first.write(points(0, 2))
    first.close(END)
    with pytest.raises(UsageError, match=r"has the run run-1 already.*wandb\.resume=allow"):
        tracker(server, resume="never").open(run_in(tmp_path), None)
    again = tracker(server, resume="never")
    again.open(run_in(tmp_path), AGAIN)
    again.write(points(0, 3))
    again.close(END)
    assert losses(server) == [(n, 1 / (n + 1)) for n in range(3)]
