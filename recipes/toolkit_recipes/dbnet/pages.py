"""The pages that a run learns from and is measured on."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import PageSource
from toolkit_recipes.dbnet.presets import DataConfig
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.readers.pages import PageSet
from toolkit_recipes.dbnet.readers.pages import StoredPage
from toolkit_recipes.dbnet.readers.pages import read_pages
from toolkit_recipes.dbnet.synthetic.receipts import synthetic_pages
from toolkit_recipes.paths import given_path


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
        UsageError: a folder is no data set, or too small to hold out pages for validation, or the
            pages that are to be measured on hold no text that counts.
    """
    data = config.data
    folders = {"train": data.train, "val": data.val, "test": data.test}
    sets = {name: _read(folder, data) for name, folder in folders.items() if folder is not None}
    found = {name: pages.summary() for name, pages in sets.items()}
    problems = [f"{folders[name]}: {p}" for name, pages in sets.items() for p in pages.problems]
    stored = {name: pages.pages for name, pages in sets.items()}
    if "train" in stored and "val" not in stored:
        stored |= _held_out(stored["train"], data.val_share, config.seed)
    for name in ("val", "test"):
        if name in stored and not _holds_texts(stored[name]):
            raise UsageError(_unmeasurable(name, folders[name], len(stored[name]), data))
    if "train" in stored and not _holds_texts(stored["train"]):
        problems.append(f"{data.train}: no text that counts on the pages to learn from")
    generated = {} if "train" in stored else _generated(config)
    if "val" not in stored and not _show_texts(generated["val"]):
        problems.append(
            f"synthetic.height={config.synthetic.height}: no text on the receipts to validate on "
            "is large enough to count, so their figures say nothing; give a larger height"
        )
    pages: dict[str, Sequence[PageSource]] = {"test": (), **generated, **stored}
    return Pages(pages["train"], pages["val"], pages["test"], found, problems)


def _read(folder: str, data: DataConfig) -> PageSet:
    return read_pages(given_path(folder), data.format, exif=data.exif)


def _generated(config: DbnetConfig) -> dict[str, Sequence[PageSource]]:
    synthetic = config.synthetic
    train = synthetic_pages(synthetic, config.seed, 0, synthetic.train_pages)
    val = synthetic_pages(synthetic, config.seed, synthetic.train_pages, synthetic.val_pages)
    return {"train": train, "val": val}


def _held_out(
    pages: Sequence[StoredPage], share: float, seed: int
) -> dict[str, tuple[StoredPage, ...]]:
    """Split off a random share of the pages, the same for the same seed."""
    count = round(share * len(pages))
    if not 0 < count < len(pages):
        raise UsageError(
            f"data.val_share={share} of {len(pages)} pages leaves none to learn from or none to be "
            "measured on; give another share, or data.val=FOLDER"
        )
    order = np.random.default_rng(seed).permutation(len(pages)).tolist()
    rows = {"train": sorted(order[count:]), "val": sorted(order[:count])}
    return {name: tuple(pages[i] for i in found) for name, found in rows.items()}


def _unmeasurable(name: str, folder: str | None, count: int, data: DataConfig) -> str:
    if folder is not None:
        where = f"data.{name}={folder}: its pages hold"
        advice = "give a folder whose annotations aren't empty"
    else:
        where = f"data.train={data.train}: the {count} pages held out of it hold"
        advice = "give a larger data.val_share, another seed, or data.val=FOLDER"
    return (
        f"{where} no text that counts (all are don't care, or there is none), so nothing can be "
        f"measured on them; {advice}"
    )


def _show_texts(pages: Iterable[PageSource]) -> bool:
    return any(not region.ignore for page in pages for region in page.load().regions)


def _holds_texts(pages: Iterable[StoredPage]) -> bool:
    return any(not region.ignore for page in pages for region in page.regions)
