"""`toolkit plugins check` runs the contract on an installed plugin, and says what it breaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from tests.toolkit.plugin_shipping import Ship
from tests.toolkit.plugin_shipping import shipping_to
from toolkit.cli import main

TRACKER = """
from typing import ClassVar
from attrs import define, field
from toolkit.tracker import Link

@define
class Noted:
    protocol_version: ClassVar[int] = 1
    url: str = field()
    count: int = 1
    folder: str = ""
    def open(self, run, memory): return memory or Link(run.id, url=self.url)
    def write(self, events): ...
    def close(self, ended): ...
"""
CONTRACT = """
import os
from toolkit.testing import TrackerContract
from noted_plugin import Noted

class Rules(TrackerContract):
    def make_tracker(self, folder):
        return Noted(url="http://contract", folder=str(folder))

for _name in dir(Rules):
    if _name.startswith("test_"):
        setattr(Rules, _name, None)

class Small(Rules):
    def test_first(self):
        '''The first rule.'''
        assert isinstance(self.make_tracker(self.folder).folder, str)

    def test_options(self):
        '''The second rule.'''
        made = self.make_tracker(self.folder)
        assert (made.url, made.count) == ("http://contract", 1), (made.url, made.count, made.folder)

    def test_able(self):
        '''The third rule.'''
        print("noise")
        os.write(1, b"deep noise")
        self.skipped()

    def skipped(self):
        from unittest import SkipTest
        raise SkipTest("this backend can't")
"""


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Install distributions for this test."""
    return shipping_to(tmp_path, monkeypatch)


@pytest.fixture
def small(ship: Ship) -> None:
    """A plugin with three rules of its own."""
    ship(
        "noted",
        {"noted": "noted_plugin:Noted"},
        {"noted": "noted_rules:Small"},
        {"noted_plugin.py": TRACKER, "noted_rules.py": CONTRACT},
    )


def check(*words: str) -> Result:
    """What `check` does."""
    return CliRunner().invoke(main, ["plugins", "check", *words])


@pytest.mark.usefixtures("small")
def test_a_line_for_each_check() -> None:
    """Each check has a line as it goes, with the reason of a skip, and a summary ends it."""
    done = check("noted")

    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.output
    assert lines[0].startswith("passed  test_first (")
    assert lines[1].startswith("passed  test_options (")
    assert lines[2].startswith("skipped test_able (")
    assert lines[3].strip() == "this backend can't"
    assert lines[-1] == "2 passed, 0 failed, 1 skipped"


@pytest.mark.usefixtures("small")
def test_a_broken_rule() -> None:
    """A check that fails names its rule and what was found, and ends the command with 1."""
    done = check("noted", "-o", "count=2", "-o", "noted.url=http://given")

    assert done.exit_code == 1
    assert "FAILED  test_options (" in done.stdout
    assert "        The second rule.\n" in done.stdout
    assert "('http://given', 2, '/" in done.stdout
    assert done.stdout.endswith("1 passed, 1 failed, 1 skipped\n")


@pytest.mark.usefixtures("small")
def test_json() -> None:
    """As JSON, and nothing else: the counts, every check's rule and what became of it."""
    found = json.loads(check("noted", "--json").stdout)

    assert (found["passed"], found["failed"], found["skipped"]) == (2, 0, 1)
    assert found["checks"][2] == {
        "name": "test_able",
        "rule": "The third rule.",
        "status": "skipped",
        "message": "this backend can't",
        "seconds": found["checks"][2]["seconds"],
    }


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["noted", "-o", "url=x", "-o", "size=1"], "has no option 'size'"),
        (["noted", "-o", "url=x", "-o", "count=many"], "must be of type int"),
        (["noted", "-o", "url"], "there is no '='"),
        (["noted", "-o", "mlflow.url=x"], "only options of noted"),
        (["notd"], "did you mean 'noted'?"),
    ],
)
def test_what_can_not_be_given(words: list[str], reason: str) -> None:
    """An unknown plugin and options that don't fit end the command with 2."""
    done = check(*words)

    assert done.exit_code == 2
    assert reason in done.stderr
    assert not done.stdout


def test_an_option_that_is_needed(ship: Ship) -> None:
    """Without a contract of its own, a plugin gets its options here, and the rest is checked."""
    ship("noted", {"noted": "noted_plain:Noted"}, modules={"noted_plain.py": TRACKER})
    without = check("noted")
    assert without.exit_code == 2
    assert "Noted needs the option 'url'" in without.stderr

    done = check("noted", "-o", "url=http://given")

    assert done.exit_code == 0, done.output
    assert "passed  test_link (" in done.stdout
    assert " 0 failed, " in done.stdout


def test_a_plugin_that_is_broken(ship: Ship) -> None:
    """One that can't be imported ends the command with 1, and discovery's reason."""
    ship("acme", {"acme": "broken_acme:Good"}, modules={"broken_acme.py": "1 / 0"})

    done = check("acme")

    assert done.exit_code == 1
    assert done.stderr.startswith("toolkit: plugin 'acme' of acme 1.0 (broken_acme:Good) can't be ")
    assert not done.stdout


def test_a_contract_that_is_broken(ship: Ship) -> None:
    """So does a contract that can't be imported."""
    ship(
        "noted",
        {"noted": "noted_whole:Noted"},
        {"noted": "noted_gone:Rules"},
        {"noted_whole.py": TRACKER},
    )

    done = check("noted")

    assert done.exit_code == 1
    assert "noted_gone" in done.stderr


def test_our_own() -> None:
    """The tracker that tells nobody keeps the contract."""
    done = check("none")

    assert done.exit_code == 0, done.output
    assert " 0 failed, " in done.stdout
