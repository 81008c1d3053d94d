"""Rules of reading documents to classify."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.documents import Document
from toolkit_recipes.taxoclass.documents import Format
from toolkit_recipes.taxoclass.documents import Source
from toolkit_recipes.taxoclass.documents import format_of
from toolkit_recipes.taxoclass.documents import read_documents

TEXT = st.text(st.characters(codec="utf-8")).map(str.strip)


def read(
    content: str | bytes, kind: Format, text: str = "text", key: str | None = None
) -> list[Document]:
    """Read documents from a string or from bytes."""
    stream = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    return list(read_documents(Source(stream, "input", text, key), kind))


def test_text_has_a_document_per_line() -> None:
    """Numbered from 1, with byte order mark and CRLF taken off; a blank line is an empty one."""
    found = read("\ufeffone\r\n\r\n three \nlast", "txt")
    assert found == [
        Document(1, "one", 1),
        Document(2, "", 2),
        Document(3, "three", 3),
        Document(4, "last", 4),
    ]


def test_a_corpus_has_ids_of_its_own() -> None:
    """The recipe's own corpus.txt: further tabs belong to the text, blank lines are nothing."""
    found = read("a7\tone\ttwo\n\nb\t\n", "corpus")
    assert found == [Document("a7", "one\ttwo", 1), Document("b", "", 3)]


def test_csv_takes_its_columns_by_name() -> None:
    """Quoted commas, quotes and line ends belong to a text; its line is where the record begins."""
    content = 'id,body,stars\nx,"one, ""two""\nthree",5\n\ny,four,1\n'
    assert read(content, "csv", "body", "id") == [
        Document("x", 'one, "two"\nthree', 2),
        Document("y", "four", 5),
    ]
    assert [document.id for document in read(content, "csv", "body")] == [1, 2]


def test_json_lines_take_their_keys_by_name() -> None:
    """Ids stay numbers or text as they are; blank lines are nothing."""
    content = '{"body": "one", "key": 7}\n\n{"key": "b", "body": " two\\n"}\n'
    assert read(content, "jsonl", "body", "key") == [Document(7, "one", 1), Document("b", "two", 3)]
    assert [document.id for document in read(content, "jsonl", "body")] == [1, 2]


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_csv_and_json_lines_round_trip(rows: list[tuple[str, str]]) -> None:
    """Whatever a CSV or JSON writer wrote comes back, but for white space around it."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("key", "text"), *rows])
    lines = "".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in rows)
    for content, kind in ((table.getvalue(), "csv"), (lines, "jsonl")):
        found = read_documents(Source(io.BytesIO(content.encode()), "x", id="key"), kind)  # type: ignore[arg-type]
        assert [(document.id, document.text) for document in found] == rows


@contextlib.contextmanager
def located() -> Iterator[None]:
    """Check that an error, if there is one, names file and line."""
    try:
        yield
    except UsageError as error:
        if not str(error).startswith("input, line "):
            pytest.fail(f"no line in: {error}")
        raise


@given(st.binary(), st.sampled_from(["txt", "csv", "jsonl", "corpus"]))
def test_any_bytes_give_documents_or_a_located_error(content: bytes, kind: Format) -> None:
    """There is no input that ends in anything but documents or an error with its line."""
    with contextlib.suppress(UsageError), located():
        assert all(isinstance(document, Document) for document in read(content, kind))


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("txt", b"one\ncaf\xe9\n", r"line 2: not UTF-8 \(byte 0xe9\); save the file as UTF-8"),
        ("corpus", "a\tone\ntwo\n", r"line 2: expected `document id TAB text`, not 'two"),
        ("jsonl", '{"text": "a"}\n{"text"\n', r"line 2: not JSON \(.*, column 8\)"),
        ("jsonl", "[1]\n", r"line 1: not a JSON object but a list: \[1\]"),
        ("jsonl", '{"body": "a"}\n', r"line 1: there is no key 'text'.*\(keys: 'body'\)"),
        ("jsonl", '{"text": null}\n', r"line 1: 'text' is not text but null"),
        ("jsonl", '{"text": "\\ud800"}\n', r"line 1: half of a surrogate pair"),
        ("jsonl", '{"text": ' + "[" * 100_000, r"line 1: JSON that can't be read"),
        ("csv", "", r"line 1: the column 'text' is not there.*\(columns: none\)"),
        ("csv", "id,body\n", r"line 1: the column 'text' is not there.*'id', 'body'"),
        ("csv", "text,text\n", r"line 1: the column 'text' comes twice"),
        ("csv", "id,text\n1,a\n2,b,c\n", r"line 3: 3 fields under 2 columns; put a text that has"),
        ("csv", 'id,text\n1,"a\n2,b\n', r"line 2: not CSV \(unexpected end of data\); is a double"),
    ],
)
def test_a_wrong_line_is_named(kind: Format, content: str | bytes, message: str) -> None:
    """Every mistake is refused with the line it begins in, and what to do."""
    with pytest.raises(UsageError, match=r"^input, " + message):
        read(content, kind)


@pytest.mark.parametrize("value", ["true", "1.5", "null", "{}"])
def test_an_id_is_text_or_a_whole_number(value: str) -> None:
    """Anything else couldn't be told apart in the output."""
    with pytest.raises(UsageError, match=r"an id is text or a whole number"):
        read(f'{{"text": "a", "key": {value}}}', "jsonl", key="key")


def test_documents_are_read_as_they_are_needed() -> None:
    """The first documents come before a mistake further down is met."""
    source = Source(io.BytesIO(b'{"text": "one"}\nbroken\n'), "input")
    documents = read_documents(source, "jsonl")
    assert next(documents).text == "one"
    with pytest.raises(UsageError, match="line 2"):
        next(documents)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.JSONL", "jsonl"), ("a.ndjson", "jsonl"), ("a.txt", "txt"), ("-", "txt")],
)
def test_the_ending_tells_the_format(name: str, kind: Format) -> None:
    """Anything unknown is text."""
    assert format_of(name) == kind
