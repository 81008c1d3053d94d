"""Fixtures of the MLflow plugin's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugins.mlflow_server import Server
from toolkit_mlflow import store

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes seconds; tests start from copies."""
    folder = tmp_path_factory.mktemp("empty")
    store.connect(store.resolve(None, str(folder), {}))
    return folder / "mlflow.db"


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command's working folder with an empty MLflow database, where MLflow looks by default."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    """Reads what the folder's database holds.

    MLflow keeps one store for each address in a process, with the place of artifacts that its first
    user gave it; so this is the plugin's.
    """
    return store.connect(store.resolve(None, str(folder), {}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """A running server with an empty database."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    running = Server(folder)
    running.start()
    yield running
    running.stop()
