"""Plugins are found by metadata alone, and one that is broken breaks nothing but itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit import discovery
from toolkit.discovery import BrokenPluginError
from toolkit.errors import UsageError

_TRACKER = """
class Good:
    protocol_version = 1
    def open(self, run, memory): ...
    def write(self, events): ...
    def close(self, ended): ...
"""
_NEIGHBOUR = "import pathlib; pathlib.Path(__file__ + '.imported').touch(); raise RuntimeError"

Ship = Callable[..., Path]


def _write_distribution(
    site: Path, name: str, plugins: dict[str, str], version: str = "1.0", **modules: str
) -> Path:
    """Put an installed distribution with these entry points and modules into the folder."""
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(header)
    lines = [f"{plugin} = {value}\n" for plugin, value in plugins.items()]
    (metadata / "entry_points.txt").write_text("[toolkit.trackers]\n" + "".join(lines))
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    return metadata


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Put distributions on the path of this process."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda *given, **more: _write_distribution(tmp_path, *given, **more)


def _names(site: Path, code: str) -> Any:
    """What this code prints as JSON in a process that has the folder on its path."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys; from toolkit import discovery; {code}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    return json.loads(done.stdout)


def test_available(ship: Ship) -> None:
    """Every installed plugin is listed by name, with the entry point that claims it."""
    ship("acme-tracker", {"acme": "acme_plugin:Good"})

    found = discovery.available()

    assert [entry.value for entry in found["acme"]] == ["acme_plugin:Good"]
    assert {"mlflow", "none", "wandb"} <= set(found)
    assert list(found) == sorted(found)


def test_neighbours_are_never_imported(tmp_path: Path) -> None:
    """Listing imports no plugin at all, and loading one imports no other."""
    _write_distribution(tmp_path, "bad", {"bad": "bad_plugin:X"}, bad_plugin=_NEIGHBOUR)
    _write_distribution(tmp_path, "good", {"good": "good_plugin:Good"}, good_plugin=_TRACKER)
    ours = "print(json.dumps(sorted(m for m in sys.modules if m.endswith('_plugin'))))"

    assert _names(tmp_path, f"discovery.available(); discovery.find('bad'); {ours}") == []
    assert _names(tmp_path, f"discovery.load('good'); {ours}") == ["good_plugin"]
    assert not (tmp_path / "bad_plugin.py.imported").exists()


def test_metadata_is_read_when_asked(tmp_path: Path) -> None:
    """Importing discovery doesn't import importlib.metadata, which is slow."""
    code = "print(json.dumps('importlib.metadata' in sys.modules))"

    assert _names(tmp_path, code) is False


def test_unknown_name(ship: Ship) -> None:
    """An unknown name is refused with the nearest one, and with all that are installed."""
    ship("acme-tracker", {"acme": "acme_plugin:Good"})

    with pytest.raises(UsageError, match=r"'acne'.*did you mean 'acme'\?.*acme, .*none"):
        discovery.find("acne")


def test_unknown_name_unlike_any() -> None:
    """A name that is like no other is refused without a guess."""
    with pytest.raises(UsageError) as caught:
        discovery.find("zzzzzz")

    assert "did you mean" not in str(caught.value)
    assert "mlflow" in str(caught.value)


def test_two_claim_one_name(ship: Ship) -> None:
    """A name that two distributions claim is refused, naming both with their versions."""
    ship("first", {"acme": "first_plugin:Good"}, version="1.2")
    ship("second", {"acme": "second_plugin:Good"}, version="3.4")

    with pytest.raises(UsageError) as caught:
        discovery.load("acme")

    assert "first 1.2" in str(caught.value)
    assert "second 3.4" in str(caught.value)


@pytest.mark.parametrize("other", ["acme-tracker", "Acme_Tracker"])
def test_one_distribution_twice(ship: Ship, tmp_path: Path, other: str) -> None:
    """A distribution that is on the path twice is no conflict, however its name is spelt."""
    sys.path.append(str(tmp_path / "later"))
    try:
        ship("acme-tracker", {"acme": "acme_plugin:Good"})
        _write_distribution(tmp_path / "later", other, {"acme": "acme_plugin:Good"})

        assert discovery.find("acme").value == "acme_plugin:Good"
    finally:
        sys.path.remove(str(tmp_path / "later"))


def test_unreadable_neighbour(ship: Ship) -> None:
    """A distribution whose metadata is garbage doesn't hide the others."""
    (ship("garbage", {}) / "entry_points.txt").write_bytes(b"[toolkit.trackers]\nno equals\n\xff")
    (ship("nameless", {"x": "y:z"}) / "METADATA").unlink()
    ship("acme-tracker", {"acme": "acme_plugin:Good"})

    assert discovery.find("acme").value == "acme_plugin:Good"


def test_load(ship: Ship) -> None:
    """Loading gives the plugin's class."""
    ship("load-good", {"load": "load_good:Good"}, load_good=_TRACKER)

    assert discovery.load("load").protocol_version == 1


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("class Other: pass", "AttributeError"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_failing_import(tmp_path: Path, source: str, cause: str) -> None:
    """A plugin that can't be imported is named with its distribution, version and cause."""
    _write_distribution(tmp_path, "bad-one", {"bad": "bad:Good"}, version="0.3", bad=source)
    code = """
try:
    discovery.load('bad')
except discovery.BrokenPluginError as error:
    print(json.dumps([str(error), type(error.__cause__).__name__]))
"""

    message, chained = _names(tmp_path, "\n" + code)

    assert message.startswith("plugin 'bad' of bad-one 0.3 (bad:Good) can't be imported: ")
    assert cause in message
    assert cause.startswith(chained)


def test_interrupted_import(tmp_path: Path) -> None:
    """Ctrl-C during an import is no fault of the plugin."""
    _write_distribution(tmp_path, "slow", {"slow": "slow:X"}, slow="raise KeyboardInterrupt")
    code = """
try:
    discovery.load('slow')
except KeyboardInterrupt:
    print(json.dumps('interrupted'))
"""

    assert _names(tmp_path, "\n" + code) == "interrupted"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("7", ["version 7 ", "version 1:", "newer toolkit-tracker"]),
        ("0", ["version 0 ", "version 1:", "newer old-one"]),
        ("None", ["no protocol_version", "set it to 1"]),
    ],
)
def test_other_protocol(ship: Ship, version: str, words: list[str]) -> None:
    """A plugin of another protocol is refused with both versions and what to do."""
    module = f"protocol_{version}"
    source = _TRACKER.replace("protocol_version = 1", f"protocol_version = {version}")
    ship("old-one", {"old": f"{module}:Good"}, **{module: source})

    with pytest.raises(BrokenPluginError) as caught:
        discovery.load("old")

    assert "old-one 1.0" in str(caught.value)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("method", ["open", "write", "close"])
def test_missing_method(ship: Ship, method: str) -> None:
    """A plugin without one of the three methods is refused, naming it."""
    module = f"without_{method}"
    ship("part", {"part": f"{module}:Good"}, **{module: _TRACKER.replace(f"def {method}", "def x")})

    with pytest.raises(BrokenPluginError, match=f"lacks the methods {method} of"):
        discovery.load("part")


def test_not_a_class(ship: Ship) -> None:
    """An entry point that isn't a class is refused, saying what it is."""
    ship("wrong", {"wrong": "wrong_kind:tracker"}, wrong_kind="tracker = 3")

    with pytest.raises(BrokenPluginError, match="of type int, not a class"):
        discovery.load("wrong")
