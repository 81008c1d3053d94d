"""Rules of which pages a run learns from and is measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import write_image
from tests.recipes.dbnet.page_files import write_page
from tests.recipes.dbnet.page_files import write_text
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.pages import Pages
from toolkit_recipes.dbnet.pages import find_pages
from toolkit_recipes.dbnet.presets import DataConfig
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import SyntheticConfig

TEXT = f"{QUAD},TEXT"
DONT_CARE = f"{QUAD},###"


def _folder(path: Path, line: str, count: int = 1) -> str:
    """A data set whose pages have this line each."""
    write_page(path, line)
    for number in range(2, count + 1):
        write_image(path / "images" / f"img_{number}.jpg")
        write_text(path / "gts" / f"gt_img_{number}.txt", line)
    return str(path)


def _find(train: str | None = None, val: str | None = None, test: str | None = None) -> Pages:
    data = DataConfig(train=train, val=val, test=test, val_share=0.5)
    return find_pages(DbnetConfig(data=data))


@pytest.mark.parametrize("use", ["val", "test"])
def test_pages_to_be_measured_on_need_a_text_that_counts(tmp_path: Path, use: str) -> None:
    """Else every figure would be 0, or 1, whatever the network finds."""
    train, other = _folder(tmp_path / "t", TEXT, count=2), _folder(tmp_path / "v", DONT_CARE)
    complaint = rf"data\.{use}=.*v: its pages hold no text that counts"
    with pytest.raises(UsageError, match=complaint):
        _find(train, **{use: other})


def test_so_do_those_that_are_held_out(tmp_path: Path) -> None:
    """The advice is about the share."""
    train = _folder(tmp_path, DONT_CARE, count=4)
    with pytest.raises(UsageError, match=r"the 2 pages held out of it.*data\.val_share"):
        _find(train=train)


def test_pages_to_learn_from_without_text_are_a_problem(tmp_path: Path) -> None:
    """One is told, but it may be meant."""
    train, val = _folder(tmp_path / "t", DONT_CARE), _folder(tmp_path / "v", TEXT)
    assert _find(train=train, val=val).problems == [
        f"{train}: no text that counts on the pages to learn from"
    ]
    assert _find(train=val, val=val).problems == []


def test_folders_take_the_place_of_generated_pages(tmp_path: Path) -> None:
    """Each for its use; pages are held out of a folder to learn from where there is no other."""
    folder = _folder(tmp_path, TEXT, count=4)
    names = {f"img_{i}.jpg" for i in range(1, 5)}
    held_out = _find(train=folder, test=folder)
    assert (len(held_out.train), len(held_out.val), len(held_out.test)) == (2, 2, 4)
    assert {page.name for page in (*held_out.train, *held_out.val)} == names
    mixed = _find(val=folder)
    assert {page.name for page in mixed.val} == names
    assert len(mixed.train) == DbnetConfig().synthetic.train_pages


def test_receipts_too_small_to_read_are_a_problem() -> None:
    """Texts that are too small to count can be neither found nor missed: all figures are 1."""
    small = SyntheticConfig(train_pages=2, val_pages=2, height=96)
    (problem,) = find_pages(DbnetConfig(synthetic=small)).problems
    assert "synthetic.height=96" in problem
    large = SyntheticConfig(train_pages=2, val_pages=2)
    assert not find_pages(DbnetConfig(synthetic=large)).problems
