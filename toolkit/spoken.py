"""Events as programs in any language write them: one line of JSON each, read with patience.

The form is the journal's (`toolkit.events`). What other languages make of it is taken as it is
meant, and what can't be is a `Problem` that says what to do; a line never spoils its neighbours.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import attrs
from attrs import frozen

from toolkit.errors import did_you_mean
from toolkit.events import KINDS
from toolkit.events import Artifact
from toolkit.events import Event
from toolkit.events import Metrics

if TYPE_CHECKING:
    from cattrs import Converter

_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_LATEST = 1e11
"""As Unix seconds, this is the year 5138; as milliseconds, 1973."""
_NOT_NUMBERS = (None, "NA")
"""What JavaScript makes of NaN, and R of a missing number."""
_WHERE_LEFT_OUT: Mapping[str, Mapping[str, Any]] = {
    "left": {"status": "FINISHED"},
    "ended": {"status": "FINISHED"},
    "console": {"position": 0},  # known only to those who record it
}
_SHOWN = 60


@frozen
class Problem:
    """What is wrong with a line."""

    sort: str
    """Those of one sort are told once."""
    text: str


@frozen
class Spoken:
    """What a line says; neither an event nor a problem, where it is blank."""

    event: Event | None = None
    problems: tuple[Problem, ...] = ()


class WrongError(ValueError):
    """A value that an event can't have; the message goes on after the name of its field."""


class Reader:
    """Reads lines. Making one costs milliseconds, reading with it microseconds."""

    def __init__(self) -> None:
        self._converter = _converter()

    def read(self, line: bytes, now: float) -> Spoken:
        """What the line says; an event without ``time`` is of ``now``, in Unix seconds."""
        line = line.removeprefix(_BOM).strip()
        if not line:
            return Spoken()
        if line.startswith(_WIDE_BOMS) or b"\x00" in line:
            return _bad("utf-16", "this is not UTF-8; write the lines in UTF-8")
        text, noted = _decoded(line)
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            return _bad("json", f"this is not JSON ({error}); write one whole object per line")
        if not isinstance(fields, dict):
            return _bad("json", f"{shown(fields)} is not an event; write one object per line")
        spoken = self._event(fields, now)
        return attrs.evolve(spoken, problems=(*noted, *spoken.problems))

    def _event(self, fields: dict[str, Any], now: float) -> Spoken:
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind.lower() not in KINDS:
            return _bad("kind", _unknown_kind(kind))
        shape = _shape(kind.lower())
        noted = [*_pass_over_unknown(fields, shape), *_set_time(fields, shape, now)]
        fields = {**_WHERE_LEFT_OUT.get(shape.kind, {}), **fields}
        if missing := [name for name in shape.needed if name not in fields]:
            names = " and ".join(f'"{name}"' for name in missing)
            return _bad(f"{shape.kind} {missing[0]}", f"{shape.kind} has no {names}", *noted)
        _arrange(fields, shape)
        if shape.cls is Metrics and isinstance(fields["values"], dict):
            refused = list(_pass_over_texts(fields["values"]))
            if refused and not fields["values"]:
                return Spoken(None, (*noted, *refused))
            noted += refused
        try:
            return Spoken(self._converter.structure(fields, shape.cls), tuple(noted))
        except Exception as error:  # cattrs groups several kinds of error under one base
            return Spoken(None, (*noted, *_reasons(error, shape.kind)))


@frozen
class _Shape:
    """The fields of one kind of event."""

    kind: str
    cls: type[Any]
    known: tuple[str, ...]
    needed: tuple[str, ...]
    lists: tuple[str, ...]


@functools.cache
def _shape(kind: str) -> _Shape:
    cls = KINDS[kind]
    fields = attrs.fields(cls)
    hints = get_type_hints(cls)
    return _Shape(
        kind,
        cls,
        tuple(field.name for field in fields),
        tuple(field.name for field in fields if field.default is attrs.NOTHING),
        tuple(name for name, wanted in hints.items() if get_origin(wanted) is tuple),
    )


def number(value: Any) -> float:
    """The value as a number: numbers, booleans, texts that spell one, null and "NA" for NaN.

    Raises:
        WrongError: it is something else.
    """
    value = _unwrapped(value)
    if value in _NOT_NUMBERS:
        return math.nan
    try:
        if isinstance(value, int | float | str):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise WrongError(f"must be a number, got {shown(value)}")


def shown(value: Any) -> str:
    """The value as JSON, cut short: its beginning says which it is."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _bad(sort: str, text: str, *before: Problem) -> Spoken:
    return Spoken(None, (*before, Problem(sort, text)))


def _decoded(line: bytes) -> tuple[str, tuple[Problem, ...]]:
    try:
        return line.decode(), ()
    except UnicodeDecodeError:
        problem = Problem("utf-8", "bytes that are not UTF-8 are replaced by U+FFFD; write UTF-8")
        return line.decode(errors="replace"), (problem,)


def _unknown_kind(kind: Any) -> str:
    known = ", ".join(KINDS)
    if kind is None:
        return f'there is no "kind"; it is one of {known}'
    if isinstance(kind, list):
        return (
            f'"kind" must be a text, got {shown(kind)}; with R\'s jsonlite, use '
            "toJSON(..., auto_unbox = TRUE)"
        )
    near = did_you_mean(str(kind).lower(), KINDS, cutoff=0.5)
    return f"no event is of the kind {shown(kind)}{near}; it is one of {known}"


def _pass_over_unknown(fields: dict[str, Any], shape: _Shape) -> Iterator[Problem]:
    """Take what an event of this kind doesn't have out of the fields."""
    for name in [name for name in fields if name not in shape.known]:
        del fields[name]
        near = did_you_mean(name, shape.known)
        yield Problem(
            f"{shape.kind} {name}",
            f"{shape.kind} has no {shown(name)}{near}, which is left out; it has "
            f"{', '.join(shape.known)}",
        )


def _set_time(fields: dict[str, Any], shape: _Shape, now: float) -> Iterator[Problem]:
    """Put Unix seconds in: those given, in milliseconds if they can be nothing else, or now."""
    given, fields["time"] = fields.get("time"), now
    if given is None:
        return
    try:
        moment = number(given)
    except WrongError:
        moment = math.nan
    if abs(moment) >= _LATEST:
        moment /= 1000
    if abs(moment) < _LATEST:
        fields["time"] = moment
        return
    yield Problem(
        f"{shape.kind} time",
        f"{shape.kind}.time must be Unix seconds, as a number, got {shown(given)}; the time at "
        "which the line came is taken instead",
    )


def _arrange(fields: dict[str, Any], shape: _Shape) -> None:
    """Give lists and mappings the form that the converter expects."""
    if fields.get("values") == []:  # what R makes of an empty list, with or without names
        fields["values"] = {}
    for name in shape.lists:
        if name in fields and not isinstance(fields[name], list):
            fields[name] = [fields[name]]  # jsonlite writes a vector of one as its only item
    if shape.cls is Artifact:
        fields["files"] = [_file(given) for given in fields["files"]]


def _file(given: Any) -> Any:
    """A file of an artifact, which may be just its path, or lack a name."""
    file = {"path": given} if isinstance(given, str) else given
    if isinstance(file, dict) and isinstance(file.get("path"), str):
        return {"name": PurePath(file["path"]).name, **file}
    return file


def _pass_over_texts(values: dict[str, Any]) -> Iterator[Problem]:
    """Take what is no number out of a mapping of metrics; the others are recorded."""
    for key, value in list(values.items()):
        try:
            number(value)
            if key.strip():
                continue
            reason = "needs a name that isn't empty"
        except WrongError as error:
            reason = f"{error}; texts belong in params, tags or summary"
        del values[key]
        yield Problem("metrics values", f"metric {shown(key)} {reason}")


def _converter() -> Converter:
    """Reads JSON's values strictly, where cattrs would make a text or a number of anything."""
    from cattrs import Converter

    converter = Converter()
    converter.register_structure_hook(Any, lambda value, _: value)
    converter.register_structure_hook(float, lambda value, _: number(value))
    converter.register_structure_hook(int, lambda value, _: _whole(value))
    converter.register_structure_hook(str, lambda value, _: _text(value))
    converter.register_structure_hook_func(
        _is_literal,
        lambda value, wanted: _one_of(value, get_args(wanted)),
    )
    return converter


def _is_literal(wanted: Any) -> bool:
    return get_origin(wanted) is Literal


def _reasons(error: Exception, kind: str) -> Iterator[Problem]:
    from cattrs import transform_error
    from cattrs.v import format_exception

    def worded(error: BaseException, wanted: type | None) -> str:
        return str(error) if isinstance(error, WrongError) else format_exception(error, wanted)

    for message in transform_error(error, kind, worded):
        reason, _, place = message.rpartition(" @ ")
        yield Problem(re.sub(r"\[.*", "", place, flags=re.DOTALL), f"{place}: {reason}")


def _unwrapped(value: Any) -> Any:
    """The only item of a list of one, as jsonlite writes any value unless it is told not to."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _whole(value: Any) -> int:
    value = _unwrapped(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if isinstance(value, float | str) and float(value).is_integer():
            return int(float(value))
    except (ValueError, OverflowError):
        pass
    raise WrongError(f"must be a whole number, got {shown(value)}")


def _text(value: Any) -> str:
    value = _unwrapped(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return json.dumps(value)
    raise WrongError(f"must be a text, got {shown(value)}")


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    for one in allowed:
        if isinstance(value, str) and value.lower() == one.lower():
            return one
    raise WrongError(f"must be one of {', '.join(allowed)}, got {shown(value)}")
