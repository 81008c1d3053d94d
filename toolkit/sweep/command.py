"""A trial's command line: a list of words with W&B's macros. No shell ever reads it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from toolkit.errors import did_you_mean
from toolkit.sweep.located import Item

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
_ENV = "/usr/bin/env"
_MACROS = (
    "env",
    "interpreter",
    "program",
    "args",
    "args_no_hyphens",
    "args_no_boolean_flags",
    "args_json",
    "args_json_file",
)
_MACRO = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = "envvar:"


@frozen
class Values:
    """The values of one trial, and the file that has them as JSON."""

    flat: Mapping[str, Any]
    """By name; the names of nested parameters have dots."""
    file: Path

    def nested(self) -> dict[str, Any]:
        """By name, nested parameters in mappings of their own."""
        found: dict[str, Any] = {}
        for name, value in self.flat.items():
            *outer, last = name.split(".")
            place = found
            for key in outer:
                place = place.setdefault(key, {})
            place[last] = value
        return found

    def json(self) -> str:
        """`nested` as JSON."""
        return json.dumps(self.nested())


def read(item: Item) -> tuple[str, ...]:
    """The words of the ``command`` section.

    Raises:
        UsageError: it isn't a list of words.
    """
    if item.items is None:
        raise item.error(
            "command must be a list, one item for each word; no shell reads it. For example: "
            '["${env}", python, "${program}", "${args}"]'
        )
    words = []
    for word in item.sequence("command"):
        if word.text is None:
            raise word.error(f"an item of command must be one word, not {word.shown()}")
        _refuse_unknown_macros(word, word.text)
        words.append(word.text)
    return tuple(words)


def _refuse_unknown_macros(item: Item, word: str) -> None:
    for match in _MACRO.finditer(word):
        name = match[1]
        if name.startswith(_VARIABLE) and name.removeprefix(_VARIABLE).isidentifier():
            continue
        if name not in _MACROS:
            known = [*_MACROS, f"{_VARIABLE}NAME"]
            raise item.error(
                f"there is no macro {match[0]}{did_you_mean(name, known)}; the macros are "
                f"{', '.join(known)}; ${{{_VARIABLE}NAME}} is a variable of the environment"
            )
        if match[0] != word:
            raise item.error(f"{match[0]} must be an item of its own, and it is in {word!r}")


def missing_variables(words: tuple[str, ...], environ: Mapping[str, str]) -> list[str]:
    """Variables that the words use, and that aren't set."""
    used = [name for word in words for name in _MACRO.findall(word) if name.startswith(_VARIABLE)]
    return [name for name in (u.removeprefix(_VARIABLE) for u in used) if name not in environ]


def build(
    words: tuple[str, ...], program: str | None, values: Values, environ: Mapping[str, str]
) -> list[str]:
    """The command of a trial; its values are arguments as they are, whatever is in them."""
    expanded = {
        "${env}": [_ENV],
        "${interpreter}": [sys.executable],
        "${program}": [program or ""],
        "${args}": [f"--{name}={value}" for name, value in values.flat.items()],
        "${args_no_hyphens}": [f"{name}={value}" for name, value in values.flat.items()],
        "${args_no_boolean_flags}": _without_boolean_values(values.flat),
        "${args_json}": [values.json()],
        "${args_json_file}": [str(values.file)],
    }
    command: list[str] = []
    for word in words:
        command += expanded[word] if word in expanded else [_with_variables(word, environ)]
    return command


def _without_boolean_values(flat: Mapping[str, Any]) -> list[str]:
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in flat.items()]
    return [word for word, value in zip(words, flat.values(), strict=True) if value is not False]


def _with_variables(word: str, environ: Mapping[str, str]) -> str:
    return _MACRO.sub(lambda match: environ[match[1].removeprefix(_VARIABLE)], word)
