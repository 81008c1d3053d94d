"""Names to plugins, by entry points; imports only the plugin that was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points
from typing import Any

from toolkit.errors import UsageError
from toolkit.tracker import PROTOCOL_VERSION
from toolkit.tracker import Tracker

GROUP = "toolkit.trackers"

_METHODS = ("open", "write", "close")


class BrokenPluginError(Exception):
    """An installed plugin can't be used; the message names it, its distribution and the cause."""


def available() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Every name and the entry points that claim it, from metadata alone."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # One distribution can be seen twice, by way of two folders on the path.
        claim = (entry.dist.name if entry.dist else "", entry.value)
        found.setdefault(entry.name, {}).setdefault(claim, entry)
    return {name: tuple(claims.values()) for name, claims in found.items()}


def find(name: str) -> EntryPoint:
    """The entry point of this name.

    Raises:
        UsageError: there is none, or several distributions claim the name.
    """
    known = available()
    match known.get(name, ()):
        case ():
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"unknown backend {name!r}{hint} Installed: {', '.join(sorted(known)) or 'none'}"
            )
        case (entry,):
            return entry
        case several:
            owners = " and ".join(distribution(entry) for entry in several)
            raise UsageError(
                f"backend {name!r} is claimed by {owners}; uninstall all but one of them"
            )


def load(name: str) -> type[Tracker]:
    """Import the plugin of this name.

    Raises:
        UsageError: as `find`.
        BrokenPluginError: it fails to import, or isn't a tracker for this version.
    """
    entry = find(name)
    try:
        loaded = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way, and must break only itself
        cause = f"{type(error).__name__}: {error}"
        raise BrokenPluginError(f"{_described(entry)} failed to import: {cause}") from error
    _check(entry, loaded)
    tracker: type[Tracker] = loaded
    return tracker


def _check(entry: EntryPoint, loaded: Any) -> None:
    version = getattr(loaded, "protocol_version", None)
    if version != PROTOCOL_VERSION:
        raise BrokenPluginError(
            f"{_described(entry)} has protocol_version {version}, this toolkit speaks "
            f"{PROTOCOL_VERSION}; install versions of the two that fit together"
        )
    if missing := [name for name in _METHODS if not callable(getattr(loaded, name, None))]:
        raise BrokenPluginError(f"{_described(entry)} lacks the methods {', '.join(missing)}")


def distribution(entry: EntryPoint) -> str:
    """Name and version of the distribution that brings the entry point."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"


def _described(entry: EntryPoint) -> str:
    return f"tracker {entry.name!r} from {distribution(entry)}"
