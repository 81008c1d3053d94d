"""What is wrong with a data set is counted, told once with its place, and never learned from."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

from tests.recipes.dbnet.page_files import CORNERS
from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import SIZE
from tests.recipes.dbnet.page_files import write_image
from tests.recipes.dbnet.page_files import write_page
from tests.recipes.dbnet.page_files import write_text
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.readers.pages import PageSet
from toolkit_recipes.dbnet.readers.pages import read_pages

DATA = Path(__file__).parents[4] / "shared" / "data"

LINE = f"{QUAD},TEXT"
OVER_THE_EDGE = "-3,20,50,20,50,40,-3,40,TEXT"


def counts(pages: PageSet) -> dict[str, int]:
    """Return how often each rule was applied."""
    return {problem.rule.key: problem.count for problem in pages.problems}


def add_page(folder: Path, name: str, *lines: str) -> None:
    """Write another page of a data set of :func:`write_page`."""
    write_image(folder / "images" / f"{name}.jpg")
    write_text(folder / "gts" / f"gt_{name}.txt", *lines)


def test_a_page_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """With its texts and their transcripts; unreadable ones are don't care."""
    (page,) = read_pages(write_page(tmp_path, LINE, f"{QUAD},###")).pages
    loaded = page.load()
    assert loaded.name == page.name == "img_1.jpg"
    assert loaded.image.shape == (SIZE[1], SIZE[0], 3)
    assert [region.polygon.tolist() for region in loaded.regions] == [CORNERS, CORNERS]
    assert [region.text for region in loaded.regions] == ["TEXT", "###"]
    assert [region.ignore for region in loaded.regions] == [False, True]


def test_a_rule_is_told_once_with_its_first_place(tmp_path: Path) -> None:
    """However often it was applied."""
    folder = write_page(tmp_path, LINE, OVER_THE_EDGE, OVER_THE_EDGE)
    add_page(folder, "img_2", OVER_THE_EDGE)
    pages = read_pages(folder)
    (problem,) = pages.problems
    assert (problem.rule.key, problem.count) == ("clipped", 3)
    assert problem.first == f"{folder / 'gts' / 'gt_img_1.txt'}, line 2"
    assert str(problem) == (
        f"reaches over the edge of the page; cut off at the edge (clipped): 3 times, first in "
        f"{problem.first}"
    )


def test_a_bad_line_is_told_with_its_reason(tmp_path: Path) -> None:
    """The message quotes it."""
    (problem,) = read_pages(write_page(tmp_path, LINE, "1,2,3")).problems
    assert str(problem).endswith("line 2: fewer than 8 numbers with commas between: 1,2,3")
    assert problem.rule.key == "bad_entry"


def test_a_text_that_a_rule_makes_dont_care_is_not_learned(tmp_path: Path) -> None:
    """And one that was don't care stays so."""
    lines = ("nan,20,50,20,50,40,10,40,TEXT", LINE, "50,20,10,20,10,40,50,40,###")
    (page,) = read_pages(write_page(tmp_path, *lines)).pages
    assert [region.ignore for region in page.regions] == [True, False, True]


def test_a_page_without_text_is_a_page(tmp_path: Path) -> None:
    """An empty file says that there is none; a missing one says nothing."""
    folder = write_page(tmp_path, LINE)
    add_page(folder, "img_2")
    write_image(folder / "images" / "img_3.jpg")
    pages = read_pages(folder)
    assert [(page.name, len(page.regions)) for page in pages.pages] == [
        ("img_1.jpg", 1),
        ("img_2.jpg", 0),
    ]
    assert counts(pages) == {"no_annotation": 1}


def test_a_page_of_which_nothing_can_be_read_is_skipped(tmp_path: Path) -> None:
    """It isn't taken for a page without text."""
    folder = write_page(tmp_path, LINE)
    add_page(folder, "img_2", "<html>", "404")
    pages = read_pages(folder)
    assert [page.name for page in pages.pages] == ["img_1.jpg"]
    assert counts(pages) == {"bad_entry": 2, "no_usable_entry": 1}


def test_annotations_without_image_are_counted(tmp_path: Path) -> None:
    """And nothing else happens."""
    folder = write_page(tmp_path, LINE)
    write_text(folder / "gts" / "gt_img_2.txt", LINE)
    assert counts(read_pages(folder)) == {"no_image": 1}


def test_an_image_that_is_annotated_twice_keeps_the_first(tmp_path: Path) -> None:
    """In the order of the files."""
    folder = write_page(tmp_path, LINE)
    write_text(folder / "gts" / "img_1.txt", LINE, LINE)
    pages = read_pages(folder)
    assert len(pages.pages[0].regions) == 1
    assert counts(pages) == {"annotated_twice": 1}


def test_images_that_cannot_be_used_are_skipped(tmp_path: Path) -> None:
    """Those that their beginning gives away, when the data set is read."""
    folder = write_page(tmp_path, LINE)
    add_page(folder, "img_2", LINE)
    (folder / "images" / "img_2.jpg").write_bytes(b"")
    pages = read_pages(folder)
    assert [page.name for page in pages.pages] == ["img_1.jpg"]
    (problem,) = pages.problems
    assert problem.rule.key == "bad_image"
    assert problem.first == f"{folder / 'images' / 'img_2.jpg'}: empty, 0 bytes"


def test_an_image_damaged_further_back_is_refused_when_loaded(tmp_path: Path) -> None:
    """The error names it."""
    folder = write_page(tmp_path, LINE)
    path = folder / "images" / "img_1.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    (page,) = read_pages(folder).pages
    with pytest.raises(ImageError, match=r"img_1\.jpg: can't be read"):
        page.load()


def test_an_image_that_was_replaced_is_refused(tmp_path: Path) -> None:
    """Its texts were cut to the size of another one."""
    folder = write_page(tmp_path, LINE)
    (page,) = read_pages(folder).pages
    write_image(page.image, (SIZE[1], SIZE[0]))
    with pytest.raises(ImageError, match="its size isn't what it was"):
        page.load()


def test_a_data_set_without_usable_page_is_refused(tmp_path: Path) -> None:
    """The message says why, with files and lines."""
    folder = write_page(tmp_path, LINE)
    (folder / "images" / "img_1.jpg").write_bytes(b"GIF89a")
    with pytest.raises(UsageError, match=r"(?s)no page of it can be used.*bad_image.*img_1\.jpg"):
        read_pages(folder)


@pytest.mark.parametrize(
    ("exif", "regions", "problems"), [(True, 1, {}), (False, 0, {"outside": 1})]
)
def test_texts_are_cut_to_the_page_as_it_is_shown(
    tmp_path: Path, exif: bool, regions: int, problems: dict[str, int]
) -> None:
    """An image of 100 x 80 that EXIF turns is a page of 80 x 100."""
    folder = write_page(tmp_path, "10,85,50,85,50,95,10,95,TEXT")
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6
    Image.new("RGB", SIZE).save(folder / "images" / "img_1.jpg", exif=orientation)
    pages = read_pages(folder, exif=exif)
    assert len(pages.pages[0].regions) == regions
    assert counts(pages) == problems
    assert pages.summary()["pages_turned_by_exif"] == (1 if exif else 0)
    height, width, _ = pages.pages[0].load().image.shape
    assert (width, height) == (SIZE[::-1] if exif else SIZE)


def test_the_summary_has_everything_worth_recording(tmp_path: Path) -> None:
    """Numbers and words only, as parameters of a run."""
    folder = write_page(tmp_path, LINE, f"{QUAD},###", OVER_THE_EDGE)
    assert read_pages(folder, exif=False).summary() == {
        "format": "icdar",
        "annotations": str(folder / "gts" / "gt_img_1.txt"),
        "exif": "false",
        "pages": 1,
        "pages_turned_by_exif": 0,
        "texts": 2,
        "dont_care": 1,
        "clipped": 1,
    }


def test_pages_travel_between_processes(tmp_path: Path) -> None:
    """A data loader's workers get copies."""
    (page,) = read_pages(write_page(tmp_path, LINE)).pages
    copy = pickle.loads(pickle.dumps(page))  # noqa: S301
    assert np.array_equal(copy.load().image, page.load().image)


@pytest.mark.parametrize(
    ("name", "kind", "pages", "texts", "dont_care", "problems"),
    [
        (
            "sroie/train",
            "sroie",
            441,
            24011,
            0,
            {"repeated_point": 1, "too_few_points": 1, "no_area": 1},
        ),
        ("sroie/test", "sroie", 80, 4042, 0, {}),
        ("icdar2015/train", "icdar", 270, 1149, 1620, {}),
        ("icdar2015/test", "icdar", 80, 336, 574, {}),
    ],
)
def test_real_data_sets_are_read(
    name: str, kind: str, pages: int, texts: int, dont_care: int, problems: dict[str, int]
) -> None:
    """All of their pages and texts; the one text of SROIE that has no width is told."""
    if not (DATA / name).is_dir():
        pytest.skip(f"no real pages: {DATA / name} is absent")
    read = read_pages(DATA / name)
    summary = read.summary()
    assert read.format == kind
    assert (summary["pages"], summary["texts"], summary["dont_care"]) == (pages, texts, dont_care)
    assert counts(read) == problems
    loaded = read.pages[0].load()
    height, width, _ = loaded.image.shape
    assert all((region.polygon <= (width, height)).all() for region in loaded.regions)
