"""How this plugin is checked: on an SQLite database, read back with MLflow's own client."""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from toolkit.tables import Rows
from toolkit.testing import Bins
from toolkit.testing import Item
from toolkit.testing import Matrix
from toolkit.testing import Point
from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.testing.limits import listening
from toolkit.tracker import Link
from toolkit_mlflow import store
from toolkit_mlflow.console import part_name
from toolkit_mlflow.keys import ORIGINAL_PREFIX
from toolkit_mlflow.media import CORNER
from toolkit_mlflow.media import TABLES_TAG
from toolkit_mlflow.params import CHANGED_PREFIX
from toolkit_mlflow.params import MAX_VALUE_LENGTH
from toolkit_mlflow.runs import NOTE_TAG
from toolkit_mlflow.runs import PARENT_TAG
from toolkit_mlflow.tracker import MlflowTracker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_DATABASE = "mlflow.db"
_IMAGE = re.compile(
    r"images/(?P<key>.+)\+step\+(?P<step>-?\d+)\+timestamp\+\d+\+\w+\.png", re.DOTALL
)
_STEPPED = re.compile(r"(?P<stem>.+)/step-(?P<step>-?\d+)(?P<suffix>\.\w+)", re.DOTALL)
_SUMMARY_PREFIX = "summary."
_ALIAS_PREFIX = "toolkit.alias."


class MlflowContract(TrackerContract):
    """MLflow as it is used on one machine.

    Each store starts as a copy of one empty database: making one takes MLflow seconds.
    """

    keeps_infinities = "MLflow stores the largest number that there is for an infinity"
    keeps_missing_steps = "MLflow has no metric without a step: it shows step 0"
    longest_param = MAX_VALUE_LENGTH
    own_variables = ("MLFLOW_",)

    empty_database: ClassVar[Path | None] = None
    """A database that has just been made; None has one made for this contract."""

    def make_tracker(self, folder: Path) -> MlflowTracker:
        """A tracker that writes to the folder's own database."""
        if not (folder / _DATABASE).exists():
            shutil.copy(self.empty_database or self._made_database(), folder / _DATABASE)
        return MlflowTracker(tracking_uri=_uri(folder))

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """What MLflow's client says of the run."""
        from mlflow import MlflowClient

        return _recorded(MlflowClient(tracking_uri=_uri(folder)), link.id)

    @contextlib.contextmanager
    def away(self, folder: Path) -> Iterator[None]:
        """SQLite can't open its journal, as on a disk that has failed.

        Locking the database would do as well, but MLflow waits 20 seconds for that.
        """
        journal = folder / f"{_DATABASE}-journal"
        journal.mkdir()
        try:
            yield
        finally:
            journal.rmdir()

    def _made_database(self) -> Path:
        cls = type(self)
        folder = Path(tempfile.mkdtemp(prefix="toolkit-contract-"))
        with listening():  # MLflow says that it makes tables
            store.connect(store.resolve(None, str(folder), {}))
        cls.empty_database, cls._own_folder = folder / _DATABASE, folder
        return cls.empty_database

    _own_folder: ClassVar[Path | None] = None

    @classmethod
    def teardown_class(cls) -> None:
        """Remove the empty database, if it was made for this contract."""
        super().teardown_class()
        if cls._own_folder is not None:
            shutil.rmtree(cls._own_folder)
            cls.empty_database = cls._own_folder = None


def _uri(folder: Path) -> str:
    return f"sqlite:///{folder / _DATABASE}"


def _recorded(client: MlflowClient, run_id: str) -> Recorded:
    run = client.get_run(run_id)
    tags: dict[str, str] = run.data.tags
    names = _Names(tags)
    files = {names[path]: content for path, content in _files(client, run_id).items()}
    tables = list(_tables(files, json.loads(tags.get(TABLES_TAG, "[]"))))
    return Recorded(
        project=client.get_experiment(run.info.experiment_id).name,
        name=run.info.run_name,
        group=tags.get("toolkit.group"),
        notes=tags.get(NOTE_TAG),
        labels=tags.get("toolkit.tags", "").split(","),
        parent=tags.get(PARENT_TAG),
        status=run.info.status,
        params=_params(run, names),
        metrics={names[key]: _points(client, run_id, key) for key in run.data.metrics},
        tags={names[key]: value for key, value in tags.items()},
        summary=_summary(run, names),
        texts={k: v.decode() for k, v in files.items() if k.endswith(".txt")},
        tables=_by_name((n, Item(t, s)) for n, s, t in tables if t.columns[0] != CORNER),
        images=_images(files, names),
        figures=_by_name((n, Item(files[p], s)) for n, s, p in _series(files)),
        histograms=_by_name(_histograms(files)),
        matrices=_by_name((n, Item(_matrix(t), s)) for n, s, t in tables if t.columns[0] == CORNER),
        artifacts=files,
        aliases=_aliases(tags),
        console=files.get(part_name(0), b"").decode(),
    )


class _Names(dict[str, str]):
    """What the original of a mapped name was; a name that was not mapped is its own."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        originals = (key for key in tags if key.startswith(ORIGINAL_PREFIX))
        super().__init__({key.removeprefix(ORIGINAL_PREFIX): tags[key] for key in originals})

    def __missing__(self, name: str) -> str:
        return name


def _points(client: MlflowClient, run_id: str, key: str) -> list[Point]:
    history = client.get_metric_history(run_id, key)
    return [Point(one.step, one.value, one.timestamp / 1000) for one in history]


def _params(run: Run, names: _Names) -> dict[str, str]:
    """The first values, and over them the latest of those that have changed."""
    changed = {
        key.removeprefix(CHANGED_PREFIX): value
        for key, value in run.data.tags.items()
        if key.startswith(CHANGED_PREFIX)
    }
    return {names[key]: value for key, value in {**run.data.params, **changed}.items()}


def _summary(run: Run, names: _Names) -> dict[str, Any]:
    texts = {names[key]: value for key, value in run.data.tags.items()}
    return {
        **{names[key]: value for key, value in run.data.metrics.items()},
        **{
            key.removeprefix(_SUMMARY_PREFIX): value
            for key, value in texts.items()
            if key.startswith(_SUMMARY_PREFIX)
        },
    }


def _aliases(tags: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, path in tags.items():
        if key.startswith(_ALIAS_PREFIX):
            found.setdefault(path, []).append(key.rpartition(".")[2])
    return found


def _files(client: MlflowClient, run_id: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        if not client.list_artifacts(run_id):
            return {}
        root = Path(client.download_artifacts(run_id, "", folder))
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _series(paths: Mapping[str, object]) -> Iterator[tuple[str, int | None, str]]:
    """Name with suffix, step and path: of files without steps, and of each step's file."""
    stepped = [match for match in map(_STEPPED.fullmatch, sorted(paths)) if match]
    have_steps = {f"{match['stem']}{match['suffix']}" for match in stepped}
    for match in stepped:
        yield f"{match['stem']}{match['suffix']}", int(match["step"]), match[0]
    for path in paths:
        if path not in have_steps:
            yield path, None, path


def _tables(
    files: Mapping[str, bytes], listed: list[dict[str, str]]
) -> Iterator[tuple[str, int | None, Rows]]:
    latest = {entry["path"] for entry in listed}
    for name, step, path in _series(files):
        if name in latest:
            content = json.loads(files[path])
            yield posixpath.splitext(name)[0], step, Rows(content["columns"], content["data"])


def _matrix(table: Rows) -> Matrix:
    return Matrix(table.columns[1:], [row[1:] for row in table.data])


def _histograms(files: Mapping[str, bytes]) -> Iterator[tuple[str, Item[Bins]]]:
    for name, step, path in _series(files):
        if name.startswith("histograms/"):
            said = json.loads(files[path])
            key = posixpath.splitext(name.removeprefix("histograms/"))[0]
            yield key, Item(Bins(said["edges"], said["counts"]), step)


def _images(files: Mapping[str, bytes], names: _Names) -> dict[str, list[Item[bytes]]]:
    found = (match for match in map(_IMAGE.fullmatch, sorted(files)) if match)
    ordered = sorted(found, key=lambda match: int(match["step"]))
    return _by_name(
        (names[match["key"].replace("~", "/")], Item(files[match[0]], int(match["step"])))
        for match in ordered
    )


def _by_name(items: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, item in items:
        found.setdefault(name, []).append(item)
    return found
