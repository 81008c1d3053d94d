"""Documents to classify, read one by one from text, CSV, JSON lines or a recipe's own corpus."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import BinaryIO
from typing import Literal

from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.rows import shorten

Format = Literal["txt", "csv", "jsonl", "corpus"]

FORMAT_OF_SUFFIX: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
LONGEST_CSV_FIELD = 1 << 24
"""Characters of a CSV field; a forgotten quote would otherwise read the rest of the file as one."""


@frozen
class Document:
    """A document as it was given."""

    id: str | int
    text: str
    line: int
    """The line that it begins in, from 1."""


@frozen
class Source:
    """Where documents come from and how to read them.

    Args:
        stream: the bytes, UTF-8.
        name: of the file, for error messages.
        text: column or key of the text, for csv and jsonl.
        id: column or key of the id, for csv and jsonl; None numbers the documents from 1.
    """

    stream: BinaryIO
    name: str
    text: str = "text"
    id: str | None = None

    def error(self, line: int, message: str) -> UsageError:
        """Return an error that names a line."""
        return UsageError(f"{self.name}, line {line}: {message}")


def format_of(name: str) -> Format:
    """Tell the format of a file by its ending: .csv, .jsonl or .ndjson, anything else is text."""
    return FORMAT_OF_SUFFIX.get(Path(name).suffix.lower(), "txt")


def read_documents(source: Source, kind: Format) -> Iterator[Document]:
    """Yield the documents of a source; one without text comes as it is.

    ``txt`` has a document per line, ``csv`` one per record below a line of column names, ``jsonl``
    a JSON object per line, ``corpus`` a line ``id TAB text`` per document, as the recipe reads.
    Blank lines are empty documents in ``txt`` and nothing elsewhere. A byte order mark and CRLF
    line ends are accepted. No more than a document is held at a time.

    Raises:
        UsageError: a line isn't UTF-8 or not of the format, or has no such column or key.
    """
    read: dict[Format, Callable[[Source], Iterator[Document]]] = {
        "txt": _read_txt,
        "csv": _read_csv,
        "jsonl": _read_jsonl,
        "corpus": _read_corpus,
    }
    return read[kind](source)


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.stream, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise source.error(
                number, f"not UTF-8 (byte 0x{line[error.start]:02x}); save the file as UTF-8"
            ) from None
        yield number, text


def _read_txt(source: Source) -> Iterator[Document]:
    for number, line in _lines(source):
        yield Document(number, line.strip(), number)


def _read_corpus(source: Source) -> Iterator[Document]:
    for number, line in _lines(source):
        if not line.strip():
            continue
        identifier, tab, text = line.partition("\t")
        if not tab or not identifier.strip():
            raise source.error(number, f"expected `document id TAB text`, not {shorten(line)!r}")
        yield Document(identifier.strip(), text.strip(), number)


def _read_jsonl(source: Source) -> Iterator[Document]:
    count = 0
    for number, line in _lines(source):
        if not line.strip():
            continue
        count += 1
        entry = _parse(source, number, line)
        text = _value(source, number, entry, source.text)
        if not isinstance(text, str):
            raise source.error(number, f"{source.text!r} is not text but {_kind(text)}")
        identifier = count if source.id is None else _value(source, number, entry, source.id)
        if isinstance(identifier, bool) or not isinstance(identifier, str | int):
            raise source.error(
                number, f"{source.id!r} is {_kind(identifier)}; an id is text or a whole number"
            )
        yield Document(identifier, text.strip(), number)


def _parse(source: Source, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line.rstrip())
        json.dumps(entry, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise source.error(number, f"not JSON ({error.msg}, column {error.colno})") from None
    except UnicodeEncodeError:
        raise source.error(number, "half of a surrogate pair, which is no character") from None
    except (RecursionError, ValueError) as error:
        raise source.error(number, f"JSON that can't be read ({error})") from None
    if not isinstance(entry, dict):
        raise source.error(number, f"not a JSON object but {_kind(entry)}: {shorten(line.strip())}")
    return entry


def _value(source: Source, number: int, entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        keys = ", ".join(map(repr, entry)) or "none"
        raise source.error(
            number, f"there is no key {key!r}; name it with text=KEY or id=KEY (keys: {keys})"
        )
    return entry[key]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _read_csv(source: Source) -> Iterator[Document]:
    records = _records(source)
    first, columns = next(records, (1, []))
    text = _column(source, first, columns, source.text)
    identifier = None if source.id is None else _column(source, first, columns, source.id)
    for count, (line, record) in enumerate(records, start=1):
        if len(record) != len(columns):
            raise source.error(
                line,
                f"{len(record)} fields under {len(columns)} columns; put a text that has commas, "
                "quotes or line ends between double quotes",
            )
        yield Document(
            count if identifier is None else record[identifier], record[text].strip(), line
        )


def _records(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a CSV file, each with the line that it begins in."""
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.reader((line for _, line in _lines(source)), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise source.error(first, f"not CSV ({error}); is a double quote missing?") from None
        if record is None:
            return
        if record:
            yield first, record


def _column(source: Source, line: int, columns: list[str], name: str) -> int:
    if columns.count(name) != 1:
        problem = "comes twice" if name in columns else "is not there"
        raise source.error(
            line,
            f"the column {name!r} {problem}; name it with text=COLUMN or id=COLUMN "
            f"(columns: {', '.join(map(repr, columns)) or 'none'})",
        )
    return columns.index(name)
