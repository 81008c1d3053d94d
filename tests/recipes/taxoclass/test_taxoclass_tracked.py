"""What MLflow and Weights & Biases have of a tracked run of the TaxoClass recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import wandb_reader
from tests.plugins.mlflow_support import everything
from tests.plugins.wandb_environment import without_settings
from tests.plugins.wandb_reader import Told
from tests.recipes.launching import Launched
from tests.recipes.launching import track
from toolkit_mlflow import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SETTINGS = (
    "seed=7",
    "training.head_epochs=2",
    "self_training.iterations=1",
    "self_training.refresh_every=4",
)
TABLES = {
    "test/class_performance": ["Class", "Precision", "Recall", "F1", "Support"],
    "test/prediction_examples": ["Document", "True", "Predicted", "Correct"],
}
MATRIX = "test/confusion_matrix"
SUMMARY = {"final_accuracy", "final_f1", "training_time_hours"}


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


@pytest.fixture(scope="module")
def tracked(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, _environment: None
) -> Launched:
    """A run on the shipped corpus that was told to both trackers."""
    folder = tmp_path_factory.mktemp("tracked")
    options = (
        *("--backend", "mlflow", "-o", f"mlflow.tracking_uri=sqlite:///{folder}/mlflow.db"),
        *("--backend", "wandb", "-o", "wandb.mode=offline", "-o", f"wandb.dir={folder}"),
    )
    arguments = (f"encoder.model={tiny_encoder}", *SETTINGS)
    found = track(folder, options, "taxoclass.py", *arguments)
    assert found.done.returncode == 0, found.done.stderr
    return found


@pytest.fixture(scope="module")
def mlflow_run(tracked: Launched) -> dict[str, Any]:
    """All that MLflow keeps of the run."""
    folder = tracked.folder
    client = store.connect(store.resolve(f"sqlite:///{folder}/mlflow.db", str(folder), {}))
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return everything(client, run.info.run_id)


@pytest.fixture(scope="module")
def wandb_run(tracked: Launched) -> Told:
    """All that the offline run of W&B says."""
    (folder,) = wandb_reader.folders(tracked.folder / "wandb")
    return wandb_reader.read(folder)


def test_without_data_the_shipped_corpus_is_used(tracked: Launched) -> None:
    """All of its test documents are classified."""
    assert tracked.values("params")["data"] is None
    assert len(tracked.file("test/predictions.jsonl").splitlines()) == 85


def test_mlflow_has_every_curve(tracked: Launched, mlflow_run: dict[str, Any]) -> None:
    """Under the journal's names, point by point; the summary's numbers are metrics too."""
    curves = {
        name: sorted((step, value) for step, value in points)
        for name, points in tracked.curves().items()
    }
    assert {"stage3/train_loss", "stage4/self_train_loss", "test/example_f1"} <= curves.keys()
    found = {
        name: sorted((step, float(value)) for step, _, value in points)
        for name, points in mlflow_run["metrics"].items()
    }
    assert {name: points for name, points in found.items() if name in curves} == curves
    assert found.keys() - curves.keys() == SUMMARY
    summary = tracked.values("summary")
    assert {name: found[name] for name in SUMMARY} == {n: [(0, summary[n])] for n in SUMMARY}
    assert mlflow_run["status"] == "FINISHED"


def test_mlflow_has_the_tables(tracked: Launched, mlflow_run: dict[str, Any]) -> None:
    """With their columns and rows, where its pages look for tables."""
    listed = {entry["path"] for entry in json.loads(mlflow_run["tags"]["mlflow.loggedArtifacts"])}
    assert {f"{name}.json" for name in (*TABLES, MATRIX)} <= listed
    for name, columns in TABLES.items():
        table = json.loads(mlflow_run["artifacts"][f"{name}.json"])
        assert table["columns"] == columns
        expected = tracked.table(name)
        assert table["data"] == [list(row) for row in zip(*expected.values(), strict=True)]


def test_mlflow_has_the_confusion_matrix(tracked: Launched, mlflow_run: dict[str, Any]) -> None:
    """As a table, a row for each true class, and as a picture in the image grid."""
    (matrix,) = tracked.events("confusionmatrix")
    table = json.loads(mlflow_run["artifacts"][f"{MATRIX}.json"])
    assert table["columns"][1:] == matrix["labels"]
    assert [row[1:] for row in table["data"]] == matrix["counts"]
    pictures = [n for n in mlflow_run["artifacts"] if n.startswith("images/test~confusion_matrix+")]
    assert any(name.endswith(".png") for name in pictures)


def test_mlflow_has_the_model(tracked: Launched, mlflow_run: dict[str, Any]) -> None:
    """Every file of the artifact, and which version is the best."""
    (artifact,) = tracked.events("artifact")
    assert artifact["name"] == "taxo_model"
    expected = {f"taxo_model/{file['name']}" for file in artifact["files"]}
    assert expected <= mlflow_run["artifacts"].keys()
    assert "toolkit.alias.taxo_model.best" in mlflow_run["tags"]


def test_wandb_has_every_curve(tracked: Launched, wandb_run: Told) -> None:
    """Under the journal's names, point by point, and the summary."""
    for name, points in tracked.curves().items():
        assert wandb_run.points(name) == points, name
    assert {name: wandb_run.summary[name] for name in SUMMARY} == tracked.values("summary")
    assert wandb_run.exit_codes == [0]


def test_wandb_has_the_tables(tracked: Launched, wandb_run: Told) -> None:
    """With their columns and rows."""
    for name, columns in TABLES.items():
        table = wandb_table(wandb_run, name)
        assert table["columns"] == columns
        expected = tracked.table(name)
        assert table["data"] == [list(row) for row in zip(*expected.values(), strict=True)]


def test_wandb_has_the_confusion_matrix(tracked: Launched, wandb_run: Told) -> None:
    """As its own chart, over a table of counts."""
    (matrix,) = tracked.events("confusionmatrix")
    labels, counts = matrix["labels"], matrix["counts"]
    found = wandb_table(wandb_run, f"{MATRIX}_table")["data"]
    assert found == [
        [a, p, counts[i][j]] for i, a in enumerate(labels) for j, p in enumerate(labels)
    ]
    chart = wandb_run.config[f"_wandb.visualize.{MATRIX}"]
    assert chart["panel_config"]["panelDefId"] == "wandb/confusion_matrix/v1"


def test_wandb_has_the_model(tracked: Launched, wandb_run: Told) -> None:
    """As an artifact with its type, alias and files."""
    (event,) = tracked.events("artifact")
    (artifact,) = [found for found in wandb_run.artifacts if found.name == "taxo_model"]
    assert artifact.type == "model"
    assert "best" in artifact.aliases
    names = {entry.path for entry in artifact.manifest.contents}
    assert names == {file["name"] for file in event["files"]}


def wandb_table(told: Told, name: str) -> dict[str, Any]:
    """The only table of a name."""
    (path,) = (row[f"{name}.path"] for row in told.rows if f"{name}.path" in row)
    found: dict[str, Any] = json.loads((told.folder / "files" / path).read_text(encoding="utf-8"))
    return found
