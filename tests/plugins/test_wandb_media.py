"""Pictures, tables and texts as WandbTracker writes them offline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import wandb_reader
from tests.plugins.media_events import COUNTS
from tests.plugins.media_events import LABELS
from tests.plugins.media_events import Made
from tests.plugins.media_events import png
from tests.plugins.wandb_environment import without_settings
from tests.plugins.wandb_reader import Told
from toolkit.events import ConfusionMatrix
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit_wandb.media import MATRIX_COLUMNS
from toolkit_wandb.media import table_name
from toolkit_wandb.tracker import WandbTracker
from toolkit_wandb.tracker import artifact_name

START = 1.7e9


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


def tell(folder: Path, events: list[Event]) -> Told:
    """Tell the events and read back the only folder there is."""
    tracker = WandbTracker(mode="offline")
    host = Host("node-1", "boot-1")
    tracker.open(RunInfo("run-1", START, host, ("python", "t.py"), str(folder)), None)
    tracker.write(events)
    tracker.close(Ended(START + 99, "FINISHED"))
    (only,) = wandb_reader.folders(folder / "wandb")
    return wandb_reader.read(only)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A run of all kinds of media between metrics; the files it was told of are gone."""
    folder = tmp_path_factory.mktemp("told")
    made = Made(folder / "run", START)
    loss = [Metrics(START + n, {"loss": 1.0}, n) for n in range(2)]
    found = tell(folder, [loss[0], *made.one_of_each(), loss[1]])
    shutil.rmtree(folder / "run")
    return found


def rows(told: Told, key: str) -> list[dict[str, Any]]:
    """What each row says under this key: wandb writes the fields of a value one by one."""
    own = [
        {name[len(key) + 1 :]: value for name, value in row.items() if name.startswith(f"{key}.")}
        for row in told.rows
    ]
    return [value for value in own if value]


def content(told: Told, value: dict[str, Any]) -> bytes:
    """The file that a value of a row stands for."""
    return Path(told.folder, "files", value["path"]).read_bytes()


def table(told: Told, value: dict[str, Any]) -> dict[str, Any]:
    """The table that a value of a row stands for."""
    assert value["_type"] == "table-file"
    found: dict[str, Any] = json.loads(content(told, value))
    return found


def test_every_event_is_one_row_with_its_step_and_time(told: Told) -> None:
    """In the journal's order, on the same axis as metrics."""
    assert [row["_step"] for row in told.rows] == list(range(len(told.rows)))
    seconds = [round(row["_timestamp"] - START) for row in told.rows]
    assert seconds == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 1]
    assert [step for step, _ in told.points("val/pages._type")] == [0, 10]
    assert [step for step, _ in told.points("grad/w._type")] == [10, None]
    assert [step for step, _ in told.points("loss")] == [0, 1]


def test_images(told: Told) -> None:
    """Byte for byte, with caption and size."""
    first, second = rows(told, "val/pages")
    assert (first["_type"], first["caption"], first["format"]) == ("image-file", "c", "png")
    assert (second["width"], second["height"]) == (800, 200)
    assert [content(told, value) for value in (first, second)] == [png(0), png(100)]


def test_tables(told: Told) -> None:
    """Under their names; NaN is NaN."""
    (value,) = rows(told, "test/classes")
    found = table(told, value)
    assert found["columns"] == ["Class", "F1"]
    assert repr(found["data"]) == "[['a', 0.5], ['b', nan]]"
    shown = [table(told, value)["data"] for value in rows(told, "val/examples")]
    assert shown == [[[0], [0]], [[1], [1]]]


def test_the_confusion_matrix_is_wandbs_own_chart(told: Told) -> None:
    """Its numbers are a table, its definition is in the config where wandb itself puts it."""
    (value,) = rows(told, "test/confusion_matrix_table")
    found = table(told, value)
    assert found["columns"] == list(MATRIX_COLUMNS)
    assert found["data"] == [
        [actual, predicted, COUNTS[i][j]]
        for i, actual in enumerate(LABELS)
        for j, predicted in enumerate(LABELS)
    ]
    chart = told.config["_wandb.visualize.test/confusion_matrix"]
    assert chart["panel_config"]["panelDefId"] == "wandb/confusion_matrix/v1"


def test_histograms(told: Told) -> None:
    """Edges and counts, and how many values were not finite."""
    expected = {"_type": "histogram", "values": [1.0, 2.0], "bins": [0.0, 0.5, 1.0]}
    assert rows(told, "grad/w") == [expected, expected]
    assert told.points("grad/w/not_finite") == [(10, 1), (None, 1)]


def test_figures_by_their_suffix(told: Told) -> None:
    """Pictures are images, pages and drawings are HTML, anything else is an artifact."""
    (picture,) = rows(told, "plots/a.png")
    assert content(told, picture) == png(7)
    (drawing,) = rows(told, "plots/a.svg")
    assert drawing["_type"] == "html-file"
    assert b"<svg" in content(told, drawing)
    (page,) = rows(told, "plots/a.html")
    assert "é" in content(told, page).decode()
    assert rows(told, "plots/a.pdf") == []
    (kept,) = [artifact for artifact in told.artifacts if artifact.type == "figure"]
    assert kept.name == artifact_name("plots/a.pdf")


def test_texts_are_shown_and_kept(told: Told) -> None:
    """As HTML that shows them as they are, and as an artifact with the bytes."""
    (value,) = rows(told, "reports/a.txt")
    assert "<pre>é &lt;b&gt;\n</pre>" in content(told, value).decode()
    (kept,) = [artifact for artifact in told.artifacts if artifact.type == "text"]
    (entry,) = kept.manifest.contents
    assert (kept.name, entry.path) == (artifact_name("reports/a.txt"), "a.txt")
    assert Path(entry.local_path).read_bytes() == "é <b>\n".encode()


def test_tables_are_whole_inside_the_runs_folder(told: Told) -> None:
    """Wandb keeps each as an artifact as well; a copy of the folder has it."""
    kept = [artifact for artifact in told.artifacts if artifact.type == "run_table"]
    assert len(kept) == 5
    for artifact in kept:
        for entry in artifact.manifest.contents:
            assert Path(entry.local_path).is_relative_to(told.folder)
            assert Path(entry.local_path).exists()


def test_large_confusion_matrices_leave_out_zeros(tmp_path: Path) -> None:
    """W&B takes 10,000 rows of a table and drops the rest."""
    size = 150
    labels = tuple(map(str, range(size)))
    counts = tuple(tuple(int(i == j) for j in range(size)) for i in range(size))
    found = tell(tmp_path, [ConfusionMatrix(START, "m", labels, counts)])
    (value,) = rows(found, "m_table")
    assert table(found, value)["data"] == [[label, label, 1] for label in labels]


def test_an_event_whose_file_is_gone_repeats_no_other(tmp_path: Path) -> None:
    """A batch that failed comes again in parts; what had been told of it is not told twice."""
    made = Made(tmp_path / "run", START)
    batch: list[Event] = made.one_of_each()
    gone = made.image(20, "gone", 77)
    Path(gone.path).unlink()
    tracker = WandbTracker(mode="offline")
    host = Host("node-1", "boot-1")
    tracker.open(RunInfo("run-1", START, host, ("python", "t.py"), str(tmp_path)), None)
    with pytest.raises(OSError, match=r"i\.png"):
        tracker.write([*batch, gone])
    tracker.write(batch)
    tracker.close(Ended(START + 99, "FINISHED"))
    (only,) = wandb_reader.folders(tmp_path / "wandb")
    assert len(wandb_reader.read(only).rows) == 14


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a", "a"), ("a.json", "a"), ("a/b.parquet", "a/b"), ("v1.5", "v1.5"), (".json", ".json")],
)
def test_names_of_tables(name: str, shown: str) -> None:
    """The suffix that MLflow wants is not part of the name in W&B."""
    assert table_name(name) == shown
