"""Prints the reference of events, made from their classes.

In the root of the repository: ``python -m toolkit.event_reference > docs/events.md``.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
import types
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Final
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import attrs

from toolkit import events
from toolkit import reference_text
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text

_NOW = 1764000000.0
EXAMPLES: Final[tuple[Event, ...]] = (
    Described(_NOW, project="receipts", name="baseline", tags=("first",)),
    Params(_NOW, {"lr": 0.001, "model": {"layers": 2}}),
    Metrics(_NOW, {"train/loss": 0.7, "train/accuracy": 0.81}, 10),
    Tags(_NOW, {"dataset": "v3"}),
    Summary(_NOW, {"best f1": 0.83, "stopped by": "patience"}),
    Artifact(
        _NOW,
        "model",
        (File("model.safetensors", "out/model.safetensors"),),
        type="model",
        aliases=("best",),
    ),
    Text(_NOW, "notes.txt", "out/notes.txt"),
    Table(_NOW, "val/predictions", "out/predictions.json", 10),
    Image(_NOW, "val/page", "out/page.png", 10, "the worst page"),
    Figure(_NOW, "plots/curve.svg", "out/curve.svg"),
    Histogram(_NOW, "weights", (-1.0, 0.0, 1.0), (12.0, 30.0), 10),
    ConfusionMatrix(_NOW, "val/classes", ("cat", "dog"), ((5, 1), (2, 4)), 10),
    Console(_NOW, "epoch 1 is done\n", 0),
    Left(_NOW, "FINISHED"),
    Ended(_NOW, "FINISHED"),
)
"""One of each kind; ``time`` and what is at its default are left out where they are shown."""

_PLAIN: Final[Mapping[Any, str]] = {
    float: "number",
    int: "whole number",
    str: "text",
    File: "file",
    Any: "",
}


def page(docs: Path) -> str:
    """The whole page: ``events.in.md`` of this folder, with the kinds and the programs put in."""
    kinds = "\n\n".join(_section(type(example), example) for example in EXAMPLES)
    programs = "\n\n".join(
        f"### {title}\n\n```{language}\n{_text(docs / 'examples' / name).rstrip()}\n```"
        for title, name, language in reference_text.PROGRAMS
    )
    before, between, after = re.split(r"\{kinds\}|\{programs\}", _text(docs / "events.in.md"))
    return f"{before}{kinds}{between}{programs}{after}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def meaning(cls: type[Any], name: str) -> str:
    """What a field is for: as its class says, else as `reference_text` does."""
    said = _said_in_source().get((cls.__name__, name))
    return said or reference_text.FIELDS.get(f"{_kind(cls)}.{name}") or reference_text.FIELDS[name]


def json_type(wanted: Any) -> str:
    """A type in JSON's terms."""
    if wanted in _PLAIN:
        return _PLAIN[wanted]
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(one)}`" for one in inner)
    if origin in (Union, types.UnionType):
        return json_type(next(one for one in inner if one is not types.NoneType))
    if origin is tuple:
        return f"list of {_several(inner[0])}"
    several = _several(inner[1])
    return f"object of {several}" if several else "object"


def _several(wanted: Any) -> str:
    one = json_type(wanted)
    first, of, rest = one.partition(" of ")
    return f"{first}s{of}{rest}" if one else ""


def _section(cls: type[Any], example: Event) -> str:
    hints = get_type_hints(cls)
    rows = [
        f"| `{field.name}` | {json_type(hints[field.name])} | {_default(field)} "
        f"| {meaning(cls, field.name)} |"
        for field in attrs.fields(cls)
        if field.name != "time"
    ]
    head = ["| field | is | when left out | |", "|---|---|---|---|"] if rows else []
    about = inspect.getdoc(cls) or ""
    extra = reference_text.KINDS.get(_kind(cls))
    parts = [
        f"### {_kind(cls)}",
        _as_markdown(about),
        *([extra] if extra else []),
        f"```json\n{_shown(example)}\n```",
        "\n".join([*head, *rows]),
    ]
    return "\n\n".join(part for part in parts if part)


def _kind(cls: type[Any]) -> str:
    return cls.__name__.lower()


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "it must be there"
    if field.default in (None, ()) or isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return ""
    return f"`{json.dumps(field.default)}`"


def _shown(example: Any) -> str:
    """The event as one would write it: without ``time``, and without what is left out."""
    fields = attrs.asdict(
        example,
        filter=lambda field, value: field.name != "time" and value != field.default,
    )
    fields = {name: value for name, value in fields.items() if value not in ((), {}, None)}
    return json.dumps({"kind": _kind(type(example)), **fields})


def _as_markdown(docstring: str) -> str:
    return docstring.replace("``", "`")


@functools.cache
def _said_in_source() -> Mapping[tuple[str, str], str]:
    """What stands below the fields of the classes of events, in their source."""
    said = {}
    for cls in ast.parse(inspect.getsource(events)).body:
        if isinstance(cls, ast.ClassDef):
            for name, text in _texts_below(cls):
                said[cls.name, name] = _as_markdown(text)
    return said


def _texts_below(cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield field.target.id, " ".join(text.split())


def main() -> None:
    """Print the page."""
    sys.stdout.write(page(Path("docs")))


if __name__ == "__main__":
    main()
