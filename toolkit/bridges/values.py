"""What training libraries hand to their loggers, made into what a run can record."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from enum import Enum
from typing import Any

import attrs

from toolkit.errors import InvalidValueError
from toolkit.run import Run
from toolkit.values import number
from toolkit.values import shown


def log_values(run: Run, values: Mapping[str, Any], step: int | None = None) -> None:
    """Record values by what they are, and drop none.

    Numbers, bools, NumPy scalars and tensors of one element are metrics. Arrays and tensors of more
    numbers are histograms. Everything else goes into the summary, where the last one of a name
    stays. Nested mappings are flattened with ``/``. None is nothing to record.
    """
    metrics: dict[str, float] = {}
    rest: dict[str, Any] = {}
    for key, value in _flat(values):
        if value is None:
            continue
        if (scalar := _scalar(key, value)) is not None:
            metrics[key] = scalar
        elif not _is_in_histogram(run, key, value, step):
            rest[key] = value
    if metrics:
        run.log_metrics(metrics, step)
    if rest:
        run.log_summary(rest)


def _flat(values: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}/")
        else:
            yield f"{above}{key}", value


def _scalar(key: str, value: Any) -> float | None:
    """The value as a number; a text is none, even one that spells one."""
    if isinstance(value, str | list | tuple):
        return None
    try:
        return number(key, value)
    except InvalidValueError:
        return None


def _is_in_histogram(run: Run, key: str, value: Any, step: int | None) -> bool:
    """Record an array of numbers as a histogram; False if it isn't one."""
    if not hasattr(value, "shape"):
        return False
    try:
        run.log_histogram(key, value, step)
    except InvalidValueError:
        return False
    return True


def as_params(given: Any) -> dict[str, Any]:
    """Hyper-parameters as nested mappings: of a mapping, a namespace, a dataclass or attrs object.

    Members of enumerations become their values; functions and classes become their names.

    Raises:
        InvalidValueError: it is none of these.
    """
    found = {} if given is None else _nested(given)
    if not isinstance(found, dict):
        raise InvalidValueError(f"expected a mapping or a namespace of params, got {shown(given)}")
    return found


def _nested(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Enum):
        return _nested(value.value)
    if (fields := _fields(value)) is not None:
        return {str(key): _nested(item) for key, item in fields.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_nested(item) for item in value]
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return value


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """The named parts of a value that has some."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Namespace):
        return vars(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return None


def log_table(
    run: Run,
    name: str,
    columns: Sequence[str] | None,
    data: Sequence[Sequence[Any]] | None,
    dataframe: Any,
    step: int | None,
) -> None:
    """Record a table that is given as rows under named columns, or as a DataFrame.

    Raises:
        InvalidValueError: it is neither, or rows and columns differ in length.
    """
    if dataframe is not None:
        run.log_table(dataframe, name, step=step)
        return
    if columns is None or data is None:
        raise InvalidValueError(f"table {name!r}: give either columns and data, or dataframe")
    if len(set(columns)) < len(columns) or any(len(row) != len(columns) for row in data):
        raise InvalidValueError(
            f"table {name!r}: columns need different names, and each row one cell for each of "
            f"the {len(columns)}: {', '.join(map(repr, columns))}"
        )
    cells = {column: [row[place] for row in data] for place, column in enumerate(columns)}
    run.log_table(cells, name, step=step)


def log_images(
    run: Run,
    key: str,
    images: Any,
    step: int | None = None,
    captions: Sequence[str | None] | None = None,
) -> None:
    """Record one picture as the series ``key``, several as ``key/0``, ``key/1`` and so on.

    Args:
        run: where to record.
        key: names the series.
        images: a list of what `toolkit.run.Run.log_image` takes, an array or tensor of them
            (N x H x W x C or N x C x H x W), or one picture.
        step: place in the series.
        captions: one for each picture.

    Raises:
        InvalidValueError: not one of these, or not as many captions as pictures.
    """
    is_many = isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4
    pictures = list(images) if is_many else [images]
    texts = [None] * len(pictures) if captions is None else list(captions)
    if len(texts) != len(pictures):
        raise InvalidValueError(
            f"images {key!r}: {len(pictures)} pictures need as many captions, got {len(texts)}"
        )
    for place, (picture, caption) in enumerate(zip(pictures, texts, strict=True)):
        series = key if len(pictures) == 1 else f"{key}/{place}"
        run.log_image(picture, key=series, step=step, caption=caption)
