"""Options reach a plugin's fields from the command line and the environment, or are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import Optional

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from toolkit import options
from toolkit.errors import UsageError
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link


class Plain:
    """A tracker without options."""

    protocol_version: ClassVar[int] = 1

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Give back what is known."""
        return memory or Link(run.id)

    def write(self, events: Sequence[Event]) -> None:
        """Pass over everything."""

    def close(self, ended: Ended) -> None:
        """Do nothing."""


@frozen
class Full(Plain):
    """A tracker with a field of each type that options may have."""

    uri: str = "sqlite:///x"
    port: int = 5000
    ratio: float = 0.5
    verbose: bool = False
    entity: str | None = None
    limit: int | None = None
    tags: tuple[str, ...] = ()
    sizes: list[int] = attrs.field(factory=list)
    hosts: Optional[list[str]] = None  # noqa: UP045 - plugins may write it so
    mode: Literal["online", "offline"] = "online"
    folder: Path = Path()
    api_key: int = 0
    _private: str = ""
    derived: str = attrs.field(init=False, default="")


@frozen
class Needy(Plain):
    """A tracker that can't do without an option, and looks at it."""

    name: str = attrs.field(validator=attrs.validators.min_len(3))


@pytest.mark.parametrize(
    ("settings", "parsed"),
    [
        ([], {}),
        (["mlflow.tracking_uri=http://h?a=b"], {"mlflow": {"tracking_uri": "http://h?a=b"}}),
        (["a.x=1", "b.x=2", "a.y="], {"a": {"x": "1", "y": ""}, "b": {"x": "2"}}),
        (["a.x=1", "a.x=2"], {"a": {"x": "2"}}),
        (["my-tracker.x=1"], {"my-tracker": {"x": "1"}}),
    ],
)
def test_parse(settings: list[str], parsed: dict[str, dict[str, str]]) -> None:
    """NAME.FIELD=VALUE is read by backend and field; the last of two counts."""
    assert options.parse(settings) == parsed


@pytest.mark.parametrize("setting", ["", "a.x", "x=1", ".x=1", "a.=1", "=1", "a.b.c=1", "a.b c=1"])
def test_parse_refuses(setting: str) -> None:
    """Anything else is refused, saying how to write it."""
    with pytest.raises(UsageError, match=r"NAME\.FIELD=VALUE"):
        options.parse([setting])


@pytest.mark.parametrize("setting", ["api_key=hunter2", "a.api key=hunter2", "a.api_key: hunter2"])
def test_parse_keeps_secrets(setting: str) -> None:
    """A refusal doesn't repeat the secret."""
    with pytest.raises(UsageError) as caught:
        options.parse([setting])

    assert "hunter2" not in str(caught.value)


def test_from_environment() -> None:
    """TOOLKIT_<BACKEND>_<FIELD> sets a field; dashes in names are underscores there."""
    environ = {"TOOLKIT_MY_TRACKER_API_URI": "u", "TOOLKIT_MY_TRACKER_": "x", "TOOLKIT_MY": "y"}

    assert options.from_environment("my-tracker", environ) == {"api_uri": "u"}
    assert options.from_environment("mlflow", environ) == {}


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("uri", "http://h", "http://h"),
        ("port", "80", 80),
        ("port", 80, 80),
        ("ratio", "1e-3", 0.001),
        ("ratio", 2, 2.0),
        *[("verbose", text, True) for text in ("true", "True", "1", "yes", "ON", True)],
        *[("verbose", text, False) for text in ("false", "FALSE", "0", "no", "off", False)],
        ("entity", "me", "me"),
        ("entity", "", None),
        ("entity", None, None),
        ("limit", "3", 3),
        ("limit", "", None),
        ("tags", "a, b,c", ("a", "b", "c")),
        ("tags", 'a,"b,c"', ("a", "b,c")),
        ("tags", "", ()),
        ("tags", ["a", "b"], ("a", "b")),
        ("sizes", "1,2", [1, 2]),
        ("hosts", "a,b", ["a", "b"]),
        ("hosts", "", None),
        ("mode", "offline", "offline"),
        ("folder", "/x/y", Path("/x/y")),
        ("private", "x", "x"),
    ],
)
def test_build(option: str, given: Any, value: Any) -> None:
    """Text becomes what the field's type says; a value of that type is taken as it is."""
    expected: object = attrs.evolve(Full(), **{option: value})

    assert options.build(Full, {option: given}) == expected


@pytest.mark.parametrize(
    ("option", "given", "kind"),
    [
        ("port", "many", "int"),
        ("port", "1.5", "int"),
        ("port", True, "int"),
        ("ratio", "half", "float"),
        ("verbose", "maybe", "bool"),
        ("verbose", 1, "bool"),
        ("uri", 3, "str"),
        ("limit", "x", r"int \| None"),
        ("sizes", "1,x", r"list\[int\]"),
        ("tags", 3, r"tuple\[str, \.\.\.\]"),
        ("mode", "sideways", "Literal"),
    ],
)
def test_build_refuses_values(option: str, given: object, kind: str) -> None:
    """A value that doesn't fit is refused with the option, its type, and what was given."""
    with pytest.raises(UsageError, match=f"'{option}' of Full must be of type {kind}.*{given!r}"):
        options.build(Full, {option: given})


def test_build_keeps_secrets() -> None:
    """A refusal doesn't show the value of an option that is a credential."""
    with pytest.raises(UsageError) as caught:
        options.build(Full, {"api_key": "hunter2"})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("option", ["verbos", "_private", "derived", "protocol_version"])
def test_build_refuses_unknown(option: str) -> None:
    """An option that can't be set is refused with all that can."""
    with pytest.raises(UsageError, match=f"no option '{option}'.*It has: uri, port"):
        options.build(Full, {option: "x"})


def test_build_names_the_nearest() -> None:
    """A misspelt option is refused with the nearest one."""
    with pytest.raises(UsageError, match=r"did you mean 'verbose'\?"):
        options.build(Full, {"verbos": "true"})


def test_build_plain_class() -> None:
    """A class without attrs takes no options."""
    assert isinstance(options.build(Plain, {}), Plain)
    with pytest.raises(UsageError, match="Plain takes no options"):
        options.build(Plain, {"x": "1"})


def test_build_missing() -> None:
    """An option that has to be given is asked for."""
    with pytest.raises(UsageError, match="Needy needs the option 'name'"):
        options.build(Needy, {})


def test_build_passes_on_validators() -> None:
    """What the class itself refuses is a usage error with its reason."""
    with pytest.raises(UsageError, match=r"Needy: .*name.*3"):
        options.build(Needy, {"name": "x"})


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "uri": _TEXT,
        "port": st.integers(),
        "ratio": st.floats(allow_nan=False),
        "verbose": st.booleans(),
        "entity": st.none() | _TEXT,
        "limit": st.none() | st.integers(),
        "tags": st.lists(_TEXT | st.just(""), max_size=4).map(tuple),
        "sizes": st.lists(st.integers(), max_size=4),
        "mode": st.sampled_from(["online", "offline"]),
    },
)


@given(_OPTIONS)
def test_environment_round_trip(chosen: dict[str, Any]) -> None:
    """What goes out through the environment comes back as the same plugin."""
    environ = options.to_environment("my-tracker", chosen)
    back = options.from_environment("my-tracker", environ)

    assert options.build(Full, back) == options.build(Full, chosen)
