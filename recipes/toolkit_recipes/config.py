"""Configuration of a recipe: frozen attrs classes, set by preset, file and command line.

A recipe's configuration is a frozen attrs class whose fields are values or further such classes.
:func:`load` reads the command line ``[preset=NAME] [config=FILE] [key=value ...]``; a later layer
wins over an earlier one: default < preset < file < command line. A key of a nested class is
written with dots (``encoder.batch_size=8``), in a file nested or with dots; its last part will do
where no other key ends so. ``--seed=1``, as agents of sweeps write, is the same as ``seed=1``.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TypeVar
from typing import cast

import attrs
import yaml
from attrs import AttrsInstance
from attrs import frozen
from attrs import validators

from toolkit.errors import UsageError
from toolkit.errors import did_you_mean

LAYER_KEYS = ("preset", "config")
HELP_WORDS = frozenset({"help", "-h", "--help"})

SEEDS = validators.and_(validators.ge(0), validators.lt(2**32))
"""What all generators take as a seed."""

_BOOLEANS = types.MappingProxyType({"true": True, "false": False})

C = TypeVar("C", bound=AttrsInstance)


@frozen
class Option:
    """One key of a configuration, as ``help`` prints it."""

    key: str
    type: Any
    default: Any
    doc: str
    aliases: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        """The type in the words of the command line."""
        return _describe(self.type)


@frozen
class _Setting:
    """A value somebody gave, and where, in words for an error message."""

    value: Any
    source: str
    is_text: bool = False
    """Whether the value is a word of the command line, whose type is yet to be read."""


def option(
    default: Any,
    doc: str,
    *,
    check: Callable[..., Any] | None = None,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Declare a field of a configuration class.

    Args:
        default: the value used when no preset, file or argument sets it.
        doc: what the value does, for ``help``.
        check: attrs validator of the value.
        aliases: other names of the key.
    """
    return attrs.field(default=default, validator=check, metadata={"doc": doc, "aliases": aliases})


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for the list of keys."""
    return bool(HELP_WORDS.intersection(arguments))


def load(kind: type[C], arguments: Sequence[str], presets: Mapping[str, Callable[[], C]]) -> C:
    """Build the configuration that the command line asks for.

    Args:
        kind: the configuration class; all its fields have defaults.
        arguments: ``key=value`` words; ``preset`` and ``config`` are keys of their own.
        presets: name to function that returns a whole configuration.

    Raises:
        UsageError: unknown preset or key, unreadable file, or a value of the wrong type or range.
    """
    given = _split(arguments)
    preset = given.pop("preset", None)
    file = given.pop("config", None)
    base = kind() if preset is None else _preset(preset, presets)
    settings: dict[str, _Setting] = {} if file is None else _read_file(Path(file.value))
    settings |= given
    return _override(base, settings)


def changed(config: C, arguments: Sequence[str]) -> C:
    """Return a configuration with some keys changed, given as on the command line.

    Raises:
        UsageError: unknown key, or a value of the wrong type or range.
    """
    return _override(config, _split(arguments))


def help_text(config: AttrsInstance, presets: Mapping[str, Callable[[], Any]]) -> str:
    """Describe every preset and key, one or two lines each."""
    usage = "[config=FILE] [key=value ...]"
    lines = [f"[preset=NAME] {usage}", "", "presets:"] if presets else [usage]
    lines += [f"  {name}: {make.__doc__}" for name, make in presets.items()]
    lines += ["", "config: a YAML or JSON file with the same keys, nested or with dots"]
    lines += ["", "keys:"]
    for o in options(config):
        lines.append(f"  {o.key}={_written(o.default)}  ({o.type_name})\n      {o.doc}")
    return "\n".join(lines)


def options(config: AttrsInstance) -> list[Option]:
    """List every key of a configuration with its type, present value and documentation."""
    found: list[Option] = []
    for field in attrs.fields(attrs.resolve_types(type(config))):
        value = getattr(config, field.name)
        if attrs.has(type(value)):
            found += [attrs.evolve(o, key=f"{field.name}.{o.key}") for o in options(value)]
        else:
            found.append(Option(field.name, field.type, value, **field.metadata))
    return found


def as_dict(config: AttrsInstance) -> dict[str, Any]:
    """Return the configuration as nested dictionaries of plain JSON values."""

    def plain(_instance: object, _field: object, value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return attrs.asdict(config, value_serializer=plain)


def _split(arguments: Iterable[str]) -> dict[str, _Setting]:
    given: dict[str, _Setting] = {}
    for argument in arguments:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not equals or not key:
            raise UsageError(
                f"argument {argument!r} is not key=value; write for example seed=1 "
                "(`help` lists the keys)"
            )
        given[key] = _Setting(value, f"argument {argument!r}", is_text=True)
    return given


def _preset(setting: _Setting, presets: Mapping[str, Callable[[], C]]) -> C:
    if setting.value not in presets:
        raise UsageError(
            f"{setting.source}: there is no preset {setting.value!r}"
            f"{_hint(setting.value, presets)}; presets: {', '.join(sorted(presets))}"
        )
    return presets[setting.value]()


def _read_file(path: Path) -> dict[str, _Setting]:
    """Read a YAML or JSON file as settings by dotted key."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: can't read the configuration ({error.strerror})") from None
    content = _parse(text, path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values at the top")
    return dict(_flatten(content, path, prefix=""))


def _parse(text: str, path: Path) -> Any:
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}"
        raise UsageError(f"{path}{where}: not YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML ({error})") from None
    return {} if content is None else content


def _flatten(content: Mapping[Any, Any], path: Path, prefix: str) -> Iterable[tuple[str, _Setting]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flatten(value, path, prefix=f"{key}.")
        else:
            yield key, _Setting(value, f"{path}, key {key!r}")


def _override(base: C, settings: Mapping[str, _Setting]) -> C:
    known = {o.key: o for o in options(base)}
    for key, setting in settings.items():
        meant = meant_keys(key, known.values())
        if len(meant) > 1:
            raise UsageError(f"{setting.source}: {key!r} may be any of {', '.join(meant)}")
        if not meant:
            raise UsageError(f"{setting.source}: {_unknown(key, known)}")
        value = _convert(setting, known[meant[0]])
        base = _replace(base, meant[0].split("."), value, setting.source)
    return base


def meant_keys(key: str, known: Iterable[Option]) -> list[str]:
    """Return the keys that somebody may mean: the key itself, an alias, or those that end so."""
    known = list(known)
    exact = [o.key for o in known if key == o.key] or [o.key for o in known if key in o.aliases]
    return exact or [o.key for o in known if o.key.endswith(f".{key}")]


def _replace(config: C, path: Sequence[str], value: Any, source: str) -> C:
    name, rest = path[0], path[1:]
    if rest:
        value = _replace(getattr(config, name), rest, value, source)
    try:
        changed: C = attrs.evolve(cast(Any, config), **{name: value})
    except ValueError as error:
        raise UsageError(f"{source}: {error.args[0]}") from None
    return changed


def _unknown(key: str, known: Mapping[str, Option]) -> str:
    if key in LAYER_KEYS:
        return f"{key!r} can only be given on the command line"
    inner = [name for name in known if name.startswith(f"{key}.")]
    if inner:
        return f"{key!r} holds several keys; set one of {', '.join(inner)}"
    return f"there is no key {key!r}{_hint(key, [*known, *LAYER_KEYS])}"


def _hint(word: str, known: Iterable[str]) -> str:
    """Name the nearest valid word."""
    return did_you_mean(word, known, cutoff=0.5) or " (`help` lists the keys)"


def _convert(setting: _Setting, target: Option) -> Any:
    if _is_left_empty(setting.value, target.type):
        raise UsageError(
            f"{setting.source}: {target.key} is empty (a variable that isn't set?); give a "
            "value, or the word none where nothing is meant"
        )
    convert = _from_text if setting.is_text else _from_value
    try:
        return convert(setting.value, target.type)
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{setting.source}: {target.key} takes {target.type_name}, not {setting.value!r}"
        ) from None


def _is_left_empty(value: Any, kind: Any) -> bool:
    """Whether a text that may be none is empty, which would pass for none or for this folder."""
    is_optional_text = set(_members(kind)) == {str, type(None)}
    return is_optional_text and isinstance(value, str) and not value.strip()


def _from_text(text: str, kind: Any) -> Any:
    """Read a word of the command line as a value of ``kind``."""
    members = _members(kind)
    if type(None) in members and text.lower() in {"none", "null"}:
        return None
    kind = members[0]
    if kind is str or typing.get_origin(kind) is typing.Literal:
        return _from_value(text, kind)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_from_text(part.strip(), item) for part in text.split(",") if part.strip())
    if kind is bool:
        return _BOOLEANS[text.lower()]
    return kind(text)


def _from_value(value: Any, kind: Any) -> Any:
    """Check a value of a file against ``kind``.

    Whole numbers may stand for floats, and so may 1e-3, which YAML takes for text. A list may be
    written as on the command line.
    """
    members = _members(kind)
    if value is None and type(None) in members:
        return None
    kind = members[0]
    if typing.get_origin(kind) is typing.Literal:
        kind, allowed = str, typing.get_args(kind)
    else:
        allowed = (value,)
    if typing.get_origin(kind) is tuple and isinstance(value, str):
        return _from_text(value, kind)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_from_value(item, typing.get_args(kind)[0]) for item in value)
    if kind is float and (type(value) is int or (type(value) is str and "e" in value.lower())):
        return float(value)
    if type(value) is not kind or value not in allowed:
        raise TypeError(value)
    return value


def _written(value: Any) -> str:
    """Write a value as the command line takes it."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _members(kind: Any) -> list[Any]:
    """The types of ``X | None``, None last; otherwise the type itself."""
    # Python writes the union of a Literal and None as typing.Union, others as types.UnionType.
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return sorted(typing.get_args(kind), key=lambda member: member is type(None))
    return [kind]


def _describe(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    members = _members(kind)
    if typing.get_origin(members[0]) is typing.Literal:
        words = "one of " + ", ".join(typing.get_args(members[0]))
    elif typing.get_origin(members[0]) is tuple:
        words = "a list, each item " + _describe(typing.get_args(members[0])[0])
    else:
        words = names[members[0]]
    return f"{words}, or none" if len(members) > 1 else words
