"""Rules of what bridges make of what libraries hand over."""

from __future__ import annotations

import dataclasses
import enum
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from tests.toolkit.recording import Script
from toolkit.bridges.values import as_params
from toolkit.bridges.values import log_images
from toolkit.bridges.values import log_table
from toolkit.bridges.values import log_values
from toolkit.errors import InvalidValueError
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Summary
from toolkit.rundir import RunDir


class _Kind(enum.Enum):
    SMALL = "small"


@dataclasses.dataclass
class _Model:
    width: int = 8
    kind: _Kind = _Kind.SMALL


@attrs.frozen
class _Data:
    path: str = "pages"


@pytest.fixture
def script(new_run: Callable[..., RunDir]) -> Script:
    """A run without couriers."""
    return Script(new_run())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7.0),
        (np.array([2.5]), 2.5),
        (torch.tensor(0.125, requires_grad=True), 0.125),
        (torch.tensor([4], dtype=torch.int64), 4.0),
        (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
    ],
)
def test_whatever_is_one_number_is_a_metric(script: Script, value: Any, expected: float) -> None:
    """Numbers, bools, NumPy scalars, and arrays and tensors of one element, at their step."""
    log_values(script.run, {"x": value}, 4)
    said = script.only()
    assert isinstance(said, Metrics)
    assert (dict(said.values), said.step) == ({"x": expected}, 4)


def test_nested_values_are_flattened(script: Script) -> None:
    """The names of the levels stand between slashes."""
    log_values(script.run, {"val": {"f1": {"macro": 0.5}, "loss": 1}, "lr": 0.1})
    assert dict(script.only().values) == {"val/f1/macro": 0.5, "val/loss": 1.0, "lr": 0.1}


def test_arrays_of_numbers_are_histograms(script: Script) -> None:
    """A tensor or array of several numbers keeps its distribution."""
    log_values(script.run, {"a": torch.tensor([1.0, 2.0, 2.0]), "b": np.arange(4)}, 1)
    events = script.events()
    assert [type(event) for event in events] == [Histogram, Histogram]
    assert [sum(event.counts) for event in events if isinstance(event, Histogram)] == [3, 4]


def test_the_rest_is_kept_in_the_summary(script: Script) -> None:
    """Texts, even those that spell a number, and lists; None is nothing."""
    log_values(script.run, {"note": "good", "lr": "0.1", "best": [3, 4], "gone": None}, 1)
    said = script.only()
    assert isinstance(said, Summary)
    assert dict(said.values) == {"note": "good", "lr": "0.1", "best": [3, 4]}


def test_params_keep_their_nesting() -> None:
    """Namespaces, dataclasses and attrs objects are mappings; enumerations, values; else names."""
    given = Namespace(
        lr=0.1,
        inner=Namespace(steps=[1, 2], model=_Model()),
        data=_Data(),
        optimizer=torch.optim.AdamW,
        loss=torch.nn.functional.relu,
    )
    assert as_params(given) == {
        "lr": 0.1,
        "inner": {"steps": [1, 2], "model": {"width": 8, "kind": "small"}},
        "data": {"path": "pages"},
        "optimizer": "torch.optim.adamw.AdamW",
        "loss": "torch.nn.functional.relu",
    }
    assert as_params(None) == {}


def test_params_have_names() -> None:
    """What has no named parts is refused, and shown."""
    with pytest.raises(InvalidValueError, match=r"expected a mapping .* got list \[1, 2\]"):
        as_params([1, 2])


def test_a_table_is_given_by_rows_or_as_a_frame(script: Script) -> None:
    """Rows need a name for each cell."""
    log_table(script.run, "t", ["a", "b"], [[1, "x"], [2, "y"]], None, 3)
    assert (script.only().name, script.only().step) == ("t", 3)
    with pytest.raises(InvalidValueError, match="either columns and data, or dataframe"):
        log_table(script.run, "t", None, [[1]], None, None)
    with pytest.raises(InvalidValueError, match="each row one cell for each of the 2: 'a', 'b'"):
        log_table(script.run, "t", ["a", "b"], [[1]], None, None)


def test_several_pictures_are_several_series(script: Script) -> None:
    """One picture has the name itself, those of a list or batch have numbers behind it."""
    log_images(script.run, "one", np.zeros((4, 4, 3)), 1)
    log_images(script.run, "two", [np.zeros((4, 4)), torch.zeros(3, 4, 4)], 1, ["a", None])
    log_images(script.run, "batch", torch.zeros(2, 3, 4, 4), 1)
    found = [(e.key, e.caption) for e in script.events() if isinstance(e, Image)]
    assert found == [
        ("one", None),
        ("two/0", "a"),
        ("two/1", None),
        ("batch/0", None),
        ("batch/1", None),
    ]
    with pytest.raises(InvalidValueError, match="1 pictures need as many captions, got 2"):
        log_images(script.run, "x", [np.zeros((4, 4))], 1, ["a", "b"])
