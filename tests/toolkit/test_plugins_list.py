"""`toolkit plugins list` tells what is known of plugins, and imports none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.terminal import at_terminal
from tests.toolkit.plugin_shipping import TRACKER
from tests.toolkit.plugin_shipping import Ship
from tests.toolkit.plugin_shipping import Shipment
from tests.toolkit.plugin_shipping import shipping_to
from tests.waiting import LIMIT
from toolkit.cli import main

EXPLODES = "raise RuntimeError('imported')\n"


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Install distributions for this test."""
    return shipping_to(tmp_path, monkeypatch)


def listed() -> dict[str, dict[str, Any]]:
    """What `list --json` says, by name."""
    done = CliRunner().invoke(main, ["plugins", "list", "--json"])
    assert done.exit_code == 0, done.output
    return {row["name"]: row for row in json.loads(done.output)}


def printed() -> str:
    """What `list` prints."""
    done = CliRunner().invoke(main, ["plugins", "list"])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_plugin_by_its_metadata(ship: Ship) -> None:
    """Name, class, distribution, version, protocol, what is required and what is missing."""
    ship("acme-tracker", {"acme": "acme_plugin:Good"}, modules={"acme_plugin.py": TRACKER})

    assert listed()["acme"] == {
        "name": "acme",
        "class": "acme_plugin:Good",
        "distribution": "acme-tracker",
        "version": "1.0",
        "protocol": 1,
        "requires": [],
        "missing": [],
        "is_claimed_twice": False,
    }


def test_our_own_plugins() -> None:
    """Those that come with the toolkit state their protocol, and require their extra's packages."""
    found = listed()

    assert {found[name]["protocol"] for name in ("mlflow", "none", "wandb")} == {1}
    assert any(text.startswith("mlflow") for text in found["mlflow"]["requires"])
    assert not any(text.startswith("mlflow") for text in found["none"]["requires"])
    assert found["none"]["missing"] == []


def test_nothing_is_imported(tmp_path: Path) -> None:
    """Neither the plugin's module nor the packages that it lies in."""
    modules = {
        "deep_plugin/__init__.py": EXPLODES,
        "deep_plugin/inner/__init__.py": EXPLODES,
        "deep_plugin/inner/tracker.py": EXPLODES + TRACKER,
    }
    target = "deep_plugin.inner.tracker:Good"
    Shipment("deep", {"deep": target}, modules=modules).unpack(tmp_path)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from toolkit import plugin_facts
(found,) = [plugin for plugin in plugin_facts.installed() if plugin.name == "deep"]
assert (found.protocol, found.missing) == (1, ()), found
print(*(name for name in sys.modules if name.startswith(("deep_", "toolkit_"))))
"""

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=LIMIT
    )

    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("source", "protocol"),
    [
        ("class Good:\n    protocol_version = 1\n", 1),
        ("class Good:\n    protocol_version: int = 2\n", 2),
        ("class Base:\n    protocol_version = 1\nclass Good(Base):\n    x = 2\n", 1),
        ("class Good(Good):\n    x = 2\n", None),
        ("from other import N\nclass Good:\n    protocol_version = N\n", None),
        ("class Good:\n    protocol_version = '1'\n", None),
        ("from other import Good\n", None),
        ("class Good(:\n", None),
        ("", None),
    ],
)
def test_protocol_in_the_source(ship: Ship, source: str, protocol: int | None) -> None:
    """The protocol is the number that the class, or a base beside it, is given in the source."""
    ship("acme", {"acme": "stated_plugin:Good"}, modules={"stated_plugin.py": source})

    assert listed()["acme"]["protocol"] == protocol


@pytest.mark.parametrize(
    ("requires", "missing"),
    [
        (("nobody-has-this>=2",), ["nobody-has-this>=2"]),
        (("friend>=2",), ["friend>=2 (1.0 is installed)"]),
        (("friend>=0.5", "Friend<3"), []),
        (("nobody-has-this; extra == 'acme'",), ["nobody-has-this"]),
        (("nobody-has-this; extra == 'other'",), []),
        (("nobody-has-this; python_version < '3'",), []),
        (("friend[chatty]",), ["nobody-has-this"]),
        (("friend[silent]",), []),
        (("friend[lost]",), []),
        (("nobody-has-this @ file:///x.whl",), ["nobody-has-this@ file:///x.whl"]),
        (("what? ever",), []),
        (("oddity",), []),
        (("oddity>=1",), ["oddity>=1 (new is installed)"]),
    ],
)
def test_what_is_missing(ship: Ship, requires: tuple[str, ...], missing: list[str]) -> None:
    """What a distribution requires, for itself and in the plugin's extra, is looked up."""
    ship("oddity", version="new")
    ship(
        "friend",
        requires=(
            "nobody-has-this; extra == 'chatty'",
            "acme[lost]; extra == 'lost'",
            "friend[chatty]; extra == 'loud'",
        ),
    )
    ship(
        "acme",
        {"acme": "acme_plugin:Good"},
        modules={"acme_plugin.py": TRACKER},
        requires=(*requires, "friend[lost]; extra == 'lost'"),
    )

    found = [text.replace(" @", "@") for text in listed()["acme"]["missing"]]

    assert found == missing


def test_module_that_is_gone(ship: Ship) -> None:
    """Metadata without the module that they name: the module is missing."""
    ship("acme", {"acme": "not_there_at_all.tracker:Good"})
    ship("odd", {"odd": "json.not_there:Good"})

    found = listed()

    assert found["acme"]["missing"] == ["module not_there_at_all.tracker"]
    assert found["odd"]["missing"] == ["module json.not_there"]
    assert found["acme"]["protocol"] is None


@pytest.mark.parametrize(
    ("target", "protocol"),
    [
        ("acme_plugin", None),
        ("acme_plugin : Good [fast]", 1),
        (".acme_plugin:Good", None),
        ("acme plugin: Good", None),
        ("?", None),
    ],
)
def test_targets_in_other_forms(ship: Ship, target: str, protocol: int | None) -> None:
    """A target that names no class, or nothing at all, hides no other plugin."""
    ship("acme", {"acme": target}, modules={"acme_plugin.py": TRACKER})

    found = listed()

    assert found["acme"]["protocol"] == protocol
    assert "none" in found


def test_one_line_for_each(ship: Ship) -> None:
    """Piped, there is one line for a plugin, however long, with its columns below their titles."""
    wanted = tuple(f"nobody-has-this-{number}" for number in range(9))
    ship("a-b", {"acme": "acme_p:Good"}, modules={"acme_p.py": TRACKER}, requires=wanted)

    head, *lines = printed().splitlines()

    (line,) = [line for line in lines if line.startswith("acme ")]
    assert line[head.index("package") :] == f"missing: {', '.join(wanted)}"
    assert line[head.index("distribution") :].startswith("a-b ")
    assert line[head.index("protocol") :].startswith("1 ")


def test_remarks(ship: Ship) -> None:
    """A name claimed twice, another protocol, and an unknown one are explained below."""
    old = TRACKER.replace("= 1", "= 7")
    ship("acme", {"acme": "acme_plugin:Good"}, modules={"acme_plugin.py": TRACKER})
    ship("rival", {"acme": "acme_plugin:Good"})
    ship("old", {"old": "old_plugin:Good"}, modules={"old_plugin.py": old})
    assert "?" not in printed()
    ship("gone", {"gone": "gone_plugin:Good"})

    shown = printed()

    assert "acme is claimed by several distributions" in shown
    assert "old can't be used: it speaks version 7 of the tracker protocol" in shown
    assert "?: only importing the plugin tells" in shown


def test_on_a_terminal() -> None:
    """On a terminal it is a ruled table."""
    with at_terminal([sys.executable, "-m", "toolkit", "plugins", "list"]) as (terminal, process):
        assert process.wait(LIMIT) == 0
        shown = terminal.shown()

    assert "toolkit-tracker" in shown
    assert "───" in shown
