"""What two stores hold, told by MLflow itself and by `toolkit.fluent`, made comparable."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from typing import Any

from attrs import frozen

from tests.plugins.mlflow_support import artifacts
from toolkit import delivery
from toolkit import rundir
from toolkit.courier import Courier
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit_mlflow import store
from toolkit_mlflow.params import FILE_NAME
from toolkit_mlflow.runs import RUN_ID_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PICTURE = re.compile(r"(images/.+\+step\+-?\d+)\+timestamp\+\d+\+[\w-]+(\.png|\+compressed\.webp)")
# Said by every run: by MLflow's client of the script, by the toolkit of what it knows.
_SAID_ANYWAY = ("toolkit.", "mlflow.source.", "mlflow.user", "mlflow.git.", "experiment.")
_NAME, _PARENT = "mlflow.runName", "mlflow.parentRunId"


@frozen
class Store:
    """A database of MLflow in a folder."""

    folder: Path
    client: MlflowClient
    uri: str

    @classmethod
    def at(cls, folder: Path) -> Store:
        """The store of ``mlflow.db`` there."""
        address = store.resolve(None, str(folder), {})
        return cls(folder, store.connect(address), address.uri)

    def runs(self) -> list[Run]:
        """Every run, the oldest first."""
        experiments = [found.experiment_id for found in self.client.search_experiments()]
        order = ["attributes.start_time ASC"]
        return list(self.client.search_runs(experiments, order_by=order))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """These variables and no other of MLflow's or ours; the former ones afterwards."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "TOOLKIT_")):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def deliver(runs_dir: Path, into: Store) -> None:
    """Tell MLflow about all runs in the folder, as couriers do: parents come first."""
    with environment():
        for run in by_age(runs_dir):
            delivery.owe(run, "mlflow", {"tracking_uri": into.uri}, Redactor())
            Courier(run, "mlflow", Patience.from_environment({})).work()
            state = delivery.load(run, "mlflow")
            assert state.closed is not None, state
            assert not state.passed_over, state


def by_age(runs_dir: Path) -> list[RunDir]:
    """The toolkit's runs in the folder, the oldest first."""
    return sorted(rundir.all_runs(runs_dir), key=lambda run: run.info().created)


def end_all(mlflow: ModuleType) -> None:
    """End every active run."""
    while mlflow.active_run():
        mlflow.end_run()


def told_by_mlflow(into: Store, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The runs of these ids, in their order."""
    places = {run_id: place for place, run_id in enumerate(ids)}
    return [_comparable(into, into.client.get_run(run_id), places) for run_id in ids]


def told_by_us(into: Store, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The runs that were told for the toolkit's runs of these ids, in their order."""
    runs = {run.data.tags.get(RUN_ID_TAG): run for run in into.runs()}
    places = {runs[run_id].info.run_id: place for place, run_id in enumerate(ids)}
    return [_comparable(into, runs[run_id], places) for run_id in ids]


def _comparable(into: Store, run: Run, places: Mapping[str, int]) -> dict[str, Any]:
    run_id, tags = run.info.run_id, run.data.tags
    parent = tags.get(_PARENT)
    return {
        "status": run.info.status,
        "experiment": into.client.get_experiment(run.info.experiment_id).name,
        "parent": None if parent is None else places[parent],
        "params": dict(sorted(run.data.params.items())),
        "tags": {
            key: text
            for key, text in sorted(tags.items())
            if text and key not in {_NAME, _PARENT} and not key.startswith(_SAID_ANYWAY)
        },
        "latest": {key: repr(value) for key, value in sorted(run.data.metrics.items())},
        "history": {key: _history(into, run_id, key) for key in sorted(run.data.metrics)},
        "artifacts": _artifacts(into, run_id),
    }


def _history(into: Store, run_id: str, key: str) -> list[tuple[int, str, int]]:
    """Step, value and moment of each point; -1 where the script gave none."""
    began = into.client.get_run(run_id).info.start_time
    return sorted(
        (point.step, repr(point.value), point.timestamp if point.timestamp < began else -1)
        for point in into.client.get_metric_history(run_id, key)
    )


def _artifacts(into: Store, run_id: str) -> dict[str, list[Any]]:
    """Names and contents; those of a table as values, a preview's not at all."""
    found: dict[str, list[Any]] = {}
    for name, content in sorted(artifacts(into.client, run_id).items()):
        if name == FILE_NAME:  # which the plugin writes for every run with params
            continue
        picture = _PICTURE.fullmatch(name)
        plain = f"{picture[1]}{picture[2]}" if picture else name
        found.setdefault(plain, []).append(_content(name, content))
    return found


def _content(name: str, content: bytes) -> Any:
    if name.endswith("+compressed.webp"):
        return None
    if name.endswith(".json") and b'"columns"' in content:
        return json.loads(content)
    return content
