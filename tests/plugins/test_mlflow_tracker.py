"""A run as MLflow keeps it, in a real SQLite database, read back with MLflow's client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.plugins.mlflow_support import CREATED
from tests.plugins.mlflow_support import everything
from tests.plugins.mlflow_support import history
from tests.plugins.mlflow_support import run_info
from toolkit.errors import UsageError
from toolkit.events import Ended
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Unknown
from toolkit.tracker import Link
from toolkit.tracker import Unreachable
from toolkit_mlflow.tracker import MlflowTracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def loss(step: int, value: float = 0.5) -> Metrics:
    """One measured value."""
    return Metrics(time=CREATED + step, step=step, values={"loss": value})


def test_importing_the_plugin_does_not_import_mlflow() -> None:
    """MLflow's seconds of import belong to the process that tells it things."""
    code = "import sys, toolkit_mlflow; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_are_the_init_fields_and_documented() -> None:
    """Private state is no option."""
    options = {f.name: f.metadata["doc"] for f in attrs.fields(MlflowTracker) if f.init}
    assert set(options) == {"tracking_uri", "experiment"}
    assert all(options.values())


def test_a_run_is_described_in_mlflows_own_tags(folder: Path, client: MlflowClient) -> None:
    """Name, user, source, commit and note are where MLflow's pages look for them."""
    run = run_info(folder, name="baseline", notes="first *try*")
    link = MlflowTracker().open(run, None)
    found = client.get_run(link.id)
    assert found.info.run_name == "baseline"
    assert found.info.start_time == int(CREATED * 1000)
    assert found.info.status == "RUNNING"
    mlflow_tags = {k: v for k, v in found.data.tags.items() if k.startswith("mlflow.")}
    assert mlflow_tags == {
        "mlflow.runName": "baseline",
        "mlflow.user": "ann",
        "mlflow.source.name": "recipes/train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": "git@example.org:a/b.git",
        "mlflow.source.git.dirty": "true",
        "mlflow.note.content": "first *try*",
    }


def test_what_mlflow_has_no_tag_for_is_under_toolkit(folder: Path, client: MlflowClient) -> None:
    """Id, group, labels, command, host and versions; a label can be searched for."""
    run = run_info(folder, group="sweep 1", tags=("baseline", "a@b"))
    link = MlflowTracker().open(run, None)
    tags = client.get_run(link.id).data.tags
    assert tags["toolkit.run_id"] == run.id
    assert tags["toolkit.group"] == "sweep 1"
    assert tags["toolkit.tags"] == "baseline,a@b"
    assert tags["toolkit.command"] == "accelerate launch recipes/train.py lr=1e-3 'name=a b'"
    assert tags["toolkit.host"] == "node1"
    assert tags["toolkit.version.torch"] == "2.13.0"
    assert any(key.startswith("tag.a_b-") for key in tags)
    experiment = client.get_run(link.id).info.experiment_id
    [found] = client.search_runs([experiment], "tags.`tag.baseline` = 'true'")
    assert found.info.run_id == link.id


def test_the_link_says_how_to_look(folder: Path) -> None:
    """A database has no page; the link names the command that shows it."""
    link = MlflowTracker().open(run_info(folder), None)
    assert link.url is None
    assert link.view == f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"
    assert link.state == {"experiment": "1"}


@pytest.mark.parametrize("project", ["it's", 'say "hi"', "a/b", "été", "50% `x`"])
def test_any_project_is_an_experiment(folder: Path, client: MlflowClient, project: str) -> None:
    """Quotes and the like in a project's name do no harm, also when the run is looked for again."""
    run = run_info(folder, project=project)
    first = MlflowTracker().open(run, None)
    assert MlflowTracker().open(run, None).id == first.id
    experiment = client.get_run(first.id).info.experiment_id
    assert client.get_experiment(experiment).name == project


def test_the_option_comes_before_the_project_and_this_before_the_environment(
    folder: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Option > project > MLFLOW_EXPERIMENT_NAME > default."""
    names = []
    for number, (option, project, variable) in enumerate(
        [("o", "p", "v"), (None, "p", "v"), (None, None, "v"), (None, None, "")]
    ):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", variable)
        run = run_info(folder, id=f"run-{number}", project=project)
        link = MlflowTracker(experiment=option).open(run, None)
        experiment = client.get_run(link.id).info.experiment_id
        names.append(client.get_experiment(experiment).name)
    assert names == ["o", "p", "v", "default"]


def test_a_deleted_experiment_is_refused_with_what_to_do(
    folder: Path, client: MlflowClient
) -> None:
    """MLflow keeps the name of a deleted experiment; the message says how to get it back."""
    experiment = client.create_experiment("receipts")
    client.delete_experiment(experiment)
    with pytest.raises(
        UsageError, match=f"restore --experiment-id {experiment}.*mlflow.experiment"
    ):
        MlflowTracker().open(run_info(folder), None)


@pytest.mark.parametrize("has_memory", [True, False])
def test_a_restart_goes_on_with_the_same_run(
    folder: Path, client: MlflowClient, has_memory: bool
) -> None:
    """With the link, or by the run's id where a crash came before the link was kept."""
    run = run_info(folder)
    first = MlflowTracker()
    link = first.open(run, None)
    first.write([loss(1)])
    first.close(Ended(time=CREATED + 5, status="KILLED"))
    second = MlflowTracker()
    again = second.open(run, link if has_memory else None)
    assert again == link
    assert client.get_run(link.id).info.status == "RUNNING"
    second.write([loss(2)])
    assert [step for step, _, _ in history(client, link.id, "loss")] == [1, 2]


def test_a_link_wins_over_another_experiment(folder: Path) -> None:
    """A run that has been told goes on where it is, whatever experiment is asked for now."""
    run = run_info(folder)
    link = MlflowTracker().open(run, None)
    assert MlflowTracker(experiment="other").open(run, link) == link


def test_a_restart_describes_the_run_as_it_is_now(folder: Path, client: MlflowClient) -> None:
    """What scripts said since is added; a name or note given by hand in MLflow stays."""
    run = run_info(folder)
    link = MlflowTracker().open(run, None)
    assert client.get_run(link.id).info.run_name == run.id
    MlflowTracker().open(attrs.evolve(run, name="chosen", notes="n", tags=("x",)), link)
    found = client.get_run(link.id)
    assert (found.info.run_name, found.data.tags["mlflow.note.content"]) == ("chosen", "n")
    assert found.data.tags["tag.x"] == "true"
    client.update_run(link.id, name="by hand")
    client.set_tag(link.id, "mlflow.note.content", "by hand")
    MlflowTracker().open(attrs.evolve(run, name="chosen", notes="n", tags=("x",)), link)
    found = client.get_run(link.id)
    assert (found.info.run_name, found.data.tags["mlflow.note.content"]) == ("by hand", "by hand")


@pytest.mark.parametrize("has_memory", [True, False])
def test_a_deleted_run_is_restored(folder: Path, client: MlflowClient, has_memory: bool) -> None:
    """Asked to tell a run that was deleted in MLflow, its history is there again."""
    run = run_info(folder)
    first = MlflowTracker()
    link = first.open(run, None)
    first.write([loss(1)])
    client.delete_run(link.id)
    second = MlflowTracker()
    assert second.open(run, link if has_memory else None) == link
    second.write([loss(2)])
    assert client.get_run(link.id).info.lifecycle_stage == "active"
    assert len(history(client, link.id, "loss")) == 2


def test_a_run_of_a_deleted_experiment_is_refused(folder: Path, client: MlflowClient) -> None:
    """Restored alone it could not be seen in MLflow."""
    run = run_info(folder)
    link = MlflowTracker().open(run, None)
    client.delete_experiment(link.state["experiment"])
    with pytest.raises(UsageError, match="restore --experiment-id"):
        MlflowTracker().open(run, link)


def test_a_run_removed_for_good_is_created_anew(folder: Path, client: MlflowClient) -> None:
    """The new link has another id, so that the courier can see it."""
    run = run_info(folder)
    gone = Link(id="0" * 32, state={"experiment": "1"})
    link = MlflowTracker().open(run, gone)
    assert link.id != gone.id
    assert client.get_run(link.id).data.tags["toolkit.run_id"] == run.id


def test_a_run_deleted_meanwhile_loses_nothing(folder: Path, client: MlflowClient) -> None:
    """Deleted while it's told, the rest stays owed: no event is passed over."""
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    client.delete_run(link.id)
    with pytest.raises(Unreachable, match=r"deleted in MLflow.*toolkit sync"):
        tracker.write([loss(1)])
    with pytest.raises(Unreachable, match="deleted in MLflow"):
        tracker.close(Ended(time=CREATED, status="FINISHED"))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_child_is_nested_under_its_parent(
    folder: Path, client: MlflowClient, elsewhere: bool
) -> None:
    """The parent's MLflow run is found by its id, also in another experiment."""
    parent = run_info(folder, id="parent", project="others" if elsewhere else "receipts")
    above = MlflowTracker().open(parent, None)
    below = MlflowTracker().open(run_info(folder, id="child", parent="parent"), None)
    tags = client.get_run(below.id).data.tags
    assert tags["mlflow.parentRunId"] == above.id
    assert tags["toolkit.parent_run_id"] == "parent"


def test_a_child_told_before_its_parent_is_nested_at_its_end(
    folder: Path, client: MlflowClient
) -> None:
    """Couriers start at once; the parent's may come second."""
    tracker = MlflowTracker()
    below = tracker.open(run_info(folder, id="child", parent="parent"), None)
    assert "mlflow.parentRunId" not in client.get_run(below.id).data.tags
    above = MlflowTracker().open(run_info(folder, id="parent"), None)
    tracker.close(Ended(time=CREATED, status="FINISHED"))
    assert client.get_run(below.id).data.tags["mlflow.parentRunId"] == above.id


def test_a_child_that_ended_before_its_parent_was_told_is_nested(
    folder: Path, client: MlflowClient
) -> None:
    """A short child may be over when the parent's courier comes, which then looks for it."""
    child = run_info(folder, id="child", parent="parent")
    tracker = MlflowTracker()
    below = tracker.open(child, None)
    tracker.close(Ended(time=CREATED, status="FINISHED"))
    above = MlflowTracker().open(run_info(folder, id="parent"), None)
    assert client.get_run(below.id).data.tags["mlflow.parentRunId"] == above.id


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_close_sets_status_and_end(folder: Path, client: MlflowClient, status: str) -> None:
    """The end is when the run ended, not when MLflow heard of it."""
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    tracker.close(Ended(time=CREATED + 7.5, status=status))  # type: ignore[arg-type]
    found = everything(client, link.id)
    assert (found["status"], found["end"]) == (status, int(CREATED * 1000) + 7500)


def test_events_of_other_kinds_are_passed_over(folder: Path, client: MlflowClient) -> None:
    """What the plugin does not know changes nothing."""
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    before = everything(client, link.id)
    tracker.write(
        [Left(time=1.0, status="FINISHED"), Unknown(time=1.0, kind="hologram", fields={})]
    )
    assert everything(client, link.id) == before
