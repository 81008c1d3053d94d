"""Tables: columns of values in, a file of rows out, and read back.

The file is JSON, ``{"columns": [...], "data": [[...], ...]}``. NaN and the infinities are spelled
out as everywhere in a run (`toolkit.events`); `read` makes them numbers again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from toolkit.errors import InvalidValueError
from toolkit.events import SPELLED_OUT
from toolkit.events import spell_out
from toolkit.redact import Redactor
from toolkit.values import plain
from toolkit.values import shown


@frozen
class Rows:
    """A table's content: every row has one cell for each column."""

    columns: list[str]
    data: list[list[Any]]


def rows_of(name: str, data: Any) -> Rows:
    """The rows of a mapping of columns, or of a DataFrame (anything with ``to_dict("list")``).

    A column is a sequence, an array or a tensor; a single value is repeated in every row, and a
    mapping of single values is one row.

    Raises:
        InvalidValueError: it is something else, or the columns differ in length; the message has
            the table's name.
    """
    given = data.to_dict("list") if hasattr(data, "to_dict") else data
    if not isinstance(given, Mapping):
        raise InvalidValueError(
            f"table {name!r}: expected a mapping of columns or a DataFrame, got {shown(data)}"
        )
    columns = {str(key): _cells(value) for key, value in given.items()}
    lengths = {key: len(cells) for key, cells in columns.items() if isinstance(cells, list)}
    if len(columns) < len(given) or len(set(lengths.values())) > 1:
        raise InvalidValueError(
            f"table {name!r}: columns must have different names and one length, got "
            + ", ".join(f"{key!r}: {length}" for key, length in lengths.items())
        )
    count = next(iter(lengths.values()), 1)
    full = [
        cells if isinstance(cells, list) else [cells.value] * count for cells in columns.values()
    ]
    return Rows(list(columns), [list(row) for row in zip(*full, strict=True)])


@frozen
class _Single:
    """One value instead of a column."""

    value: Any


def _cells(column: Any) -> list[Any] | _Single:
    if hasattr(column, "tolist"):
        column = column.tolist()
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        return _Single(plain(column))
    return [plain(cell.tolist() if hasattr(cell, "tolist") else cell) for cell in column]


def masked(rows: Rows, redactor: Redactor) -> Rows:
    """The table without secrets. Columns' names don't hide cells: a table may be about tokens."""
    data = redactor.values({"data": rows.data})["data"]
    return Rows([redactor.text(column) for column in rows.columns], data)


def encode(rows: Rows) -> bytes:
    """The table's file."""
    content = {"columns": rows.columns, "data": spell_out(rows.data)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # which is JSON's escape of a lone surrogate


def read(path: Path) -> Rows:
    """The table in this file.

    In a column of numbers, "NaN", "Infinity" and "-Infinity" are numbers; elsewhere they are texts.

    Raises:
        OSError: there is no such file.
        ValueError: it is no table.
    """
    content = json.loads(path.read_bytes())
    try:
        columns, data = list(content["columns"]), [list(row) for row in content["data"]]
        whole = list(zip(*data, strict=True))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a table: {error!r}") from error
    numbers = {place for place, cells in enumerate(whole) if _is_numeric(cells)}
    for row in data:
        for place in numbers:
            if isinstance(row[place], str):
                row[place] = SPELLED_OUT[row[place]]
    return Rows(columns, data)


def _is_numeric(cells: Sequence[Any]) -> bool:
    return all(
        cell in SPELLED_OUT
        if isinstance(cell, str)
        else cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
        for cell in cells
    )
