"""MLflow's functions without MLflow: what a script's calls become in the journal of its run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.commands import Bench
from tests.commands import events
from tests.commands import of_kind
from tests.commands import status
from toolkit import delivery
from toolkit import fluent
from toolkit import rundir
from toolkit import tables
from toolkit.events import Artifact
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.mlflow_api.exceptions import NotCoveredError
from toolkit.rundir import RunDir

HEAVY = ("accelerate", "cattrs", "mlflow", "numpy", "psutil", "rich", "torch", "wandb", "yaml")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, runs_dir: Path) -> Iterator[None]:
    """A script of a user who has set where runs lie, and nobody to tell; its runs end with it."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "TOOLKIT_", "RANK")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOOLKIT_RUNS_DIR", str(runs_dir))
    monkeypatch.setenv("TOOLKIT_BACKEND", "none")
    yield
    while fluent.active_run():
        fluent.end_run()
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


@pytest.fixture
def tracked(new_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run that the script joins: nothing has to be started for it."""
    run = new_run()
    monkeypatch.setenv("TOOLKIT_RUN", str(run.path))
    return run


def values(run: RunDir, kind: type[Any]) -> dict[str, Any]:
    """All values of the run's events of this kind; later ones win."""
    return {key: value for event in of_kind(run, kind) for key, value in event.values.items()}


def test_import_is_light() -> None:
    """The module needs nothing but what the core needs at import."""
    code = "import sys, toolkit.fluent; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & set(HEAVY)


@pytest.mark.parametrize("name", ["sklearn", "log_model", "MlflowClient", "no_such_thing"])
def test_what_is_missing_says_so(name: str) -> None:
    """By name, with what to do; to `hasattr` it is missing."""
    with pytest.raises(NotCoveredError, match=f"mlflow.{name} is not covered by toolkit.fluent"):
        getattr(fluent, name)
    assert not hasattr(fluent, name)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fluent.autolog(),
        lambda: fluent.log_metric("a", 1.0, model_id="m"),
        lambda: fluent.log_metrics({"a": 1.0}, dataset=object()),
        lambda: fluent.create_experiment("e", artifact_location="s3://b"),
        lambda: fluent.set_experiment("e", trace_location=object()),
        lambda: fluent.search_experiments(filter_string="tags.a = 'b'"),
        lambda: fluent.search_experiments(filter_string="name = 'a' OR name = 'Default'"),
        lambda: fluent.end_run("SCHEDULED"),
    ],
)
def test_uncovered_arguments_say_so(tracked: RunDir, call: Callable[[], object]) -> None:
    """An argument that would be without effect is refused by name."""
    fluent.start_run()
    with pytest.raises(NotCoveredError, match="is not covered"):
        call()


def test_values_become_events(tracked: RunDir) -> None:
    """One event a call; what is no number or text is a param as its text."""
    with fluent.start_run(tags={"t": 1}):
        assert fluent.log_param("lr", 0.1) == 0.1
        assert fluent.log_params({"sizes": [1, 2], "name": "x", "nan": float("nan")}) is None
        fluent.log_metrics({"a": True, "b": "1.5"}, step=3, timestamp=2_000)
        fluent.set_tag("u", None)
    assert values(tracked, Params) == {"lr": 0.1, "sizes": "[1, 2]", "name": "x", "nan": "nan"}
    assert of_kind(tracked, Metrics) == [Metrics(2.0, {"a": 1.0, "b": 1.5}, 3)]
    assert values(tracked, Tags) == {"t": "1", "u": "None"}
    assert [event.status for event in of_kind(tracked, Left)] == ["FINISHED"]


def test_params_dont_change(tracked: RunDir) -> None:
    """Another value raises, and of a call that raises nothing is recorded; the same is taken."""
    with fluent.start_run():
        fluent.log_params({"a": 1, "secret_key": "one"})
        fluent.log_params({"a": "1", "secret_key": "one"})
        with pytest.raises(fluent.MlflowException, match="'a' is '1' already"):
            fluent.log_params({"b": 2, "a": 3})
    assert set(values(tracked, Params)) == {"a", "secret_key"}


def test_a_secret_in_a_params_key(tracked: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is masked there too, and the param counts under the key that was given."""
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    fluent.log_param("postgres_host", "h", synchronous=False).wait()
    with pytest.raises(fluent.MlflowException, match="is 'h' already"):
        fluent.log_param("postgres_host", "i")
    assert values(tracked, Params) == {"***_host": "h"}


def test_params_are_remembered_by_the_run(tracked: RunDir) -> None:
    """Who joins or goes on with a run is held to what it has been told before."""
    with fluent.start_run():
        fluent.log_params({"a": 0.5, "long": "x" * 7000})
    with fluent.start_run(run_id=tracked.path.name):
        fluent.log_params({"a": 0.5, "long": "x" * 7000})
        with pytest.raises(fluent.MlflowException, match="already"):
            fluent.log_param("a", 0.6)


@pytest.mark.parametrize("key", ["", "a@b", "a//b", "../a", "/a", "a/", "k" * 251, None, 5])
def test_keys_are_mlflows(tracked: RunDir, key: Any) -> None:
    """What MLflow refuses is refused, whatever the backend."""
    fluent.start_run()
    for call in (fluent.log_param, fluent.log_metric, fluent.set_tag):
        with pytest.raises(fluent.MlflowException, match="the key of a"):
            call(key, 1)


@pytest.mark.parametrize(
    "given",
    [{"value": "x"}, {"value": None}, {"step": "1"}, {"timestamp": -1}, {"timestamp": "now"}],
)
def test_refused_metrics(tracked: RunDir, given: dict[str, Any]) -> None:
    """Values, steps and timestamps that are none."""
    with pytest.raises(fluent.MlflowException):
        fluent.log_metric(**{"key": "a", "value": 1.0, **given})
    assert of_kind(tracked, Metrics) == []


@pytest.mark.parametrize("moment", [1, 1_001, 1_003, 1_500_000_000_123, 1_764_000_000_007])
def test_timestamps_are_exact(tracked: RunDir, moment: int) -> None:
    """To the millisecond, also for a plugin that cuts fractions off."""
    fluent.log_metric("a", 1.0, timestamp=moment)
    assert [int(event.time * 1000) for event in of_kind(tracked, Metrics)] == [moment]


def test_points_of_one_step_stay_apart(tracked: RunDir) -> None:
    """Without a timestamp, each is a millisecond later at least than the one before it."""
    for value in (3.0, 2.0, 2.0, 1.0):
        fluent.log_metric("a", value)
    moments = [int(event.time * 1000) for event in of_kind(tracked, Metrics)]
    assert moments == sorted(set(moments))


def test_asynchronous_calls(tracked: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused is raised by `wait`; the variable of MLflow makes calls asynchronous."""
    fluent.start_run()
    fluent.log_param("a", 1, synchronous=False).wait()
    refused = fluent.log_param("a", 2, synchronous=False)
    with pytest.raises(fluent.MlflowException, match="already"):
        refused.wait()
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    assert isinstance(fluent.set_tag("t", 1), fluent.RunOperations)
    assert fluent.log_metrics({}) is None


def test_delete_tag(tracked: RunDir) -> None:
    """A tag that was set has no text afterwards; another one can't be deleted."""
    with fluent.start_run() as run:
        fluent.set_tags({"a": 1, "b": 2})
        fluent.delete_tag("a")
        with pytest.raises(fluent.MlflowException, match="no tag 'a'"):
            fluent.delete_tag("a")
    tags = fluent.get_run(run.info.run_id).data.tags
    assert ("a" in tags, tags["b"]) == (False, "2")


def test_files(tracked: RunDir, tmp_path: Path) -> None:
    """Names and bytes are those that MLflow gives them."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f.txt").write_text("f")
    (tmp_path / "empty").mkdir()
    with fluent.start_run():
        fluent.log_artifact(str(tmp_path / "d"), "top")
        fluent.log_artifacts(str(tmp_path / "d"))
        fluent.log_artifacts(str(tmp_path / "empty"))
        fluent.log_dict({"b": 1, "a": Path("é")}, "x/../d.json")
        with (tmp_path / "d" / "e" / "f.txt").open("rb") as stream:
            fluent.log_stream(stream, "s/t.bin")
        for path in ("../a.txt", "/a.txt", "."):
            with pytest.raises(fluent.MlflowException):
                fluent.log_text("a", path)
        uri = fluent.get_artifact_uri("top/d/e/f.txt")
    kept = [(event.folder, event.files[0].name) for event in of_kind(tracked, Artifact)]
    assert kept == [("top/d", "e/f.txt"), ("", "e/f.txt"), ("s", "t.bin")]
    (text,) = of_kind(tracked, Text)
    assert text.name == "d.json"
    written = Path(tracked.path, text.path).read_bytes()
    assert written == b'{\n  "b": 1,\n  "a": "\\u00e9"\n}'
    assert Path(urlsplit(uri).path).read_text() == "f"


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_secrets_of_a_dict_are_masked_by_its_names(tracked: RunDir, kind: str) -> None:
    """At any depth, in lists too; the rest is as it was."""
    pytest.importorskip(kind)
    fluent.log_dict({"a": [{"passwords": ["hunter22secret"], "b": "no: secret"}]}, f"d.{kind}")
    written = Path(tracked.path, of_kind(tracked, Text)[0].path).read_text()
    assert [written.count(part) for part in ("hunter22", "***", "no: secret")] == [0, 1, 1]


def test_tables_grow(tracked: RunDir) -> None:
    """Rows are added, also by who goes on with the run; a column that is missing is empty."""
    with fluent.start_run():
        fluent.log_table({"a": [1, 2]}, "t.json")
    with fluent.start_run(run_id=tracked.path.name):
        fluent.log_table({"b": "x", "a": 3}, "t.json")
        fluent.log_table({"a": [4], "b": [5, 6]}, "u.json")
    last = {event.name: event for event in of_kind(tracked, Table)}
    rows = tables.read(tracked.path / last["t.json"].path)
    assert (rows.columns, rows.data) == (["a", "b"], [[1, None], [2, None], [3, "x"]])
    assert tables.read(tracked.path / last["u.json"].path).data == [[[4], [5, 6]]]


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        ({"a": [1]}, "t.csv", ValueError),
        ({"a": [1]}, "a,b.json", ValueError),
        ([1], "t.json", fluent.MlflowException),
    ],
)
def test_refused_tables(tracked: RunDir, data: Any, name: str, error: type[Exception]) -> None:
    """Names and data that MLflow refuses."""
    with pytest.raises(error):
        fluent.log_table(data, name)


def test_images_by_itself_or_in_a_series(tracked: RunDir) -> None:
    """One of the two has to be given, and not both."""
    both: dict[str, Any] = {"artifact_file": "a.png", "key": "k"}
    for given in ({}, both, {"artifact_file": "a.png", "step": 1}):
        with pytest.raises(TypeError):
            fluent.log_image("a.png", **given)
    with pytest.raises(ValueError, match="the key of an image"):
        fluent.log_image("a.png", key="a@b")


def test_a_logging_call_starts_a_run(tracked: RunDir) -> None:
    """And only the first one does."""
    assert fluent.active_run() is None
    fluent.set_tag("a", 1)
    run = fluent.active_run()
    assert run is not None
    fluent.log_metric("b", 2)
    assert fluent.active_run() is run
    assert len({type(event) for event in events(tracked)}) == 3


def test_stack_of_runs(runs_dir: Path) -> None:
    """A second run has to be nested; it is a child, ends first, and says how its body ended."""
    seen: list[fluent.ActiveRun] = []

    def failing() -> None:
        with fluent.start_run(nested=True) as run:
            assert fluent.active_run() is run
            seen.append(run)
            raise ValueError("as asked")

    with fluent.start_run(run_name="outer", description="note") as outer:
        with pytest.raises(fluent.MlflowException, match=r"is active already.*nested=True"):
            fluent.start_run()
        with pytest.raises(ValueError, match="as asked"):
            failing()
        (inner,) = seen
        assert fluent.active_run() is outer
        with pytest.raises(fluent.MlflowException, match="ends as"):
            fluent.end_run("DONE")
        fluent.log_metric("late", 1.0, run_id=inner.info.run_id)
    found = fluent.get_run(inner.info.run_id)
    assert (found.info.status, found.data.metrics) == ("FAILED", {"late": 1.0})
    parent = fluent.get_parent_run(inner.info.run_id)
    assert parent is not None
    assert (parent.info.run_id, parent.info.status) == (outer.info.run_id, "FINISHED")
    assert (parent.info.run_name, parent.data.tags["mlflow.note.content"]) == ("outer", "note")
    last = fluent.last_active_run()
    assert last is not None
    assert last.info.run_id == outer.info.run_id


def test_threads_have_stacks_of_their_own(tracked: RunDir) -> None:
    """A thread sees no run of another, may log to it by its id, and may start it once more."""
    seen: list[Any] = []

    def work(run_id: str) -> None:
        seen.append(fluent.active_run())
        fluent.log_params({"a": 1}, run_id=run_id)
        with fluent.start_run(run_id=run_id):
            fluent.log_metric("b", 2)

    with fluent.start_run() as run:
        thread = threading.Thread(target=work, args=(run.info.run_id,))
        thread.start()
        thread.join()
        fluent.log_metric("c", 3)
    assert seen == [None]
    assert (values(tracked, Params), set(values(tracked, Metrics))) == ({"a": 1}, {"b", "c"})
    assert len(of_kind(tracked, Left)) == 1


def test_going_on_with_a_run(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its id or MLFLOW_RUN_ID, which is used up; every point is recorded, as in MLflow."""
    with fluent.start_run(run_name="first") as run:
        fluent.log_metric("a", 1.0, step=5)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with fluent.start_run(tags={"again": "yes"}) as again:
        assert "MLFLOW_RUN_ID" not in os.environ
        fluent.log_metric("a", 2.0, step=5)
    assert again.info.run_id == run.info.run_id
    found = fluent.get_run(run.info.run_id)
    assert (found.data.metrics, found.data.tags["again"]) == ({"a": 2.0}, "yes")
    (only,) = rundir.all_runs(runs_dir)
    assert len(of_kind(only, Metrics)) == 2
    with pytest.raises(fluent.MlflowException, match="there is no run '2020'"):
        fluent.start_run(run_id="2020")


def test_a_run_of_the_toolkit_is_active_too(tracked: RunDir) -> None:
    """Code that uses one way of logging may be called from code that uses the other."""
    import toolkit

    with toolkit.start_run() as run:
        fluent.log_param("a", 1)
        active = fluent.active_run()
        assert active is not None
        assert active.info.run_id == run.id
    assert fluent.active_run() is None
    assert values(tracked, Params) == {"a": 1}


def test_under_track(bench: Bench) -> None:
    """The first run of the script is the tracked one, later ones are its children."""
    code = (
        "import toolkit.fluent as mlflow\n"
        "for number in range(2):\n"
        " with mlflow.start_run(): mlflow.log_param('number', number)\n"
    )
    done = bench.track(code, "--backend", "none")
    assert done.returncode == 0, done.stderr
    first, second = rundir.all_runs(bench.runs)
    if first.info().parent:
        first, second = second, first
    assert second.info().parent == first.path.name
    assert (values(first, Params), values(second, Params)) == ({"number": 0}, {"number": 1})
    assert (status(first), status(second)) == ("FINISHED", "FINISHED")


def test_end_at_exit(bench: Bench) -> None:
    """What a script has left open ends with it, as how it ended."""
    code = "import toolkit.fluent as mlflow\nmlflow.log_param('a', 1)\nraise ValueError"
    bench.run_script(code, env={"TOOLKIT_BACKEND": "none"})
    assert status(bench.only_run()) == "FAILED"


@pytest.mark.parametrize("variable", [{"TOOLKIT_DISABLED": "1"}, {"RANK": "1"}])
def test_silence(runs_dir: Path, variable: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is recorded, every call is accepted, and nothing is written."""
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    fluent.set_experiment("e")
    with fluent.start_run(run_name="n") as run:
        fluent.log_params({"a": 1})
        fluent.log_metric("b", 1.0, run_id=run.info.run_id)
        fluent.log_metric("b", 1.0, run_id="20200101-000000-abcdef")
        fluent.log_dict({}, "c.json")
        fluent.log_table({"a": [1]}, "t.json")
        fluent.set_experiment_tag("k", "v")
        assert fluent.get_artifact_uri("c.json").startswith("file://")
        with fluent.start_run(nested=True):
            fluent.set_tag("d", 2)
    assert fluent.last_active_run() is None
    assert not runs_dir.exists()


def test_tracking_uri(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is kept in MLflow's variable, for child processes; the default is mlflow.db here."""
    monkeypatch.chdir(tmp_path)
    assert not fluent.is_tracking_uri_set()
    assert fluent.get_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    fluent.set_tracking_uri("http://localhost:5000")
    assert os.environ["MLFLOW_TRACKING_URI"] == fluent.get_tracking_uri() == "http://localhost:5000"
    fluent.set_tracking_uri(tmp_path)
    assert fluent.get_tracking_uri() == tmp_path.as_uri()
    assert fluent.is_tracking_uri_set()


def test_the_tracking_uri_is_mlflows_option(bench: Bench) -> None:
    """Where nobody chose a backend, MLflow is told, at that address; children follow."""
    code = (
        "import toolkit.fluent as mlflow\n"
        "mlflow.set_tracking_uri('sqlite:///chosen.db')\n"
        "with mlflow.start_run():\n with mlflow.start_run(nested=True): pass\n"
    )
    done = bench.run_script(code, env={"TOOLKIT_FINISH_TIMEOUT": "0"})
    assert done.returncode == 0, done.stderr
    runs = rundir.all_runs(bench.runs)
    assert [run.info().parent for run in runs].count(None) == 1
    for run in runs:
        assert delivery.backends(run) == ["mlflow"]
        assert delivery.load(run, "mlflow").options == {"tracking_uri": "sqlite:///chosen.db"}


def test_experiments_are_projects(runs_dir: Path, tracked: RunDir) -> None:
    """Set by name or id, made when new; their tags are said by their runs."""
    assert fluent.get_experiment_by_name("e") is None
    made = fluent.create_experiment("e", tags={"k": 1})
    with pytest.raises(fluent.MlflowException, match="exists already"):
        fluent.create_experiment("e")
    assert [found.name for found in fluent.search_experiments()] == ["e", "Default"]
    assert fluent.search_experiments(filter_string="name = 'none'") == []
    assert fluent.set_experiment(experiment_id=made).name == "e"
    with fluent.start_run() as run:
        fluent.set_experiment_tags({"l": 2})
    assert run.info.experiment_id == made
    assert fluent.get_run(run.info.run_id).info.experiment_id == made
    assert values(tracked, Tags) == {"experiment.k": "1", "experiment.l": "2"}
    fluent.delete_experiment_tag("k")
    assert fluent.get_experiment(made).tags == {"l": "2"}
    other = fluent.set_experiment("f")
    with pytest.raises(fluent.MlflowException, match="belongs to experiment"):
        fluent.start_run(run_id=run.info.run_id)
    assert other.experiment_id != made
    with pytest.raises(fluent.MlflowException, match="no experiment with the id '9'"):
        fluent.set_experiment(experiment_id="9")
    with pytest.raises(fluent.MlflowException, match="either"):
        fluent.set_experiment()


@pytest.mark.parametrize("is_tracked", [False, True])
def test_a_fixed_project_comes_first(
    new_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch, is_tracked: bool
) -> None:
    """That of the environment, or of the tracked run: for tags and runs, also those that go on."""
    fixed = ("RUN", str(new_run(project="foo").path)) if is_tracked else ("PROJECT", "foo")
    monkeypatch.setenv(f"TOOLKIT_{fixed[0]}", fixed[1])
    for given in (None, fluent.set_experiment("bar").experiment_id):
        with fluent.start_run(experiment_id=given) as run:
            fluent.set_experiment_tag("k", "v")
        with fluent.start_run(run_id=run.info.run_id) as again:
            assert again.data.tags["experiment.k"] == "v"
        assert fluent.get_experiment(again.info.experiment_id).name == "foo"


@pytest.mark.parametrize(
    ("before", "is_sampled"),
    [
        ("", False),
        ("mlflow.enable_system_metrics_logging()", True),
    ],
)
def test_the_machine_is_sampled_on_request(bench: Bench, before: str, is_sampled: bool) -> None:
    """As in MLflow, only then."""
    code = (
        f"import time\nimport toolkit.fluent as mlflow\n{before}\n"
        "from toolkit import journal\nfrom toolkit.events import Metrics\n"
        "with mlflow.start_run() as run:\n"
        " folder = run.held.recording.dir / 'journal'\n"
        f" deadline = time.monotonic() + {100 if before else 1}\n"
        " while time.monotonic() < deadline and not list(journal.events_of(folder, Metrics)):\n"
        "  time.sleep(0.05)\n"
    )
    clean = {"TOOLKIT_BACKEND": "none", "TOOLKIT_SYSTEM_INTERVAL": ""}
    done = bench.run_script(code, env=clean)
    assert done.returncode == 0, done.stderr
    sampled = [key for event in of_kind(bench.only_run(), Metrics) for key in event.values]
    assert bool(sampled) is is_sampled
    assert all(key.startswith("system/") for key in sampled)
