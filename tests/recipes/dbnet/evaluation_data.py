"""Pages, polygons and published results that the tests of the metrics use."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion

SHARED = Path(__file__).parents[4] / "shared" / "data"
VECTORS = SHARED / "eval-vectors"
SROIE = SHARED / "sroie" / "test"

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the evaluators' own results aren't in ../shared/data"
)
needs_sroie = pytest.mark.skipif(not SROIE.is_dir(), reason="SROIE isn't in ../shared/data")

Polygon = NDArray[np.float64]
PageResult = tuple[list[TextRegion], list[Detection]]


def expected(name: str) -> dict[str, Any]:
    """What the reference evaluator says of a set of results."""
    figures: dict[str, Any] = json.loads((VECTORS / "expected.json").read_text())[name]
    return figures


def vectors(name: str, gt_prefix: str, det_prefix: str) -> list[PageResult]:
    """Texts and detections of each page of a set of results."""
    texts = _read_zip(VECTORS / name / "gt.zip", gt_prefix)
    detections = _read_zip(VECTORS / name / "pred.zip", det_prefix)
    return [
        (
            [TextRegion(quad, text, ignore=text == "###") for quad, text in texts[page]],
            [Detection(quad, 1.0) for quad, _ in detections[page]],
        )
        for page in sorted(texts)
    ]


def _read_zip(path: Path, prefix: str) -> dict[str, list[tuple[Polygon, str]]]:
    with zipfile.ZipFile(path) as archive:
        return {
            name.removeprefix(prefix): _lines(archive.read(name).decode("utf-8-sig"))
            for name in archive.namelist()
            if name.endswith(".txt")
        }


def _lines(content: str) -> list[tuple[Polygon, str]]:
    fields = [line.strip("\r").split(",", 8) for line in content.split("\n") if line.strip()]
    return [(_quad(values), _unquoted("".join(values[8:]))) for values in fields]


def _quad(values: list[str]) -> Polygon:
    return np.array(values[:8], dtype=np.float64).reshape(4, 2)


def _unquoted(text: str) -> str:
    """The ICDAR format allows quotes around a transcription."""
    quoted = re.fullmatch(r'\s*"(.*)"\s*', text)
    return quoted[1] if quoted else text


def sroie_pages() -> list[tuple[list[TextRegion], tuple[int, int]]]:
    """Texts, and height and width, of each test page of SROIE."""
    pages = []
    for path in sorted((SROIE / "box").glob("*.csv")):
        lines = _lines(path.read_text(encoding="utf-8", errors="replace"))
        with Image.open(SROIE / "img" / f"{path.stem}.jpg") as image:
            size = (image.height, image.width)
        pages.append(([TextRegion(quad, text) for quad, text in lines], size))
    return pages


def box(x: float, y: float, width: float, height: float) -> Polygon:
    """An upright rectangle by its top left corner."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)


def turned_box(centre: tuple[float, float], width: float, height: float, degrees: float) -> Polygon:
    """A rectangle around a centre, turned clockwise."""
    angle = np.deg2rad(degrees)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: Polygon = box(-width / 2, -height / 2, width, height) @ axes + np.array(centre)
    return turned


def bent_strip(start: tuple[float, float], length: float, height: float, bend: float) -> Polygon:
    """A strip of 14 corners that rises by ``bend`` in the middle."""
    along = np.linspace(0, 1, 7)
    middle = np.stack((along * length, -bend * 4 * along * (1 - along)), axis=1)
    ahead = np.gradient(middle, axis=0)
    aside = np.stack((-ahead[:, 1], ahead[:, 0]), axis=1)
    aside *= height / 2 / np.linalg.norm(aside, axis=1)[:, None]
    strip: Polygon = np.concatenate((middle - aside, (middle + aside)[::-1])) + np.array(start)
    return strip


def regions(*polygons: Polygon, text: str | None = None, ignore: bool = False) -> list[TextRegion]:
    """Texts with these outlines."""
    return [TextRegion(polygon, text, ignore) for polygon in polygons]


def detections(*polygons: Polygon) -> list[Detection]:
    """Detections with these outlines."""
    return [Detection(polygon, 0.9) for polygon in polygons]


NO_INSIDE = {
    "nothing": np.zeros((0, 2)),
    "two corners": np.array([[0.0, 0.0], [10.0, 10.0]]),
    "one point": np.ones((4, 2)),
    "a line": np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [5.0, 0.0]]),
    "not a number": np.array([[0.0, 0.0], [np.nan, 0.0], [10.0, 10.0], [0.0, 10.0]]),
    "infinite": np.array([[0.0, 0.0], [np.inf, 0.0], [10.0, 10.0], [0.0, 10.0]]),
}
"""Outlines that enclose nothing."""

_COORDINATES = st.integers(0, 24).map(float)
polygons = st.lists(st.tuples(_COORDINATES, _COORDINATES), min_size=3, max_size=6).map(np.array)
"""Polygons that often cross themselves, touch each other or enclose nothing."""


@st.composite
def crowded_pages(draw: st.DrawFn) -> PageResult:
    """Draw a page on which texts and detections lie across each other."""
    texts = [
        TextRegion(polygon, ignore=ignore)
        for polygon, ignore in draw(st.lists(st.tuples(polygons, st.booleans()), max_size=5))
    ]
    return texts, detections(*draw(st.lists(polygons, max_size=5)))


@st.composite
def tidy_pages(draw: st.DrawFn) -> PageResult:
    """Draw a page on which neither texts nor detections overlap among themselves.

    Each lies in its cell of a grid; no corner of one lies on the outline of another.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    texts, found = (
        [
            box(50 * column + x, 20 * row + y, width, height)
            for row in range(4)
            for column in range(3)
            for x, y, width, height in [rng.uniform((0, 0, 15, 6), (15, 8, 34, 12))]
            if rng.random() < share
        ]
        for share in draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    )
    return regions(*texts), detections(*found)
