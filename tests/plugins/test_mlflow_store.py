"""Where MLflow keeps things, and the first use of a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolkit.errors import UsageError
from toolkit_mlflow import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STARTS = """
import os
import sys

from tests.plugins.mlflow_support import run_info
from toolkit.events import Ended, Metrics
from toolkit_mlflow.tracker import MlflowTracker; from toolkit_mlflow import store


def tell(number):
    tracker = MlflowTracker()
    tracker.open(run_info(sys.argv[1], id=f"run-{number}"), None)
    tracker.write([Metrics(time=1.0, step=1, values={"loss": float(number)})])
    tracker.close(Ended(time=2.0, status="FINISHED"))


store.configure(os.environ)
import mlflow.store.tracking.sqlalchemy_store  # seconds; forked after it, all start at once

children = []
for number in range(int(sys.argv[2])):
    children.append(os.fork())
    if children[-1] == 0:
        tell(number)
        os._exit(0)
statuses = [os.waitpid(child, 0)[1] for child in children]
sys.exit(1 if any(statuses) else 0)
"""


def start(folder: Path, processes: int) -> subprocess.Popen[str]:
    """Tell runs to the database in the folder, each from a process of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STARTS, str(folder), str(processes)],
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_telemetry_is_off_unless_the_user_decides() -> None:
    """MLflow reads MLFLOW_DISABLE_TELEMETRY and DO_NOT_TRACK; either from the user stays."""
    nothing: dict[str, str] = {}
    wanted = {"MLFLOW_DISABLE_TELEMETRY": "false"}
    other = {"DO_NOT_TRACK": "false"}
    for environ in (nothing, wanted, other):
        store.configure(environ)
    assert nothing["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert wanted["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert "MLFLOW_DISABLE_TELEMETRY" not in other


def test_settings_of_the_user_stay() -> None:
    """Only what the user has not set is set."""
    environ = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "300"}
    store.configure(environ)
    assert environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "300"
    assert environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_the_option_comes_before_the_environment_and_this_before_the_default(
    tmp_path: Path,
) -> None:
    """Option > MLFLOW_TRACKING_URI > mlflow.db in the run's working folder."""
    environ = {"MLFLOW_TRACKING_URI": "http://server:5000"}
    here = str(tmp_path)
    assert store.resolve("https://other", here, environ).uri == "https://other"
    assert store.resolve(None, here, environ).uri == "http://server:5000"
    assert store.resolve(None, here, {}).uri == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("name", ["plain", "with space", "müll", "50%", "what?", "a#b"])
def test_a_relative_database_lies_in_the_working_folder(tmp_path: Path, name: str) -> None:
    """Whatever the folder is called, the address leads to the file in it."""
    from sqlalchemy.engine import make_url

    folder = tmp_path / name
    folder.mkdir()
    address = store.resolve("sqlite:///x.db?timeout=5", str(folder), {})
    assert address.database == folder / "x.db"
    assert make_url(address.uri).database == str(folder / "x.db")
    assert make_url(address.uri).query == {"timeout": "5"}


def test_no_working_folder_and_no_address_is_refused(tmp_path: Path) -> None:
    """The message names the folder and the two ways to give an address."""
    gone = tmp_path / "gone"
    with pytest.raises(UsageError, match=r"gone.*MLFLOW_TRACKING_URI.*mlflow\.tracking_uri"):
        store.resolve(None, str(gone), {})


def test_credentials_leave_the_address() -> None:
    """User and password of an address are handed to MLflow apart from it, so nothing shows them."""
    environ: dict[str, str] = {}
    address = store.resolve("https://ann:p%40ss@host:8080/mlflow/", "/", environ)
    assert address.uri == "https://host:8080/mlflow/"
    assert address.page("7", "abc") == "https://host:8080/mlflow/#/experiments/7/runs/abc"
    assert environ == {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "p@ss"}


def test_a_database_says_how_to_look_at_it(tmp_path: Path) -> None:
    """A database has no page, but a command that shows it."""
    address = store.resolve(None, str(tmp_path), {})
    assert address.page("1", "abc") is None
    assert address.view == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db"


def test_eight_processes_start_at_once_on_no_database(tmp_path: Path) -> None:
    """All succeed, in one experiment; nothing of the making is left but the lock."""
    from mlflow import MlflowClient

    process = start(tmp_path, 8)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("receipts")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["toolkit.run_id"] for run in found} == {f"run-{n}" for n in range(8)}
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sorted(run.data.metrics["loss"] for run in found) == list(range(8))
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_a_kill_while_the_database_is_made_breaks_nothing(tmp_path: Path) -> None:
    """What a killed process left half made is not taken for a database by the next one."""
    unfinished = tmp_path / ".mlflow.db.unfinished"
    process = start(tmp_path, 1)
    patient_until = time.monotonic() + 100
    while not (unfinished.exists() and unfinished.stat().st_size > 200_000):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < patient_until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    client = store.connect(store.resolve(None, str(tmp_path), {}))
    assert client.get_experiment_by_name("Default") is not None
    assert not unfinished.exists()


def test_artifacts_lie_beside_the_database(empty_database: Path) -> None:
    """MLflow's own layout, wherever this process was started."""
    client = store.connect(store.resolve(None, str(empty_database.parent), {}))
    default = client.get_experiment_by_name("Default")
    assert default is not None
    assert default.artifact_location == str(empty_database.parent / "mlruns" / "0")
    assert Path.cwd() != empty_database.parent
