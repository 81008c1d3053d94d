"""The DBNet recipes from their command lines to what they record and write."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import write_page
from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import Launched
from tests.recipes.launching import launch
from tests.recipes.launching import run_plainly
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages

SCRIPT = "dbnet.py"
TINY = (
    "synthetic.train_pages=12",
    "synthetic.val_pages=5",
    "synthetic.height=128",
    "augmentation.crop=64",
    "evaluation.long_side=128",
    "evaluation.drawn_pages=2",
    "model.width=0.125",
    "model.neck_channels=16",
    "training.batch_size=4",
    "training.epochs=2",
    "training.lr=1e-3",
    "data.workers=0",
    "log_interval=1",
)
LOSSES = ("loss", "loss_prob", "loss_thresh", "loss_binary")
FIGURES = ("recall", "precision", "hmean", "cleval_hmean", "cleval_page_hmean")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """A tiny network on one process."""
    return launch(tmp_path_factory.mktemp("one"), SCRIPT, *TINY)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """The same on two processes; the 5 pages to validate on don't divide by two."""
    return launch(tmp_path_factory.mktemp("two"), SCRIPT, *TINY, options=TWO_PROCESSES)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two receipts and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for page in synthetic_pages(SyntheticConfig(height=128), seed=5, first=0, count=2):
        Image.fromarray(page.load().image).save(folder / f"{page.name}.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def _run(launched: Launched) -> Path:
    (run,) = (launched.folder / "runs").iterdir()
    return run


def test_every_metric_of_the_guide_is_recorded(one: Launched) -> None:
    """The original project's names, for training and validation, and the run is finished."""
    assert one.done.returncode == 0, one.done.stderr
    found = set(one.values("metrics"))
    assert {f"train/{name}" for name in LOSSES} <= found
    assert {f"val/{name}" for name in (*LOSSES, *FIGURES)} <= found
    assert {"train/learning_rate", "train/epoch", "train/images_per_second"} <= found
    assert one.events("ended")[-1]["status"] == "FINISHED"


def test_steps_and_epochs_are_all_there(one: Launched) -> None:
    """Three steps of four pages in each of two epochs, and a validation after each."""
    events = one.events("metrics")
    assert [e["step"] for e in events if "train/loss" in e["values"]] == list(range(6))
    assert [e["step"] for e in events if "val/hmean" in e["values"]] == [3, 6]


def test_params_are_the_configuration(one: Launched) -> None:
    """Optimizer, rate, batch size and epochs among them, and what was really used."""
    params = one.values("params")
    training = {"optimizer": "adam", "lr": 1e-3, "batch_size": 4, "epochs": 2}
    assert training.items() <= params["training"].items()
    assert params["backbone_weights"].startswith("random weights")
    assert params["num_processes"] == 1


def test_pages_are_drawn_after_every_epoch(one: Launched) -> None:
    """A picture per page and epoch, the maps beside the page."""
    pictures = [e for e in one.events("image") if e["key"].startswith("val/")]
    assert [picture["step"] for picture in pictures] == [3, 3, 6, 6]
    with Image.open(_run(one) / pictures[0]["path"]) as picture:
        assert picture.width % 3 == 0


def test_models_are_artifacts_with_aliases(one: Launched) -> None:
    """Each kept epoch's network under its own name; the last epoch is `latest`."""
    models = {e["name"]: e["aliases"] for e in one.events("artifact")}
    assert set(models) == {"model-epoch-01", "model-epoch-02"}
    assert "best" in models["model-epoch-01"]
    assert "latest" in models["model-epoch-02"]


def test_two_processes_are_one_run(one: Launched, two: Launched) -> None:
    """The same names, steps and number of pictures, and a validation over each page once."""
    assert two.done.returncode == 0, two.done.stderr
    assert two.values("params")["num_processes"] == 2
    assert set(two.values("metrics")) == set(one.values("metrics"))
    assert len(two.events("image")) == len(one.events("image"))
    first, other = one.values("metrics"), two.values("metrics")
    assert math.isclose(first["val/loss"], other["val/loss"], rel_tol=0.2)
    assert [e["step"] for e in two.events("metrics") if "train/loss" in e["values"]] == list(
        range(6)
    )


def test_prediction_writes_ufo_zip_and_drawings(
    one: Launched, images: Path, tmp_path: Path
) -> None:
    """The best network of the run; an image that can't be read is said to be so, not left out."""
    arguments = (f"model={_run(one)}", f"input={images}", "icdar=found.zip", "drawn=drawn")
    done = run_plainly(
        tmp_path, "dbnet_predict.py", *arguments, "thresh=0.05", "box_thresh=0.05"
    ).done
    assert done.returncode == 0, done.stderr
    assert "torn.jpg" in done.stderr
    pages = json.loads((tmp_path / "texts.json").read_text(encoding="utf-8"))["images"]
    assert len(pages) == 3
    assert "error" in pages["torn.jpg"]
    good = sorted(name for name in pages if name != "torn.jpg")
    assert all((tmp_path / "drawn" / f"{name}.png").is_file() for name in good)
    with zipfile.ZipFile(tmp_path / "found.zip") as archive:
        lines = archive.read(f"res_{Path(good[0]).stem}.txt").decode().splitlines()
    assert len(lines) == len(pages[good[0]]["words"])


def test_tuning_makes_a_child_run_for_each_setting(one: Launched, tmp_path: Path) -> None:
    """The network's own setting first; the parent has the table, the plot and both results."""
    values = ("thresh=0.1,0.3", "box_thresh=0.6", "unclip=0", "min_size=2")
    arguments = (f"model={_run(one)}", "pages=3", *values, "workers=0")
    done = run_plainly(tmp_path, "dbnet_tune.py", *arguments).done
    assert done.returncode == 0, done.stderr
    infos = [
        json.loads((run / "run.json").read_text()) for run in sorted((tmp_path / "runs").iterdir())
    ]
    children = [info for info in infos if info["parent"]]
    (parent,) = (info for info in infos if not info["parent"])
    assert {child["parent"] for child in children} == {parent["id"]}
    assert len(children) == 3
    lines = [
        json.loads(line)
        for segment in (tmp_path / "runs" / parent["id"] / "journal").glob("*.jsonl")
        for line in segment.read_text(encoding="utf-8").splitlines()
    ]
    (summary,) = (line["values"] for line in lines if line["kind"] == "summary")
    assert summary["best/hmean"] >= summary["baseline/hmean"]
    assert {line["name"] for line in lines if line["kind"] in {"table", "figure"}} == {
        "tuning/settings",
        "tuning/recall_and_precision.png",
    }


def test_export_gives_a_network_that_onnxruntime_runs(one: Launched, tmp_path: Path) -> None:
    """The file takes pages of any size that is a multiple of 32."""
    done = run_plainly(tmp_path, "dbnet_export.py", f"model={_run(one)}").done
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "dbnet.onnx")
    page = np.zeros((1, 3, 96, 64), np.float32)
    (prob,) = session.run(None, {"images": page})
    assert prob.shape == (1, 96, 64)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["long_side"]) == 128


def test_training_on_nothing_ends_after_an_epoch(tmp_path: Path) -> None:
    """Where no page to learn from can be read, nothing is learned, and no result pretends it."""
    train = write_page(tmp_path / "train", f"{QUAD},TEXT")
    page = train / "images" / "img_1.jpg"
    noise = np.random.default_rng(1).integers(0, 256, (320, 400, 3), np.uint8)
    Image.fromarray(noise).save(page)
    page.write_bytes(page.read_bytes()[:-4000])
    val = write_page(tmp_path / "val", f"{QUAD},TEXT")
    done = run_plainly(tmp_path, SCRIPT, *TINY, f"data.train={train}", f"data.val={val}").done
    assert done.returncode == 2, done.stderr
    assert "training: none of the 1 pages can be read, first " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (SCRIPT, ("data.train=nowhere",), "nowhere"),
        (SCRIPT, ("training.batch_size=3", "training.accumulation=2"), "multiple of 2"),
        (SCRIPT, ("preset=paperr",), "did you mean 'paper'"),
        ("dbnet_predict.py", ("model=x", "input=~nobody/x"), "no such file or folder"),
        ("dbnet_tune.py", (), "model is missing"),
        ("dbnet_export.py", ("model=nowhere",), "no such folder"),
    ],
)
def test_wrong_input_ends_with_code_2(
    tmp_path: Path, script: str, arguments: tuple[str, ...], message: str
) -> None:
    """One line says what is wrong; there is no traceback, and no run is begun."""
    done = run_plainly(tmp_path, script, *arguments).done
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
