"""Key terms: words and phrases typical of a class, which may come along with its name.

``key_terms.txt`` has a line ``class: term,term`` for each class that has any; the class is given by
its id or its name. What stands before the last colon of a line is the class, so ids and names may
hold colons, and terms can't.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

from toolkit.errors import did_you_mean
from toolkit_recipes.taxoclass.rows import Row
from toolkit_recipes.taxoclass.rows import read_lines
from toolkit_recipes.taxoclass.rows import shorten

TERMS_LINE = "`class: term,term`"

Terms = tuple[str, ...]
"""Key terms of one class."""


def read_key_terms(
    file: Path, ids: Mapping[str, int], names: Mapping[str, int]
) -> dict[int, Terms]:
    """Read the key terms of classes; a term that a line repeats counts once.

    Args:
        file: the file to read.
        ids: position of each class by its id.
        names: position of each class by its name; an id goes before an equal name.

    Returns:
        The terms, in the order of their line, by position of the class.

    Raises:
        UsageError: a line has no colon or no term, names an unknown class, or one that an earlier
            line has already named.
    """
    found: dict[int, Terms] = {}
    lines: dict[int, Row] = {}
    for row in _read_rows(file):
        position = ids.get(row.key, names.get(row.key))
        if position is None:
            raise row.error(f"there is no class {row.key!r}{_hint(row.key, ids, names)}")
        if (first := lines.setdefault(position, row)) is not row:
            raise row.error(f"class {row.key!r} already has its terms in line {first.line}")
        found[position] = _terms(row)
    return found


def _read_rows(file: Path) -> Iterator[Row]:
    for number, line in read_lines(file):
        key, colon, value = line.rpartition(":")
        row = Row(file, number, key.strip(), value.strip())
        if not colon:
            raise row.error(f"no colon in {shorten(line)!r}; each line is {TERMS_LINE}")
        yield row


def _terms(row: Row) -> Terms:
    terms = tuple(dict.fromkeys(filter(None, map(str.strip, row.value.split(",")))))
    if not terms:
        raise row.error(f"class {row.key!r} has no terms; each line is {TERMS_LINE}")
    return terms


def _hint(word: str, ids: Mapping[str, int], names: Mapping[str, int]) -> str:
    near = did_you_mean(word, [*names, *ids])
    return near or " in labels.txt; give an id or a name of it"
