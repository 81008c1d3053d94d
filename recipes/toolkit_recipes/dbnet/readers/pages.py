"""Reads a folder of annotated pages; says what was wrong with them and what was done about it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit_recipes.dbnet import repair as rules
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.images import Header
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.images import read_header
from toolkit_recipes.dbnet.names import printable
from toolkit_recipes.dbnet.readers.entries import BadEntry
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import FormatKey
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.layout import Kind
from toolkit_recipes.dbnet.readers.layout import Source
from toolkit_recipes.dbnet.readers.layout import find_source
from toolkit_recipes.dbnet.readers.layout import read_text
from toolkit_recipes.dbnet.readers.matching import ImageIndex
from toolkit_recipes.dbnet.repair import Rule
from toolkit_recipes.dbnet.repair import repair

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@frozen(eq=False)
class StoredPage:
    """A page whose image is in a file; its texts are repaired and within the page."""

    name: str
    image: Path
    regions: tuple[TextRegion, ...]
    header: Header
    exif: bool

    def load(self) -> LoadedPage:
        """Read the image.

        Raises:
            ImageError: it is damaged, or was replaced by one of another size since its texts were
                read.
        """
        image: NDArray[np.uint8] = load_image(self.image, exif=self.exif)
        if image.shape[:2] != (self.header.height, self.header.width):
            raise ImageError(self.image, "its size isn't what it was when its texts were read")
        return LoadedPage(self.name, image, self.regions)


@frozen
class Problem:
    """A rule of ``repair`` that was applied, how often, and where first."""

    rule: Rule
    count: int
    first: str
    """File, line or entry, and what was found there."""

    def __str__(self) -> str:
        times = "once" if self.count == 1 else f"{self.count} times, first"
        return f"{self.rule.words} ({self.rule.key}): {times} in {self.first}"


@frozen(eq=False)
class PageSet:
    """The pages of a folder that can be used, and what was wrong with it."""

    pages: tuple[StoredPage, ...]
    problems: tuple[Problem, ...]
    format: FormatKey
    annotations: Path
    """The file of the annotations, or the folder that all of them are in."""
    exif: bool

    def summary(self) -> dict[str, str | float]:
        """Return how much there is of everything, for the parameters of a run."""
        regions = [region for page in self.pages for region in page.regions]
        return {
            "format": self.format,
            "annotations": printable(str(self.annotations)),
            "exif": str(self.exif).lower(),
            "pages": len(self.pages),
            "pages_turned_by_exif": sum(page.header.turned for page in self.pages),
            "texts": sum(not region.ignore for region in regions),
            "dont_care": sum(region.ignore for region in regions),
            **{problem.rule.key: problem.count for problem in self.problems},
        }


def read_pages(path: Path, kind: Kind = "auto", *, exif: bool = True) -> PageSet:
    """Read the annotations of a folder of pages and the sizes of its images.

    Args:
        path: the folder, or a UFO json file.
        kind: format of the annotations; ``auto`` finds out.
        exif: turn images as their EXIF says, which is how most annotation tools show them. The
            texts of ICDAR 2017 and CTW1500 were marked on images that weren't turned.

    Raises:
        UsageError: not a data set of the format, several of them, or none of its pages is usable.
    """
    source = find_source(path, kind)
    reader = _Reader(source, exif=exif)
    pages = reader.read()
    if not pages:
        problems = "\n".join(f"  {problem}" for problem in reader.problems())
        raise UsageError(f"{path}: {source.format}, but no page of it can be used\n{problems}")
    annotations = Path(os.path.commonpath([file for file, _ in source.annotations]))
    return PageSet(pages, reader.problems(), source.format, annotations, exif)


class _Reader:
    """Turns the files of a data set into pages and keeps count of what is wrong with them."""

    def __init__(self, source: Source, *, exif: bool) -> None:
        self._source = source
        self._exif = exif
        self._index = ImageIndex(source.images)
        self._described: set[Path] = set()
        self._counts: dict[Rule, int] = {}
        self._firsts: dict[Rule, str] = {}

    def read(self) -> tuple[StoredPage, ...]:
        """Read all pages, in the order of their images."""
        base = os.path.commonpath([image.parent for image in self._source.images])
        found: dict[Path, StoredPage] = {}
        for file, sheet in self._sheets():
            image = self._image_of(file, sheet)
            if image and (page := self._page(image, image.relative_to(base), file, sheet)):
                found[image] = page
        for image in self._source.images:
            if image not in self._described:
                self._count(rules.NO_ANNOTATION, str(image))
        return tuple(found[image] for image in self._source.images if image in found)

    def problems(self) -> tuple[Problem, ...]:
        """Return the rules that were applied, in the order of their table."""
        return tuple(
            Problem(rule, self._counts[rule], self._firsts[rule])
            for rule in rules.RULES
            if rule in self._counts
        )

    def _count(self, rule: Rule, place: str) -> None:
        self._counts[rule] = self._counts.get(rule, 0) + 1
        self._firsts.setdefault(rule, printable(place))

    def _sheets(self) -> Iterable[tuple[Path, Sheet]]:
        for file, known in self._source.annotations:
            text = read_text(file)
            if _REPLACEMENT in text:
                line = text.count("\n", 0, text.index(_REPLACEMENT)) + 1
                self._count(rules.NOT_UTF8, f"{file}, line {line}")
            try:
                yield from ((file, sheet) for sheet in known.parse(text, file.stem))
            except ValueError as error:
                raise UsageError(f"{file}: {error}") from None

    def _image_of(self, file: Path, sheet: Sheet) -> Path | None:
        images = self._index.find(sheet.image, file)
        if not images:
            self._count(rules.NO_IMAGE, f"{file}: {sheet.image}")
        elif len(images) > 1:
            several = " or ".join(map(str, images))
            self._count(rules.SEVERAL_IMAGES, f"{file}: {sheet.image} is {several}")
        elif images[0] in self._described:
            self._count(rules.ANNOTATED_TWICE, f"{file}: {images[0]}")
        else:
            self._described.add(images[0])
            return images[0]
        return None

    def _page(self, image: Path, name: Path, file: Path, sheet: Sheet) -> StoredPage | None:
        try:
            header = read_header(image, exif=self._exif)
        except ImageError as error:
            self._count(rules.BAD_IMAGE, str(error))
            return None
        for place in sheet.repeated:
            self._count(rules.REPEATED_ID, f"{file}, {place}")
        usable = self._usable(file, sheet.entries)
        if sheet.entries and not usable:
            self._count(rules.NO_USABLE_ENTRY, str(file))
            return None
        found = (self._region(entry, file, header) for entry in usable)
        regions = tuple(region for region in found if region is not None)
        return StoredPage(printable(name.as_posix()), image, regions, header, self._exif)

    def _usable(self, file: Path, entries: Sequence[Entry | BadEntry]) -> list[Entry]:
        usable = []
        for entry in entries:
            if isinstance(entry, Entry):
                usable.append(entry)
            else:
                self._count(rules.BAD_ENTRY, f"{file}, {entry.place}: {entry.reason}")
        return usable

    def _region(self, entry: Entry, file: Path, header: Header) -> TextRegion | None:
        repaired = repair(entry.points, (header.width, header.height))
        for rule in repaired.rules:
            self._count(rule, f"{file}, {entry.place}")
        if repaired.polygon is None:
            return None
        return TextRegion(repaired.polygon, entry.text, entry.ignore or repaired.ignore)
