"""Options of backends: ``-o NAME.FIELD=VALUE``, TOOLKIT_<BACKEND>_<FIELD>, or given in a script.

A plugin's options are its attrs fields; a plain class has none.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import attrs

from toolkit.errors import UsageError
from toolkit.tracker import Tracker

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def parse(settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """``NAME.FIELD=VALUE`` settings as options of each backend.

    Raises:
        UsageError: a setting is of another form.
    """
    given: dict[str, dict[str, str]] = {}
    for setting in settings:
        target, equals, value = setting.partition("=")
        backend, dot, name = target.partition(".")
        if not (equals and dot and backend and name):
            raise UsageError(f"-o {setting!r}: expected NAME.FIELD=VALUE")
        given.setdefault(backend, {})[name] = value
    return given


def _prefix(backend: str) -> str:
    return f"TOOLKIT_{backend.replace('-', '_').upper()}_"


def from_environment(backend: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The backend's options among the environment's variables."""
    prefix = _prefix(backend)
    return {k[len(prefix) :].lower(): v for k, v in environ.items() if k.startswith(prefix)}


def to_environment(backend: str, given: Mapping[str, str]) -> dict[str, str]:
    """Variables from which `from_environment` reads these options."""
    return {f"{_prefix(backend)}{name.upper()}": value for name, value in given.items()}


def build(cls: type[Tracker], given: Mapping[str, Any]) -> Tracker:
    """A tracker with these options, texts converted to the types of its fields.

    Raises:
        UsageError: a field that the plugin doesn't have, or a value that doesn't fit it.
    """
    fields = _fields(cls)
    values = {}
    for name, value in given.items():
        if name not in fields:
            raise UsageError(f"{cls.__name__} has no option {name!r}{_nearest(name, fields)}")
        try:
            values[name] = _converted(value, fields[name])
        except (TypeError, ValueError) as error:
            raise UsageError(f"{cls.__name__}: option {name}={value!r}: {error}") from error
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{cls.__name__} can't be made with {sorted(values)}: {error}") from error


def _fields(cls: type[Any]) -> dict[str, Any]:
    if not attrs.has(cls):
        return {}
    attrs.resolve_types(cls)
    return {f.alias: f.type for f in attrs.fields(cls) if f.init and f.alias}


def _nearest(name: str, fields: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    known = f"; its options are {', '.join(fields)}" if fields else "; it has none"
    return f"; did you mean {near[0]!r}?" if near else known


def _converted(value: Any, kind: Any) -> Any:
    """The value as this type; text is read the way people write it on a command line."""
    if not isinstance(value, str):
        return value
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (kind,) = [part for part in typing.get_args(kind) if part is not type(None)]
    if kind is bool:
        return _bool(value)
    if kind in (int, float):
        return kind(value)
    if typing.get_origin(kind) in (tuple, list):
        return typing.get_origin(kind)(part.strip() for part in value.split(",") if part.strip())
    return value


def _bool(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("expected true or false")
