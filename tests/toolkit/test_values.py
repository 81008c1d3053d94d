from __future__ import annotations

import decimal
import enum
import fractions
import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InvalidValueError
from toolkit.values import axis_step
from toolkit.values import metric_key
from toolkit.values import number
from toolkit.values import plain

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")


def type_of(value: Any) -> str:
    """Names a test by what it is about."""
    return type(value).__name__


class Level(enum.IntEnum):
    """A number with a name."""

    LOW = 3


NUMBERS = [
    0,
    -7,
    1.5,
    10**30,
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    "1.5",
    " 2e-3\n",
    "nan",
    "-inf",
    "1_000",
    b"7",
    Level.LOW,
    decimal.Decimal("0.25"),
    fractions.Fraction(1, 4),
    np.float16(0.1),
    np.float32(0.1),
    np.float64(0.1),
    np.longdouble(2),
    np.int8(-3),
    np.uint64(2**63),
    np.bool_(True),
    np.str_("3"),
    np.array(1.5),
    np.array([1.5]),
    np.array([[True]]),
    np.array(["2.5"]),
    np.float32("nan"),
    torch.tensor(0.1),
    torch.tensor([0.1]),
    torch.tensor([[3]]),
    torch.tensor(True),
    torch.tensor(0.1, dtype=torch.bfloat16),
    torch.tensor(0.1, dtype=torch.float16),
    torch.tensor(0.1, dtype=torch.float64),
    torch.tensor(0.5, requires_grad=True),
    torch.tensor([2.0], requires_grad=True) * 2,
    torch.tensor(math.inf),
    torch.nn.Parameter(torch.tensor(0.5)),
]
NOT_NUMBERS = [
    None,
    "x",
    "",
    b"x",
    1j,
    [1.0],
    {"a": 1.0},
    object(),
    lambda: 1.0,
    10**400,
    np.array([1.0, 2.0]),
    np.array([]),
    np.array(1j),
    np.array(None),
    np.datetime64("2026-01-01"),
    torch.tensor([1.0, 2.0]),
    torch.tensor([]),
    torch.tensor(1j),
    torch.empty(1, device="meta"),
]


@pytest.mark.parametrize("value", NUMBERS, ids=type_of)
def test_what_mlflow_accepts(value: Any) -> None:
    """What MLflow makes a number of is accepted, and becomes the same number."""
    conversion = pytest.importorskip(
        "mlflow.tracking.metric_value_conversion_utils", reason="MLflow is not installed"
    )
    expected = conversion.convert_metric_value_to_float_if_possible(value)

    assert type(number("loss", value)) is float
    assert repr(number("loss", value)) == repr(expected)


@given(st.floats() | st.integers(-(10**300), 10**300) | st.booleans() | st.decimals())
def test_numbers_are_what_float_makes_of_them(value: Any) -> None:
    """A number of Python's own is recorded as `float` has it."""
    if not (isinstance(value, decimal.Decimal) and value.is_snan()):
        assert repr(number("loss", value)) == repr(float(value))


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=type_of)
def test_what_is_no_number(value: Any) -> None:
    """Anything else is refused at the call, by key and with what was given."""
    with pytest.raises(InvalidValueError, match=r"metric 'train/loss': expected one number") as e:
        number("train/loss", value)

    assert type(value).__name__ in str(e.value)
    assert len(str(e.value)) < 400


@pytest.mark.parametrize("value", [np.zeros((3, 4)), torch.zeros(3, 4)], ids=["NumPy", "torch"])
def test_message_has_the_shape(value: Any) -> None:
    """For an array of several elements, the message says how many it has."""
    with pytest.raises(InvalidValueError, match=r"of shape \(3, 4\)"):
        number("loss", value)


def test_message_is_short() -> None:
    """What was given is shown, but not all of it if it's long."""
    with pytest.raises(InvalidValueError, match=r"str 'x{70,}\.\.\."):
        number("loss", "x" * 10_000)


@pytest.mark.parametrize("key", ["loss", "train/loss", "Höhe (m)", " x "])
def test_keys(key: str) -> None:
    """A key is any text that isn't empty, and stays as it is."""
    assert metric_key(key) == key


@pytest.mark.parametrize("key", ["", "  ", "\n", None, 5, b"loss", ("a",)])
def test_wrong_keys(key: Any) -> None:
    """What is not text, or empty, is refused with what was given."""
    with pytest.raises(InvalidValueError, match="key must be text") as caught:
        metric_key(key)

    assert repr(key) in str(caught.value)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (None, None),
        (0, 0),
        (-1, -1),
        (2**62, 2**62),
        (3.0, 3),
        (True, 1),
        ("4", 4),
        (np.int64(5), 5),
        (np.array([5]), 5),
        (torch.tensor(6), 6),
        (Level.LOW, 3),
    ],
    ids=repr,
)
def test_steps(step: Any, expected: int | None) -> None:
    """A step is a whole number, however it comes; None stays None."""
    found = axis_step(step)

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "step", ["x", math.nan, math.inf, [1], 1j, np.array([1, 2]), torch.tensor([1, 2])], ids=repr
)
def test_wrong_steps(step: Any) -> None:
    """What is no whole number is refused with what was given."""
    with pytest.raises(InvalidValueError, match="step: expected a whole number") as caught:
        axis_step(step)

    assert type(step).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"b": (1, 2)}}, {"a": {"b": [1, 2]}}),
        ({1: "x", None: "y", Path("p"): "z"}, {"1": "x", "None": "y", "p": "z"}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ([None, True, 1, 1.5, "x"], [None, True, 1, 1.5, "x"]),
        (frozenset(["b", "a", "c"]), ["a", "b", "c"]),
        ({10, 9, 8}, [8, 9, 10]),
        (Path("/data/train"), "/data/train"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([2.0]), 2.0),
        (torch.tensor(2.0), 2.0),
        (torch.tensor([3]), 3),
        (torch.tensor(True), True),
        (torch.nn.Parameter(torch.tensor(0.5)), 0.5),
        (np.array([1, 2]), "[1 2]"),
        (torch.tensor([1, 2]), "tensor([1, 2])"),
        (torch.empty(1, device="meta"), "tensor(..., device='meta', size=(1,))"),
        ({1, "a"}, ["a", 1]),
        (torch.float32, "torch.float32"),
        (1j, "1j"),
        ({"optimizer": {"lr": np.float64(0.1)}}, {"optimizer": {"lr": 0.1}}),
    ],
    ids=type_of,
)
def test_plain(value: Any, expected: Any) -> None:
    """Containers keep their nesting, numbers of any kind are numbers, all else is its text."""
    assert repr(json.loads(json.dumps(plain(value)))) == repr(expected)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_stay_as_they_are(value: Any) -> None:
    """What JSON knows is left alone."""
    assert plain(value) == value
