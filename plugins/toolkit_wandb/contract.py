"""How this plugin is checked: offline, read back from the ``.wandb`` file that it leaves."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

from toolkit.tables import Rows
from toolkit.testing import Bins
from toolkit.testing import Item
from toolkit.testing import Matrix
from toolkit.testing import Point
from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.tracker import Link
from toolkit_wandb import reading
from toolkit_wandb.reading import Told
from toolkit_wandb.tracker import EXIT_CODES
from toolkit_wandb.tracker import STEP_KEY
from toolkit_wandb.tracker import WandbTracker

_PREFIX = "WANDB_"
_KIND = "._type"
_MATRIX_SUFFIX = "_table"


class WandbContract(TrackerContract):
    """W&B offline, whatever settings and keys the user has."""

    own_variables = (_PREFIX,)

    def setup_method(self) -> None:
        """Hide the user's settings."""
        super().setup_method()
        self._undo = contextlib.ExitStack()
        self._undo.enter_context(_without_settings(self.folder / "settings"))

    def teardown_method(self) -> None:
        """Bring the user's settings back."""
        self._undo.close()
        super().teardown_method()

    def make_tracker(self, folder: Path) -> WandbTracker:
        """A tracker that keeps its runs in the folder."""
        return WandbTracker(mode="offline", dir=str(folder))

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """What the run's file says."""
        return _recorded(reading.read(Path(link.state["folder"])))

    def away(self, folder: Path) -> contextlib.AbstractContextManager[None]:
        """It is always there."""
        raise SkipTest("W&B offline has no server that could be away")


@contextlib.contextmanager
def _without_settings(nowhere: Path) -> Iterator[None]:
    """Hide WANDB_* variables, wandb's settings files and stored keys."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(_PREFIX)]:
        del os.environ[name]
    os.environ |= {"WANDB_CONFIG_DIR": str(nowhere), "NETRC": str(nowhere / "netrc")}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _recorded(told: Told) -> Recorded:
    ours = told.config.get("toolkit", {})
    artifacts = list(_artifacts(told))
    files = {path: content for kind, path, content, _ in artifacts if kind != "text"}
    return Recorded(
        project=told.run.project if told.run else None,
        name=told.run.display_name if told.run else None,
        group=told.run.run_group if told.run else None,
        notes=told.run.notes if told.run else None,
        labels=list(told.run.tags) if told.run else None,
        parent=ours.get("parent"),
        status=_status(told),
        params=told.config,
        metrics=_metrics(told),
        tags=ours.get("tags", {}),
        summary=told.summary,
        texts={path: text.decode() for kind, path, text, _ in artifacts if kind == "text"},
        tables=_by_name(_tables(told)),
        images=_by_name(_images(told)),
        figures=_by_name(_images(told)),
        histograms=_by_name(_histograms(told)),
        matrices=_by_name(_matrices(told)),
        artifacts=files,
        aliases={_top(path, artifact): artifact.aliases for _, path, _, artifact in artifacts},
        console="\n".join(told.console),
    )


def _status(told: Told) -> str:
    statuses = {code: status for status, code in EXIT_CODES.items()}
    return statuses[told.exit_codes[-1]] if told.exit_codes else "RUNNING"


def _metrics(told: Told) -> dict[str, list[Point]]:
    """Every number that is neither one of wandb's own columns nor a part of something else."""
    found: dict[str, list[Point]] = {}
    for row in told.rows:
        for key, value in row.items():
            is_own = key.startswith("_") or key == STEP_KEY
            if not is_own and isinstance(value, int | float) and not isinstance(value, bool):
                point = Point(row.get(STEP_KEY), value, row["_timestamp"])
                found.setdefault(key, []).append(point)
    return found


def _values(told: Told, kind: str) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Key, step and fields of every value of this kind."""
    for row in told.rows:
        for key in [key.removesuffix(_KIND) for key in row if key.endswith(_KIND)]:
            fields = {k[len(key) + 1 :]: v for k, v in row.items() if k.startswith(f"{key}.")}
            if fields["_type"] == kind:
                yield key, row.get(STEP_KEY), fields


def _content(told: Told, value: dict[str, Any]) -> bytes:
    return Path(told.folder, "files", value["path"]).read_bytes()


def _images(told: Told) -> Iterator[tuple[str, Item[bytes]]]:
    for key, step, value in _values(told, "image-file"):
        yield key, Item(_content(told, value), step)


def _histograms(told: Told) -> Iterator[tuple[str, Item[Bins]]]:
    for key, step, value in _values(told, "histogram"):
        yield key, Item(Bins(value["bins"], value["values"]), step)


def _tables(told: Told) -> Iterator[tuple[str, Item[Rows]]]:
    for key, step, value in _values(told, "table-file"):
        said = json.loads(_content(told, value))
        yield key, Item(Rows(said["columns"], said["data"]), step)


def _matrices(told: Told) -> Iterator[tuple[str, Item[Matrix]]]:
    """W&B's own charts of confusion matrices, from the tables behind them."""
    for key, table in _tables(told):
        name = key.removesuffix(_MATRIX_SUFFIX)
        if name != key:
            labels = list(dict.fromkeys(row[0] for row in table.content.data))
            counts = {(row[0], row[1]): row[2] for row in table.content.data}
            square = [[counts[actual, taken] for taken in labels] for actual in labels]
            yield name, Item(Matrix(labels, square), table.step)


def _artifacts(told: Told) -> Iterator[tuple[str, str, bytes, Any]]:
    """Kind, path, content and record of every file of an artifact."""
    for artifact in told.artifacts:
        place = json.loads(artifact.metadata or "{}").get("path")
        if place is None:  # wandb's own, behind a table
            continue
        names = [entry.path for entry in artifact.manifest.contents]
        is_single = names == [place.rpartition("/")[2]]
        for entry in artifact.manifest.contents:
            path = place if is_single else f"{place}/{entry.path}"
            yield artifact.type, path, Path(entry.local_path).read_bytes(), artifact


def _top(path: str, artifact: Any) -> str:
    """The file's path, or that of the artifact where it has several files."""
    place: str = json.loads(artifact.metadata)["path"]
    return path if len(artifact.manifest.contents) == 1 else place


def _by_name(items: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, item in items:
        found.setdefault(name, []).append(item)
    return found
