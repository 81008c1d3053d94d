"""Errors that mean "try again later", told from those that will come again."""

from __future__ import annotations

import http.server
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.mlflow_support import run_info
from toolkit.tracker import Unreachable
from toolkit_mlflow.reach import reaching
from toolkit_mlflow.tracker import MlflowTracker

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class _Answer(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server of statuses."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_unwell_is_tried_again(server: str, status: int) -> None:
    """Overload and errors of the server's own pass."""
    import requests

    with pytest.raises(Unreachable, match=str(status)), reaching():
        requests.get(f"{server}/{status}", timeout=10).raise_for_status()


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refusal_is_not_tried_again(server: str, status: int) -> None:
    """What the server refuses once it refuses again."""
    import requests

    with pytest.raises(requests.HTTPError, match=str(status)), reaching():
        requests.get(f"{server}/{status}", timeout=10).raise_for_status()


def test_nobody_listening_is_unreachable(server: str) -> None:
    """MLflow wraps the refused connection in an error of its own without naming the cause."""
    import requests
    from mlflow.exceptions import MlflowException

    def call() -> None:
        try:
            requests.get("http://127.0.0.1:9", timeout=10)
        except requests.ConnectionError:
            raise MlflowException("wrapped")  # noqa: B904 - as MLflow does

    with pytest.raises(Unreachable, match="wrapped"), reaching():
        call()


def test_a_server_that_hangs_is_unreachable_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call waits as long as MLFLOW_HTTP_REQUEST_TIMEOUT says, once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = MlflowTracker(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unreachable, match="timeout"):
            tracker.open(run_info(tmp_path), None)


def test_a_locked_database_is_unreachable(tmp_path: Path) -> None:
    """Somebody else's long transaction ends."""
    import sqlalchemy

    path = tmp_path / "x.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unreachable, match="locked"), reaching(), engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    holder.close()


def test_mlflows_own_refusals_pass_through() -> None:
    """An invalid value is the event's fault; a database that is busy isn't."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    with pytest.raises(MlflowException, match="no"), reaching():
        raise MlflowException("no", INVALID_PARAMETER_VALUE)
    with pytest.raises(Unreachable, match="busy"), reaching():
        raise MlflowException("busy", TEMPORARILY_UNAVAILABLE)
    with pytest.raises(ValueError, match="bug"), reaching():
        raise ValueError("bug")
