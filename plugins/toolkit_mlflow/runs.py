"""A run's place in MLflow: its experiment, the run, its parent, and the tags that describe it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.errors import UsageError
from toolkit.runinfo import RunInfo
from toolkit_mlflow.batch import clip
from toolkit_mlflow.keys import accepted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run

RUN_ID_TAG = "toolkit.run_id"
PARENT_TAG = "mlflow.parentRunId"
PARENT_RUN_ID_TAG = "toolkit.parent_run_id"
NOTE_TAG = "mlflow.note.content"

_EXPERIMENTS_PER_SEARCH = 100
# Without it MLflow's pages take an experiment for one of prompts and traces.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of the experiment of this name, which is made where there is none.

    Raises:
        UsageError: it has been deleted, and MLflow keeps its name.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=_EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)  # another run was quicker
        assert found is not None  # noqa: S101 - MLflow has just said that it exists
    _refuse_deleted(found)
    return str(found.experiment_id)


def find(client: MlflowClient, experiments: Sequence[str], run_id: str) -> Run | None:
    """The MLflow run of this run; one that is not deleted if there is one, else the oldest."""
    from mlflow.entities import ViewType

    found = client.search_runs(
        list(experiments),
        f"tags.`{RUN_ID_TAG}` = '{run_id}'",
        run_view_type=ViewType.ALL,
        order_by=["attributes.start_time ASC"],
    )
    return min(found, key=_is_deleted, default=None)


def remembered(client: MlflowClient, mlflow_id: str) -> Run | None:
    """The MLflow run of this id, or None when it has been removed for good."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(mlflow_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    return None


def is_writable(client: MlflowClient, mlflow_id: str) -> bool:
    """Whether the run is there and not deleted."""
    found = remembered(client, mlflow_id)
    return found is not None and not _is_deleted(found)


def reopen(client: MlflowClient, found: Run, run: RunInfo) -> None:
    """Go on with a run: not deleted, running, described as it is now.

    A name or note that somebody has given it in MLflow stays.

    Raises:
        UsageError: its experiment is deleted.
    """
    from mlflow.entities import RunTag

    mlflow_id = found.info.run_id
    if _is_deleted(found):
        _refuse_deleted(client.get_experiment(found.info.experiment_id))
        print(f"restoring the deleted MLflow run {mlflow_id}", flush=True)  # noqa: T201 - the log
        client.restore_run(mlflow_id)
    name = run.display_name if found.info.run_name == run.id != run.display_name else None
    if found.info.status != "RUNNING" or name:
        client.update_run(mlflow_id, status="RUNNING", name=name)
    there = found.data.tags
    new = {k: v for k, v in description(run).items() if k != NOTE_TAG and there.get(k) != v}
    if run.notes and not there.get(NOTE_TAG):
        new[NOTE_TAG] = clip(run.notes)
    client.log_batch(mlflow_id, tags=[RunTag(*pair) for pair in new.items()])


def find_parent(client: MlflowClient, experiment: str, parent: str) -> str | None:
    """The MLflow id of the parent, in this experiment or any other; None while it's not there."""
    for experiments in ([experiment], *_other_experiments(client, experiment)):
        found = find(client, experiments, parent)
        if found is not None:
            return str(found.info.run_id)
    return None


def adopt_children(client: MlflowClient, parent: Run, run_id: str) -> None:
    """Put the children of a run that is new in MLflow under it, where they were told, and over.

    Only those in its experiment are looked for. It isn't worth failing: a refusal is noted.
    """
    from mlflow.exceptions import MlflowException

    ours = f"tags.`{PARENT_RUN_ID_TAG}` = '{run_id}'"
    try:
        for child in client.search_runs([parent.info.experiment_id], ours):
            if PARENT_TAG not in child.data.tags:
                client.set_tag(child.info.run_id, PARENT_TAG, parent.info.run_id)
    except MlflowException as error:
        print(f"children that came first stay beside it: {error}", flush=True)  # noqa: T201 - the log


def description(run: RunInfo) -> dict[str, str]:
    """The tags that say what a run is: MLflow's own names where it has them, else ``toolkit.*``.

    A label of the run is a tag ``tag.<label>`` with the value ``true``, so that a search finds it.
    """
    source = run.source
    known = {
        RUN_ID_TAG: run.id,
        PARENT_RUN_ID_TAG: run.parent,
        "toolkit.group": run.group,
        "toolkit.tags": ",".join(run.tags),
        "toolkit.command": shlex.join(run.command),
        "toolkit.host": run.host.name,
        "mlflow.user": run.user,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": _script(run.command),
        "mlflow.source.git.commit": source.commit,
        "mlflow.source.git.branch": source.branch,
        "mlflow.source.git.repoURL": source.remote,
        "mlflow.source.git.dirty": str(source.is_dirty).lower() if source.commit else None,
        NOTE_TAG: run.notes,
    }
    labels = {f"tag.{label}": "true" for label in run.tags}
    versions = {f"toolkit.version.{name}": version for name, version in run.versions.items()}
    tags = {**known, **labels, **versions}
    return {accepted(key): clip(value) for key, value in tags.items() if value}


def _other_experiments(client: MlflowClient, experiment: str) -> Iterator[list[str]]:
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=_EXPERIMENTS_PER_SEARCH, page_token=token)
        others = [str(e.experiment_id) for e in page if str(e.experiment_id) != experiment]
        if others:
            yield others
        token = page.token
        if not token:
            return


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "deleted":
        raise UsageError(
            f"the MLflow experiment {experiment.name!r} is deleted; restore it (mlflow experiments "
            f"restore --experiment-id {experiment.experiment_id}), or give another name with the "
            "option mlflow.experiment"
        )


def _is_deleted(found: Run) -> bool:
    return bool(found.info.lifecycle_stage == "deleted")


def _script(command: Sequence[str]) -> str:
    """The script in a command such as ``accelerate launch train.py``, else the program."""
    scripts = [part for part in command if part.endswith(".py")]
    return (scripts or list(command) or [""])[0]
