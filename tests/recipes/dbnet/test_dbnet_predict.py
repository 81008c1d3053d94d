"""Rules of what prediction writes, and of what it refuses before it begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.predict import PredictConfig
from toolkit_recipes.dbnet.predict import check_outputs
from toolkit_recipes.dbnet.predict import draw
from toolkit_recipes.dbnet.predict import images_of
from toolkit_recipes.dbnet.presets import PostprocessConfig


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with images of which two differ in ending alone."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "sub/b.png"):
        Image.new("RGB", (20, 10), "white").save(folder / name)
    return folder


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
    ],
)
def test_outputs_that_cant_be_are_refused(
    tmp_path: Path, images: Path, given: dict[str, str], message: str
) -> None:
    """Before anything is loaded; the message says which and what to do."""
    places = {key: value.format(tmp_path) for key, value in given.items()}
    with pytest.raises(UsageError, match=message):
        _check(tmp_path, images, **places)


def test_polygons_dont_go_into_icdars_zip() -> None:
    """Whether asked for or the network's own."""
    polygon = PostprocessConfig(shape="polygon")
    with pytest.raises(UsageError, match="give shape=quad"):
        PredictConfig(icdar="x.zip").postprocess(polygon)
    with pytest.raises(UsageError, match="give shape=quad"):
        PredictConfig(icdar="x.zip", shape="polygon").postprocess(PostprocessConfig())
    assert PredictConfig(icdar="x.zip", shape="quad").postprocess(polygon).shape == "quad"
    assert PredictConfig().postprocess(polygon) == polygon
