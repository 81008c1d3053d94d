from __future__ import annotations

import inspect
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import python
from tests.toolkit.recording import Script
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.journal import Follower
from toolkit.recorder import LastSteps
from toolkit.redact import MASK
from toolkit.run import Run
from toolkit.run import status_of
from toolkit.rundir import RunDir


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run."""
    made = Script(run_dir)
    yield made
    made.writer.close()


@pytest.fixture
def silent() -> Run:
    """A run in which nothing is recorded, as a rank other than 0 has it."""
    return Run("the-id", None, lambda status: None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A user's file."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


def test_metrics(script: Script) -> None:
    """Metrics are recorded with their step, each call as one event."""
    script.run.log_metrics({"loss": 0.5, "lr": 0.25}, step=3)
    script.run.log_metric("loss", "0.125", 4)
    script.run.log_metric("accuracy", True)

    events = [e for e in script.events() if isinstance(e, Metrics)]
    assert [(e.values, e.step) for e in events] == [
        ({"loss": 0.5, "lr": 0.25}, 3),
        ({"loss": 0.125}, 4),
        ({"accuracy": 1.0}, None),
    ]


def test_metrics_that_are_no_finite_numbers(script: Script) -> None:
    """NaN and infinities survive."""
    script.run.log_metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=0)

    assert repr(script.only().values) == "{'a': nan, 'b': inf, 'c': -inf}"


def test_timestamp_in_milliseconds(script: Script) -> None:
    """A timestamp is given as MLflow has it, in milliseconds, and kept in seconds."""
    script.run.log_metric("loss", 0.5, 1, timestamp=1764000000123)

    assert script.only().time == 1764000000.123


def test_no_metrics(script: Script) -> None:
    """An empty mapping is accepted and records nothing."""
    script.run.log_metrics({}, step=1)

    assert script.events() == []


@pytest.mark.parametrize("key", ["", "  ", None, 3])
def test_wrong_metric_key(script: Script, key: Any) -> None:
    """A key that isn't text, or is empty, is refused at the call, and nothing is recorded."""
    with pytest.raises(InvalidValueError, match="key must be text"):
        script.run.log_metrics({"good": 1.0, key: 1.0})

    assert script.events() == []


def test_wrong_metric_value(script: Script) -> None:
    """A value that is no number is refused at the call, by its key."""
    with pytest.raises(InvalidValueError, match=r"metric 'val/f1': .* NoneType None"):
        script.run.log_metrics({"loss": 0.5, "val/f1": None})

    assert script.events() == []


def test_params_stay_nested(script: Script) -> None:
    """Params are recorded as nested as they were given."""
    script.run.log_params({"gnn": {"layers": 2, "sizes": (8, 4)}, "data": Path("/d")})

    assert script.only().values == {"gnn": {"layers": 2, "sizes": [8, 4]}, "data": "/d"}


def test_one_param(script: Script) -> None:
    """A single param is recorded and given back, as MLflow does."""
    assert script.run.log_param("lr", 0.1) == 0.1
    assert isinstance(script.only(), Params)
    assert script.only().values == {"lr": 0.1}


def test_summary(script: Script) -> None:
    """Results of the whole run may be numbers or text."""
    script.run.log_summary({"test/f1": 0.5, "verdict": "good"})

    assert isinstance(script.only(), Summary)
    assert script.only().values == {"test/f1": 0.5, "verdict": "good"}


def test_tags(script: Script) -> None:
    """Tags are text."""
    script.run.set_tags({"stage": 1, "ok": True})
    script.run.set_tag("note", None)

    values = [e.values for e in script.events() if isinstance(e, Tags)]
    assert values == [{"stage": "1", "ok": "True"}, {"note": "None"}]


def test_describe(script: Script) -> None:
    """What a script says about its run is recorded as it is."""
    said = Described(1.0, "p", "n", tags=("a",))
    script.run.describe(said)

    assert script.only() == said


def test_secrets_are_masked(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret gets into params, tags, summary or texts, be it by name, shape or variable."""
    monkeypatch.setenv("ACME_API_KEY", "correct-horse-battery")
    token = "hf_" + "a1" * 20
    script = Script(run_dir)
    script.run.log_params({"db": {"password": "swordfish-9"}, "note": f"use {token}"})
    script.run.log_param("num_memory_tokens", 16)
    script.run.set_tags({"api_key": "abcdefghij", "text": "say correct-horse-battery"})
    script.run.log_summary({"client_secret": "abcdefghij", "url": "https://u:pw@host/x"})
    script.run.log_text(f"token: {token}\ncorrect-horse-battery", "a.txt")
    script.run.log_dict({"auth_token": "abcdefghij", "layers": 3}, "b.json")
    script.writer.close()

    kept = [p.read_text(encoding="utf-8") for p in run_dir.path.rglob("*") if p.is_file()]
    for secret in ("swordfish-9", token, "abcdefghij", "correct-horse-battery", "u:pw"):
        assert not any(secret in text for text in kept), secret
    assert sum(text.count(MASK) for text in kept) >= 8
    assert script.events()[1] == Params(script.events()[1].time, {"num_memory_tokens": 16})


def test_replayed_points_are_passed_over(run_dir: RunDir) -> None:
    """After a resume, points at or before a key's last step are passed over and counted."""
    script = Script(run_dir, LastSteps({"loss": 5, "val/f1": 3}))
    for step in range(3, 8):
        script.run.log_metrics({"loss": 0.5, "lr": 0.1}, step=step)
        script.run.log_metric("val/f1", 0.5, step)
    script.run.log_metric("loss", 0.25)
    script.writer.close()

    points: dict[str, list[int | None]] = {}
    for event in script.events():
        assert isinstance(event, Metrics)
        for key in event.values:
            points.setdefault(key, []).append(event.step)
    assert points == {
        "loss": [6, 7, None],
        "lr": [3, 4, 5, 6, 7],
        "val/f1": [4, 5, 6, 7],
    }
    assert script.run.passed_over == 4


def every_call(run: Run, path: Path) -> None:
    """Call every method that records."""
    run.log_metric("loss", 0.5, 1)
    run.log_metrics({"loss": 0.5}, 1)
    run.log_param("lr", 0.1)
    run.log_params({"lr": 0.1})
    run.log_summary({"f1": 0.5})
    run.set_tag("a", "b")
    run.set_tags({"a": "b"})
    run.log_artifact(path)
    run.log_artifacts(path.parent)
    run.log_text("x", "a.txt")
    run.log_dict({}, "a.json")
    run.log_table({"a": [1]}, "a.json")
    run.log_image(path, key="a")
    run.log_figure(None, "a.png")
    run.log_histogram("a", [1.0], 1)
    run.log_confusion_matrix("a", ["x"], [[1]])
    run.describe(Described(1.0))


def test_silent_run_accepts_everything(silent: Run, model: Path) -> None:
    """Where nothing is recorded, every call is accepted and does nothing."""
    with silent as run:
        every_call(run, model)
        assert run.log_param("lr", 0.1) == 0.1

    assert silent.dir is None
    assert silent.passed_over == 0
    assert silent.is_over


def test_silent_run_accepts_what_only_the_first_rank_has(silent: Run, tmp_path: Path) -> None:
    """A rank other than 0 may have no value and no file where the first has them."""
    silent.log_metric("loss", None)
    silent.log_metrics({"loss": [1.0, 2.0]}, step="x")  # type: ignore[arg-type]
    silent.log_artifact(tmp_path / "absent")
    silent.log_artifacts(tmp_path / "absent")
    silent.log_artifact(tmp_path / "absent", move=True)
    silent.log_table(None, "a")
    silent.log_image(None)
    silent.log_figure(None, "a.png")
    silent.log_histogram("a", None, step="x")  # type: ignore[arg-type]
    silent.log_confusion_matrix("a", None, None)


def test_silent_run_moves_nothing(silent: Run, model: Path) -> None:
    """A file that is handed over stays where nothing is recorded."""
    silent.log_artifact(model, move=True)

    assert model.exists()


def test_forked_child_records_nothing(script: Script, model: Path) -> None:
    """A forked child, such as a DataLoader's worker, may call anything, and nothing happens."""
    script.run.log_metric("loss", 0.5, 1)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            every_call(script.run, model)
            script.run.log_artifact(model, move=True)
            script.run.end()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)

    assert status == 0
    assert len(script.events()) == 1
    assert model.exists()
    assert script.endings == []
    script.run.log_metric("loss", 0.25, 2)
    assert len(script.events()) == 2


def test_after_the_end(script: Script, model: Path) -> None:
    """After the end, every call that records is refused, and says how to go on."""
    script.run.end()
    names = [
        name
        for name, method in inspect.getmembers(Run, inspect.isfunction)
        if name.startswith(("log_", "set_", "describe"))
    ]
    calls: dict[str, tuple[Any, ...]] = {
        "log_metric": ("a", 1.0),
        "log_metrics": ({"a": 1.0},),
        "log_param": ("a", 1),
        "log_params": ({"a": 1},),
        "log_summary": ({"a": 1},),
        "set_tag": ("a", "b"),
        "set_tags": ({"a": "b"},),
        "log_artifact": (model,),
        "log_artifacts": (model.parent,),
        "log_text": ("x", "a.txt"),
        "log_dict": ({}, "a.json"),
        "log_table": ({"a": [1]}, "a.json"),
        "log_image": (model, None, "a"),
        "log_figure": (None, "a.png"),
        "log_histogram": ("a", [1.0], 1),
        "log_confusion_matrix": ("a", ["x"], [[1]]),
        "describe": (Described(1.0),),
    }
    assert sorted(names) == sorted(calls)
    for name, arguments in calls.items():
        with pytest.raises(UsageError, match=r"run the-id is over.*run_id="):
            getattr(script.run, name)(*arguments)

    assert script.events() == []


def test_ending_twice(script: Script) -> None:
    """A run ends once, as the first call says."""
    assert not script.run.is_over
    script.run.end("FAILED")
    script.run.end()

    assert script.endings == ["FAILED"]
    assert script.run.is_over


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (SystemExit(), "FINISHED"),
        (SystemExit(None), "FINISHED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(1), "FAILED"),
        (SystemExit("message"), "FAILED"),
        (ValueError("x"), "FAILED"),
        (MemoryError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
    ids=repr,
)
def test_how_a_with_block_ends(script: Script, error: BaseException | None, status: Status) -> None:
    """The run ends as its block was left, and the exception goes on."""
    assert status_of(error) == status
    if error is None:
        with script.run as run:
            assert run is script.run
    else:
        with pytest.raises(type(error)), script.run:
            raise error

    assert script.endings == [status]


def test_what_a_run_is(script: Script) -> None:
    """A run tells its id and its folder."""
    assert script.run.id == "the-id"
    assert script.run.dir == script.run_dir.path


@pytest.mark.parametrize(
    "name",
    ["log_metric", "log_metrics", "log_param", "log_params", "log_artifact", "log_artifacts",
     "log_text", "log_dict", "log_table", "log_image", "log_figure", "set_tag", "set_tags"],
)  # fmt: skip
def test_names_and_order_of_arguments(name: str) -> None:
    """What a script passes by position or name to MLflow, it can pass here as well."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    ours = list(inspect.signature(getattr(Run, name)).parameters)[1:]
    theirs = inspect.signature(getattr(mlflow, name)).parameters
    positional = [p for p in theirs if p not in {"synchronous", "timestamp", "run_id", "model_id",
                                                 "dataset"}]  # fmt: skip

    assert ours[: len(positional)] == positional


def test_full_disk_costs_one_warning(run_dir: RunDir) -> None:
    """A disk that takes no more never stops the training: one warning, and a count at the end."""
    code = """
import resource, signal, sys
from pathlib import Path
from toolkit.journal import SegmentWriter
from toolkit.recorder import LastSteps, Recorder
from toolkit.run import Run
from toolkit.rundir import RunDir
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run_dir = RunDir(Path(sys.argv[1]))
recorder = Recorder(run_dir, SegmentWriter.create(run_dir.journal, "owner"), LastSteps())
run = Run("id", recorder, lambda status: recorder.close())
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
with run:
    run.log_metric("loss", 1.0, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    for step in range(5):
        run.log_metric("loss", 0.5, step)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.log_metric("loss", 0.25, 9)
print("trained")
"""
    with python(code, run_dir.path, stderr=subprocess.PIPE) as process:
        output, errors = process.communicate()
    lines = errors.splitlines()
    batch = Follower(run_dir.journal).read()

    assert output == "trained\n"
    assert len(lines) == 2
    assert lines[0].startswith("toolkit: can't record any more: ")
    assert lines[1] == "toolkit: 5 events could not be recorded"
    assert [e.step for e in batch.events if isinstance(e, Metrics)] == [1, 9]
