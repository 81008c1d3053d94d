from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.recording import Script
from toolkit import tables
from toolkit.errors import InvalidValueError
from toolkit.events import Table
from toolkit.recorder import LastSteps
from toolkit.rundir import RunDir
from toolkit.tables import Rows

NUMBERS = st.none() | st.integers() | st.floats()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CELLS = st.none() | st.booleans() | TEXTS | st.lists(TEXTS | st.integers(), max_size=2)
COLUMNS = st.integers(0, 4).flatmap(
    lambda count: st.dictionaries(
        TEXTS,
        st.lists(NUMBERS, min_size=count, max_size=count)
        | st.lists(CELLS, min_size=count, max_size=count),
        max_size=4,
    )
)


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run."""
    made = Script(run_dir)
    yield made
    made.writer.close()


def read(script: Script) -> Rows:
    """The one table that was recorded."""
    return tables.read(script.file(script.only()))


@given(columns=COLUMNS)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Any]) -> None:
    """What is recorded comes back: numbers as numbers, NaN and infinities among them."""
    path = tmp_path_factory.getbasetemp() / "table.json"
    path.write_bytes(tables.encode(tables.rows_of("t", columns)))
    found = tables.read(path)

    json.loads(path.read_bytes(), parse_constant=pytest.fail)
    assert found.columns == list(columns)
    back = [[row[place] for row in found.data] for place in range(len(columns))]
    for cells, given_cells in zip(back, columns.values(), strict=True):
        is_ambiguous = all(cell in (None, "NaN", "Infinity", "-Infinity") for cell in given_cells)
        if found.data and not is_ambiguous:
            assert repr(cells) == repr(given_cells)


def test_a_mapping_of_columns(script: Script) -> None:
    """It is recorded with its name, its step and a file of rows."""
    script.run.log_table({"Class": ["a", "b"], "F1": [0.5, math.nan]}, "test/classes", step=3)
    event = script.only()

    assert event == Table(event.time, "test/classes", event.path, 3)
    assert repr(read(script)) == repr(Rows(["Class", "F1"], [["a", 0.5], ["b", math.nan]]))


def test_a_text_that_spells_a_number_stays_a_text(script: Script) -> None:
    """In a column with other texts, "NaN" is the word."""
    script.run.log_table({"word": ["NaN", "Infinity", "x"]}, "t")

    assert [row[0] for row in read(script).data] == ["NaN", "Infinity", "x"]


class Frame:
    """What a DataFrame offers that matters here."""

    def to_dict(self, orient: str) -> dict[str, list[Any]]:
        """Its columns, as lists."""
        assert orient == "list"
        return {"a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ({"a": 1, "b": "x"}, [[1, "x"]]),
        ({"a": (1, 2), "b": "x"}, [[1, "x"], [2, "x"]]),
        ({"a": range(2), "b": [{"c": {1}}, None]}, [[0, {"c": [1]}], [1, None]]),
        ({"a": []}, []),
        ({}, []),
        (Frame(), [[1], [2]]),
    ],
)
def test_columns_and_single_values(script: Script, data: Any, rows: list[list[Any]]) -> None:
    """A single value is repeated, single values are one row, cells become what JSON has."""
    script.run.log_table(data, "t.json")

    assert read(script).data == rows


def test_arrays_and_tensors(script: Script) -> None:
    """Columns may be arrays, cells too."""
    np = pytest.importorskip("numpy")
    data = {"a": np.array([1, 2]), "b": np.array([[1.5], [2.5]]), "c": [np.int64(3), np.ones(2)]}
    script.run.log_table(data, "t")

    assert read(script).data == [[1, [1.5], 3], [2, [2.5], [1.0, 1.0]]]


def test_a_tensor_as_a_column(script: Script) -> None:
    """Tensors are read wherever they lie, with or without gradients."""
    torch = pytest.importorskip("torch")
    script.run.log_table({"a": torch.tensor([1.5, 2.5], requires_grad=True)}, "t")

    assert read(script).data == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "table 'v/t': .* one length, got 'a': 2, 'b': 1"),
        ({"a": [1], 1: [1], "1": [1]}, "table 'v/t': columns must have different names"),
        ([[1, 2]], "table 'v/t': expected a mapping of columns .* list"),
        (None, "table 'v/t': expected a mapping"),
    ],
)
def test_what_is_no_table(script: Script, data: Any, message: str) -> None:
    """It is refused at the call, by its name."""
    with pytest.raises(InvalidValueError, match=message):
        script.run.log_table(data, "v/t")

    assert script.events() == []


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"columns":["a"],"data":[1]}'])
def test_a_file_that_is_no_table(tmp_path: Path, content: str) -> None:
    """Reading it is a ValueError that names the file."""
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"odd\.json is not a table"):
        tables.read(path)


def test_secrets_are_masked_and_words_about_tokens_are_not(script: Script) -> None:
    """Cells and columns are texts; what a column is called hides nothing."""
    secret = "hf_" + "a1B2" * 10
    script.run.log_table({"token": ["hello"], "note": [f"key {secret}"]}, "t")

    text = script.file(script.only()).read_text()
    assert secret not in text
    assert read(script).data[0][0] == "hello"


def test_replayed_steps_are_passed_over(run_dir: RunDir) -> None:
    """After a resume, steps that an earlier attempt recorded are counted, and not recorded."""
    script = Script(run_dir, LastSteps(media={(Table, "t"): 4}))
    for step in range(3, 7):
        script.run.log_table({"a": [step]}, "./t", step=step)
    script.run.log_table({"a": [0]}, "t")
    script.writer.close()

    assert [e.step for e in script.events() if isinstance(e, Table)] == [5, 6, None]
    assert script.run.passed_over == 2
