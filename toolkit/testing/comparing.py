"""Whether what a backend holds is what it was told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from toolkit.events import SPELLED_OUT
from toolkit.events import Metrics
from toolkit.tables import Rows
from toolkit.testing.recorded import Bins
from toolkit.testing.recorded import Matrix
from toolkit.testing.recorded import Point
from toolkit.testing.rules import MismatchError
from toolkit.tracker import flatten

SINGLE_PRECISION = 2.0**-23

_SHOWN = 400  # characters of a value in a message
_SHOWN_POINTS = 8


def expect_points(
    key: str,
    expected: Sequence[tuple[int | None, float]],
    found: Mapping[str, Sequence[Point]],
    precision: float = 0.0,
) -> None:
    """Complain unless the key has these steps and values: all, once each, in this order.

    ``precision`` is the relative error that is allowed.
    """
    what = f"metric {brief(key)}"
    if key not in found:
        raise MismatchError(
            what, f"{len(expected)} points", f"no such metric among {_names(found)}"
        )
    points = [(point.step, point.value) for point in found[key]]
    if len(points) != len(expected):
        raise MismatchError(what, f"{len(expected)} points", _count(expected, points))
    for place, (told, kept) in enumerate(zip(expected, points, strict=True)):
        if told[0] != kept[0] or not is_number(told[1], kept[1], precision):
            raise MismatchError(
                f"{what}, point {place + 1} of {len(points)} as (step, value)",
                brief(told),
                f"{brief(kept)} in {_some(points)}",
            )


def curves(events: Sequence[Metrics]) -> dict[str, list[tuple[int | None, float]]]:
    """Step and value of every point by key, in the order of the events."""
    found: dict[str, list[tuple[int | None, float]]] = {}
    for event in events:
        for key, value in event.values.items():
            found.setdefault(key, []).append((event.step, value))
    return found


def is_number(expected: float, found: Any, precision: float = 0.0) -> bool:
    """Whether both are the same number, NaN included."""
    if not isinstance(found, int | float):
        return False
    if math.isnan(expected) or math.isnan(found):
        return math.isnan(expected) and math.isnan(found)
    return bool(expected == found) or math.isclose(expected, found, rel_tol=precision)


def expect_values(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Complain unless every key of the nested mapping has its value, as told or as text."""
    flat = dict(flatten(found))
    for key, value in flatten(expected):
        name = f"{what} {brief(key)}"
        if key not in flat:
            raise MismatchError(name, brief(value), f"no such name among {_names(flat)}")
        if not is_value(value, flat[key]):
            raise MismatchError(name, brief(value), brief(flat[key]))


def is_value(expected: Any, found: Any) -> bool:
    """Whether a param's or cell's value is this one, or a text of it."""
    if type(expected) is type(found) and expected == found:
        return True
    text = found if isinstance(found, str) else json.dumps(found)
    match expected:
        case None:
            return text in {"None", "null", ""}
        case bool():
            return text.lower() == str(expected).lower()
        case int() | float():
            return text == str(expected) or _is_number_in(text, float(expected))
        case str():
            number = SPELLED_OUT.get(expected)
            return text == expected or (number is not None and _is_number_in(text, number))
    return _squeezed(text) in {_squeezed(str(expected)), _squeezed(json.dumps(expected))}


def _is_number_in(text: str, expected: float) -> bool:
    try:
        return is_number(expected, float(text))
    except ValueError:
        return False


def _squeezed(text: str) -> str:
    """The text without spaces, which writers of lists differ in."""
    return "".join(text.split())


def is_same(expected: Any, found: Any) -> bool:
    """Whether two contents of the same kind are the same."""
    match expected, found:
        case Bins(), Bins():
            return _numbers(expected.edges, found.edges) and _numbers(expected.counts, found.counts)
        case Matrix(), Matrix():
            rows = zip(expected.counts, found.counts, strict=False)
            return (
                list(expected.labels) == list(found.labels)
                and len(expected.counts) == len(found.counts)
                and all(_numbers(*pair) for pair in rows)
            )
        case Rows(), Rows():
            return expected.columns == found.columns and _rows(expected.data, found.data)
    return bool(expected == found)


def _numbers(expected: Sequence[float], found: Sequence[float]) -> bool:
    return len(expected) == len(found) and all(
        is_number(one, other, SINGLE_PRECISION) for one, other in zip(expected, found, strict=True)
    )


def _rows(expected: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> bool:
    return len(expected) == len(found) and all(
        len(one) == len(other) and all(map(is_value, one, other))
        for one, other in zip(expected, found, strict=True)
    )


def brief(value: object) -> str:
    """The value for a message, cut where it gets long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _names(found: Mapping[str, object]) -> str:
    return brief(sorted(found)) if found else "none"


def _some(points: Sequence[object]) -> str:
    rest = f" and {len(points) - _SHOWN_POINTS} more" if len(points) > _SHOWN_POINTS else ""
    return ", ".join(map(brief, points[:_SHOWN_POINTS])) + rest


def _count(expected: Sequence[object], found: Sequence[object]) -> str:
    """How many points there are instead, and which are missing or too many."""
    told, kept = list(map(repr, expected)), list(map(repr, found))
    missing = [point for point in told if point not in kept]
    extra = [point for n, point in enumerate(kept) if point not in told or point in kept[:n]]
    notes = [f"missing: {_some(missing)}"] if missing else []
    notes += [f"too many: {_some(extra)}"] if extra else []
    return f"{len(found)} points; " + "; ".join(notes)
