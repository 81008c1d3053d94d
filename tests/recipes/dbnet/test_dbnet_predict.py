"""Rules of what prediction writes, and of what it refuses before it begins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.recipes.dbnet.drawn_pages import SMALL
from tests.recipes.dbnet.drawn_pages import small_network
from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from tests.recipes.launching import run_plainly
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.model_files import save_network
from toolkit_recipes.dbnet.predict import Interruption
from toolkit_recipes.dbnet.predict import PredictConfig
from toolkit_recipes.dbnet.predict import check_outputs
from toolkit_recipes.dbnet.predict import draw
from toolkit_recipes.dbnet.predict import images_of
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import PostprocessConfig

TOO_LONG = "x" * 300
"""More letters than a file's name may have."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with images of which two differ in ending alone."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "sub/b.png"):
        Image.new("RGB", (20, 10), "white").save(folder / name)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network that has learned nothing."""
    folder = tmp_path_factory.mktemp("network") / "saved"
    save_network(folder, small_network(), DbnetConfig(model=SMALL))
    return folder


def _found(file: Path) -> dict[str, Any]:
    images: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["images"]
    return images


def _check(folder: Path, images: Path, **given: str) -> None:
    settings = {"output": str(folder / "texts.json"), "input": str(images)} | given
    check_outputs(PredictConfig(**settings), images_of(images))  # type: ignore[arg-type]


def test_pages_that_differ_in_ending_are_drawn_apart(tmp_path: Path) -> None:
    """The name of the image is kept whole, folders too."""
    page = LoadedPage("p", np.full((10, 20, 3), 255, np.uint8), ())
    for name in ("a.jpg", "a.png", "sub/b.png"):
        draw(LoadedPage(name, page.image, ()), FoundPage(name, (10, 20)), tmp_path)
    drawn = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert drawn == ["a.jpg.png", "a.png.png", "sub/b.png.png"]


def test_a_drawing_that_cant_be_written_is_named(tmp_path: Path) -> None:
    """The message has the key and the file."""
    (tmp_path / "sub").write_text("in the way")
    page = LoadedPage("sub/a.jpg", np.zeros((10, 20, 3), np.uint8), ())
    with pytest.raises(UsageError, match=r"drawn=.*sub/a\.jpg\.png can't be written"):
        draw(page, FoundPage(page.name, (10, 20)), tmp_path)


@pytest.mark.parametrize("inside", ["", "sub", "new/er", "sub/../sub"])
def test_drawings_dont_go_among_the_images(tmp_path: Path, images: Path, inside: str) -> None:
    """They could replace them, and would be images of the next prediction."""
    with pytest.raises(UsageError, match=r"drawn=.*lies in input="):
        _check(tmp_path, images, drawn=str(images / inside))


def test_drawings_may_go_anywhere_else(tmp_path: Path, images: Path) -> None:
    """Also beside the folder of the images, or beside a single image."""
    _check(tmp_path, images, drawn=str(tmp_path / "images_drawn"))
    _check(tmp_path, images / "a.jpg", drawn=str(images))
    assert not (tmp_path / "images_drawn").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output": "{}/none/x.json"}, "no such folder to write into"),
        ({"output": "{}/images"}, "a folder; give the file"),
        ({"output": "{}/images/a.png"}, "would replace an image"),
        ({"icdar": "{}/none/x.zip"}, "no such folder to write into"),
        ({"icdar": "{}/texts.json"}, "the same file as output"),
        ({"icdar": "{}/x.zip"}, r"a\.jpg and a\.png would both be res_a\.txt"),
        ({"drawn": "{}/images/a.png"}, "a file; give a folder"),
        ({"output": "{}/" + TOO_LONG}, r"output=.*can't be written \(File name too long\)"),
    ],
)
def test_outputs_that_cant_be_are_refused(
    tmp_path: Path, images: Path, given: dict[str, str], message: str
) -> None:
    """Before anything is loaded; the message says which and what to do."""
    places = {key: value.format(tmp_path) for key, value in given.items()}
    with pytest.raises(UsageError, match=message):
        _check(tmp_path, images, **places)


def test_hidden_files_and_what_is_no_file_are_left_out(images: Path) -> None:
    """As where training reads pages; a link to an image that is gone stays, for it is missed."""
    Image.new("RGB", (20, 10)).save(images / "._a.png")
    (images / ".hidden").mkdir()
    Image.new("RGB", (20, 10)).save(images / ".hidden" / "h.jpg")
    (images / "folder.png").mkdir()
    os.mkfifo(images / "pipe.png")
    (images / "gone.png").symlink_to("nowhere")
    names = [name for name, _ in images_of(images)]
    assert names == ["a.jpg", "a.png", "gone.png", "sub/b.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such file or folder"), (TOO_LONG, r"can't be read \(File name too long\)")],
)
def test_an_input_that_isnt_there_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """The message says which and why."""
    with pytest.raises(UsageError, match=f"input=.*{name}: {message}"):
        images_of(tmp_path / name)


def test_nothing_is_begun_once_somebody_asks_to_stop() -> None:
    """What is being done is done to its end."""
    interruption = Interruption()
    done = []
    for item in interruption.until_noted(range(9)):
        if item == 2:
            interruption.note(signal.SIGTERM, None)
        done.append(item)
    assert done == [0, 1, 2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_found_is_written_when_stopped(
    model: Path, tmp_path: Path, number: int, code: int
) -> None:
    """Json and zip hold the pages until then, and one line says how many they are."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "0.png").touch()
    Image.new("RGB", (64, 64), "white").save(folder / "1.png")
    for page in range(2, 2000):
        (folder / f"{page}.png").symlink_to("1.png")
    command = [sys.executable, str(RECIPES / "dbnet_predict.py"), f"model={model}"]
    with subprocess.Popen(
        [*command, f"input={folder}", "icdar=found.zip", "long_side=32"],
        cwd=tmp_path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert "0.png" in process.stderr.readline()  # it has begun
        process.send_signal(number)
        said = process.stderr.read()
    found = _found(tmp_path / "texts.json")
    assert process.returncode == code, said
    assert said.startswith(f"stopped by {signal.Signals(number).name} after {len(found)} of 2000")
    assert said.count("\n") == 1
    assert 1 <= len(found) < 2000
    with zipfile.ZipFile(tmp_path / "found.zip") as archive:
        assert len(archive.namelist()) == len(found)


def test_a_named_file_that_isnt_an_image_ends_with_code_2(model: Path, tmp_path: Path) -> None:
    """One line says why."""
    (tmp_path / "notes.txt").write_text("milk")
    done = run_plainly(tmp_path, "dbnet_predict.py", f"model={model}", "input=notes.txt").done
    assert done.returncode == 2
    assert done.stderr.startswith("error: input=notes.txt: not an image")
    assert done.stderr.count("\n") == 1


def test_a_folder_without_readable_image_ends_with_code_2(model: Path, tmp_path: Path) -> None:
    """After the reason of each is in the json."""
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "images" / name).touch()
    done = run_plainly(tmp_path, "dbnet_predict.py", f"model={model}", "input=images").done
    assert done.returncode == 2
    assert "input=images: none of the 2 images can be read, first images/a.png" in done.stderr
    assert all("0 bytes" in page["error"] for page in _found(tmp_path / "texts.json").values())


def test_a_model_of_too_long_a_name_is_refused(tmp_path: Path, images: Path) -> None:
    """One line says why, and there is no traceback."""
    arguments = (f"model={TOO_LONG}", f"input={images}")
    done = run_plainly(tmp_path, "dbnet_predict.py", *arguments).done
    assert done.returncode == 2
    assert done.stderr.startswith("error: model=")
    assert "Traceback" not in done.stderr


def test_polygons_dont_go_into_icdars_zip() -> None:
    """Whether asked for or the network's own."""
    polygon = PostprocessConfig(shape="polygon")
    with pytest.raises(UsageError, match="give shape=quad"):
        PredictConfig(icdar="x.zip").postprocess(polygon)
    with pytest.raises(UsageError, match="give shape=quad"):
        PredictConfig(icdar="x.zip", shape="polygon").postprocess(PostprocessConfig())
    assert PredictConfig(icdar="x.zip", shape="quad").postprocess(polygon).shape == "quad"
    assert PredictConfig().postprocess(polygon) == polygon
