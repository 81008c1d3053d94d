"""Options, WANDB_* variables, and what happens when W&B can't be told."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins import wandb_reader
from tests.plugins.wandb_environment import without_settings
from toolkit import options
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Metrics
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import Unreachable
from toolkit_wandb import folders
from toolkit_wandb import service
from toolkit_wandb import settings
from toolkit_wandb.tracker import WandbTracker
from toolkit_wandb.tracker import artifact_name
from toolkit_wandb.tracker import artifact_path

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


def run_in(folder: Path) -> RunInfo:
    """A run whose command works in the folder."""
    return RunInfo(
        id="run-1",
        created=1.7e9,
        host=Host("node-1", "boot-1"),
        command=("python", "train.py"),
        directory=str(folder),
        project="receipts",
        name="baseline",
        tags=("first",),
    )


def told(tracker: WandbTracker, run: RunInfo) -> wandb_reader.Told:
    """What the folder says after the run was opened and closed."""
    link = tracker.open(run, None)
    tracker.close(Ended(time=1.7e9, status="FINISHED"))
    return wandb_reader.read(Path(link.state["folder"]))


@contextlib.contextmanager
def server(kind: str) -> Iterator[str]:
    """The address of a server that refuses connections, or takes them and says nothing."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if kind == "silent":
            port.listen()
        yield f"http://127.0.0.1:{port.getsockname()[1]}"


def test_variables_say_what_options_leave_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WANDB_* stand above what the run says of itself; tags are added to its own."""
    for name, value in {
        "MODE": "offline",
        "PROJECT": "from-env",
        "ENTITY": "team",
        "NAME": "name-from-env",
        "RUN_GROUP": "group-from-env",
        "NOTES": "notes-from-env",
        "TAGS": "second,third",
        "JOB_TYPE": "train",
        "DIR": str(tmp_path / "elsewhere"),
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    read = told(WandbTracker(), run_in(tmp_path))
    run = read.run
    assert read.folder.parent == tmp_path / "elsewhere" / "wandb"
    assert (run.project, run.entity, run.display_name) == ("from-env", "team", "name-from-env")
    assert (run.run_group, run.notes) == ("group-from-env", "notes-from-env")
    assert run.job_type == "train"
    assert list(run.tags) == ["first", "second", "third"]


def test_options_stand_above_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that was given decides, also against what a script says late."""
    for name in ("PROJECT", "ENTITY", "NAME", "RUN_GROUP", "NOTES", "TAGS", "JOB_TYPE", "DIR"):
        monkeypatch.setenv(f"WANDB_{name}", "from-env")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_RESUME", "must")
    tracker = WandbTracker(
        mode="offline",
        project="from-option",
        entity="team",
        name="my name",
        group="my group",
        notes="my notes",
        tags=("second",),
        job_type="eval",
        resume="allow",
        dir=str(tmp_path / "here"),
    )
    link = tracker.open(run_in(tmp_path), None)
    tracker.write([Described(1.7e9, name="late", group="late", notes="late", tags=("late",))])
    tracker.close(Ended(time=1.7e9, status="FINISHED"))
    read = wandb_reader.read(Path(link.state["folder"]))
    run = read.run
    assert read.folder.parent == tmp_path / "here" / "wandb"
    assert (run.project, run.entity, run.display_name) == ("from-option", "team", "my name")
    assert (run.run_group, run.notes, run.job_type) == ("my group", "my notes", "eval")
    assert list(run.tags) == ["first", "second", "late"]


def test_a_trial_of_an_agent_is_the_agents_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the id that the agent gave it, also when it is told again without the agent."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "trial1")
    tracker = WandbTracker(mode="offline")
    link = tracker.open(run_in(tmp_path), None)
    tracker.close(Ended(time=1.7e9, status="FINISHED"))
    read = wandb_reader.read(Path(link.state["folder"])).run
    assert (link.id, read.run_id, read.sweep_id) == ("trial1", "trial1", "sweep1")
    monkeypatch.delenv("WANDB_SWEEP_ID")
    monkeypatch.delenv("WANDB_RUN_ID")
    again = WandbTracker(mode="offline")
    assert again.open(run_in(tmp_path), link).id == "trial1"
    again.close(Ended(time=1.7e9, status="FINISHED"))


def test_a_child_of_an_agents_trial_is_a_run_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent knows nothing of it."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "trial1")
    child = evolve(run_in(tmp_path), parent="run-0")
    read = told(WandbTracker(mode="offline"), child).run
    assert (read.run_id, read.sweep_id) == ("run-1", "")


def test_a_run_id_without_an_agent_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is the same one wherever it is told."""
    monkeypatch.setenv("WANDB_RUN_ID", "other")
    assert told(WandbTracker(mode="offline"), run_in(tmp_path)).run.run_id == "run-1"


def test_tags_are_given_with_commas() -> None:
    """As on the command line."""
    tracker = options.build(WandbTracker, {"tags": "a, b"})
    assert isinstance(tracker, WandbTracker)
    assert tracker.tags == ("a", "b")


@pytest.mark.parametrize("rule", ["must", "never"])
def test_offline_what_is_there_is_this_machines_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """WANDB_RESUME counts there too; nothing is removed from a run that is refused."""
    if rule == "never":
        kept = told(WandbTracker(mode="offline"), run_in(tmp_path)).folder
    monkeypatch.setenv("WANDB_RESUME", rule)
    with pytest.raises(UsageError, match=rf"run-1.*wandb\.resume={rule}"):
        WandbTracker(mode="offline").open(run_in(tmp_path), None)
    if rule == "never":
        assert wandb_reader.folders(tmp_path / "wandb") == [kept]
        assert WandbTracker(mode="offline").open(run_in(tmp_path), Link("run-1")).view
    service.stop()


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    """Everything is accepted, and there is neither a page nor a folder."""
    tracker = WandbTracker(mode="disabled")
    link = tracker.open(run_in(tmp_path), None)
    tracker.write([Metrics(time=1.7e9, values={"loss": 1.0}, step=0)])
    tracker.close(Ended(time=1.7e9, status="FINISHED"))
    assert (link.url, link.view, list(tmp_path.iterdir())) == (None, None, [])


def test_without_a_key_the_error_says_what_to_do(tmp_path: Path) -> None:
    """Trying again would not help, so it isn't `Unreachable`."""
    with pytest.raises(UsageError, match=r"wandb login.*WANDB_API_KEY.*-o wandb\.mode=offline"):
        WandbTracker(mode="online").open(run_in(tmp_path), None)


def test_a_malformed_key_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key itself is not in the message."""
    monkeypatch.setenv("WANDB_API_KEY", "tooshort")
    with pytest.raises(UsageError, match=r"WANDB_API_KEY invalid.*wandb login") as caught:
        WandbTracker(mode="online").open(run_in(tmp_path), None)
    assert "tooshort" not in str(caught.value)


@pytest.mark.parametrize("kind", ["refusing", "silent"])
def test_a_server_that_does_not_answer_is_unreachable_and_can_be_tried_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening has its limit; the attempts leave no folders and take no offline run away."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    before = told(WandbTracker(mode="offline"), run_in(tmp_path))
    with server(kind) as address:
        tracker = WandbTracker(mode="online", base_url=address, init_timeout=1.0)
        for _ in range(2):
            with pytest.raises(Unreachable, match="deadline exceeded"):
                tracker.open(run_in(tmp_path), None)
    assert wandb_reader.folders(tmp_path / "wandb") == [before.folder]


def test_a_project_name_that_wandb_refuses_is_named(tmp_path: Path) -> None:
    """With W&B's own reason, and no talk of keys."""
    with pytest.raises(UsageError, match="Invalid project name 'team/receipts'") as caught:
        WandbTracker(mode="offline", project="team/receipts").open(run_in(tmp_path), None)
    assert "wandb login" not in str(caught.value)


def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    """The run doesn't silently go to /tmp, as wandb would have it."""
    (tmp_path / "file").touch()
    tracker = WandbTracker(mode="offline", dir=str(tmp_path / "file" / "runs"))
    with pytest.raises(UsageError, match=r"file/runs/wandb.*-o wandb\.dir"):
        tracker.open(run_in(tmp_path), None)


def test_an_unknown_rule_of_resuming_is_refused() -> None:
    """The message has the value and the choices."""
    with pytest.raises(UsageError, match=r"wandb\.resume='auto'.*allow, must, never"):
        WandbTracker(resume="auto")


def test_an_unknown_mode_is_refused() -> None:
    """The message has the value and the choices."""
    with pytest.raises(UsageError, match=r"'ofline'.*online, offline, disabled"):
        WandbTracker(mode="ofline")


def test_every_option_says_what_it_is() -> None:
    """All options have a description for the command line."""
    import attrs

    fields = [field for field in attrs.fields(WandbTracker) if field.init]
    assert fields
    assert all(field.metadata["doc"] for field in fields)


@pytest.mark.parametrize(
    ("folder", "file", "is_of_run"),
    [
        ("run-20260101_000000-a", "run-a.wandb", True),
        ("offline-run-20260101_000000-a", "run-a.wandb", True),
        ("offline-run-20260101_000000-a-1", "run-a.wandb", True),
        ("offline-run-20260101_000000-a-1", "run-a-1.wandb", False),
        ("offline-run-20260101_000000-b-a", "run-b-a.wandb", False),
        ("offline-run-20260101_000000-ab", "run-ab.wandb", False),
        ("latest-run", "run-a.wandb", False),
    ],
)
def test_only_the_runs_own_folders_are_found(
    tmp_path: Path, folder: str, file: str, is_of_run: bool
) -> None:
    """Ids that begin, end or number alike are other runs."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    assert folders.of_run(tmp_path, "a") == ({tmp_path / folder} if is_of_run else set())


@given(st.text(min_size=1))
def test_every_artifact_gets_a_name_that_wandb_takes(path: str) -> None:
    """Letters, digits, underscores, dashes and dots, at most 128; such a name stays itself."""
    name = artifact_name(path)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", name)
    assert artifact_name(name) == name


def test_two_artifacts_never_become_one() -> None:
    """What W&B refuses is told apart by a digest; what it takes stays as it is."""
    long = "x" * 128
    kept = ["a-b", "model-epoch-01", "taxo_model", long]
    assert [artifact_name(path) for path in kept] == kept
    paths = [*kept, "模型", "数据", "a/b", "a//b", f"{long}1", f"{long}2", f"{long}/1"]
    assert len({artifact_name(path) for path in paths}) == len(paths)
    assert re.fullmatch("a-b-[0-9a-f]{10}", artifact_name("a/b"))


@given(st.lists(st.text(max_size=100)))
def test_tags_are_made_fit_for_wandb(tags: list[str]) -> None:
    """Each has 1 to 64 characters and is there once; short ones stay as they are."""
    short = settings.short_tags(tags)
    assert len(set(short)) == len(short)
    assert all(1 <= len(tag) <= 64 for tag in short)
    assert {tag for tag in tags if 0 < len(tag) <= 64} <= set(short)


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("", "taxo_model", "taxo_model"),
        ("taxo_model", "taxo_model", "taxo_model"),
        ("models/a", "a", "models/a"),
        ("models", "a", "models/a"),
    ],
)
def test_an_artifact_in_a_folder_of_its_name(folder: str, name: str, path: str) -> None:
    """Its name isn't said twice."""
    assert artifact_path(folder, name) == path
