"""Rules of generated pages that are drawn once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from accelerate import Accelerator

from tests.processes import line_from
from tests.processes import python
from tests.processes import tell
from tests.recipes.dbnet.page_fingerprint import fingerprint
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit_recipes.dbnet.kept_pages import KeptPage
from toolkit_recipes.dbnet.kept_pages import keep_drawn
from toolkit_recipes.dbnet.pages import Pages
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic.receipts import GeneratedPage
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages

SMALL = SyntheticConfig(height=160)
KEEPS = """
from accelerate import Accelerator
from toolkit_recipes.dbnet.kept_pages import keep_drawn
from toolkit_recipes.dbnet.pages import Pages
from toolkit_recipes.dbnet.presets import SyntheticConfig
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages
(page,) = synthetic_pages(SyntheticConfig(height=160), 1, 0, 1)
kept = keep_drawn(Pages([page], [], []), Accelerator(cpu=True)).train[0]
kept.load()
print(kept.folder, len(list(kept.folder.iterdir())), flush=True)
input()
"""


def test_a_kept_page_is_the_drawn_one(tmp_path: Path) -> None:
    """Pixels, outlines, texts and what is don't care come back as they were, text or none."""
    for page in synthetic_pages(SMALL, 3, 0, 40):
        assert isinstance(page, GeneratedPage)
        drawn = fingerprint(page.load())
        kept = KeptPage(page, tmp_path)
        assert [fingerprint(kept.load()), fingerprint(kept.load())] == [drawn, drawn]
    assert len(list(tmp_path.iterdir())) == 40


def test_a_page_is_drawn_once(tmp_path: Path) -> None:
    """The second time it is read from the folder, whatever is there."""
    first, second = synthetic_pages(SMALL, 3, 0, 2)
    assert isinstance(first, GeneratedPage)
    assert isinstance(second, GeneratedPage)
    KeptPage(first, tmp_path).load()
    (tmp_path / f"{first.name}.npz").rename(tmp_path / f"{second.name}.npz")
    exchanged = KeptPage(second, tmp_path).load()
    assert exchanged.image.shape == first.load().image.shape
    assert (exchanged.image == first.load().image).all()


def test_pages_from_files_are_left_as_they_are() -> None:
    """Only generated pages are kept, in the order that they had."""
    (page,) = synthetic_pages(SMALL, 3, 0, 1)
    assert isinstance(page, GeneratedPage)
    elsewhere = KeptPage(page, Path("elsewhere"))
    pages = keep_drawn(Pages([elsewhere, page], [page], [elsewhere]), Accelerator(cpu=True))
    assert pages.train[0] is elsewhere
    assert [type(p) for p in (*pages.train, *pages.val)] == [KeptPage] * 3
    assert pages.test == [elsewhere]


def test_a_page_is_drawn_where_its_folder_is_gone(tmp_path: Path) -> None:
    """A worker that outlives the folder neither fails nor makes it anew."""
    (page,) = synthetic_pages(SMALL, 3, 0, 1)
    assert isinstance(page, GeneratedPage)
    kept = KeptPage(page, tmp_path / "gone")
    assert fingerprint(kept.load()) == fingerprint(page.load())
    assert not (tmp_path / "gone").exists()


def test_the_folder_goes_with_the_program(tmp_path: Path) -> None:
    """Nothing is left behind by a program that ends."""
    with python(KEEPS, env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        folder, files = line_from(process).rsplit(maxsplit=1)
        assert (Path(folder).parent, files) == (tmp_path, "1")
        tell(process)
        process.wait(LIMIT)
        assert not list(tmp_path.glob("toolkit-pages-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_folder_goes_however_the_program_ends(tmp_path: Path, number: int) -> None:
    """Soon after a signal has ended it, with the exit code of that signal."""
    with python(KEEPS, env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        assert line_from(process)
        process.send_signal(number)
        assert process.wait(LIMIT) == -number
        wait_until(lambda: not list(tmp_path.glob("toolkit-pages-*")))
