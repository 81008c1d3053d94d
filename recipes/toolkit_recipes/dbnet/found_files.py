"""Files of what was found on pages: UFO json, and the zip of text files that ICDAR takes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any

from attrs import converters
from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.names import printable

PLACES = 2
"""Decimals of coordinates in UFO json."""
ICDAR_POINTS = 4
"""Corners of a text in ICDAR's files."""


@frozen(eq=False)
class FoundPage:
    """What was found on a page.

    Args:
        name: of its image, relative to the folder that was given, with ``/``; made ``printable``.
        size: height and width of the image.
        detections: surest first.
        problem: why the image couldn't be read.
    """

    name: str = field(converter=printable)
    size: tuple[int, int] = (0, 0)
    detections: tuple[Detection, ...] = ()
    problem: str | None = field(default=None, converter=converters.optional(printable))


def as_ufo(pages: Iterable[FoundPage]) -> dict[str, Any]:
    """Return UFO json: ``images -> name -> {img_h, img_w, words -> number -> {points, score}}``.

    A page that couldn't be read has ``error`` in place of its size, and no words.
    """
    return {"images": {page.name: _page(page) for page in pages}}


def write_json(pages: Iterable[FoundPage], file: Path) -> None:
    """Write UFO json, whole or not at all.

    Raises:
        UsageError: it can't be written.
    """
    text = json.dumps(as_ufo(pages), ensure_ascii=False, indent=1) + "\n"
    with _whole("output", file) as partial:
        partial.write_text(text, encoding="utf-8")


def write_icdar_zip(pages: Iterable[FoundPage], file: Path) -> None:
    """Write ``res_NAME.txt`` for each page: a line ``x1,y1,...,x4,y4`` for each text.

    Coordinates are rounded, as ICDAR's evaluation takes whole numbers only.

    Raises:
        UsageError: it can't be written, two pages have one name but for folder and ending, or a
            text has other than four corners.
    """
    pages = tuple(pages)
    names = icdar_names((page.name for page in pages), file)
    texts = {name: _lines(page, file) for name, page in zip(names, pages, strict=True)}
    with (
        _whole("icdar", file) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, text in texts.items():
            archive.writestr(name, text)


def icdar_names(pages: Iterable[str], file: Path) -> tuple[str, ...]:
    """Return what the text files of pages of these names are called in the zip.

    Raises:
        UsageError: two pages have one name but for folder and ending.
    """
    found: dict[str, str] = {}
    for page in pages:
        name = f"res_{PurePosixPath(page).stem}.txt"
        if name in found:
            raise UsageError(
                f"icdar={file}: {found[name]} and {page} would both be {name}; give them names "
                "that differ in more than folder and ending"
            )
        found[name] = page
    return tuple(found)


@contextmanager
def _whole(key: str, file: Path) -> Iterator[Path]:
    """Give a file to write in place of another, which it replaces if nothing goes wrong."""
    partial = file.with_name(file.name + ".partial")
    try:
        yield partial
        partial.replace(file)
    except OSError as error:
        raise UsageError(f"{key}={file}: can't be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def _page(page: FoundPage) -> Mapping[str, Any]:
    if page.problem is not None:
        return {"words": {}, "error": page.problem}
    height, width = page.size
    words = {
        f"{number:04}": {
            "points": detection.polygon.round(PLACES).tolist(),
            "score": round(detection.score, 4),
        }
        for number, detection in enumerate(page.detections, start=1)
    }
    return {"img_h": height, "img_w": width, "words": words}


def _lines(page: FoundPage, file: Path) -> str:
    return "".join(f"{_line(detection, page.name, file)}\n" for detection in page.detections)


def _line(detection: Detection, page: str, file: Path) -> str:
    if len(detection.polygon) != ICDAR_POINTS:
        raise UsageError(
            f"icdar={file}: a text on {page} has {len(detection.polygon)} corners, but ICDAR's "
            f"evaluation takes {ICDAR_POINTS}; give shape=quad, or leave icdar out"
        )
    return ",".join(str(round(value)) for value in detection.polygon.flatten().tolist())
