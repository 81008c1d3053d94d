"""The layouts in which data sets come, and the folders that are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.recipes.dbnet.page_files import CORNERS
from tests.recipes.dbnet.page_files import CTW_POINTS
from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import TOTALTEXT_LINE
from tests.recipes.dbnet.page_files import write_image
from tests.recipes.dbnet.page_files import write_page
from tests.recipes.dbnet.page_files import write_text
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.readers.layout import Kind
from toolkit_recipes.dbnet.readers.layout import files_below
from toolkit_recipes.dbnet.readers.pages import PageSet
from toolkit_recipes.dbnet.readers.pages import read_pages

ICDAR_LINE = f"{QUAD},TEXT"
CTW_LINE = f"{CTW_POINTS},####TEXT"
CTW_XML = f"<A><image><box><label>A</label><segs>{CTW_POINTS}</segs></box></image></A>"
UFO = {"words": {"1": {"points": CORNERS, "transcription": "TEXT"}}}

LAYOUTS = [
    ("icdar", ".", "images/img_1.jpg", "gts/gt_img_1.txt", ICDAR_LINE),
    ("icdar", ".", "img_1.jpg", "gt_img_1.txt", ICDAR_LINE),
    ("icdar", ".", "img_1.JPG", "img_1.txt", ICDAR_LINE),
    ("icdar", ".", "img_1.png", "img_1.png.txt", ICDAR_LINE),
    ("icdar", "train_images", "train_images/img_1.jpg", "train_gts/gt_img_1.txt", ICDAR_LINE),
    ("icdar", "ch4_training_images", "ch4_training_images/a.jpg", "ch4_gt/gt_a.txt", ICDAR_LINE),
    ("icdar", "images", "images/a.jpg", "gts/gt_a.txt", ICDAR_LINE),
    ("sroie", ".", "img/000.jpg", "box/000.csv", ICDAR_LINE),
    ("sroie", "img", "img/000.jpg", "box/000.csv", ICDAR_LINE),
    ("totaltext", ".", "Images/img1.jpg", "Groundtruth/poly_gt_img1.txt", TOTALTEXT_LINE),
    (
        "totaltext",
        "Images/Train",
        "Images/Train/img1.jpg",
        "Groundtruth/Polygon/Train/poly_gt_img1.txt",
        TOTALTEXT_LINE,
    ),
    ("ctw", "train", "train/text_image/1.jpg", "train/text_label_curve/1.txt", CTW_LINE),
    ("ctw", "train_images", "train_images/0001.jpg", "ctw1500_train_labels/0001.xml", CTW_XML),
    ("ctw", "test_images", "test_images/1001.jpg", "gt_ctw1500/0001001.txt", CTW_LINE),
    ("ufo", ".", "img/a.jpg", "ufo/train.json", json.dumps({"images": {"a.jpg": UFO}})),
    (
        "ufo",
        "img/train",
        "img/train/a.jpg",
        "ufo/train.json",
        json.dumps({"images": {"a.jpg": UFO}}),
    ),
    (
        "ufo",
        "ufo/val.json",
        "img/val/a.jpg",
        "ufo/val.json",
        json.dumps({"images": {"a.jpg": UFO}}),
    ),
    ("ufo", "a.json", "a/b.jpg", "a.json", json.dumps({"images": {"a/b.jpg": UFO}})),
]


def texts(pages: PageSet) -> dict[str, list[list[float]]]:
    """Return the first corner of the first text of each page, by name."""
    return {page.name: page.regions[0].polygon[:1].tolist() for page in pages.pages}


@pytest.mark.parametrize(("kind", "folder", "image", "annotation", "content"), LAYOUTS)
def test_layouts_are_found(
    tmp_path: Path, kind: Kind, folder: str, image: str, annotation: str, content: str
) -> None:
    """By what is in the files; the page is named after its image."""
    write_image(tmp_path / image)
    write_text(tmp_path / annotation, content)
    pages = read_pages(tmp_path / folder)
    assert pages.format == kind
    assert pages.problems == ()
    assert texts(pages) == {Path(image).name: [[10, 20]]}


@pytest.mark.parametrize(("kind", "folder", "image", "annotation", "content"), LAYOUTS)
def test_a_format_that_is_given_is_the_one_that_is_read(
    tmp_path: Path, kind: Kind, folder: str, image: str, annotation: str, content: str
) -> None:
    """The right one reads the same; a wrong one says what it looked for."""
    write_image(tmp_path / image)
    write_text(tmp_path / annotation, content)
    assert texts(read_pages(tmp_path / folder, kind)) == {Path(image).name: [[10, 20]]}
    other: Kind = "ufo" if kind != "ufo" else "ctw"
    with pytest.raises(UsageError, match=rf"(?s)no annotated pages.*{other}: \*\."):
        read_pages(tmp_path / folder, other)


def test_a_relative_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose annotations lie beside it."""
    write_page(tmp_path, ICDAR_LINE)
    monkeypatch.chdir(tmp_path)
    assert len(read_pages(Path("images")).pages) == 1


def test_pages_in_subfolders_of_the_same_names(tmp_path: Path) -> None:
    """Images of the same name are told apart by the folder of their annotations."""
    for folder, left in (("shop_a", 10), ("shop_b", 11)):
        write_image(tmp_path / "images" / folder / "1.jpg")
        write_text(tmp_path / "gts" / folder / "1.txt", QUAD.replace("10,", f"{left},"))
    pages = read_pages(tmp_path)
    assert texts(pages) == {"shop_a/1.jpg": [[10, 20]], "shop_b/1.jpg": [[11, 20]]}


def test_pages_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever the order of the annotations."""
    names = ["b.jpg", "a.jpg", "c.jpg"]
    for name in names:
        write_image(tmp_path / name)
    write_text(tmp_path / "all.json", json.dumps({"images": dict.fromkeys(names, UFO)}))
    assert [page.name for page in read_pages(tmp_path).pages] == sorted(names)


def test_splits_are_never_mixed(tmp_path: Path) -> None:
    """A folder with train and test is refused; each of them can be named."""
    for split in ("train", "test"):
        write_page(tmp_path / split, ICDAR_LINE)
    with pytest.raises(UsageError, match=r"several splits: test .*train .*name the folder of one"):
        read_pages(tmp_path)
    assert len(read_pages(tmp_path / "train").pages) == 1


def test_a_json_of_a_split_goes_with_the_images_of_that_split(tmp_path: Path) -> None:
    """Two images of the same name lie in the folders of two splits."""
    write_image(tmp_path / "img" / "train" / "a.jpg")
    write_image(tmp_path / "img" / "val" / "a.jpg", (60, 50))
    write_text(tmp_path / "ufo" / "val.json", json.dumps({"images": {"a.jpg": UFO}}))
    for named in (tmp_path, tmp_path / "ufo" / "val.json", tmp_path / "img" / "val"):
        pages = read_pages(named)
        assert [page.image.parent.name for page in pages.pages] == ["val"]
        assert pages.problems == ()
    with pytest.raises(UsageError, match="no annotated pages"):
        read_pages(tmp_path / "img" / "train")


def test_annotations_of_a_split_without_images_are_refused(tmp_path: Path) -> None:
    """They are not taken for those of another split."""
    write_image(tmp_path / "test_images" / "img_1.jpg")
    write_text(tmp_path / "train_gts" / "gt_img_1.txt", ICDAR_LINE)
    with pytest.raises(UsageError, match="annotations of train, but only images of others"):
        read_pages(tmp_path)


def test_several_formats_are_refused(tmp_path: Path) -> None:
    """The message names them; data.format chooses."""
    write_page(tmp_path, ICDAR_LINE)
    write_text(tmp_path / "box" / "img_1.csv", ICDAR_LINE)
    with pytest.raises(UsageError, match=r"several formats: sroie .*icdar .*format="):
        read_pages(tmp_path)
    assert read_pages(tmp_path, "sroie").format == "sroie"


def test_other_files_are_no_annotations(tmp_path: Path) -> None:
    """Lists of files, notes and key information lie beside the annotations of many releases."""
    write_page(tmp_path, ICDAR_LINE)
    write_text(tmp_path / "README.txt", "Receipts, scanned")
    write_text(tmp_path / "train_list.txt", "img_1.jpg")
    write_text(tmp_path / "key" / "img_1.json", json.dumps({"total": "9.00"}))
    write_text(tmp_path / "images" / "._img_1.txt", "resource fork")
    pages = read_pages(tmp_path)
    assert pages.problems == ()
    assert len(pages.pages) == 1


def test_a_folder_that_is_none_of_these_is_refused(tmp_path: Path) -> None:
    """The message says what was found and what each format looks like."""
    write_image(tmp_path / "a.jpg")
    write_text(tmp_path / "labels.txt", "a.jpg cat")
    with pytest.raises(UsageError) as caught:
        read_pages(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "it holds 1 images" in message
    for kind in ("icdar", "sroie", "ufo", "totaltext", "ctw"):
        assert f"  {kind}: *." in message


def test_matlab_files_are_refused_with_advice(tmp_path: Path) -> None:
    """Total-Text has them in another form too."""
    write_image(tmp_path / "Images" / "img1.jpg")
    (tmp_path / "Groundtruth").mkdir()
    (tmp_path / "Groundtruth" / "poly_gt_img1.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(UsageError, match=r"\.mat.*are not read; Total-Text also comes in a txt"):
        read_pages(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        read_pages(tmp_path / "nowhere")


def test_links_are_followed_once(tmp_path: Path) -> None:
    """A folder may hold links to others, also one to itself."""
    write_page(tmp_path / "elsewhere", ICDAR_LINE)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    assert len(list(files_below(tmp_path / "set"))) == 2
    assert len(read_pages(tmp_path / "set").pages) == 1


def test_only_folders_of_annotations_are_looked_into_beside(tmp_path: Path) -> None:
    """Other data sets lie beside each other too."""
    write_image(tmp_path / "receipts" / "img_1.jpg")
    write_text(tmp_path / "street_photos" / "gt_img_1.txt", ICDAR_LINE)
    write_text(tmp_path / "gtsdb" / "gt_img_1.txt", ICDAR_LINE)
    with pytest.raises(UsageError, match="no annotated pages"):
        read_pages(tmp_path / "receipts")


def _numbered(folder: Path, images: Sequence[str], annotations: Sequence[str]) -> PageSet:
    """Read pages whose first text begins at 10 for the first annotation file, then 11, 12, ..."""
    for name in images:
        write_image(folder / name)
    for left, name in enumerate(annotations, start=10):
        write_text(folder / name, QUAD.replace("10,", f"{left},"))
    return read_pages(folder)


def test_the_name_itself_goes_before_the_number_without_zeros(tmp_path: Path) -> None:
    """``1.txt`` is about ``1.jpg``, though ``001.jpg`` is there too."""
    pages = _numbered(tmp_path, ["001.jpg", "1.jpg"], ["001.txt", "1.txt"])
    assert texts(pages) == {"001.jpg": [[10, 20]], "1.jpg": [[11, 20]]}
    assert pages.problems == ()


def test_the_name_itself_goes_before_the_one_without_prefix(tmp_path: Path) -> None:
    """``gt_a.txt`` is about ``gt_a.jpg`` where there is one."""
    pages = _numbered(tmp_path, ["a.jpg", "gt_a.jpg"], ["a.txt", "gt_a.txt"])
    assert texts(pages) == {"a.jpg": [[10, 20]], "gt_a.jpg": [[11, 20]]}


def test_a_file_for_any_of_several_images_is_a_problem(tmp_path: Path) -> None:
    """It names them; none of them is taken at random."""
    pages = _numbered(tmp_path, ["a.jpg", "a.png", "b.jpg"], ["a.txt", "b.txt"])
    assert [page.name for page in pages.pages] == ["b.jpg"]
    problem = next(p for p in pages.problems if p.rule.key == "several_images")
    assert problem.first == f"{tmp_path}/a.txt: a is {tmp_path}/a.jpg or {tmp_path}/a.png"
    assert "no_image" not in pages.summary()


@pytest.mark.parametrize("kind", ["auto", "icdar"])
def test_pages_without_text_may_come_first(tmp_path: Path, kind: Kind) -> None:
    """Empty files say nothing about the format, however many they are."""
    for number in range(25):
        write_image(tmp_path / f"{number:02}.jpg")
        (tmp_path / f"{number:02}.txt").touch()
    write_text(tmp_path / "24.txt", ICDAR_LINE)
    pages = read_pages(tmp_path, kind)
    assert (len(pages.pages), pages.summary()["texts"], pages.format) == (25, 1, "icdar")


def test_pages_without_any_text_are_read_where_the_format_is_given(tmp_path: Path) -> None:
    """Nothing says that the files are annotations but data.format."""
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").touch()
    assert [page.regions for page in read_pages(tmp_path, "icdar").pages] == [()]
    with pytest.raises(UsageError, match=r"(?s)no annotated pages.*are empty; .*say which format"):
        read_pages(tmp_path)
