"""Files of what was found on pages: UFO json, and the zip of text files that ICDAR takes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any

from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.annotations import Detection

PLACES = 2
"""Decimals of coordinates."""


@frozen(eq=False)
class FoundPage:
    """What was found on a page.

    Args:
        name: of its image, relative to the folder that was given, with ``/``.
        size: height and width of the image.
        detections: surest first.
        problem: why the image couldn't be read.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    detections: tuple[Detection, ...] = ()
    problem: str | None = None


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
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise UsageError(f"output={file}: can't be written ({error.strerror})") from None


def write_icdar_zip(pages: Iterable[FoundPage], file: Path) -> None:
    """Write ``res_NAME.txt`` for each page: a line ``x1,y1,...,xn,yn`` for each text.

    Raises:
        UsageError: it can't be written, or two pages have one name but for folder and ending.
    """
    texts: dict[str, str] = {}
    for page in pages:
        name = f"res_{PurePosixPath(page.name).stem}.txt"
        if name in texts:
            raise UsageError(f"icdar={file}: two pages would be {name}; give them other names")
        texts[name] = "".join(f"{_line(detection)}\n" for detection in page.detections)
    partial = file.with_name(file.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
        partial.replace(file)
    except OSError as error:
        raise UsageError(f"icdar={file}: can't be written ({error.strerror})") from None


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


def _line(detection: Detection) -> str:
    return ",".join(f"{value:.{PLACES}f}" for value in detection.polygon.flatten().tolist())
