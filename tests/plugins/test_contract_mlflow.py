"""The MLflow plugin keeps the contract, on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit_mlflow.contract import MlflowContract


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestMlflow(MlflowContract):
    """Every rule."""

    @pytest.fixture(autouse=True, scope="class")
    def _database(self, request: pytest.FixtureRequest, empty_database: Path) -> None:
        """The empty database that other tests use, too."""
        request.cls.empty_database = empty_database
