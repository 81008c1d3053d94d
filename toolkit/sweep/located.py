"""YAML whose every value knows its line, and in which 5e-6 is a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from attrs import frozen

from toolkit.errors import UsageError
from toolkit.errors import did_you_mean

if TYPE_CHECKING:
    import yaml

# YAML 1.1 wants a dot before the exponent and a sign in it.
_EXPONENT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")
_FLOAT_TAG = "tag:yaml.org,2002:float"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"


@frozen
class Item:
    """A value of the file, where it is, and what is inside."""

    file: Path
    line: int
    value: Any
    """Plain values: text, numbers, booleans, None, lists and dicts of them."""
    text: str | None = None
    """A scalar as it is written."""
    fields: Mapping[str, Item] | None = None
    items: tuple[Item, ...] | None = None

    def error(self, message: str) -> UsageError:
        """An error that says where."""
        return UsageError(f"{self.file}:{self.line}: {message}")

    def mapping(self, name: str) -> Mapping[str, Item]:
        """The fields of a mapping."""
        if self.fields is None:
            raise self.error(f"{name} must be a mapping of keys and values")
        return self.fields

    def sequence(self, name: str) -> tuple[Item, ...]:
        """The items of a list that isn't empty."""
        if not self.items:
            raise self.error(f"{name} must be a list with at least one item")
        return self.items

    def string(self, name: str) -> str:
        """A text that isn't empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self.error(f"{name} must be a text, not {self.shown()}")
        return self.value

    def number(self, name: str) -> float:
        """A finite number, an int where it is written as one."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if not is_number or self.value - self.value != 0:
            hint = "; leave the quotes out" if _is_quoted_number(self.value) else ""
            raise self.error(f"{name} must be a number, not {self.shown()}{hint}")
        number: float = self.value
        return number

    def one_of(self, name: str, known: Iterable[str]) -> str:
        """One of several texts."""
        known = list(known)
        if self.value not in known:
            hint = did_you_mean(str(self.value), known)
            raise self.error(f"{name} is {self.shown()}{hint}; it can be {', '.join(known)}")
        return str(self.value)

    def shown(self) -> str:
        """The value in words of an error message."""
        return repr(self.value)


def read(file: Path) -> Item:
    """The content of a YAML file.

    Raises:
        UsageError: it can't be read, isn't YAML, has a key twice, or has values that aren't plain.
    """
    import yaml

    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read: {error}") from error
    try:
        loader = _loader(content)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{file}:1: the file is empty")
        _refuse_repeated_keys(node, file)  # before merged keys are put beside a mapping's own
        loader.construct_object(node, deep=True)  # refuses what contains itself
        return _item(loader, node, file)
    except yaml.YAMLError as error:
        raise UsageError(_where_and_what(file, error)) from error


def _where_and_what(file: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return f"{file}:{mark.line + 1 if mark else 1}: this is not YAML as it should be: {what}"


def _loader(content: str) -> yaml.SafeLoader:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML without dates, and with numbers as everybody writes them."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it
            first: [rule for rule in rules if rule[0] != _TIMESTAMP_TAG]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+.0123456789"))
    return Loader(content)


def _item(loader: yaml.SafeLoader, node: yaml.Node, file: Path) -> Item:
    import yaml

    line = node.start_mark.line + 1
    value = loader.construct_object(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        fields = {key.value: _item(loader, below, file) for key, below in node.value}
        return Item(file, line, value, fields=fields)
    if isinstance(node, yaml.SequenceNode):
        items = tuple(_item(loader, below, file) for below in node.value)
        return Item(file, line, value, items=items)
    if not isinstance(value, str | int | float | None):
        raise UsageError(f"{file}:{line}: {node.tag} can't be used here; write text or a number")
    return Item(file, line, value, text=node.value)


def _refuse_repeated_keys(root: yaml.Node, file: Path) -> None:
    import yaml

    waiting, known = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        below: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys_of(node, file)
            below = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        waiting += [other for other in below if id(other) not in known]
        known.update(map(id, below))


def _refuse_repeated_keys_of(node: yaml.MappingNode, file: Path) -> None:
    import yaml

    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{file}:{line}: a key must be a text")
        if key.value in seen:
            raise UsageError(
                f"{file}:{line}: {key.value!r} is there twice, in line {seen[key.value]} too; "
                "remove one"
            )
        seen[key.value] = line


def _is_quoted_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)
