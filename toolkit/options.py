"""Options of plugins: from the command line and the environment to the fields of a class."""

from __future__ import annotations

import csv
import inspect
import io
import os
import types
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import Union
from typing import cast
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import attrs

from toolkit.discovery import BrokenPluginError
from toolkit.errors import UsageError
from toolkit.errors import did_you_mean
from toolkit.redact import Redactor
from toolkit.tracker import Tracker

if TYPE_CHECKING:
    from cattrs import Converter

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_COLLECTIONS: Mapping[Any, Callable[..., Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    Sequence: list,
}


def parse(settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """``NAME.FIELD=VALUE`` settings, by backend and field; of two for one field the last counts.

    Raises:
        UsageError: a setting doesn't have this form. The message leaves the value out.
    """
    parsed: dict[str, dict[str, str]] = {}
    for setting in settings:
        target, equals, value = setting.partition("=")
        name, _, option = target.partition(".")
        if not equals:
            shown = Redactor().text(setting)
            raise UsageError(f"-o {shown}: there is no '='; write NAME.FIELD=VALUE")
        if not name or not option.isidentifier():
            raise UsageError(
                f"-o {target}=...: write NAME.FIELD=VALUE, as in mlflow.tracking_uri=URI"
            )
        parsed.setdefault(name, {})[option] = value
    return parsed


def from_environment(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The options that ``TOOLKIT_<BACKEND>_<FIELD>`` variables set for this backend."""
    prefix = _prefix(name)
    return {
        variable.removeprefix(prefix).lower(): value
        for variable, value in environ.items()
        if variable.startswith(prefix) and variable != prefix
    }


def to_environment(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The variables that `from_environment` and `build` read back as these options."""
    return {f"{_prefix(name)}{option.upper()}": _text(value) for option, value in options.items()}


def build(cls: type[Tracker], options: Mapping[str, Any]) -> Tracker:
    """The plugin, made with these options; texts are converted to the types of its attrs fields.

    Booleans are true, false, 1, 0, yes, no, on or off; lists are separated by commas, with CSV's
    quotes where an item has a comma in it; empty text is None where a field may be None. A class
    that isn't an attrs class has no options.

    Raises:
        UsageError: an option is unknown, missing, or has a value that doesn't fit.
        BrokenPluginError: the types of the class's fields can't be resolved.
    """
    fields = _fields(cls)
    for option in options:
        if option not in fields:
            raise UsageError(_unknown(cls, option, list(fields)))
    missing = [name for name, (_, required) in fields.items() if required and name not in options]
    if missing:
        raise UsageError(f"{cls.__name__} needs the option {missing[0]!r}")
    converter = _converter()
    given = {
        option: _convert(converter, cls, option, value, fields[option][0])
        for option, value in options.items()
    }
    try:
        return cast("type[Any]", cls)(**given)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        reason = Redactor().text(str(error.args[0] if error.args else error))
        raise UsageError(f"{cls.__name__}: {reason}") from error


def _prefix(name: str) -> str:
    return f"TOOLKIT_{name.upper().replace('-', '_')}_"


def _text(value: Any) -> str:
    """One option as text that `build` reads back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    return str(value)


def _fields(cls: type[Any]) -> dict[str, tuple[Any, bool]]:
    """The options of a plugin: their types, and whether they have to be given."""
    if not attrs.has(cls):
        return {}
    try:
        hints = get_type_hints(cls)
    except NameError as error:
        raise BrokenPluginError(f"{cls.__name__}: an option's type is unknown: {error}") from error
    return {
        attribute.alias or attribute.name: (
            hints.get(attribute.name, Any),
            attribute.default is attrs.NOTHING,
        )
        for attribute in attrs.fields(cls)
        if attribute.init
    }


def _unknown(cls: type[Any], option: str, known: Sequence[str]) -> str:
    if not known:
        return f"{cls.__name__} takes no options, and {option!r} was given"
    hint = did_you_mean(option, known)
    return f"{cls.__name__} has no option {option!r}{hint}. It has: {', '.join(known)}"


def _convert(converter: Converter, cls: type[Any], option: str, value: Any, wanted: Any) -> Any:
    """The value as the type that the plugin wants."""
    try:
        return converter.structure(value, wanted)
    except Exception as error:  # cattrs raises what the types' own constructors raise
        given = Redactor().values({option: value})[option]
        raise UsageError(
            f"option {option!r} of {cls.__name__} must be of type "
            f"{inspect.formatannotation(wanted)}, and {given!r} was given"
        ) from error


def _converter() -> Converter:
    """Converts text, and takes values that have the wanted type already."""
    from cattrs import Converter

    converter = Converter()
    converter.register_structure_hook(bool, lambda value, _: _boolean(value))
    converter.register_structure_hook(int, lambda value, _: _number(value, int))
    converter.register_structure_hook(float, lambda value, _: float(_number(value, float)))
    converter.register_structure_hook(str, lambda value, _: _string(value))
    converter.register_structure_hook_func(
        lambda wanted: _inner_type(wanted) is not None,
        lambda value, wanted: (
            None if value in (None, "") else converter.structure(value, _inner_type(wanted))
        ),
    )
    converter.register_structure_hook_func(
        lambda wanted: (get_origin(wanted) or wanted) in _COLLECTIONS,
        lambda value, wanted: _items(converter, value, wanted),
    )
    return converter


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise ValueError("not a boolean")


def _number(value: Any, kind: type[int] | type[float]) -> float:
    if isinstance(value, str | kind | int) and not isinstance(value, bool):
        return kind(value)
    raise ValueError("not a number")


def _string(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        return str(os.fspath(value))
    raise ValueError("not a text")


def _inner_type(wanted: Any) -> Any:
    """The X of "X or None"; None for any other type."""
    inner = [argument for argument in get_args(wanted) if argument is not types.NoneType]
    is_union = get_origin(wanted) in (Union, types.UnionType)
    return inner[0] if is_union and len(inner) == 1 else None


def _items(converter: Converter, value: Any, wanted: Any) -> Any:
    """A collection with items of one type, from a list, a tuple or text with commas."""
    item, *others = get_args(wanted) or (str,)
    if others not in ([], [...]):
        raise ValueError("tuples of mixed types can't be given")
    if isinstance(value, str):
        value = [text.strip() for row in csv.reader([value]) for text in row]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return _COLLECTIONS[get_origin(wanted) or wanted](
        converter.structure(one, item) for one in value
    )
