"""Generated pages that are drawn once: whatever is drawn is kept in a folder and read from there.

To draw a page takes ten times as long as to read it.
"""

from __future__ import annotations

import atexit
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
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
_REMOVE_WHEN_TOLD = """
trap '' HUP INT TERM
read -r _
mv -- "$1" "$1.gone" && exec rm -rf -- "$1.gone"
"""
"""Waits for a line, or for the end of everybody who could write one. What has another name by then
can't be written into while it is removed."""


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
        """Read the page, or draw and keep it; it is the same either way.

        A page is kept only while there is a folder: it goes before the last worker does.
        """
        file = self.folder / f"{self.name}.npz"
        try:
            return _read(file, self.name)
        except FileNotFoundError:
            page = self.source.load()
            with suppress(FileNotFoundError):
                _write(page, file)
            return page


def keep_drawn(pages: Pages, accelerator: Accelerator) -> Pages:
    """Keep generated pages in a temporary folder of all processes, for as long as they run.

    The folder goes with them, however they end.
    """
    made = tempfile.mkdtemp(prefix="toolkit-pages-") if accelerator.is_main_process else None
    folder = Path(from_main_process(accelerator, made))
    if accelerator.is_local_main_process:
        folder.mkdir(mode=0o700, exist_ok=True)  # mkdtemp made it on the first machine alone
        _remove_at_the_end(folder)
    return attrs.evolve(pages, train=_kept(pages.train, folder), val=_kept(pages.val, folder))


def _remove_at_the_end(folder: Path) -> None:
    """Have a process of its own remove the folder when this one ends, or is ended by a signal.

    A handler of SIGTERM wouldn't do: it has to wait for whatever PyTorch is computing, and there is
    none of SIGKILL.
    """
    remover = subprocess.Popen(
        ["sh", "-c", _REMOVE_WHEN_TOLD, "sh", str(folder.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C in a terminal is for the recipe
    )
    atexit.register(remover.communicate, b"\n")


def _kept(pages: Sequence[PageSource], folder: Path) -> list[PageSource]:
    return [KeptPage(page, folder) if isinstance(page, GeneratedPage) else page for page in pages]


def _write(page: LoadedPage, file: Path) -> None:
    """Write a file that is either whole or not there.

    Raises:
        FileNotFoundError: its folder is gone.
    """
    _, png = cv2.imencode(".png", page.image, _LOSSLESS_AND_FAST)
    regions = page.regions
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
