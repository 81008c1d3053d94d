"""Pictures, tables and texts as MLflow keeps them; told twice, they read the same."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from tests.plugins.media_events import COUNTS
from tests.plugins.media_events import LABELS
from tests.plugins.media_events import Made
from tests.plugins.media_events import png
from tests.plugins.mlflow_server import Server
from tests.plugins.mlflow_support import CREATED
from tests.plugins.mlflow_support import everything
from tests.plugins.mlflow_support import run_info
from toolkit.events import ConfusionMatrix
from toolkit.events import Event
from toolkit.events import Histogram
from toolkit_mlflow import drawing
from toolkit_mlflow import store
from toolkit_mlflow.media import CORNER
from toolkit_mlflow.media import TABLES_TAG
from toolkit_mlflow.tracker import MlflowTracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# What MLflow's own pages take a picture's name apart by.
PICTURE = re.compile(
    r"images/(?P<key>[^+/]+)\+step\+(?P<step>-?\d+)\+timestamp\+(?P<time>\d+)\+(?P<id>\w+)"
    r"(?P<end>\.png|\+compressed\.webp)"
)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes events."""
    return Made(tmp_path / "run", CREATED)


def told(folder: Path, client: MlflowClient, *batches: Sequence[Event]) -> dict[str, Any]:
    """What MLflow keeps of a run that was told these batches, each twice, and all after a restart.

    Whatever was told again, it must read the same, byte for byte.
    """
    run = run_info(folder)
    tracker = MlflowTracker()
    link = tracker.open(run, None)
    for batch in batches:
        tracker.write(batch)
        once = everything(client, link.id)
        tracker.write(batch)
        assert everything(client, link.id) == once
    restarted = MlflowTracker()
    restarted.open(run, link)
    for batch in batches:
        restarted.write(batch)
    found = everything(client, link.id)
    assert found == once
    found["id"] = link.id
    return found


def load_table(client: MlflowClient, run_id: str, name: str) -> Any:
    """The table as `mlflow.load_table` gives it."""
    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    experiment = client.get_run(run_id).info.experiment_id
    return client.load_table(experiment, name, run_ids=[run_id])


def test_every_kind_told_twice_reads_the_same(
    folder: Path, client: MlflowClient, made: Made
) -> None:
    """Every file has its place by name and step."""
    found = told(folder, client, made.one_of_each())
    files = {name for name in found["artifacts"] if not name.startswith("images/")}
    assert files == {
        "reports/a.txt",
        "test/classes.json",
        "val/examples.json",
        "val/examples/step-00000000.json",
        "val/examples/step-00000010.json",
        "plots/a.png",
        "plots/a.svg",
        "plots/a/step-00000003.svg",
        "plots/a.html",
        "plots/a.pdf",
        "histograms/grad/w.json",
        "histograms/grad/w/step-00000010.json",
        "test/confusion_matrix.json",
        "val/confusion_matrix.json",
        "val/confusion_matrix/step-00000010.json",
    }
    assert found["artifacts"]["reports/a.txt"].decode() == "é <b>\n"
    assert found["artifacts"]["plots/a.html"].decode() == "<html>é</html>"
    assert found["artifacts"]["plots/a.png"] == png(7)


def test_pictures_are_in_the_image_grid(folder: Path, client: MlflowClient, made: Made) -> None:
    """Each has the name that MLflow's pages take apart, a preview, and the run says it has some."""
    from PIL import Image

    events = made.one_of_each()
    found = told(folder, client, events)
    names = [name for name in found["artifacts"] if name.startswith("images/")]
    parts = [match.groupdict() for match in map(PICTURE.fullmatch, names) if match]
    assert len(parts) == len(names)
    places = sorted((part["key"], int(part["step"])) for part in parts if part["end"] == ".png")
    assert places == [
        ("grad~w", 0),
        ("grad~w", 10),
        ("last", 0),
        ("test~confusion_matrix", 0),
        ("val~confusion_matrix", 10),
        ("val~pages", 0),
        ("val~pages", 10),
    ]
    assert found["tags"]["mlflow.loggedImages"] == "True"
    [name] = [n for n in names if n.startswith("images/val~pages+step+10+") and n.endswith(".png")]
    assert f"+timestamp+{int(CREATED * 1000) + 6000}+" in name
    assert found["artifacts"][name] == png(100)
    for picture in (name for name in names if name.endswith(".png")):
        with Image.open(io.BytesIO(found["artifacts"][f"{picture[:-4]}+compressed.webp"])) as small:
            assert small.format == "WEBP"
            assert max(small.size) <= drawing.PREVIEW_PIXELS


def test_mlflow_names_its_own_pictures_alike(
    folder: Path, client: MlflowClient, made: Made
) -> None:
    """What MLflow's client writes has the same parts, and the same tag."""
    from PIL import Image

    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    client.log_image(link.id, Image.new("L", (4, 4)), key="val/pages", step=3, synchronous=True)
    client.log_table(link.id, {"a": [1]}, "own.json")
    tracker = MlflowTracker()
    tracker.open(run_info(folder), link)
    tracker.write([made.table(1, "ours", {"a": [2]})])
    found = everything(client, link.id)
    theirs = [name for name in found["artifacts"] if name.startswith("images/")]
    assert len(theirs) == 2
    assert all(re.fullmatch(PICTURE.pattern.replace(r"\w+", r"[\w-]+"), name) for name in theirs)
    assert found["tags"]["mlflow.loggedImages"] == "True"
    listed = json.loads(found["tags"][TABLES_TAG])
    assert listed == [{"path": f"{name}.json", "type": "table"} for name in ("own", "ours")]


def test_several_pictures_of_one_step_are_all_kept(
    folder: Path, client: MlflowClient, made: Made
) -> None:
    """Also where the script gave them one time."""
    found = told(folder, client, [made.image(1, "k", shade, 3) for shade in (1, 2, 3)])
    pictures = [name for name in found["artifacts"] if name.endswith(".png")]
    assert len(pictures) == 3


def test_tables_load_with_mlflow(folder: Path, client: MlflowClient, made: Made) -> None:
    """By the name with .json; the latest, where there are several; NaN is missing, as in pandas."""
    found = told(folder, client, made.one_of_each())
    classes = load_table(client, found["id"], "test/classes.json")
    assert list(classes.columns) == ["Class", "F1"]
    assert classes["F1"][0] == 0.5
    assert math.isnan(classes["F1"][1])
    assert list(load_table(client, found["id"], "val/examples.json")["n"]) == [1, 1]


def test_tables_in_parquet(folder: Path, client: MlflowClient, made: Made) -> None:
    """Where the name says so, as with MLflow."""
    found = told(folder, client, [made.table(1, "a/t.parquet", {"x": [1.5, None], "y": "z"})])
    table = load_table(client, found["id"], "a/t.parquet")
    assert table["y"].tolist() == ["z", "z"]
    assert table["x"][0] == 1.5


def test_a_confusion_matrix_is_a_table_too(folder: Path, client: MlflowClient, made: Made) -> None:
    """A row for each actual class."""
    found = told(folder, client, made.one_of_each())
    table = load_table(client, found["id"], "test/confusion_matrix.json")
    assert list(table.columns) == [CORNER, *LABELS]
    assert table[CORNER].tolist() == list(LABELS)
    assert table[list(LABELS)].to_numpy().tolist() == [list(row) for row in COUNTS]


def test_a_histograms_numbers_are_kept(folder: Path, client: MlflowClient, made: Made) -> None:
    """Beside its picture, in JSON."""
    found = told(folder, client, made.one_of_each())
    numbers = json.loads(found["artifacts"]["histograms/grad/w/step-00000010.json"])
    assert numbers == {"edges": [0.0, 0.5, 1.0], "counts": [1.0, 2.0], "not_finite": 1}


def test_the_list_of_tables_stays_within_a_tag(
    folder: Path, client: MlflowClient, made: Made
) -> None:
    """Those that don't fit are files like others."""
    names = [f"{'x' * 100}/{number}" for number in range(80)]
    found = told(folder, client, [made.table(1, name, {"a": [1]}) for name in names])
    listed = json.loads(found["tags"][TABLES_TAG])
    assert [entry["path"] for entry in listed] == [f"{name}.json" for name in names[: len(listed)]]
    assert 40 < len(listed) < 80
    assert len(found["artifacts"]) == 80


def test_refused_names_are_mapped_and_kept(folder: Path, client: MlflowClient, made: Made) -> None:
    """Suffixes stay, so that pages still know what a file is."""
    found = told(
        folder,
        client,
        [
            made.image(1, "val/P@1+x", 3, 2),
            made.table(2, "100%", {"a": [1]}),
            made.figure(3, "a#b.png", png(1)),
        ],
    )
    tags = found["tags"]
    originals = {tags[tag]: tag for tag in tags if tag.startswith("toolkit.key.")}
    assert originals.keys() == {"val/P@1+x", "100%", "a#b"}
    mapped = {key: tag.removeprefix("toolkit.key.") for key, tag in originals.items()}
    assert f"{mapped['100%']}.json" in found["artifacts"]
    assert f"{mapped['a#b']}.png" in found["artifacts"]
    picture = f"images/{mapped['val/P@1+x'].replace('/', '~')}+step+2+"
    assert sum(name.startswith(picture) for name in found["artifacts"]) == 2
    assert all(PICTURE.fullmatch(n) for n in found["artifacts"] if n.startswith("images/"))


def test_a_missing_file_is_an_error_that_names_it(folder: Path, made: Made) -> None:
    """So that the courier can pass over this event alone."""
    tracker = MlflowTracker()
    tracker.open(run_info(folder), None)
    for event in made.one_of_each():
        if path := getattr(event, "path", None):
            Path(path).unlink(missing_ok=True)
            with pytest.raises(FileNotFoundError, match=re.escape(path)):
                tracker.write([event])


def test_over_a_server(server: Server, made: Made, tmp_path: Path) -> None:
    """A server that keeps the artifacts takes every kind, names in any script included."""
    events = [*made.one_of_each(), made.image(20, "é: ü/x", 9, -5), made.table(21, "é", {"ü": [1]})]
    tracker = MlflowTracker(tracking_uri=server.uri)
    link = tracker.open(run_info(tmp_path), None)
    tracker.write(events)
    client = store.connect(store.resolve(server.uri, str(tmp_path), {}))
    once = everything(client, link.id)
    tracker.write(events)
    assert everything(client, link.id) == once
    assert any(name.startswith("images/é: ü~x+step+-5+") for name in once["artifacts"])
    assert load_table(client, link.id, "é.json")["ü"].tolist() == [1]


@pytest.mark.parametrize("size", [1, 5, 20, 21, 60, 200])
def test_confusion_matrices_of_any_size_can_be_drawn(size: int) -> None:
    """Large enough to read, and not larger than a screen or two; labels are no formulas."""
    from PIL import Image

    labels = tuple(f"$\\{number} {'long ' * 20}" for number in range(size))
    counts = tuple(tuple(range(size)) for _ in range(size))
    drawn = drawing.confusion_matrix(ConfusionMatrix(1.0, "$x", labels, counts))
    with Image.open(io.BytesIO(drawn)) as image:
        assert 500 <= image.width <= 2200
        assert 500 <= image.height <= 2200


def test_drawing_the_same_twice_gives_the_same_bytes() -> None:
    """So that telling it again changes nothing."""
    event = Histogram(1.0, "$k", (0.0, 1.0, 3.0), (0.0, 0.0), 5, 2)
    assert drawing.histogram(event) == drawing.histogram(event)
