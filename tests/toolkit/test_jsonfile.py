from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from toolkit import jsonfile


@frozen
class Inner:
    """Something nested."""

    name: str
    values: Mapping[str, Any]


@frozen
class Outer:
    """Something to be kept."""

    count: int
    inner: Inner | None = None
    names: tuple[str, ...] = ()


INNER = st.builds(Inner, st.text(), st.just({"a": [1, None, {"b": True}]}))


@given(st.builds(Outer, st.integers(), st.none() | INNER, st.lists(st.text()).map(tuple)))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Outer) -> None:
    """An object comes back as it was written."""
    path = tmp_path_factory.getbasetemp() / "value.json"
    jsonfile.write(path, value)

    assert jsonfile.read(path, Outer) == value


def test_never_half_written(tmp_path: Path) -> None:
    """A reader that looks while the file is written again sees the old content or the new."""
    path = tmp_path / "value.json"
    values = [Outer(number, names=("x" * 1000,) * (number + 1)) for number in range(2)]
    jsonfile.write(path, values[0])

    def write() -> None:
        for turn in range(200):
            jsonfile.write(path, values[turn % 2])

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        assert jsonfile.read(path, Outer) in values
    thread.join()
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"inner": null}', b'{"count": "many"}', b"\xff"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    """Content that is not the object asked for is a ValueError."""
    path = tmp_path / "value.json"
    path.write_bytes(content)

    with pytest.raises(ValueError):  # noqa: PT011 - the reason differs, the type is the promise
        jsonfile.read(path, Outer)


def test_missing_file(tmp_path: Path) -> None:
    """A file that isn't there is an OSError."""
    with pytest.raises(FileNotFoundError):
        jsonfile.read(tmp_path / "value.json", Outer)
