"""The pages that a run learns from and is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.presets import DataConfig
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.readers.pages import PageSet
from toolkit_recipes.dbnet.readers.pages import read_pages
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages


@frozen(eq=False)
class Pages:
    """Pages by their use, and what was found in the folders that they come from."""

    train: Sequence[PageSource]
    val: Sequence[PageSource]
    test: Sequence[PageSource]
    found: Mapping[str, Mapping[str, str | float]] = field(factory=dict)
    """For each folder (``train``, ``val``, ``test``) its format and counts."""
    problems: Sequence[str] = ()
    """Sentences for the user: what was wrong with the folders and what was done about it."""


def find_pages(config: DbnetConfig) -> Pages:
    """Read or generate the pages that the configuration asks for.

    Raises:
        UsageError: a folder is no data set, or too small to hold out pages for validation.
    """
    data = config.data
    folders = {"train": data.train, "val": data.val, "test": data.test}
    sets = {name: _read(folder, data) for name, folder in folders.items() if folder}
    found = {name: pages.summary() for name, pages in sets.items()}
    problems = [f"{folders[name]}: {p}" for name, pages in sets.items() for p in pages.problems]
    train: Sequence[PageSource]
    val: Sequence[PageSource]
    if "train" in sets:
        train, val = sets["train"].pages, ()
        if "val" not in sets:
            train, val = _held_out(train, data.val_share, config.seed)
    else:
        train, val = _generated(config)
    val = sets["val"].pages if "val" in sets else val
    test = sets["test"].pages if "test" in sets else ()
    return Pages(train, val, test, found, problems)


def _read(folder: str, data: DataConfig) -> PageSet:
    return read_pages(Path(folder).expanduser(), data.format, exif=data.exif)


def _generated(config: DbnetConfig) -> tuple[Sequence[PageSource], Sequence[PageSource]]:
    synthetic = config.synthetic
    train = synthetic_pages(synthetic, config.seed, 0, synthetic.train_pages)
    val = synthetic_pages(synthetic, config.seed, synthetic.train_pages, synthetic.val_pages)
    return train, val


def _held_out(
    pages: Sequence[PageSource], share: float, seed: int
) -> tuple[Sequence[PageSource], Sequence[PageSource]]:
    """Split off a random share of the pages, the same for the same seed."""
    count = round(share * len(pages))
    if not 0 < count < len(pages):
        raise UsageError(
            f"data.val_share={share} of {len(pages)} pages leaves none to learn from or none to be "
            "measured on; give another share, or data.val=FOLDER"
        )
    order = np.random.default_rng(seed).permutation(len(pages)).tolist()
    return [pages[i] for i in sorted(order[count:])], [pages[i] for i in sorted(order[:count])]
