"""Finds plugins by their entry points, and imports only the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import cast

from toolkit.errors import UsageError
from toolkit.errors import did_you_mean
from toolkit.tracker import PROTOCOL_VERSION
from toolkit.tracker import Tracker

if TYPE_CHECKING:  # takes longer to import than the rest of the core
    from importlib.metadata import Distribution
    from importlib.metadata import EntryPoint

GROUP = "toolkit.trackers"

_METHODS = ("open", "write", "close")
_SEPARATORS = re.compile(r"[-_.]+")


class BrokenPluginError(Exception):
    """A plugin that is installed can't be used; the message says which, whose, and why."""


def available() -> Mapping[str, tuple[EntryPoint, ...]]:
    """The installed plugins' names, each with the entry points that claim it; imports none.

    A distribution that is on the path twice counts once, as the one that Python would import.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in _entry_points():
        found.setdefault(entry.name, []).append(entry)
    return {name: tuple(found[name]) for name in sorted(found)}


def find(name: str) -> EntryPoint:
    """The one entry point of this name; imports nothing.

    Raises:
        UsageError: no plugin has this name, or more than one claims it.
    """
    known = available()
    if name not in known:
        raise UsageError(_unknown(name, list(known)))
    entries = known[name]
    if len(entries) > 1:
        claims = " and ".join(f"{_owner(entry)} ({entry.value})" for entry in entries)
        raise UsageError(f"backend {name!r} is claimed by {claims}: uninstall all but one of them")
    return entries[0]


def load(name: str) -> type[Tracker]:
    """The plugin's class, imported and checked; no other plugin is imported.

    Raises:
        UsageError: no plugin has this name, or more than one claims it.
        BrokenPluginError: it can't be imported, or it isn't a tracker of our protocol's version.
    """
    entry = find(name)
    try:
        plugin = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin that calls sys.exit() on import is broken, not we
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BrokenPluginError(f"{_plugin(entry)} can't be imported: {cause}") from error
    if complaint := _complaint(entry, plugin):
        raise BrokenPluginError(f"{_plugin(entry)} {complaint}")
    return cast("type[Tracker]", plugin)


def _entry_points() -> Iterator[EntryPoint]:
    """Our group's entry points: first on the path wins, unreadable metadata is passed over."""
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        try:
            entries = tuple(distribution.entry_points.select(group=GROUP))
            # Reading the name is slow, and only the few that have plugins are asked for it.
            name = _SEPARATORS.sub("-", distribution.metadata["Name"]).lower() if entries else ""
        except Exception:  # noqa: S112 - somebody else's broken metadata must not break ours
            continue
        if name not in seen:
            seen.update([name] if name else [])
            yield from {(entry.name, entry.value): entry for entry in entries}.values()


def _unknown(name: str, known: list[str]) -> str:
    names = ", ".join(known) or "none"
    return f"unknown backend {name!r}{did_you_mean(name, known)}. Installed are: {names}"


def _owner(entry: EntryPoint) -> str:
    """The distribution that the entry point comes from, with its version."""
    distribution = cast("Distribution", entry.dist)
    return f"{distribution.metadata['Name']} {distribution.version}"


def _plugin(entry: EntryPoint) -> str:
    return f"plugin {entry.name!r} of {_owner(entry)} ({entry.value})"


def _complaint(entry: EntryPoint, plugin: Any) -> str | None:
    """What keeps the loaded object from being a tracker that we can use."""
    if not isinstance(plugin, type):
        return f"is an object of type {type(plugin).__name__}, not a class"
    version = getattr(plugin, "protocol_version", None)
    if version is None:
        return f"has no protocol_version: its author must set it to {PROTOCOL_VERSION} on the class"
    if version != PROTOCOL_VERSION:
        newer = isinstance(version, int) and version > PROTOCOL_VERSION
        remedy = "toolkit-tracker" if newer else _owner(entry).split()[0]
        return (
            f"speaks version {version!r} of the tracker protocol, and this toolkit speaks version "
            f"{PROTOCOL_VERSION}: install a newer {remedy}"
        )
    missing = [name for name in _METHODS if not callable(getattr(plugin, name, None))]
    return f"lacks the methods {', '.join(missing)} of the tracker protocol" if missing else None
