"""Small JSON files that hold one attrs object: whole or absent, never half written."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any
from typing import TypeVar

T = TypeVar("T")


@functools.cache  # it compiles a reader for each class that it meets
def _converter() -> Any:
    from cattrs import Converter

    converter = Converter()
    converter.register_structure_hook(Any, lambda value, _: value)
    return converter


def write(path: Path, value: object) -> None:
    """Put the object into the file in one step: readers see the old content or the new."""
    text = json.dumps(_converter().unstructure(value), indent=1)
    # Several threads may write files of one folder, so the process id alone isn't unique enough.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def read(path: Path, cls: type[T]) -> T:
    """The object in the file.

    Raises:
        OSError: the file can't be read.
        ValueError: its content is not a ``cls``.
    """
    fields = json.loads(path.read_text(encoding="utf-8"))
    try:
        value: T = _converter().structure(fields, cls)
    except Exception as error:  # cattrs groups several kinds of error under one base
        raise ValueError(f"{path} does not hold a {cls.__name__}") from error
    return value
