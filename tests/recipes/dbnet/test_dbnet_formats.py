"""Each annotation format: what its files say, and what in them is no text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.dbnet.page_files import CORNERS
from tests.recipes.dbnet.page_files import CTW_POINTS
from tests.recipes.dbnet.page_files import QUAD
from tests.recipes.dbnet.page_files import TOTALTEXT_LINE
from tests.recipes.dbnet.page_files import write_image
from tests.recipes.dbnet.page_files import write_page
from tests.recipes.dbnet.page_files import write_text
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.readers.ctw import is_ctw
from toolkit_recipes.dbnet.readers.ctw import parse_ctw
from toolkit_recipes.dbnet.readers.ctw import parse_ctw_xml
from toolkit_recipes.dbnet.readers.entries import BadEntry
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.icdar import is_icdar
from toolkit_recipes.dbnet.readers.icdar import parse_icdar
from toolkit_recipes.dbnet.readers.pages import read_pages
from toolkit_recipes.dbnet.readers.totaltext import parse_totaltext
from toolkit_recipes.dbnet.readers.ufo import parse_ufo

UNREADABLE = "x: [[1 2 3]], y: [[1 2 3]], ornt: [u'{}'], transcriptions: [u'{}']"
CTW_BOX = f'<box height="20" left="10"><label>TEXT</label><segs>{CTW_POINTS}</segs></box>'


def only(sheets: Iterator[Sheet]) -> list[Entry]:
    """Return the entries of the one sheet, none of which is bad."""
    (sheet,) = sheets
    assert all(isinstance(entry, Entry) for entry in sheet.entries), sheet.entries
    return [entry for entry in sheet.entries if isinstance(entry, Entry)]


def bad(sheets: Iterator[Sheet]) -> list[BadEntry]:
    """Return the bad entries of all sheets."""
    return [entry for sheet in sheets for entry in sheet.entries if isinstance(entry, BadEntry)]


def test_icdar_transcripts_may_hold_commas() -> None:
    """Everything behind the eighth comma is the transcript."""
    (entry,) = only(parse_icdar(f"{QUAD},NO.53, 55,57 & 59,\r\n", "gt_1"))
    assert entry.text == "NO.53, 55,57 & 59,"
    assert [list(point) for point in entry.points] == CORNERS
    assert not entry.ignore


@pytest.mark.parametrize(("text", "ignore"), [("###", True), (" ### ", True), ("####", False)])
def test_icdar_unreadable_texts_are_dont_care(text: str, ignore: bool) -> None:
    """Three hashes, whatever the white space, and nothing else."""
    assert [entry.ignore for entry in only(parse_icdar(f"{QUAD},{text}", "gt_1"))] == [ignore]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (' "Text, x" ', "Text, x"),
        (r'"5\" \\ 6"', r'5" \ 6'),
        ('"###"', "###"),
        ('""', ""),
        ('"', '"'),
        ('the "A"', 'the "A"'),
    ],
)
def test_icdar_transcripts_may_be_quoted(written: str, text: str) -> None:
    """As the competition's evaluation reads them: one pair of quotes around all of it goes."""
    (entry,) = only(parse_icdar(f"{QUAD},{written}", "gt_1"))
    assert (entry.text, entry.ignore) == (text, text == "###")


def test_icdar_transcripts_may_be_missing() -> None:
    """Eight numbers are a text without transcript; blank lines are nothing."""
    entries = only(parse_icdar(f"\n{QUAD}\n\n  \n{QUAD},\n", "gt_1"))
    assert [(entry.place, entry.text) for entry in entries] == [("line 2", None), ("line 5", "")]


@pytest.mark.parametrize("line", ["1,2,3,4,5,6,7", "1,2,3,4,5,6,7,TEXT", "TEXT", "1 2 3 4 5 6 7 8"])
def test_icdar_lines_without_eight_numbers_are_bad(line: str) -> None:
    """The reason quotes the line; the others are read."""
    sheets = list(parse_icdar(f"{QUAD},A\n{line}\n{QUAD},B", "gt_1"))
    (entry,) = bad(iter(sheets))
    assert entry.place == "line 2"
    assert line in entry.reason
    assert len(sheets[0].entries) == 3


def test_icdar_numbers_may_be_wild() -> None:
    """NaN and infinity are numbers to the parser; the rules for texts deal with them."""
    (entry,) = only(parse_icdar("nan,2.5,-3,4e400,-inf,6,7,8", "gt_1"))
    assert math.isnan(entry.points[0][0])
    assert entry.points[1:3] == [(-3, math.inf), (-math.inf, 6)]


def test_a_byte_order_mark_is_no_part_of_the_first_number(tmp_path: Path) -> None:
    """ICDAR's own files begin with one."""
    folder = write_page(tmp_path)
    content = f"\ufeff{QUAD},é\r\n".encode()
    (folder / "gts" / "gt_img_1.txt").write_bytes(content)
    pages = read_pages(folder)
    assert pages.problems == ()
    assert pages.pages[0].regions[0].polygon.tolist() == CORNERS
    assert pages.pages[0].regions[0].text == "é"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path: Path, end: str) -> None:
    """Also as old Macs do; other separators of Unicode are part of a transcript."""
    folder = write_page(tmp_path)
    content = f"{QUAD},a\u2028b\x0b\x85c{end}wrong{end}{QUAD},d{end}".encode()
    (folder / "gts" / "gt_img_1.txt").write_bytes(content)
    pages = read_pages(folder)
    assert [region.text for region in pages.pages[0].regions] == ["a\u2028b\x0b\x85c", "d"]
    (problem,) = pages.problems
    assert f"{folder}/gts/gt_img_1.txt, line 2: " in problem.first


def test_letters_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    """The outline is used, and the line is told."""
    folder = write_page(tmp_path)
    content = f"{QUAD},a\n{QUAD},caf\xe9\n".encode("latin-1")
    (folder / "gts" / "gt_img_1.txt").write_bytes(content)
    pages = read_pages(folder)
    assert [region.text for region in pages.pages[0].regions] == ["a", "caf\ufffd"]
    (problem,) = pages.problems
    assert problem.rule.key == "not_utf8"
    assert problem.first.endswith("gt_img_1.txt, line 2")


def test_totaltext_entries_may_run_over_lines() -> None:
    """The release breaks long lists of numbers."""
    text = (
        f"{TOTALTEXT_LINE}\nx: [[1 2\n  3]], y: [[ 4  5\n 6]], ornt: [u'c'], transcriptions: [u'A']"
    )
    first, second = only(parse_totaltext(text, "img1"))
    assert [list(point) for point in first.points] == CORNERS
    assert (first.place, first.text) == ("line 1", "TEXT")
    assert second.points == [(1, 4), (2, 5), (3, 6)]
    assert (second.place, second.text) == ("line 2", "A")


@pytest.mark.parametrize(("orientation", "text"), [("#", "#"), ("c", "#"), ("#", "A")])
def test_totaltext_unreadable_texts_are_dont_care(orientation: str, text: str) -> None:
    """A hash as orientation or as transcript."""
    (entry,) = only(parse_totaltext(UNREADABLE.format(orientation, text), "img1"))
    assert entry.ignore


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("u'don\\'t'", "don't"),
        ('u"don\'t"', "don't"),
        ("u'caf\\xe9 \\u20ac \\U0001f600'", "café € 😀"),
        ("u'a]b, [c'", "a]b, [c"),
        ("u'\\Uffffffff'", "\\Uffffffff"),
        ("u'back\\\\slash'", "back\\slash"),
        ("__import__('os').abort()", "__import__('os').abort()"),
        ("", None),
    ],
)
def test_totaltext_transcripts_are_read_and_never_run(written: str, text: str | None) -> None:
    """Quotes and escapes are undone by rule; anything else is taken letter by letter."""
    line = f"x: [[1 2 3]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [{written}]"
    (entry,) = only(parse_totaltext(line, "img1"))
    assert entry.text == text


@pytest.mark.parametrize(
    "line",
    [
        "x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'A']",
        "x: [[1 2 a]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [u'A']",
        "x: [[1 2 3]]",
        "x: [1 2 3], y: [1 2 3]",
    ],
)
def test_totaltext_entries_of_another_form_are_bad(line: str) -> None:
    """One bad entry, at its line, between two good ones."""
    text = f"{TOTALTEXT_LINE}\n{line}\n{TOTALTEXT_LINE}"
    (sheet,) = parse_totaltext(text, "img1")
    assert [entry.place for entry in sheet.entries] == ["line 1", "line 2", "line 3"]
    assert [isinstance(entry, BadEntry) for entry in sheet.entries] == [False, True, False]


def test_totaltext_files_may_be_empty() -> None:
    """A page without text has a file without entries."""
    assert only(parse_totaltext("\n", "img1")) == []


def test_ctw_lines_have_points_and_a_text() -> None:
    """Four hashes before the text; three of it mean that nobody can read it."""
    text = f"{CTW_POINTS},####A, B\n{CTW_POINTS},#######\n1,2,3,4,5,6,####C\n{CTW_POINTS}"
    entries = only(parse_ctw(text, "0001001"))
    assert [entry.text for entry in entries] == ["A, B", "###", "C", None]
    assert [entry.ignore for entry in entries] == [False, True, False, False]
    assert [len(entry.points) for entry in entries] == [14, 14, 3, 14]


def test_ctw_lines_of_32_numbers_count_from_the_corner() -> None:
    """The first release: left, top, right, bottom, and 14 points relative to left and top."""
    offsets = ",".join(f"{i},{2 * i}" for i in range(14))
    (entry,) = only(parse_ctw(f"100,200,113,226,{offsets}", "1001"))
    assert entry.points[:2] == [(100, 200), (101, 202)]
    assert len(entry.points) == 14


@pytest.mark.parametrize("line", [QUAD, f"{CTW_POINTS},1", "1,2,3,####A", "a,b,####A"])
def test_ctw_lines_of_another_form_are_bad(line: str) -> None:
    """Neither a text behind hashes nor 28 or 32 numbers."""
    assert [entry.place for entry in bad(parse_ctw(f"\n{line}", "1001"))] == ["line 2"]


def test_ctw_xml_has_boxes() -> None:
    """Each with the line that it begins in."""
    text = f"<Annotations>\n<image file='1.jpg'>\n{CTW_BOX}\n{CTW_BOX}</image></Annotations>"
    entries = only(parse_ctw_xml(text, "0001"))
    assert [(entry.place, entry.text) for entry in entries] == [
        ("line 3", "TEXT"),
        ("line 4", "TEXT"),
    ]
    assert len(entries[0].points) == 14


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (f"<A>{CTW_BOX}<box><label>A</label></box></A>", "a box without segs"),
        (f"<A>{CTW_BOX}<box><segs>1,2,x</segs></box></A>", "not a number"),
        (f"<A>{CTW_BOX}</B>", "can't be read from here on"),
        (f"<!DOCTYPE A [<!ENTITY a 'b'>]><A>{CTW_BOX}</A>", "declares entities"),
    ],
)
def test_ctw_xml_that_is_wrong_is_bad(xml: str, reason: str) -> None:
    """A box that can't be used, and one entry for all that follows an error."""
    assert [reason in entry.reason for entry in bad(parse_ctw_xml(xml, "0001"))] == [True]


def ufo(words: object) -> str:
    """Return a file of one page with these words."""
    return json.dumps({"images": {"a.jpg": {"words": words}}})


def test_ufo_words_have_points_and_a_transcription() -> None:
    """Illegible ones are don't care; a transcription may be null."""
    words = {
        "1": {"points": CORNERS, "transcription": "A"},
        "2": {"points": CORNERS, "transcription": None, "illegibility": False},
        "3": {"points": CORNERS, "transcription": "B", "illegibility": True},
        "4": {"points": CORNERS, "transcription": "###"},
    }
    entries = only(parse_ufo(ufo(words), "train"))
    assert [entry.text for entry in entries] == ["A", None, "B", "###"]
    assert [entry.ignore for entry in entries] == [False, False, True, True]
    assert entries[0].place == "images/a.jpg/words/1"
    assert [list(point) for point in entries[0].points] == CORNERS


@pytest.mark.parametrize(
    "word",
    [
        None,
        {},
        {"points": None},
        {"points": [1, 2, 3, 4]},
        {"points": [[1, 2, 3], [4, 5, 6]]},
        {"points": [[1, None], [2, 3], [4, 5]]},
        {"points": [["1", True], [2, 3], [4, 5]]},
    ],
)
def test_ufo_words_without_points_are_bad(word: object) -> None:
    """The place is the path to the word."""
    places = [entry.place for entry in bad(parse_ufo(ufo({"1": word}), "train"))]
    assert places == ["images/a.jpg/words/1"]


def test_ufo_pages_without_words_are_bad() -> None:
    """A page whose texts are missing isn't a page without text."""
    assert [e.reason for e in bad(parse_ufo('{"images": {"a.jpg": {}}}', ""))] == ["no `words`"]


def test_ufo_words_of_one_id_are_all_kept_and_counted(tmp_path: Path) -> None:
    """JSON allows it, and its readers keep the last one without a word."""
    write_image(tmp_path / "a.jpg")
    word = json.dumps({"points": CORNERS, "transcription": "A"})
    words = ", ".join([f'"1": {word}', f'"1": {word.replace("10.0", "11.0")}', f'"2": {word}'])
    write_text(tmp_path / "train.json", f'{{"images": {{"a.jpg": {{"words": {{{words}}}}}}}}}')
    pages = read_pages(tmp_path)
    assert [r.polygon[0].tolist() for r in pages.pages[0].regions] == [[10, 20], [11, 20], [10, 20]]
    (problem,) = pages.problems
    assert (problem.rule.key, problem.count) == ("repeated_id", 1)
    assert problem.first == f"{tmp_path}/train.json, images/a.jpg/words/1"


def test_ufo_pages_of_one_name_are_counted(tmp_path: Path) -> None:
    """The first one is kept, as where two files describe an image."""
    write_image(tmp_path / "a.jpg")
    page = json.dumps({"words": {"1": {"points": CORNERS}}})
    again = page.replace("10.0", "11.0")
    write_text(tmp_path / "train.json", f'{{"images": {{"a.jpg": {page}, "a.jpg": {again}}}}}')
    pages = read_pages(tmp_path)
    assert pages.pages[0].regions[0].polygon.tolist() == CORNERS
    assert [problem.rule.key for problem in pages.problems] == ["annotated_twice"]


@pytest.mark.parametrize(
    ("page", "place"),
    [
        ('{"words": {}, "words": {"1": {"points": [[1, 2], [3, 4], [5, 6]]}}}', "images/a.jpg"),
        ('{"words": {"1": {"points": [], "points": [[1, 2]]}}}', "images/a.jpg/words/1"),
    ],
)
def test_ufo_objects_that_say_two_things_are_bad(page: str, place: str) -> None:
    """Nobody knows which one is meant."""
    (entry,) = bad(parse_ufo(f'{{"images": {{"a.jpg": {page}}}}}', "train"))
    assert entry.place == place
    assert "comes more than once" in entry.reason


def test_ufo_numbers_may_be_wild() -> None:
    """Python's json reads NaN and numbers of any length."""
    text = '{"images": {"a": {"words": {"1": {"points": [[NaN, 1], [1%s, 2], [3, -4]]}}}}}' % (
        "0" * 400
    )
    (entry,) = only(parse_ufo(text, ""))
    assert math.isnan(entry.points[0][0])
    assert entry.points[1:] == [(math.inf, 2), (3, -4)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"images": {"words": \n', "train.json: line 3: not JSON"),
        ('{"images": ["words"]}', "`images` is not an object"),
        ('{"images": "words"' + "[" * 100_000, "not JSON"),
        ('{"images": {"words": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_ufo_that_is_no_ufo_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """One file holds everything, so nothing can be read around an error."""
    write_image(tmp_path / "a.jpg")
    write_text(tmp_path / "train.json", text)
    with pytest.raises(UsageError, match=reason):
        read_pages(tmp_path)


def test_formats_of_lines_are_told_apart() -> None:
    """CTW1500's lines begin with eight numbers too."""
    assert is_icdar(f"{QUAD},12,13,14")
    assert not is_ctw(f"{QUAD},12,13,14")
    for line in (CTW_POINTS, f"{CTW_POINTS},####A, B\r", f"1,2,3,4,{CTW_POINTS}"):
        assert is_ctw(f"\n{line}\n")
        assert not is_icdar(f"\n{line}\n")
