"""Total-Text's annotations in their txt form.

A text is ``x: [[x1 x2 ...]], y: [[y1 y2 ...]], ornt: [u'c'], transcriptions: [u'TEXT']`` and may
run over several lines. The orientation or the transcript ``#`` is "don't care".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from toolkit_recipes.dbnet.readers.entries import BadEntry
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.entries import number_of
from toolkit_recipes.dbnet.readers.entries import parse_or_report
from toolkit_recipes.dbnet.readers.entries import quoted

_UNREADABLE = "#"
_START = re.compile(r"^[ \t]*x[ \t]*:", re.MULTILINE)
_RECOGNIZABLE = re.compile(r"^[ \t]*x[ \t]*:[ \t]*\[\[", re.MULTILINE)
_PARTS = re.compile(
    r"\s*x\s*:\s*\[\[(?P<x>[^\]]*)\]\]\s*,\s*y\s*:\s*\[\[(?P<y>[^\]]*)\]\]"
    r"(?:\s*,\s*ornt\s*:\s*\[(?P<orientation>[^\]]*)\])?"
    r"(?:\s*,\s*transcriptions\s*:\s*\[(?P<text>.*)\])?\s*",
    re.DOTALL,
)
_LITERAL = re.compile(r"u?(?P<quote>['\"])(?P<letters>.*)(?P=quote)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LAST_CHARACTER = 0x10FFFF


def is_totaltext(text: str) -> bool:
    """Tell whether a text begins like one of the format somewhere."""
    return _RECOGNIZABLE.search(text) is not None


def parse_totaltext(text: str, name: str) -> Iterator[Sheet]:
    """Yield the one sheet of a file."""
    yield Sheet(name, tuple(_entries(text)))


def _entries(text: str) -> Iterator[Entry | BadEntry]:
    starts = [match.start() for match in _START.finditer(text)]
    before = text[: starts[0]] if starts else text
    if before.strip():
        yield BadEntry("line 1", f"a text begins with `x: [[`: {quoted(before)}")
    for start, end in pairwise([*starts, len(text)]):
        line = text.count("\n", 0, start) + 1
        yield parse_or_report(f"line {line}", text[start:end], _entry)


def _entry(text: str) -> Entry:
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError("not `x: [[..]], y: [[..]], ornt: [..], transcriptions: [..]`")
    xs, ys = _numbers(match["x"]), _numbers(match["y"])
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} x and {len(ys)} y")
    transcript = _literal(match["text"])
    ignore = _UNREADABLE in (_literal(match["orientation"]), transcript)
    return Entry("", list(zip(xs, ys, strict=True)), transcript, ignore)


def _numbers(text: str) -> list[float]:
    return [number_of(number) for number in text.replace(",", " ").split()]


def _literal(text: str | None) -> str | None:
    """Read a quoted text; one that isn't quoted is taken as it stands, nothing as None."""
    text = (text or "").strip()
    match = _LITERAL.fullmatch(text)
    return _ESCAPE.sub(_unescaped, match["letters"]) if match else text or None


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    if not digits:
        return match[4]
    number = int(digits, 16)
    return chr(number) if number <= _LAST_CHARACTER else match[0]


TOTALTEXT = Format(
    "totaltext",
    ".txt",
    "`x: [[x1 x2 ...]], y: [[y1 y2 ...]], ornt: [u'c'], transcriptions: [u'TEXT']`",
    is_totaltext,
    parse_totaltext,
)
