"""Where MLflow keeps things: its address, the settings of its client, a database's first use."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Iterator
from collections.abc import MutableMapping
from contextlib import chdir
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from urllib.parse import urlsplit

from attrs import frozen

from toolkit.errors import UsageError
from toolkit.locks import Lock
from toolkit.tracker import Unreachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    # The courier repeats calls, with its own pauses: here each is tried once, for a short time.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_FIRST_USE_SECONDS = 60.0
_POLL_SECONDS = 0.05


@frozen
class Address:
    """A tracking uri without credentials, and the file behind it when it is an SQLite database."""

    uri: str
    database: Path | None = None

    def page(self, experiment_id: str, run_id: str) -> str | None:
        """The run's page in MLflow's web interface, where a server shows one."""
        parts = urlsplit(self.uri)
        if parts.scheme not in {"http", "https"}:
            return None
        base = parts._replace(query="", fragment="").geturl().rstrip("/")
        return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"

    @property
    def view(self) -> str | None:
        """The command that shows a database's runs."""
        if self.database is None:
            return None
        return shlex.join(["mlflow", "ui", "--backend-store-uri", self.uri])


def configure(environ: MutableMapping[str, str]) -> None:
    """Set what the user has not: telemetry off, calls that don't block for minutes, a quiet log.

    MLflow reads these from the environment, telemetry while it is imported.
    """
    if "DO_NOT_TRACK" not in environ:
        environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name, value in _SETTINGS.items():
        environ.setdefault(name, value)


def resolve(option: str | None, directory: str, environ: MutableMapping[str, str]) -> Address:
    """The option, else MLFLOW_TRACKING_URI, else ``mlflow.db`` in the run's working folder.

    A relative SQLite path starts at that folder. User and password move from the address to
    MLFLOW_TRACKING_USERNAME and _PASSWORD, so that no message and no link shows them.

    Raises:
        UsageError: there is no address, and the working folder is not on this machine.
    """
    uri = option or environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        if not Path(directory).is_dir():
            raise UsageError(
                f"the run's working folder {directory} is not on this machine, so there is no "
                "mlflow.db to write to; set MLFLOW_TRACKING_URI or the option mlflow.tracking_uri"
            )
        database = Path(directory).absolute() / "mlflow.db"
        return Address(_sqlite_uri(database), database)
    if uri.startswith(("http://", "https://")):
        return Address(_without_credentials(uri, environ))
    if uri.startswith("sqlite"):
        return _database(uri, directory)
    return Address(uri)


def _without_credentials(uri: str, environ: MutableMapping[str, str]) -> str:
    parts = urlsplit(uri)
    if parts.username:
        environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _database(uri: str, directory: str) -> Address:
    from sqlalchemy.engine import make_url

    path = make_url(uri).database
    if not path or path == ":memory:":
        return Address(uri)
    database = Path(directory, path)
    query = uri.partition("?")[2]
    return Address(f"{_sqlite_uri(database)}?{query}" if query else _sqlite_uri(database), database)


def _sqlite_uri(database: Path) -> str:
    """The path as it is where that can be read back: MLflow doesn't decode it everywhere."""
    from sqlalchemy.engine import URL
    from sqlalchemy.engine import make_url

    uri = f"sqlite:///{database}"
    if make_url(uri).database == str(database):
        return uri
    return URL.create("sqlite", database=str(database)).render_as_string()


def connect(address: Address) -> MlflowClient:
    """A client of the store; a database that does not exist yet is made first.

    The first use of a database is one process's at a time. Artifacts of experiments made here lie
    in ``mlruns`` beside the database, whatever the working folder of this process.

    Raises:
        Unreachable: another process has been setting up the database for too long.
    """
    with _without_warnings():
        from mlflow import MlflowClient

        if address.database is None:
            return MlflowClient(tracking_uri=address.uri)
        address.database.parent.mkdir(parents=True, exist_ok=True)
        with _first_use(address.database), chdir(address.database.parent):
            if not address.database.exists():
                _create(address.database)
            return MlflowClient(tracking_uri=address.uri)


def _create(database: Path) -> None:
    """Make the database under another name, then put it in place.

    MLflow sets a database up in many steps over seconds. When a kill comes between them, no MLflow
    can open the file any more; so it gets its name only when it is whole.
    """
    from mlflow import MlflowClient

    unfinished = database.with_name(f".{database.name}.unfinished")
    for left in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
        left.unlink(missing_ok=True)
    MlflowClient(tracking_uri=_sqlite_uri(unfinished))
    if not database.exists():  # a program without this lock may have come first
        unfinished.rename(database)


@contextmanager
def _first_use(database: Path) -> Iterator[None]:
    path = database.with_name(f".{database.name}.lock")
    patient_until = time.monotonic() + _FIRST_USE_SECONDS
    while (lock := Lock.try_acquire(path)) is None:
        if time.monotonic() > patient_until:
            raise Unreachable(f"another process is setting up {database} and holds {path}")
        time.sleep(_POLL_SECONDS)
    with lock:
        yield


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep what MLflow's and SQLAlchemy's authors tell each other out of the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
