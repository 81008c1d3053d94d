"""Rules of the files that hold what was found."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.found_files import as_ufo
from toolkit_recipes.dbnet.found_files import write_icdar_zip
from toolkit_recipes.dbnet.found_files import write_json
from toolkit_recipes.dbnet.readers.pages import read_pages

QUAD = np.array([[10.126, 20.0], [60.75, 20.0], [60.75, 40.25], [10.126, 40.25]])
PAGE = FoundPage("a/b.png", (100, 80), (Detection(QUAD, 0.98765),))


def test_ufo_holds_points_and_score() -> None:
    """Texts are numbered from 1, the surest first; coordinates have two decimals."""
    page = as_ufo([PAGE])["images"]["a/b.png"]
    assert (page["img_h"], page["img_w"]) == (100, 80)
    assert page["words"]["0001"]["points"][0] == [10.13, 20.0]
    assert page["words"]["0001"]["score"] == 0.9877


def test_a_page_that_couldnt_be_read_says_why() -> None:
    """It is neither left out nor without an explanation."""
    page = as_ufo([FoundPage("x.jpg", problem="torn")])["images"]["x.jpg"]
    assert page == {"words": {}, "error": "torn"}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5, unique=True))
def test_written_ufo_can_be_learned_from(
    tmp_path_factory: object, corners: list[tuple[int, int]]
) -> None:
    """What is found can be corrected and read back as annotations."""
    folder = Path(tmp_path_factory.mktemp("ufo"))  # type: ignore[attr-defined]
    Image.new("RGB", (80, 100)).save(folder / "p.png")
    box = np.array([(0, 0), (20, 0), (20, 10), (0, 10)])
    quads = [box + corner for corner in corners]
    found = FoundPage("p.png", (100, 80), tuple(Detection(q.astype(float), 0.5) for q in quads))
    write_json([found], folder / "found.json")
    (page,) = read_pages(folder, "ufo").pages
    assert [r.polygon.tolist() for r in page.regions] == [q.tolist() for q in quads]


def test_icdar_zip_has_a_file_per_page(tmp_path: Path) -> None:
    """Lines of whole numbers, in files named as the evaluation expects; without texts too."""
    write_icdar_zip([PAGE, FoundPage("c.png", (10, 10))], tmp_path / "submit.zip")
    with zipfile.ZipFile(tmp_path / "submit.zip") as archive:
        assert archive.namelist() == ["res_b.txt", "res_c.txt"]
        assert archive.read("res_b.txt") == b"10,20,61,20,61,40,10,40\n"
        assert archive.read("res_c.txt") == b""


def test_pages_of_one_name_are_refused(tmp_path: Path) -> None:
    """ICDAR's names have no folders, so one would replace the other."""
    with pytest.raises(UsageError, match=r"a/b\.png and c/b\.jpg would both be res_b\.txt"):
        write_icdar_zip([PAGE, FoundPage("c/b.jpg")], tmp_path / "submit.zip")


def test_icdar_takes_four_corners_only(tmp_path: Path) -> None:
    """The advice is to find quadrilaterals; nothing is written."""
    page = FoundPage("p.png", (100, 80), (Detection(QUAD[:3], 0.9),))
    with pytest.raises(UsageError, match=r"p\.png has 3 corners.*shape=quad"):
        write_icdar_zip([page], tmp_path / "submit.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cant_be_written_is_named(tmp_path: Path) -> None:
    """The message has the file and the reason."""
    with pytest.raises(UsageError, match=r"missing/x\.json: can't be written"):
        write_json([PAGE], tmp_path / "missing" / "x.json")


def test_names_that_arent_utf8_are_written_escaped(tmp_path: Path) -> None:
    r"""Linux takes any bytes for a name; ``\udce9`` stands for one that is no letter."""
    name = os.fsdecode(b"caf\xe9.png")
    pages = [PAGE, FoundPage(name, (10, 10)), FoundPage(f"a/{name}", problem=f"{name}: torn")]
    write_json(pages[:2], tmp_path / "found.json")
    written = json.loads((tmp_path / "found.json").read_bytes())["images"]
    assert list(written) == ["a/b.png", r"caf\udce9.png"]
    assert as_ufo(pages)["images"][r"a/caf\udce9.png"]["error"] == r"caf\udce9.png: torn"
    write_icdar_zip(pages[:2], tmp_path / "submit.zip")
    with zipfile.ZipFile(tmp_path / "submit.zip") as archive:
        assert archive.namelist() == ["res_b.txt", r"res_caf\udce9.txt"]


def test_a_name_that_was_escaped_is_found_again(tmp_path: Path) -> None:
    """What is found on such a page can be learned from, and problems with it be written."""
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (80, 100)).save(image)
    Image.new("RGB", (80, 100)).save(tmp_path / os.fsdecode(b"\xff.png"))
    write_json([FoundPage(image.name, (100, 80), PAGE.detections)], tmp_path / "found.json")
    pages = read_pages(tmp_path)
    assert [(page.name, page.image) for page in pages.pages] == [(r"caf\udce9.png", image)]
    (problem,) = pages.problems
    assert str(problem).encode().endswith(rb"\udcff.png")


def test_nothing_is_left_of_a_file_that_couldnt_be_written(tmp_path: Path) -> None:
    """What stands in its place stays as it was."""
    (tmp_path / "found.json").mkdir()
    with pytest.raises(UsageError, match=r"output=.*found\.json: can't be written"):
        write_json([PAGE], tmp_path / "found.json")
    assert [file.name for file in tmp_path.iterdir()] == ["found.json"]
