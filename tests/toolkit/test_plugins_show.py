"""`toolkit plugins show` explains one plugin and its options, and never shows a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result

from tests.toolkit.plugin_shipping import TRACKER
from tests.toolkit.plugin_shipping import Ship
from tests.toolkit.plugin_shipping import shipping_to
from toolkit.cli import main

OPTIONS = f"""
from __future__ import annotations
import os
from pathlib import Path
from typing import Literal
from attrs import define, field
{TRACKER}
@define
class Full(Good):
    \"\"\"Has an option of each kind,
    on two lines.

    And more to say.
    \"\"\"

    repeatable = False
    uri: str = field(metadata={{"doc": "where it\\n  lies"}})
    port: int | None = field(default=None, metadata={{"doc": "number"}})
    ratio: float = 0.5
    mode: Literal["on", "off"] = "on"
    folder: Path = Path("some")
    tags: tuple[str, ...] = ("a", "b")
    hosts: list[str] = field(factory=list)
    made: str = field(factory=lambda: os.environ["NOBODY_SETS_THIS"])
    inverse: float = float("inf")
    api_key: str = "hunter2"
    pin_password: int = 1234
    other_tokens: str = field(default="hf_" + "a" * 34)
    old_secrets: list[str] = ["hunter3"]
    auth_token: str | None = None
    _private: str = "x"
    derived: str = field(default="never", init=False)
"""


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Install distributions for this test."""
    return shipping_to(tmp_path, monkeypatch)


def shown(*words: str) -> Result:
    """What `show` does."""
    return CliRunner().invoke(main, ["plugins", "show", *words])


def described(name: str) -> dict[str, Any]:
    """What `show --json` says."""
    done = shown(name, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


@pytest.fixture
def full(ship: Ship) -> None:
    """A plugin with options of every kind."""
    ship("my-full", {"my-full": "full_plugin:Full"}, modules={"full_plugin.py": OPTIONS})


@pytest.mark.usefixtures("full")
def test_options() -> None:
    """Every option has its type, default, documentation, variable and setting."""
    found = {option["name"]: option for option in described("my-full")["options"]}

    assert found["uri"] == {
        "name": "uri",
        "type": "str",
        "is_required": True,
        "default": None,
        "doc": "where it lies",
        "setting": "my-full.uri=",
        "variable": "TOOLKIT_MY_FULL_URI",
    }
    assert found["port"]["type"] == "int | None"
    assert not found["port"]["is_required"]
    assert found["tags"]["type"] == "tuple[str, ...]"
    assert found["mode"]["type"] == "Literal['on', 'off']"
    assert "private" in found
    assert "derived" not in found
    assert next(iter(found)) == "uri"


@pytest.mark.usefixtures("full")
def test_defaults() -> None:
    """Defaults are JSON values; what a function would make is not made."""
    found = {option["name"]: option["default"] for option in described("my-full")["options"]}

    assert found["ratio"] == 0.5
    assert found["folder"] == "some"
    assert found["tags"] == ["a", "b"]
    assert found["hosts"] == []
    assert found["made"] == "computed when it is needed"
    assert found["inverse"] == "Infinity"


@pytest.mark.usefixtures("full")
def test_secrets() -> None:
    """The default of a credential is masked whatever its type, other texts by their shape."""
    found = {option["name"]: option["default"] for option in described("my-full")["options"]}

    masked = ("api_key", "pin_password", "other_tokens", "old_secrets")
    assert {found[name] for name in masked} == {"***"}
    assert found["auth_token"] is None
    text = shown("my-full").output
    assert "hunter" not in text
    assert "1234" not in text


def test_a_secret_of_the_environment(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that came from a credential variable is masked."""
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    source = OPTIONS + '    note: str = os.environ["SOME_API_KEY"]\n'
    ship("noted", {"noted": "noted_plugin:Full"}, modules={"noted_plugin.py": source})

    assert "correct-horse" not in shown("noted").output


@pytest.mark.usefixtures("full")
def test_text() -> None:
    """For a person: what it is, where it comes from, and each option with how to set it."""
    text = shown("my-full").output

    assert text.startswith("my-full: Has an option of each kind, on two lines.\n")
    assert "class         full_plugin:Full\n" in text
    assert "distribution  my-full 1.0\n" in text
    assert "    uri: str, has to be given\n        where it lies\n" in text
    assert "        -o my-full.uri=VALUE, or TOOLKIT_MY_FULL_URI=VALUE\n" in text
    assert "    port: int | None, default None\n" in text
    assert "from the run's start" in text


def test_a_plugin_without_options(ship: Ship) -> None:
    """A class that has no attrs fields has no options; it may be told again."""
    ship("acme", {"acme": "plain_acme:Good"}, modules={"plain_acme.py": TRACKER})

    found = described("acme")

    assert found["options"] == []
    assert found["is_repeatable"] is True
    assert found["doc"] == "Tells nobody."
    assert "options       none\n" in shown("acme").output


def test_missing_packages(ship: Ship) -> None:
    """What it needs is said, with what of that is missing."""
    ship(
        "acme",
        {"acme": "needy_acme:Good"},
        modules={"needy_acme.py": TRACKER},
        requires=("attrs", "nobody-has-this>=2"),
    )

    assert "attrs, nobody-has-this>=2; missing: nobody-has-this>=2\n" in shown("acme").output


def test_a_plugin_that_is_broken(ship: Ship) -> None:
    """One that can't be imported ends the command with 1, and discovery's reason."""
    ship("acme", {"acme": "bad_acme:Good"}, modules={"bad_acme.py": "1 / 0"})

    done = shown("acme")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("toolkit: plugin 'acme' of acme 1.0 (bad_acme:Good) can't be ")
    assert "ZeroDivisionError" in done.stderr


def test_an_unknown_plugin() -> None:
    """An unknown name ends the command with 2, and the nearest one."""
    done = shown("nonne")

    assert done.exit_code == 2
    assert "did you mean 'none'?" in done.stderr


@pytest.mark.parametrize("name", ["mlflow", "none", "wandb"])
def test_our_own_options_are_documented(name: str) -> None:
    """Every option of the plugins that come with the toolkit says what it is for."""
    assert all(option["doc"] for option in described(name)["options"])
