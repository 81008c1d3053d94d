"""Malformed annotation files: none ends the program, and every text is used or counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.recipes.dbnet.page_files import CORNERS
from tests.recipes.dbnet.page_files import CTW_POINTS
from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import SIZE
from tests.recipes.dbnet.page_files import TOTALTEXT_LINE
from tests.recipes.dbnet.page_files import write_image
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.readers.ctw import CTW
from toolkit_recipes.dbnet.readers.ctw import CTW_XML
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.icdar import ICDAR
from toolkit_recipes.dbnet.readers.icdar import SROIE
from toolkit_recipes.dbnet.readers.layout import FORMATS
from toolkit_recipes.dbnet.readers.layout import read_text
from toolkit_recipes.dbnet.readers.pages import read_pages
from toolkit_recipes.dbnet.readers.totaltext import TOTALTEXT
from toolkit_recipes.dbnet.readers.ufo import UFO
from toolkit_recipes.dbnet.repair import RULES

SOUND = {
    ICDAR: QUAD,
    SROIE: QUAD,
    TOTALTEXT: TOTALTEXT_LINE,
    CTW: CTW_POINTS,
    CTW_XML: f"<A><box><segs>{CTW_POINTS}</segs></box></A>",
}
LOST = {"bad_entry", "no_area", "outside"}
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8)
NUMBERS = st.integers(-30, 130).map(str) | st.sampled_from(
    ["nan", "-inf", "1e999", "1e6", "", " 7 ", "x", "0x10", "1_0", "٣", "-0", "3.5", "9" * 400]
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of two images."""
    with TemporaryDirectory() as name:
        write_image(Path(name) / "a.jpg")
        write_image(Path(name) / "b.jpg")
        yield Path(name)


@st.composite
def numbers(draw: st.DrawFn, sound: str) -> list[str]:
    """Draw numbers, of which some are none, and at times too few."""
    drawn = sound.split(",")
    for place, number in draw(st.lists(st.tuples(st.integers(0, 27), NUMBERS), max_size=4)):
        drawn[place % len(drawn)] = number
    return drawn[: draw(st.just(len(drawn)) | st.integers(0, len(drawn)))]


@st.composite
def lines(draw: st.DrawFn, known: Format) -> str:
    """Draw an entry of a format that may be wrong in any way."""
    text = draw(WORDS)
    if known is TOTALTEXT:
        x, y = (" ".join(draw(numbers("10,50,50,10"))) for _ in "xy")
        return f"x: [[{x}]], y: [[{y}]], ornt: [u'c'], transcriptions: [u'{text}']"
    points = ",".join(draw(numbers(CTW_POINTS if known in (CTW, CTW_XML) else QUAD)))
    if known is CTW_XML:
        return f"<box><label>{text}</label><segs>{points}</segs></box>"
    return f"{points},####{text}" if known is CTW else f"{points},{text}"


@st.composite
def files(draw: st.DrawFn) -> tuple[Format, bytes]:
    """Draw a file of entries, at times with bytes put in, changed or left out."""
    known = draw(st.sampled_from(list(SOUND)))
    entries = draw(st.lists(lines(known) | WORDS, max_size=5))
    content = "\n".join(entries)
    data = f"<A>{content}</A>".encode() if known is CTW_XML else content.encode()
    if draw(st.booleans()):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 5))
        data = data[:start] + draw(st.binary(max_size=5)) + data[end:]
    return known, data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-30, 130) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
COORDINATES = st.integers(-30, 130) | st.floats()
POINTS = st.lists(st.lists(COORDINATES, min_size=2, max_size=2), max_size=8)
UFO_WORDS = st.fixed_dictionaries(
    {"points": POINTS | VALUES}, optional={"transcription": VALUES, "illegibility": VALUES}
)
UFO_PAGES = st.fixed_dictionaries({"words": st.dictionaries(WORDS, UFO_WORDS | VALUES, max_size=4)})


def check(folder: Path, known: Format, entries: int) -> None:
    """Read the folder; every entry of page a is a text on the page or counted as lost."""
    pages = read_pages(folder, known.key)
    counts = {problem.rule.key: problem.count for problem in pages.problems}
    texts = {page.name: page.regions for page in pages.pages}
    assert len(texts["b.jpg"]) == 1
    if "a.jpg" in texts:
        assert "no_usable_entry" not in counts
        lost = sum(counts.get(key, 0) for key in LOST)
        assert len(texts["a.jpg"]) + lost == entries
    else:
        assert counts["no_usable_entry"] == 1
        assert counts["bad_entry"] == entries
    for region in texts.get("a.jpg", ()):
        assert np.isfinite(region.polygon).all()
        assert ((region.polygon >= 0) & (region.polygon <= SIZE)).all()


@settings(max_examples=600, deadline=None)
@given(file=files())
def test_every_entry_of_a_malformed_file_is_used_or_counted(
    folder: Path, file: tuple[Format, bytes]
) -> None:
    """Whatever its lines, its letters and its bytes."""
    known, data = file
    for old in folder.glob("*.*"):
        if old.suffix != ".jpg":
            old.unlink()
    path = folder / f"a{known.suffix}"
    path.write_bytes(data)
    (folder / f"b{known.suffix}").write_text(SOUND[known], encoding="utf-8")
    (sheet,) = known.parse(read_text(path), "a")
    check(folder, known, len(sheet.entries))


@settings(max_examples=300, deadline=None)
@given(page=UFO_PAGES | VALUES)
def test_every_word_of_a_malformed_json_is_used_or_counted(folder: Path, page: Any) -> None:
    """Whatever stands where words, points and numbers should."""
    for old in folder.glob("*.*"):
        if old.suffix != ".jpg":
            old.unlink()
    content = {"images": {"a.jpg": page, "b.jpg": {"words": {"1": {"points": CORNERS}}}}}
    text = json.dumps(content)
    (folder / "train.json").write_text(text, encoding="utf-8")
    sheet, _ = UFO.parse(text, "train")
    check(folder, UFO, len(sheet.entries))


@settings(max_examples=200, deadline=None)
@given(known=st.sampled_from(FORMATS), text=st.text() | st.text('{}[]<>:,#"xy0123456789 \n'))
def test_any_text_is_parsed_or_refused(known: Format, text: str) -> None:
    """A parser that can make nothing of a text raises ValueError, and nothing else."""
    try:
        sheets = list(known.parse(text, "a"))
    except ValueError:
        assert known is UFO
        return
    assert len(sheets) == 1 or known is UFO
    assert known.recognizes(text) in (True, False)


def test_a_data_set_of_garbage_is_refused(tmp_path: Path) -> None:
    """Where not even one entry is of any format."""
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(UsageError, match="no annotated pages"):
        read_pages(tmp_path)


def test_a_rule_is_named_once() -> None:
    """What is counted can be told apart."""
    assert len({rule.key for rule in RULES}) == len(RULES)
