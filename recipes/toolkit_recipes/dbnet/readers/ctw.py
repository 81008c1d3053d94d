"""CTW1500's annotations, in the three forms that it was released in.

- xml: ``<box ...><label>TEXT</label><segs>x1,y1,...,x14,y14</segs></box>``
- txt: lines ``x1,y1,...,x14,y14,####TEXT``; the text ``###`` is "don't care"
- txt: lines of 32 numbers: left, top, right and bottom of the text, then its 14 points, counted
  from left and top

Other numbers of points are accepted in the first two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers import expat

from toolkit_recipes.dbnet.readers.entries import DONT_CARE
from toolkit_recipes.dbnet.readers.entries import BadEntry
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.entries import parse_lines
from toolkit_recipes.dbnet.readers.entries import parse_or_report
from toolkit_recipes.dbnet.readers.entries import points_of

_POINTS = 14
_BEFORE_TEXT = ",####"
_CORNERS = 4
_NUMBER = r"[ \t]*-?[\d.]+[ \t]*"
_LINE = re.compile(
    rf"^{_NUMBER}(?:,{_NUMBER}){{{2 * _POINTS - 1}}}"
    rf"(?:{_BEFORE_TEXT}.*|(?:,{_NUMBER}){{{_CORNERS}}})?\r?$",
    re.MULTILINE,
)


def is_ctw(text: str) -> bool:
    """Tell whether a line of a text is one of the two forms of line."""
    return _LINE.search(text) is not None


def is_ctw_xml(text: str) -> bool:
    """Tell whether a text has boxes with segments."""
    return "<box" in text and "<segs>" in text


def parse_ctw(text: str, name: str) -> Iterator[Sheet]:
    """Yield the one sheet of a file of lines."""
    yield Sheet(name, parse_lines(text, _line))


def parse_ctw_xml(text: str, name: str) -> Iterator[Sheet]:
    """Yield the one sheet of an xml file; what follows an error in it is one bad entry."""
    boxes = _Boxes()
    yield Sheet(name, boxes.read(text))


def _line(line: str) -> Entry:
    numbers, mark, transcript = line.partition(_BEFORE_TEXT)
    points = points_of(numbers.split(","))
    if mark:
        return Entry("", points, transcript, transcript.strip() == DONT_CARE)
    if len(points) == _POINTS:
        return Entry("", points)
    if len(points) == _POINTS + _CORNERS // 2:
        left, top = points[0]
        return Entry("", [(left + x, top + y) for x, y in points[_CORNERS // 2 :]])
    raise ValueError(f"neither {_POINTS} points nor 4 numbers and {_POINTS} points nor ####")


class _Boxes:
    """Collects the boxes of an xml file while it is parsed."""

    def __init__(self) -> None:
        self._found: list[Entry | BadEntry] = []
        self._parts: dict[str, str] = {}
        self._open = ""
        self._place = ""
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._letters
        self._parser.EntityDeclHandler = self._entity

    def read(self, text: str) -> tuple[Entry | BadEntry, ...]:
        try:
            self._parser.Parse(text.encode("utf-8", errors="replace"), True)
        except (expat.ExpatError, ValueError) as error:
            place = f"line {self._parser.ErrorLineNumber}"
            self._found.append(BadEntry(place, f"xml that can't be read from here on ({error})"))
        return tuple(self._found)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._open = name
        if name == "box":
            self._place = f"line {self._parser.CurrentLineNumber}"
            self._parts = {}

    def _letters(self, letters: str) -> None:
        if self._open in ("label", "segs"):
            self._parts[self._open] = self._parts.get(self._open, "") + letters

    def _end(self, name: str) -> None:
        self._open = ""
        if name == "box":
            self._found.append(parse_or_report(self._place, self._parts.get("segs", ""), self._box))

    def _box(self, segments: str) -> Entry:
        if not segments.strip():
            raise ValueError("a box without segs")
        text = self._parts.get("label")
        points = points_of(segments.strip().rstrip(",").split(","))
        return Entry("", points, text, text is not None and text.strip() == DONT_CARE)

    def _entity(self, *_declaration: object) -> None:
        raise ValueError("it declares entities, which annotations don't need")


CTW = Format(
    "ctw",
    ".txt",
    f"lines of {_POINTS} points and `####transcript`, or 32 numbers",
    is_ctw,
    parse_ctw,
)
CTW_XML = Format("ctw", ".xml", "`box` with `label` and `segs`", is_ctw_xml, parse_ctw_xml)
