"""A run of each library, of 100 steps, in one MLflow store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from attrs import frozen
from click.testing import CliRunner

import toolkit.bridges.accelerate  # noqa: F401 - makes the name known
from tests.bridges import tiny
from tests.bridges.reading import Curves
from tests.bridges.tiny_lightning import QUIET
from tests.bridges.tiny_lightning import Line
from tests.bridges.tiny_lightning import points
from tests.bridges.tiny_lightning import trainer as lightning_trainer
from tests.waiting import LIMIT
from toolkit import delivery
from toolkit.bridges.lightning import ToolkitLogger
from toolkit.bridges.transformers import ToolkitCallback
from toolkit.cli.runs import command
from toolkit.courier import Courier
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit_mlflow import store

STEPS = 100

pytestmark = QUIET


@frozen
class Trained:
    """What one loop says of itself."""

    run_id: str
    curves: Curves
    params: dict[str, str]


def _deliver(run: RunDir, uri: str) -> None:
    """Tell MLflow about a run as its courier would, which takes seconds to start."""
    delivery.owe(run, "mlflow", {"tracking_uri": uri}, Redactor())
    Courier(run, "mlflow", Patience.from_environment({})).work()


def _accelerate(home: Path, uri: str) -> Trained:
    accelerator = Accelerator(log_with="toolkit")
    options = {"name": "accelerate", "backend": {"mlflow": {"tracking_uri": uri}}}
    config = {"optimizer": {"lr": 0.1}}
    accelerator.init_trackers("three", config=config, init_kwargs={"toolkit": options})
    run = accelerator.get_tracker("toolkit", unwrap=True)
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module, optimizer = accelerator.prepare(module, optimizer)
    said: Curves = {"train/loss": []}
    for step, batch in enumerate(tiny.batches(STEPS)):
        loss = ((module(batch)[:, 0] - batch[:, 0]) ** 2).mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"train": {"loss": loss}}, step=step)
        said["train/loss"].append((step, loss.item()))
    accelerator.end_training()
    return Trained(run.id, said, {"optimizer.lr": "0.1"})


def _lightning(home: Path) -> Trained:
    logger = ToolkitLogger("lightning", project="three")
    module = Line(lr=0.2)
    lightning_trainer(home, logger, STEPS).fit(module, points())
    run = logger.experiment
    run.end()
    return Trained(run.id, {"loss": list(module.losses)}, {"lr": "0.2"})


def _transformers(home: Path) -> Trained:
    callback = ToolkitCallback(project="three", name="transformers")
    trainer = tiny.trainer(
        home / "out",
        steps=STEPS,
        callbacks=[callback],
        evaluates=True,
        eval_strategy="steps",
        eval_steps=50,
    )
    trainer.train()
    run = callback.run
    assert run is not None
    run.end()
    names = {"loss": "train/loss", "learning_rate": "train/learning_rate", "eval_loss": "eval/loss"}
    history = trainer.state.log_history
    said: Curves = {
        name: [(int(entry["step"]), entry[key]) for entry in history if key in entry]
        for key, name in names.items()
    }
    return Trained(run.id, said, {"training.learning_rate": "0.01", "model.hidden_size": "8"})


def test_all_land_in_mlflow_with_the_curves_that_the_loops_saw(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every point of each, in one database; the local runs have them too, to be compared."""
    monkeypatch.setenv("TOOLKIT_FINISH_TIMEOUT", str(LIMIT))
    uri = f"sqlite:///{home}/mlflow.db"
    trained = [_accelerate(home, uri), _lightning(home), _transformers(home)]
    for of_loop in trained[1:]:
        _deliver(RunDir(home / "runs" / of_loop.run_id), uri)
    client = store.connect(store.resolve(uri, str(home), {}))
    experiment = client.get_experiment_by_name("three")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"accelerate", "lightning", "transformers"}
    for name, of_loop in zip(("accelerate", "lightning", "transformers"), trained, strict=True):
        run = found[name]
        assert run.info.status == "FINISHED"
        assert of_loop.params.items() <= run.data.params.items()
        for key, points_ in of_loop.curves.items():
            history = client.get_metric_history(run.info.run_id, key)
            assert [(point.step, point.value) for point in history] == points_
        assert len(next(iter(of_loop.curves.values()))) == STEPS
    _are_compared(home, trained)


def _are_compared(home: Path, trained: list[Trained]) -> None:
    """`toolkit runs compare` shows the three, each with the last point of its curves."""
    words = ["--runs-dir", str(home / "runs"), *(of_loop.run_id for of_loop in trained), "--json"]
    done = CliRunner().invoke(command, ["compare", *words])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert [run["name"] for run in shown["runs"]] == ["accelerate", "lightning", "transformers"]
    for of_loop in trained:
        for key, points_ in of_loop.curves.items():
            found = shown["metrics"][key]["values"][of_loop.run_id]
            assert (found["last_step"], found["last"], found["count"]) == (
                *points_[-1],
                len(points_),
            )
