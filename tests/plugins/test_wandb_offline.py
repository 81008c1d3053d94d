"""What WandbTracker writes offline, read back from the ``.wandb`` file itself."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.plugins import wandb_reader
from tests.plugins.wandb_environment import without_settings
from tests.plugins.wandb_reader import Told
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.events import Unknown
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit.runinfo import Source
from toolkit_wandb.tracker import WandbTracker
from toolkit_wandb.tracker import artifact_name

START = 1.7e9
LONG_TAG = "x" * 80


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


def run_in(folder: Path) -> RunInfo:
    """A run whose command works in the folder."""
    return RunInfo(
        id="20231114-abc",
        created=START,
        host=Host("node-1", "boot-1"),
        command=("python", "train.py", "--name", "a b"),
        directory=str(folder),
        parent="parent-1",
        project="receipts",
        group="folds",
        tags=("baseline", LONG_TAG),
        source=Source("c" * 40, "main", True, "https://git.example/receipts.git"),
        versions={"torch": "2.13.0"},
    )


def metrics(second: float, step: int | None, **values: float) -> Metrics:
    """Metrics said so many seconds after the start."""
    return Metrics(time=START + second, values=values, step=step)


def events(checkpoint: Path) -> list[Event]:
    """Something of every kind."""
    return [
        Params(START, {"lr": 1e-3, "gnn": {"layers": 3, "dims": [8, 8]}, "note": None}),
        metrics(1.5, 0, loss=1.0, accuracy=0.5),
        metrics(2.5, 10, loss=math.nan, accuracy=math.inf),
        Params(START, {"gnn": {"layers": 4}}),
        metrics(3.5, 5, loss=-math.inf),
        Metrics(START + 4, {"system/cpu": 50.0, "a.b/c d": 1.0}, step=0),
        Metrics(START + 5, {"test/f1": 0.75}),
        Metrics(START + 6, {"_step": 7.0, "_timestamp": 8.0}, step=11),
        metrics(7, 10, loss=0.25),
        Tags(START, {"dataset": "v1", "machine": "a"}),
        Tags(START, {"dataset": "v2"}),
        Summary(START, {"best_f1": 0.9, "verdict": "good"}),
        Console(START, "hello\n\n  world\n", 0),
        Console(START, "Traceback\n", 15, "stderr"),
        Console(START, "half", 25),
        Unknown(START, "hologram", {"values": {}}),
        Described(
            START, project="other", name="night run", tags=("late", "baseline"), notes="Long.\n"
        ),
        Artifact(
            START,
            "best model.bin",
            (File("weights/model.bin", str(checkpoint)),),
            folder="checkpoints",
            type="model",
            aliases=("best",),
        ),
    ]


def tell(folder: Path, events: list[Event]) -> Told:
    """Tell the events and read back the only folder there is."""
    tracker = WandbTracker(mode="offline")
    tracker.open(run_in(folder), None)
    tracker.write(events)
    tracker.close(Ended(time=START + 9, status="FINISHED"))
    (only,) = wandb_reader.folders(folder / "wandb")
    return wandb_reader.read(only)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A run of all kinds of events, told offline and failed."""
    folder = tmp_path_factory.mktemp("told")
    checkpoint = folder / "model.bin"
    checkpoint.write_bytes(b"weights")
    tracker = WandbTracker(mode="offline")
    link = tracker.open(run_in(folder), None)
    tracker.write(events(checkpoint))
    tracker.close(Ended(time=START + 9, status="FAILED"))
    checkpoint.unlink()
    assert link.url is None
    assert link.view == f"wandb sync {link.state['folder']}"
    yield wandb_reader.read(Path(link.state["folder"]))
    shutil.rmtree(folder)


def test_params_are_the_config_nested_and_merged_at_every_depth(told: Told) -> None:
    """A later value replaces an earlier one of its place, and nothing beside it."""
    config = {key: told.config[key] for key in ("lr", "gnn", "note")}
    assert config == {"lr": 1e-3, "gnn": {"layers": 4, "dims": [8, 8]}, "note": None}


def test_every_value_is_kept_with_its_step_in_the_journals_order(told: Told) -> None:
    """Neither NaN, nor an infinity, nor a step that goes back or comes again is dropped."""
    steps, losses = zip(*told.points("loss"), strict=True)
    assert steps == (0, 10, 5, 10)
    assert losses == pytest.approx((1.0, math.nan, -math.inf, 0.25), nan_ok=True)
    assert told.points("accuracy") == [(0, 0.5), (10, math.inf)]
    assert told.points("system/cpu") == [(0, 50.0)]
    assert told.points("a.b/c d") == [(0, 1.0)]


def test_rows_are_numbered_and_carry_the_events_own_time(told: Told) -> None:
    """One row for one metrics event; when it was told does not matter."""
    assert [row["_step"] for row in told.rows] == list(range(7))
    seconds = [row["_timestamp"] - START for row in told.rows]
    assert seconds == pytest.approx([1.5, 2.5, 3.5, 4, 5, 6, 7])


def test_charts_have_the_step_as_their_axis(told: Told) -> None:
    """The definition of ``*`` names the step's metric, which itself has no chart."""
    assert told.definitions["*"].step_metric == "toolkit/step"
    assert "loss" not in told.definitions
    assert told.definitions["toolkit/step"].options.hidden


def test_metrics_without_a_step_get_none(told: Told) -> None:
    """Their row has no step, and their chart has W&B's own axis."""
    assert told.points("test/f1") == [(None, 0.75)]
    assert not told.definitions["test/f1"].step_metric


def test_metrics_named_like_wandbs_own_columns_are_kept(told: Told) -> None:
    """They get an underscore at the end, and W&B's columns stay right."""
    assert told.points("_step_") == [(11, 7.0)]
    assert told.points("_timestamp_") == [(11, 8.0)]


def test_summary_is_the_summary(told: Told) -> None:
    """Numbers and text, as given."""
    assert (told.summary["best_f1"], told.summary["verdict"]) == (0.9, "good")


def test_what_wandb_has_no_place_for_is_in_the_config(told: Told) -> None:
    """Tags with a key, of which a later one replaces an earlier; parent, git's state, versions."""
    assert told.config["toolkit"] == {
        "parent": "parent-1",
        "git": {"branch": "main", "dirty": True},
        "versions": {"torch": "2.13.0"},
        "tags": {"dataset": "v2", "machine": "a"},
    }


def test_the_console_is_the_runs_log(told: Told) -> None:
    """Line by line, in the journal's order, both streams."""
    assert told.console == ["hello", "", "  world", "Traceback", "half"]


def test_code_and_machine_are_the_runs_environment(told: Told) -> None:
    """Those of the command, and not of the process that tells."""
    shown = told.environment
    assert (shown["program"], shown["host"]) == ("python train.py --name 'a b'", "node-1")
    assert shown["git"] == {"commit": "c" * 40, "remote": "https://git.example/receipts.git"}
    assert "args" not in shown


def test_the_run_has_its_id_project_group_and_commit(told: Told) -> None:
    """What was fixed before a script spoke stays."""
    run = told.run
    assert (run.run_id, run.project, run.run_group) == ("20231114-abc", "receipts", "folds")
    assert (run.git.commit, run.git.remote_url, run.host) == (
        "c" * 40,
        "https://git.example/receipts.git",
        "node-1",
    )


def test_what_a_script_says_late_is_shown(told: Told) -> None:
    """Name and notes are set, tags are added."""
    assert (told.run.display_name, told.run.notes) == ("night run", "Long.\n")
    assert list(told.run.tags) == ["baseline", LONG_TAG[:64], "late"]


def test_failed_is_exit_code_1(told: Told) -> None:
    """The end is told once."""
    assert told.exit_codes == [1]


def test_an_artifact_is_whole_inside_the_runs_folder(told: Told) -> None:
    """Its bytes are there after the original is gone; names are made fit, aliases kept."""
    (artifact,) = told.artifacts
    assert artifact.name == artifact_name("checkpoints/best model.bin")
    assert artifact.type == "model"
    assert set(artifact.aliases) == {"best", "latest"}
    (entry,) = artifact.manifest.contents
    copy = Path(entry.local_path)
    assert entry.path == "weights/model.bin"
    assert copy.is_relative_to(told.folder)
    assert copy.read_bytes() == b"weights"


def test_wandbs_own_reader_agrees(told: Told) -> None:
    """``wandb leet inspect`` shows the same config, summary, name and state."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json"]
    shown: dict[str, Any] = json.loads(
        subprocess.run(
            [*command, str(told.folder)],
            check=True,
            capture_output=True,
            text=True,
            cwd=told.folder,
        ).stdout
    )
    assert (shown["state"], shown["exit_code"], shown["name"]) == ("failed", 1, "night run")
    assert shown["config"]["gnn"] == {"layers": 4, "dims": [8, 8]}
    summary = {key: shown["summary"][key] for key in ("best_f1", "loss", "toolkit/step", "_step")}
    assert summary == {"best_f1": 0.9, "loss": 0.25, "toolkit/step": 10, "_step": 6}


def test_a_second_telling_replaces_the_first(tmp_path: Path) -> None:
    """One folder is left, with the run once from its start to its end."""
    tell(tmp_path, [metrics(1, 0, loss=1.0)])
    told = tell(tmp_path, [metrics(1, 0, loss=1.0), metrics(2, 1, loss=0.5)])
    assert (told.points("loss"), told.exit_codes) == ([(0, 1.0), (1, 0.5)], [0])


def test_a_dropped_tracker_gives_way_to_the_next(tmp_path: Path) -> None:
    """In one process too, the run that was left open is given up and told anew."""
    dropped = WandbTracker(mode="offline")
    dropped.open(run_in(tmp_path), None)
    dropped.write([metrics(1, 0, loss=1.0)])
    told = tell(tmp_path, [metrics(1, 0, loss=1.0)])
    assert (told.points("loss"), told.exit_codes) == ([(0, 1.0)], [0])


def test_an_event_that_wandb_refuses_repeats_no_other(tmp_path: Path) -> None:
    """A batch that failed comes again in parts; what had been told of it is not told twice."""
    gone = Artifact(START, "model", (File("model.bin", str(tmp_path / "gone")),))
    batch: list[Event] = [
        *(metrics(n, n, loss=math.nan if n == 1 else n) for n in range(3)),
        gone,
        *(metrics(n, n, loss=n) for n in range(3, 5)),
    ]
    tracker = WandbTracker(mode="offline")
    tracker.open(run_in(tmp_path), None)
    with pytest.raises(ValueError, match="gone"):
        tracker.write(batch)
    tracker.write(batch[:2])
    with pytest.raises(ValueError, match="gone"):
        tracker.write(batch[2:])
    tracker.write(batch[2:3])
    with pytest.raises(ValueError, match="gone"):
        tracker.write([evolve(gone)])
    tracker.write(batch[4:])
    tracker.close(Ended(time=START + 9, status="FINISHED"))
    (only,) = wandb_reader.folders(tmp_path / "wandb")
    assert [step for step, _ in wandb_reader.read(only).points("loss")] == [0, 1, 2, 3, 4]
