"""The JSON file beside the weights of a saved model: its format's number and its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import cattrs

from toolkit.errors import UsageError

S = TypeVar("S")


def read_settings(file: Path, kind: type[S], newest: int) -> S:
    """Read the settings of a saved model.

    Args:
        file: a JSON object with a whole number ``format``.
        kind: attrs class of the content; keys that it hasn't are refused.
        newest: format that this version writes, and the newest that it reads.

    Raises:
        UsageError: it is no such file; the message says what is wrong with it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: not JSON that can be read ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UsageError(f"{file}: no whole number 'format', so this isn't a saved model's file")
    if content["format"] > newest:
        raise UsageError(
            f"{file}: format {content['format']} is newer than {newest}, which this version reads; "
            "update the toolkit"
        )
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(content, kind)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        raise UsageError(f"{file}: not a configuration of this version: {problems}") from None
