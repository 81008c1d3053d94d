"""Writes small data sets in the layouts and formats that the readers know."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

SIZE = (100, 80)
"""Width and height of every image here."""

QUAD = "10,20,50,20,50,40,10,40"
"""A sound text in ICDAR's numbers."""
CORNERS = [[10.0, 20.0], [50.0, 20.0], [50.0, 40.0], [10.0, 40.0]]
"""The same as a polygon."""
TOTALTEXT_LINE = "x: [[10 50 50 10]], y: [[20 20 40 40]], ornt: [u'h'], transcriptions: [u'TEXT']"
CTW_POINTS = "10,20,16,20,22,20,30,20,36,20,42,20,50,20,50,40,42,40,36,40,30,40,22,40,16,40,10,40"
"""The same with 14 points."""


def write_image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write a plain image and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(path)
    return path


def write_text(path: Path, *lines: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_page(folder: Path, *lines: str) -> Path:
    """Write an ICDAR data set of one page with these lines."""
    write_image(folder / "images" / "img_1.jpg")
    write_text(folder / "gts" / "gt_img_1.txt", *lines)
    return folder
