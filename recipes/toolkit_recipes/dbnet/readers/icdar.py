"""ICDAR 2015 text files, and SROIE's csv files, which have the same lines.

A line is ``x1,y1,x2,y2,x3,y3,x4,y4,transcript``. The transcript may hold commas and may be missing;
``###`` is "don't care". One in double quotes is what is between them, where a backslash stands
before quotes and backslashes, as ICDAR's own evaluation reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolkit_recipes.dbnet.readers.ctw import is_ctw
from toolkit_recipes.dbnet.readers.entries import DONT_CARE
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.entries import parse_lines
from toolkit_recipes.dbnet.readers.entries import points_of

_NUMBERS = 8
_QUOTED = re.compile(r'\s*"(.*)"\s*', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_LOOKS = "lines `x1,y1,x2,y2,x3,y3,x4,y4,transcript`"


def is_icdar(text: str) -> bool:
    """Tell whether a line of a text is of the format, and it isn't one of CTW1500's."""
    return not is_ctw(text) and any(isinstance(e, Entry) for e in parse_lines(text, _line))


def parse_icdar(text: str, name: str) -> Iterator[Sheet]:
    """Yield the one sheet of a file."""
    yield Sheet(name, parse_lines(text, _line))


def _line(line: str) -> Entry:
    fields = line.split(",", _NUMBERS)
    if len(fields) < _NUMBERS:
        raise ValueError(f"fewer than {_NUMBERS} numbers with commas between")
    text = _transcript(fields[_NUMBERS]) if len(fields) > _NUMBERS else None
    ignore = text is not None and text.strip() == DONT_CARE
    return Entry("", points_of(fields[:_NUMBERS]), text, ignore)


def _transcript(field: str) -> str:
    match = _QUOTED.fullmatch(field)
    return _ESCAPED.sub(r"\1", match[1]) if match else field


ICDAR = Format("icdar", ".txt", _LOOKS, is_icdar, parse_icdar)
SROIE = Format("sroie", ".csv", _LOOKS, is_icdar, parse_icdar)
SROIE_TEXT = Format("sroie", ".txt", _LOOKS, is_icdar, parse_icdar)
"""The form in which the competition gave them out; ``auto`` takes it for ICDAR's."""
