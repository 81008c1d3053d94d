"""The contract passes a good tracker, and notices each way in which a tracker is wrong."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.toolkit.testing.json_tracker import JsonContract
from tests.toolkit.testing.json_tracker import JsonTracker
from tests.toolkit.testing.mutants import MUTANTS
from tests.toolkit.testing.mutants import Mutant
from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.testing.rules import BrokenRuleError
from toolkit.testing.rules import rule_of
from toolkit.testing.runner import Outcome
from toolkit.testing.runner import run_contract
from toolkit.tracker import Link

CHECKS = [name for name in dir(TrackerContract) if name.startswith("test_")]


class TestJson(JsonContract):
    """A tracker that keeps every rule, checked as its author would: by this class alone."""


@pytest.fixture
def _surroundings() -> Iterator[None]:
    """Mutants that change them leave none of it behind."""
    home, variables = os.getcwd(), dict(os.environ)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    os.chdir(home)
    os.environ.clear()
    os.environ.update(variables)


def outcome(contract: type[TrackerContract], name: str) -> Outcome:
    """What became of this check."""
    return next(found for found in run_contract(contract) if found.name == name)


def contract_of(mutant: type[Mutant]) -> type[TrackerContract]:
    """A contract for this mutant, with little patience."""

    class MutantContract(JsonContract):
        """Checks the mutant."""

        tracker: ClassVar[type[JsonTracker]] = mutant
        patience = 0.2 if mutant.breaks == "test_close_comes_back" else 60.0
        secrets = ("s3cr3t-w0rd",)

    return MutantContract


@pytest.mark.usefixtures("_surroundings")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__.strip("_"))
def test_every_mutant_is_caught(mutant: type[Mutant]) -> None:
    """The check that is about it fails, and says which rule, what was expected, what was found."""
    found = outcome(contract_of(mutant), mutant.breaks)

    assert found.status == "failed", found
    assert found.rule == rule_of(getattr(TrackerContract, mutant.breaks))
    assert found.message.startswith(found.rule)
    assert "expected: " in found.message
    assert "found: " in found.message


def test_no_two_mutants_are_needed_for_one_name() -> None:
    """Every check that a mutant names exists."""
    assert {mutant.breaks for mutant in MUTANTS} <= set(CHECKS)
    assert len(MUTANTS) >= 8


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_states_its_rule(name: str) -> None:
    """In one sentence that ends with a full stop."""
    stated = rule_of(getattr(TrackerContract, name))

    assert stated.endswith(".")
    assert len(stated) > 20


def test_there_are_enough_checks() -> None:
    """Dozens."""
    assert len(CHECKS) >= 40


def test_a_contract_without_reading_back_says_so() -> None:
    """Rules that need it are skipped with that reason; the others are checked."""

    class Blind(TrackerContract):
        """Makes the tracker, and reads nothing."""

        def make_tracker(self, folder: Path) -> JsonTracker:
            return JsonTracker(folder)

    found = list(run_contract(Blind))

    assert {one.status for one in found} == {"passed", "skipped"}
    reasons = {one.message for one in found if one.status == "skipped"}
    assert any("read_back isn't overridden" in reason for reason in reasons)
    assert outcome(Blind, "test_prints_nothing").status == "passed"


def test_what_a_backend_cannot_show_is_skipped() -> None:
    """A field that is left None skips the rules about it, and no others."""

    class Partial(JsonContract):
        """Shows metrics alone."""

        def read_back(self, folder: Path, link: Link) -> Recorded:
            return Recorded(metrics=super().read_back(folder, link).metrics)

    found = {one.name: one for one in run_contract(Partial)}

    assert found["test_order"].status == "passed"
    assert found["test_tags"].status == "skipped"
    assert "can't show tags" in found["test_tags"].message


def test_an_ability_that_is_missing_is_a_stated_skip() -> None:
    """Its text is the reason."""

    class NoNan(JsonContract):
        """Has no NaN."""

        keeps_nan = "there is no NaN in my format"

    found = outcome(NoNan, "test_nan")

    assert (found.status, found.message) == ("skipped", "there is no NaN in my format")


def test_a_tracker_that_fails_on_a_kind_fails_the_rule_about_it() -> None:
    """An event that can't be told fails its own rules, and leaves those about others alone."""

    class Textless(JsonTracker):
        """Can't read files."""

        def read(self, path: str) -> bytes:
            raise RuntimeError("no files here")

    class TextlessContract(JsonContract):
        """Checks it."""

        tracker = Textless

    found = {one.name: one for one in run_contract(TextlessContract)}

    assert "RuntimeError: no files here" in found["test_text"].message
    assert found["test_order"].status == "passed"


def test_an_error_in_reading_back_is_not_taken_for_the_trackers() -> None:
    """The message says that it was read_back, and what is wrong with it."""

    class Misread(JsonContract):
        """Looks for what isn't there."""

        def read_back(self, folder: Path, link: Link) -> Recorded:
            raise KeyError("status")

    found = outcome(Misread, "test_order")

    assert found.status == "failed"
    assert "read_back" in found.message
    assert "KeyError: 'status'" in found.message


def test_a_broken_rule_is_an_assertion_error() -> None:
    """Test runners show it as a failure, not as an error."""
    assert issubclass(BrokenRuleError, AssertionError)


def test_abilities_and_hooks_are_documented() -> None:
    """An author finds them on the class."""
    for name in ("make_tracker", "read_back", "away", "setup_method", "teardown_method"):
        assert inspect.getdoc(getattr(TrackerContract, name))


def test_the_contract_needs_no_pytest_and_nothing_heavy() -> None:
    """It runs for an installed plugin with no test runner there, and imports no backend."""
    code = (
        "import sys; from toolkit.testing import contract_for; "
        "from toolkit.testing.runner import run_contract; "
        "found = [o.status for o in run_contract(contract_for('none'))]; "
        "heavy = {'pytest', 'numpy', 'torch', 'mlflow', 'wandb', 'tensorboard', 'PIL'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) "
        "else 'failed' in found)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
