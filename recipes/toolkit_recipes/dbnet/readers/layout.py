"""Finds the images and the annotation files of a data set in a folder, whatever its layout.

Annotation files are recognized by what is in them. They may lie with the images, in folders below,
or beside a folder that is named after images (``train_images`` and ``train_gts``; ``Images/Train``
and ``Groundtruth/Polygon/Train``). Files in folders named after different splits are never mixed.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.images import SUFFIXES
from toolkit_recipes.dbnet.readers.ctw import CTW
from toolkit_recipes.dbnet.readers.ctw import CTW_XML
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.entries import FormatKey
from toolkit_recipes.dbnet.readers.icdar import ICDAR
from toolkit_recipes.dbnet.readers.icdar import SROIE
from toolkit_recipes.dbnet.readers.icdar import SROIE_TEXT
from toolkit_recipes.dbnet.readers.totaltext import TOTALTEXT
from toolkit_recipes.dbnet.readers.ufo import UFO

Kind = Literal["auto", "icdar", "sroie", "ufo", "totaltext", "ctw"]

FORMATS = (UFO, TOTALTEXT, CTW, CTW_XML, ICDAR, SROIE, SROIE_TEXT)
"""In the order in which they are tried."""

_MATLAB = ".mat"
_SUFFIXES = frozenset(known.suffix for known in FORMATS)
_SUFFIXES_OF_LINES = frozenset({".csv", ".txt"})
"""Endings of files that say by being empty that a page has no text."""
_FILES_LOOKED_INTO = 20
"""Files with content, of a folder and ending, that are read to learn their format."""

_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)
_FOLDER_OF_ANNOTATIONS = re.compile(
    r"(?<![a-z])(?:gts?|ground_?truths?|labels?|annotations?|anns?|box(?:es)?|ufo)(?![a-z])",
    re.IGNORECASE,
)
_FOLDER_OF_IMAGES = re.compile(r"(?<![a-z])im(?:g|age)s?(?![a-z])", re.IGNORECASE)


@frozen
class Source:
    """The files of a data set, all of one format and one split."""

    format: FormatKey
    annotations: tuple[tuple[Path, Format], ...]
    images: tuple[Path, ...]


def find_source(path: Path, kind: Kind) -> Source:
    """Find the files of a data set.

    Args:
        path: a folder of images with or without their annotations, or a UFO json file.
        kind: format of the annotations; ``auto`` for any.

    Raises:
        UsageError: there is no such folder, it holds no images or no annotations of the format,
            or those of several formats or splits.
    """
    path = path.absolute()
    if not path.exists():
        raise UsageError(f"{path}: no such folder; name one with images and their annotations")
    files = [path] if path.is_file() else list(files_below(path))
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    found = _recognized(files, kind)
    base = path
    if images and not found:
        base, found = _annotations_beside(path, kind)
    elif found and not images:
        base, images = _images_beside(path)
    if not images or not found:
        raise _nothing_found(path, kind, files, images)
    return _of_one_split(base, _of_one_format(path, found), images)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder in order; hidden ones are left out, links followed once."""
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def read_text(file: Path) -> str:
    """Read a text as UTF-8, with U+FFFD for letters that aren't and one kind of end of line.

    Raises:
        UsageError: the file can't be read.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: can't be read ({error.strerror})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


_Found = list[tuple[Path, Format]]


def _recognized(files: Iterable[Path], kind: Kind) -> _Found:
    """The annotation files among files; those of a folder and ending are all of one format.

    Where the format is given, empty files are annotations too: of pages without text.
    """
    alike: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        if file.suffix.lower() in _SUFFIXES:
            alike[file.parent, file.suffix.lower()].append(file)
    found: _Found = []
    empty: _Found = []
    for (_, suffix), group in alike.items():
        tried = [f for f in FORMATS if f.suffix == suffix and kind in ("auto", f.key)]
        if known := _format_of(group, tried, None if kind != "auto" else _FILES_LOOKED_INTO):
            found += [(file, known) for file in group]
        elif tried and suffix in _SUFFIXES_OF_LINES and _are_empty(group):
            empty += [(file, tried[0]) for file in group]
    return found or (empty if kind != "auto" else [])


def _format_of(files: Iterable[Path], formats: Sequence[Format], most: int | None) -> Format | None:
    """The first of the formats that one of so many files that aren't empty is of."""
    if not formats:
        return None
    written = (text for text in map(read_text, files) if text.strip())
    for text in itertools.islice(written, most):
        for known in formats:
            if known.recognizes(text):
                return known
    return None


def _are_empty(files: Iterable[Path]) -> bool:
    return not any(read_text(file).strip() for file in files)


def _of_one_format(path: Path, found: _Found) -> _Found:
    examples = {known.key: file for file, known in found}
    if len(examples) > 1:
        several = ", ".join(f"{key} ({file.parent})" for key, file in examples.items())
        raise UsageError(
            f"{path}: holds annotations of several formats: {several}; "
            "say which one with format=, or name a folder with one of them"
        )
    return found


def _of_one_split(base: Path, found: _Found, images: Sequence[Path]) -> Source:
    splits = {_split_of(base, file): file for file, _ in found}
    named = {split: file for split, file in splits.items() if split}
    if len(named) > 1:
        several = ", ".join(f"{split} ({_split_place(file)})" for split, file in named.items())
        raise UsageError(f"{base}: holds several splits: {several}; name the folder of one of them")
    wanted = {None, *named} if named else {_split_of(base, image) for image in images}
    kept = tuple(image for image in images if _split_of(base, image) in wanted)
    if not kept:
        raise UsageError(f"{base}: annotations of {', '.join(named)}, but only images of others")
    return Source(found[0][1].key, tuple(found), kept)


def _split_place(file: Path) -> Path:
    return file if file.suffix.lower() == UFO.suffix else file.parent


def _split_of(base: Path, file: Path) -> str | None:
    """The split after which a folder below ``base`` that a file is in, or a json, is named."""
    names = file.relative_to(base).parts[:-1]
    if file.suffix.lower() == UFO.suffix:
        names = (*names, file.stem)
    matches = filter(None, map(_SPLIT.search, names))
    return next((match[1].lower() for match in matches), None)


def _annotations_beside(path: Path, kind: Kind) -> tuple[Path, _Found]:
    """Annotations for a folder named after images, or in one, in folders beside either."""
    is_inside = bool(_FOLDER_OF_IMAGES.search(path.parent.name))
    bases = [path.parent] if is_inside or _FOLDER_OF_IMAGES.search(path.name) else []
    bases += [path.parent.parent] if is_inside else []
    for base in bases:
        split = _split_of(base, path / "image")
        files = [
            file
            for file in _below_folders_named(base, _FOLDER_OF_ANNOTATIONS)
            if _split_of(base, file) in (None, split)
        ]
        if found := _recognized(files, kind):
            return base, found
    return path, []


def _images_beside(path: Path) -> tuple[Path, list[Path]]:
    """Images for a json file or its folder, with it or in folders beside it."""
    folder = path.parent if path.is_file() else path
    for base, files in (
        (folder, files_below(folder)),
        (folder.parent, _below_folders_named(folder.parent, _FOLDER_OF_IMAGES)),
    ):
        if images := [file for file in files if file.suffix.lower() in SUFFIXES]:
            return base, images
    return folder, []


def _below_folders_named(base: Path, name: re.Pattern[str]) -> Iterator[Path]:
    for folder in sorted(base.glob("*")):
        if folder.is_dir() and name.search(folder.name):
            yield from files_below(folder)


def _nothing_found(
    path: Path, kind: Kind, files: Sequence[Path], images: Sequence[Path]
) -> UsageError:
    wanted = [known for known in FORMATS if kind in ("auto", known.key)]
    lines = [f"  {known.key}: *{known.suffix} with {known.looks}" for known in wanted]
    message = (
        f"{path}: no annotated pages; it holds {len(images)} images ({', '.join(sorted(SUFFIXES))})"
        f" and no annotations that are known. Looked here, below and beside it for\n"
        + "\n".join(lines)
    )
    lines_of = [file for file in files if file.suffix.lower() in _SUFFIXES_OF_LINES]
    if images and lines_of and _are_empty(lines_of):
        message += "\nThe files that could be annotations are empty; if that is right, say which "
        message += "format they are of (format=)"
    if any(file.suffix.lower() == _MATLAB for file in files):
        message += "\nMatlab files (.mat) are not read; Total-Text also comes in a txt format"
    return UsageError(message)
