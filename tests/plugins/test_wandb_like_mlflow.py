"""The same run told to W&B and to MLflow reads the same from both: `.wandb` file and real store."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest
from attrs import frozen

from tests.plugins import wandb_reader
from tests.plugins.media_events import Made
from tests.plugins.media_events import png
from tests.plugins.mlflow_support import artifacts
from tests.plugins.mlflow_support import run_info
from tests.plugins.wandb_environment import without_settings
from tests.plugins.wandb_reader import Told
from toolkit.events import Artifact
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import Tracker
from toolkit.tracker import flatten
from toolkit_mlflow.tracker import MlflowTracker
from toolkit_wandb.tracker import WandbTracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside MLflow's store

START = 1.7e9
VALUES = {
    "train/loss": [0.1, 1e-300, -2.5, math.nan, 3.0],
    "a.b/c d": [0.0, -0.0, 1e300, math.inf, -math.inf],
    "val/n": [1.0, 2.0, 2.0**53, -1.0, 0.30000000000000004],
}
STEPS = [0, 10, 5, 10, 11]
"""One goes back, one comes again."""
PARAMS = {"lr": 1e-3, "gnn": {"layers": 3, "name": "gat"}, "flag": True, "none": None}


@frozen
class Both:
    """The run, as each backend has it."""

    wandb: Told
    mlflow: Any
    files: dict[str, bytes]
    """MLflow's artifacts by path."""
    client: MlflowClient


@pytest.fixture(autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


@pytest.fixture
def both(folder: Path, client: MlflowClient) -> Both:
    """A run of everything that both can show, told to both."""
    weights = folder / "model.bin"
    weights.write_bytes(b"weights")
    made = Made(folder / "run", START)
    events: list[Event] = [
        Params(START, PARAMS),
        *(
            Metrics(START + n, {key: series[n] for key, series in VALUES.items()}, step)
            for n, step in enumerate(STEPS)
        ),
        Summary(START, {"best": 0.75, "verdict": "good"}),
        Tags(START, {"dataset": "v2"}),
        Artifact(START, "best", (File("model.bin", str(weights)),), "models", "model", ("top",)),
        made.table(2, "test/classes", {"Class": ["a", "b"], "F1": [0.5, 1.0]}),
        made.image(5, "val/pages", 100, 10),
        made.text(6, "notes.txt", "é <b>\n"),
    ]
    info = run_info(folder, name="baseline", group="folds", notes="Long.", tags=("first",))
    theirs = tell(WandbTracker(mode="offline"), info, events)
    run_id = tell(MlflowTracker(), info, events).id
    told = wandb_reader.read(Path(theirs.state["folder"]))
    return Both(told, client.get_run(run_id), artifacts(client, run_id), client)


def tell(tracker: Tracker, info: RunInfo, events: list[Event]) -> Link:
    """Tell the whole run."""
    link = tracker.open(info, None)
    tracker.write(events)
    tracker.close(Ended(START + 99, "FAILED"))
    return link


def stored(value: float) -> str:
    """The value as text, with the infinities that MLflow's databases can't hold as its largest."""
    largest = sys.float_info.max
    return "nan" if math.isnan(value) else repr(float(max(-largest, min(largest, value))))


def test_both_have_the_same_run(both: Both) -> None:
    """Every value with its step and time, configuration, summary, tags, description, end."""
    for key, series in VALUES.items():
        mine = sorted(
            (row["toolkit/step"], round(row["_timestamp"] * 1000), stored(row[key]))
            for row in both.wandb.rows
            if key in row
        )
        points = both.client.get_metric_history(both.mlflow.info.run_id, key)
        assert mine == sorted((p.step, p.timestamp, stored(p.value)) for p in points)
        assert len(mine) == len(series)

    data = both.mlflow.data
    config = {key: both.wandb.config[key] for key in PARAMS}
    assert {key: str(value) for key, value in flatten(config)} == data.params
    assert both.wandb.summary["best"] == data.metrics["best"]
    assert both.wandb.summary["verdict"] == data.tags["summary.verdict"] == "good"
    assert both.wandb.config["toolkit"]["tags"]["dataset"] == data.tags["dataset"]
    run = both.wandb.run
    assert (run.display_name, run.notes) == (
        both.mlflow.info.run_name,
        data.tags["mlflow.note.content"],
    )
    assert run.git.commit == data.tags["mlflow.source.git.commit"]
    assert (both.wandb.exit_codes, both.mlflow.info.status) == ([1], "FAILED")


def test_both_have_the_same_files(both: Both) -> None:
    """The artifact, the picture and the text byte for byte; the table row for row."""
    kept = {
        entry.path: Path(entry.local_path).read_bytes()
        for artifact in both.wandb.artifacts
        if artifact.type in ("model", "text")
        for entry in artifact.manifest.contents
    }
    assert kept == {"model.bin": b"weights", "notes.txt": "é <b>\n".encode()}
    assert both.files["models/model.bin"] == kept["model.bin"]
    assert both.files["notes.txt"] == kept["notes.txt"]

    shown = {row["path"]: row for row in _media(both.wandb)}
    pictures = [row for row in shown.values() if row["_type"] == "image-file"]
    (path,) = [path for path in both.files if path.startswith("images/") and path.endswith(".png")]
    (picture,) = [Path(both.wandb.folder, "files", row["path"]) for row in pictures]
    assert picture.read_bytes() == both.files[path] == png(100)

    (table,) = [row for row in shown.values() if row["_type"] == "table-file"]
    theirs = json.loads(Path(both.wandb.folder, "files", table["path"]).read_text())
    ours = json.loads(both.files["test/classes.json"])
    assert (theirs["columns"], theirs["data"]) == (ours["columns"], ours["data"])


def _media(told: Told) -> Iterator[dict[str, Any]]:
    """The fields of everything that is shown from a file."""
    for row in told.rows:
        for key in row:
            if key.endswith("._type") and f"{key[:-6]}.path" in row:
                stem = key[: -len("_type")]
                yield {name[len(stem) :]: row[name] for name in row if name.startswith(stem)}
