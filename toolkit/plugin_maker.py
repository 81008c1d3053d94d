"""Writes a complete distribution with a tracker plugin in it: one that works, to be changed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from attrs import frozen

from toolkit import discovery
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_TEMPLATE = "plugin_template"
_SUFFIX = ".in"
_PACKAGE = "package/"
"""The template's folder that gets the module's name."""
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST_NAME = 40


@frozen
class Names:
    """What the parts of a plugin's distribution are called."""

    plugin: str

    @property
    def distribution(self) -> str:
        """The name that pip knows."""
        return f"toolkit-tracker-{self.plugin}"

    @property
    def module(self) -> str:
        """The name that Python imports."""
        return f"toolkit_{self.plugin.replace('-', '_')}"

    @property
    def prefix(self) -> str:
        """What the names of classes begin with."""
        return "".join(part.capitalize() for part in self.plugin.split("-"))


def checked(plugin: str) -> Names:
    """The names for a new plugin.

    Raises:
        UsageError: the name has another form, or is taken.
    """
    if not _NAME.fullmatch(plugin) or len(plugin) > _LONGEST_NAME:
        raise UsageError(
            f"plugin name {plugin!r}: use lower-case letters and digits, in words joined by single "
            f"dashes, beginning with a letter, at most {_LONGEST_NAME} characters; as in my-tracker"
        )
    names = Names(plugin)
    for taken in discovery.available():
        if re.sub(r"[-_.]+", "-", taken).lower() == plugin:
            raise UsageError(f"a plugin named {taken!r} is installed already: choose another name")
    if importlib.util.find_spec(names.module):
        raise UsageError(
            f"plugin name {plugin!r}: its module {names.module} would hide an installed one of the "
            "same name; choose another name"
        )
    return names


def write(names: Names, folder: Path) -> list[Path]:
    """Write the distribution into the folder; the files, in order.

    Raises:
        UsageError: the folder isn't empty, or can't be written to. No file is ever replaced.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not an empty folder: give another one with --directory")
        return [_write(folder / path, text) for path, text in sorted(rendered(names).items())]
    except OSError as error:
        raise UsageError(f"can't write to {folder}: {error}") from error


def rendered(names: Names) -> dict[str, str]:
    """The distribution's files: their contents by their paths in it."""
    from importlib.resources import files

    given = {
        "name": names.plugin,
        "distribution": names.distribution,
        "module": names.module,
        "prefix": names.prefix,
    }
    return {
        path.replace(_PACKAGE, f"{names.module}/"): Template(text).substitute(given)
        for path, text in _files(files("toolkit") / _TEMPLATE, "")
    }


def _files(folder: Traversable, before: str) -> Iterator[tuple[str, str]]:
    """The template's files: paths without their suffix, and texts."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{before}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield before + entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
