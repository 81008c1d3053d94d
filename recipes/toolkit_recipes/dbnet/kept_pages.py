"""Generated pages that are drawn once: whatever is drawn is kept in a folder and read from there.

To draw a page takes ten times as long as to read it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import attrs
import cv2
import numpy as np
from accelerate import Accelerator
from attrs import frozen

from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.pages import Pages
from toolkit_recipes.dbnet.synthetic.receipts import GeneratedPage
from toolkit_recipes.storage import from_main_process

_LOSSLESS_AND_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@frozen(eq=False)
class KeptPage:
    """A page that is read from a folder once it is there; any number of processes may load it."""

    source: GeneratedPage
    folder: Path

    @property
    def name(self) -> str:
        """That of the source."""
        return self.source.name

    def load(self) -> LoadedPage:
        """Read the page, or draw and keep it; it is the same either way."""
        file = self.folder / f"{self.name}.npz"
        try:
            return _read(file, self.name)
        except FileNotFoundError:
            page = self.source.load()
            _write(page, file)
            return page


def keep_drawn(pages: Pages, accelerator: Accelerator) -> Pages:
    """Keep generated pages in a temporary folder of all processes, for as long as they run."""
    made = tempfile.mkdtemp(prefix="toolkit-pages-") if accelerator.is_main_process else None
    folder = Path(from_main_process(accelerator, made))
    if accelerator.is_main_process:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return attrs.evolve(pages, train=_kept(pages.train, folder), val=_kept(pages.val, folder))


def _kept(pages: Sequence[PageSource], folder: Path) -> list[PageSource]:
    return [KeptPage(page, folder) if isinstance(page, GeneratedPage) else page for page in pages]


def _write(page: LoadedPage, file: Path) -> None:
    """Write a file that is either whole or not there."""
    _, png = cv2.imencode(".png", page.image, _LOSSLESS_AND_FAST)
    regions = page.regions
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.stem}.{uuid.uuid4().hex}.new.npz")
    np.savez(
        new,
        png=png,
        corners=np.concatenate([np.empty((0, 2)), *(region.polygon for region in regions)]),
        counts=np.array([len(region.polygon) for region in regions], np.int64),
        texts=np.array([region.text or "" for region in regions], np.str_),
        ignored=np.array([region.ignore for region in regions], np.bool_),
    )
    new.replace(file)


def _read(file: Path, name: str) -> LoadedPage:
    with np.load(file, allow_pickle=False) as kept:
        image = np.asarray(cv2.imdecode(kept["png"], cv2.IMREAD_COLOR), np.uint8)
        polygons = np.split(kept["corners"], np.cumsum(kept["counts"])[:-1])
        told = zip(polygons, kept["texts"].tolist(), kept["ignored"].tolist(), strict=True)
        regions = tuple(TextRegion(*region) for region in told) if len(kept["counts"]) else ()
    return LoadedPage(name, image, regions)
