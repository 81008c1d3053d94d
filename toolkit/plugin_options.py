"""The options of a plugin's class, as its user has to know them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import Attribute
from attrs import frozen

from toolkit import options
from toolkit.events import spell_out
from toolkit.redact import MASK
from toolkit.redact import Redactor

_EMPTY = (list, tuple, dict, set, frozenset)
COMPUTED = "computed when it is needed"


@frozen
class OptionFacts:
    """One option: what it is, and the two ways to set it from outside."""

    name: str
    type: str
    """As the plugin's author wrote it."""
    is_required: bool
    default: Any
    """A JSON value; None also where there is no default. A secret is masked."""
    doc: str
    setting: str
    """What to give to ``-o``, up to the value."""
    variable: str
    """The environment's variable."""


def options_of(plugin: str, cls: type[Any]) -> Iterator[OptionFacts]:
    """The options of a plugin's class, in the order of its fields; none if it's no attrs class."""
    if not attrs.has(cls):
        return
    redactor = Redactor.from_environment(os.environ)
    for attribute in attrs.fields(cls):
        if attribute.init:
            yield _facts(plugin, attribute, redactor)


def _facts(plugin: str, attribute: Attribute[Any], redactor: Redactor) -> OptionFacts:
    name = attribute.alias or attribute.name
    wanted = attribute.type
    return OptionFacts(
        name=name,
        type=wanted if isinstance(wanted, str) else inspect.formatannotation(wanted),
        is_required=attribute.default is attrs.NOTHING,
        default=_masked(name, _default(attribute), redactor),
        doc=" ".join(str(attribute.metadata.get("doc", "")).split()),
        setting=f"{plugin}.{name}=",
        variable=next(iter(options.to_environment(plugin, {name: ""}))),
    )


def _default(attribute: Attribute[Any]) -> Any:
    """The default as a JSON value; a function that makes it is not called, unless it is a type."""
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return None
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return _plain(default.factory()) if default.factory in _EMPTY else COMPUTED
    return _plain(default)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return spell_out(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _masked(name: str, default: Any, redactor: Redactor) -> Any:
    """The default, unless it is a secret: by its name whatever its type, else by its shape."""
    if default in (None, "", [], {}):
        return default
    is_credential = redactor.values({name: "any word"})[name] == MASK
    return MASK if is_credential else redactor.values({name: default})[name]
