"""`toolkit.fluent` beside the installed MLflow: the same names, the same stores."""

from __future__ import annotations

import inspect
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pytest
from attrs import frozen
from hypothesis import HealthCheck
from hypothesis import Phase
from hypothesis import given
from hypothesis import settings

from tests.plugins import fluent_calls
from tests.plugins import fluent_stores
from tests.plugins.fluent_calls import Call
from tests.plugins.fluent_stores import Store
from tests.waiting import LIMIT
from toolkit import fluent
from toolkit.mlflow_api.exceptions import NotCoveredError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SCRIPTS = Path(__file__).parent / "mlflow_scripts"
COVERED = [name for name in fluent.__all__ if inspect.isfunction(getattr(fluent, name))]
PUBLIC = sorted(name for name in {*dir(mlflow), *mlflow.__all__} if not name.startswith("_"))


@frozen
class Sides:
    """A store that MLflow tells, one that is told for the toolkit, and a folder of files."""

    theirs: Store
    ours: Store
    files: Path

    def by_mlflow(self, work: Callable[[ModuleType], Any]) -> Any:
        """Do it with MLflow."""
        with fluent_stores.environment(MLFLOW_TRACKING_URI=self.theirs.uri):
            mlflow.set_tracking_uri(self.theirs.uri)
            try:
                return work(mlflow)
            finally:
                fluent_stores.end_all(mlflow)

    def by_us(self, runs_dir: Path, work: Callable[[ModuleType], Any]) -> Any:
        """Do it with the toolkit; afterwards everything has been delivered."""
        variables = {"TOOLKIT_RUNS_DIR": str(runs_dir), "TOOLKIT_BACKEND": "none"}
        with fluent_stores.environment(**variables):
            try:
                return work(fluent)
            finally:
                fluent_stores.end_all(fluent)
                fluent_stores.deliver(runs_dir, self.ours)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Sides]:
    """Both stores, and the files that are logged."""
    top = tmp_path_factory.mktemp("fluent")
    files = top / "files"
    (files / "folder" / "below").mkdir(parents=True)
    (files / "empty").mkdir()
    (files / "one.bin").write_bytes(bytes(range(256)))
    (files / "folder" / "a.txt").write_text("a\n")
    (files / "folder" / "below" / "b.txt").write_text("é\n")
    for name in ("theirs", "ours"):
        (top / name).mkdir()
        shutil.copy(empty_database, top / name / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        yield Sides(Store.at(top / "theirs"), Store.at(top / "ours"), files)
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # as nothing was set


@pytest.mark.parametrize("name", COVERED)
def test_signatures_are_mlflows(name: str) -> None:
    """Names, kinds and defaults of parameters, function by function."""

    def parameters(module: ModuleType) -> list[tuple[Any, ...]]:
        found = inspect.signature(getattr(module, name)).parameters.values()
        return [(one.name, one.kind, one.default) for one in found]

    assert parameters(fluent) == parameters(mlflow)


def test_other_names_are_refused_by_name() -> None:
    """Every public name of MLflow that is not covered says so when it is asked for."""
    for name in set(PUBLIC) - set(fluent.__all__):
        with pytest.raises(NotCoveredError, match=rf"mlflow\.{name} is not covered by toolkit\.fl"):
            getattr(fluent, name)


def test_every_name_is_one_of_mlflows() -> None:
    """Nothing is offered that a script could not have from MLflow."""
    assert set(fluent.__all__) <= {*PUBLIC}


@settings(
    max_examples=3,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(calls=fluent_calls.sequences(30, 40))
def test_random_calls_give_equal_stores(
    sides: Sides, calls: list[Call], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same calls raise, the same values come back, and MLflow holds the same afterwards."""

    def played(module: ModuleType) -> fluent_calls.Played:
        module.set_experiment("random")
        return fluent_calls.play(module, calls, sides.files)

    theirs = sides.by_mlflow(played)
    ours = sides.by_us(tmp_path_factory.mktemp("runs"), played)
    assert list(zip(calls, ours.outcomes, strict=True)) == list(
        zip(calls, theirs.outcomes, strict=True)
    )
    assert fluent_stores.told_by_us(sides.ours, ours.ids) == fluent_stores.told_by_mlflow(
        sides.theirs, theirs.ids
    )


@pytest.mark.parametrize("name", ["sklearn_loop", "nested_sweep"])
def test_a_script_gives_equal_stores(sides: Sides, tmp_path: Path, name: str) -> None:
    """Once as it is, and once with its import line changed."""
    before = {run.info.run_id for run in sides.theirs.runs()}
    sides.by_mlflow(lambda _: runpy.run_path(str(SCRIPTS / f"{name}.py")))
    theirs = [run.info.run_id for run in sides.theirs.runs() if run.info.run_id not in before]
    changed = with_our_import(name, tmp_path)
    sides.by_us(tmp_path / "runs", lambda _: runpy.run_path(str(changed)))
    ours = [run.path.name for run in fluent_stores.by_age(tmp_path / "runs")]
    assert len(ours) == len(theirs) > 0
    assert fluent_stores.told_by_us(sides.ours, ours) == fluent_stores.told_by_mlflow(
        sides.theirs, theirs
    )


def test_only_the_import_line_changes(sides: Sides, tmp_path: Path, empty_database: Path) -> None:
    """Nothing else set, a script's runs are in mlflow.db of its folder when it ends."""
    before = {run.info.run_id for run in sides.theirs.runs()}
    sides.by_mlflow(lambda _: runpy.run_path(str(SCRIPTS / "tracking_example.py")))
    theirs = [run.info.run_id for run in sides.theirs.runs() if run.info.run_id not in before]
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with fluent_stores.environment():
        environ = dict(os.environ)
    done = subprocess.run(
        [sys.executable, str(with_our_import("tracking_example", tmp_path))],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = [run.path.name for run in fluent_stores.by_age(tmp_path / "runs")]
    assert fluent_stores.told_by_us(Store.at(tmp_path), ours) == fluent_stores.told_by_mlflow(
        sides.theirs, theirs
    )


def with_our_import(name: str, folder: Path) -> Path:
    """The script as a file in the folder, with one line changed."""
    text = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\nimport mlflow\n") == 1
    changed = folder / f"{name}.py"
    changed.write_text(text.replace("\nimport mlflow\n", "\nimport toolkit.fluent as mlflow\n"))
    return changed
