"""Rules of generated pages that are drawn once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from accelerate import Accelerator

from tests.recipes.dbnet.page_fingerprint import fingerprint
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
print(kept.folder, len(list(kept.folder.iterdir())))
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


def test_the_folder_goes_with_the_program() -> None:
    """Nothing is left behind by a program that ends."""
    done = subprocess.run(
        [sys.executable, "-c", KEEPS], capture_output=True, text=True, check=True, timeout=200
    )
    folder, files = done.stdout.rsplit(maxsplit=1)
    assert files == "1"
    assert not Path(folder).exists()
