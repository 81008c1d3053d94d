"""What callers hand over, made into what a journal can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.errors import InvalidValueError


def number(key: str, value: Any) -> float:
    """The metric's value as a float: what MLflow accepts is accepted.

    Numbers, bools, NumPy scalars, arrays and tensors of one element, and text that spells a number.

    Raises:
        InvalidValueError: anything else; the message names the key and what was given.
    """
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidValueError(
            f"metric {key!r}: expected one number, got {shown(value)} ({error})"
        ) from error


def shown(value: Any) -> str:
    """What an error message says of a value: its type, shape and beginning."""
    text = repr(value)
    shape = getattr(value, "shape", None)
    of_shape = f" of shape {tuple(shape)}" if shape is not None else ""
    return f"{type(value).__name__}{of_shape} {text if len(text) <= 80 else text[:77] + '...'}"


def metric_key(key: Any) -> str:
    """The key, if it is one: text that isn't empty.

    Raises:
        InvalidValueError: it is something else.
    """
    if not isinstance(key, str) or not key.strip():
        raise InvalidValueError(f"a metric's key must be text that isn't empty, got {shown(key)}")
    return key


def axis_step(step: Any) -> int | None:
    """The step as a whole number; None stays None.

    Raises:
        InvalidValueError: it isn't a number.
    """
    if step is None or type(step) is int:
        return step
    try:
        return int(step.item() if hasattr(step, "item") else step)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidValueError(f"step: expected a whole number, got {shown(step)}") from error


def relative_path(path: Any, what: str = "artifact path") -> str:
    """The path of a file among the run's artifacts, as given, if it stays among them.

    Raises:
        InvalidValueError: it is something else; the message begins with ``what``.
    """
    if not isinstance(path, str):
        raise InvalidValueError(f"{what}: expected text, got {shown(path)}")
    parts = path.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or parts[-1] in {"", "."}:
        raise InvalidValueError(
            f"{what} {path!r} must be relative, without '..', and end with a name"
        )
    return "/".join(part for part in parts if part not in {"", "."})


def plain(value: Any) -> Any:
    """The value in JSON's terms.

    Containers keep their nesting, NumPy scalars and tensors of one element become numbers, and what
    JSON doesn't know becomes its text.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return _in_order([plain(item) for item in value])
    return plain(value.item()) if _is_single(value) else str(value)


def _in_order(items: list[Any]) -> list[Any]:
    """The items of a set, which has another order in every process, in one that stays."""
    try:
        return sorted(items)
    except TypeError:  # of several types
        return sorted(items, key=repr)


def _is_single(value: Any) -> bool:
    """Whether this is a NumPy scalar, or an array or tensor of one element, that can be read."""
    count = value.numel() if hasattr(value, "numel") else getattr(value, "size", None)
    return hasattr(value, "item") and count == 1 and not getattr(value, "is_meta", False)
