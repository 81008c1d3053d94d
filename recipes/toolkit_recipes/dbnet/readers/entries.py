"""What the parsers of annotation files yield: texts as they stand there, and what isn't one."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import Literal

from attrs import frozen

from toolkit_recipes.dbnet.repair import Point

FormatKey = Literal["icdar", "sroie", "ufo", "totaltext", "ctw"]

DONT_CARE = "###"
"""Transcript of a text that nobody can read, in most formats."""

_LONGEST_QUOTE = 60


@frozen(eq=False)
class Entry:
    """A text as an annotation file has it, before any repair."""

    place: str
    """Where in the file it stands, in words."""
    points: list[Point]
    text: str | None = None
    ignore: bool = False


@frozen
class BadEntry:
    """Something that should have been a text."""

    place: str
    reason: str


@frozen(eq=False)
class Sheet:
    """The texts that a file has for one image."""

    image: str
    """Name of the image; of the annotation file, without its ending, where that names none."""
    entries: tuple[Entry | BadEntry, ...]
    repeated: tuple[str, ...] = ()
    """Places of texts whose id another text of the image has."""


@frozen
class Format:
    """A kind of annotation file."""

    key: FormatKey
    suffix: str
    """Ending of its files, in lower case."""
    looks: str
    """What its files look like, for people."""
    recognizes: Callable[[str], bool]
    """Tells whether a text is of this kind."""
    parse: Callable[[str, str], Iterator[Sheet]]
    """Yields the sheets of a text; also given the file's name without its ending.

    It raises ValueError where it can make nothing of the text."""


def parse_lines(text: str, parse: Callable[[str], Entry]) -> tuple[Entry | BadEntry, ...]:
    """Parse each line that isn't blank; one for which ``parse`` raises ValueError is bad."""
    found: list[Entry | BadEntry] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            found.append(parse_or_report(f"line {number}", line.strip("\r"), parse))
    return tuple(found)


def parse_or_report(place: str, text: str, parse: Callable[[str], Entry]) -> Entry | BadEntry:
    """Return what ``parse`` makes of a text, at its place; bad where it raises ValueError."""
    try:
        entry = parse(text)
    except ValueError as error:
        return BadEntry(place, f"{error}: {quoted(text)}")
    return Entry(place, entry.points, entry.text, entry.ignore)


def points_of(numbers: Iterable[Any]) -> list[Point]:
    """Take numbers x, y, x, y, ..., or their digits, as points.

    Raises:
        ValueError: one isn't a number, or there is an odd number of them.
    """
    values = list(map(number_of, numbers))
    if len(values) % 2:
        raise ValueError("an x without a y")
    return list(zip(values[::2], values[1::2], strict=True))


def number_of(value: Any) -> float:
    """Read a number, which may be NaN or infinite; raise ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a number: {quoted(repr(value))}")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"not a number: {quoted(repr(value))}") from None
    except OverflowError:
        return math.inf


def quoted(text: str) -> str:
    """Shorten a text for a message."""
    text = text.strip()
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."
