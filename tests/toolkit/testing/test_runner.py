"""Running a contract without pytest."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from unittest import SkipTest

import pytest

from tests.toolkit.testing.json_tracker import JsonContract
from tests.toolkit.testing.json_tracker import JsonTracker
from toolkit.testing import TrackerContract
from toolkit.testing import rule
from toolkit.testing.limits import TookTooLongError
from toolkit.testing.limits import listening
from toolkit.testing.limits import within
from toolkit.testing.runner import Outcome
from toolkit.testing.runner import run_contract


class Own(TrackerContract):
    """Rules that an author adds."""

    def make_tracker(self, folder: Path) -> JsonTracker:
        """A tracker that keeps the contract."""
        return JsonTracker(folder)

    @rule
    def test_own_rule(self) -> None:
        """A rule of the author's own."""

    @rule
    def test_own_failure(self) -> None:
        """A rule that isn't kept."""
        raise LookupError("gone")

    def test_own_assertion(self) -> None:
        """A test in the author's own words."""
        assert self.folder.is_file(), "no file"

    def test_own_exit(self) -> None:
        """A plugin that leaves."""
        sys.exit(3)

    def test_own_skip(self) -> None:
        """A rule for others."""
        raise SkipTest("not here")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What became of the author's rules and ours."""
    return {outcome.name: outcome for outcome in run_contract(Own)}


def test_rules_of_the_author_run_with_ours(outcomes: dict[str, Outcome]) -> None:
    """The contract is a class like others: more rules are more methods."""
    found = outcomes["test_own_rule"]
    assert (found.status, found.rule, found.message) == (
        "passed",
        "A rule of the author's own.",
        "",
    )
    assert outcomes["test_protocol_version"].status == "passed"


def test_whatever_a_check_raises_is_an_outcome(outcomes: dict[str, Outcome]) -> None:
    """Errors, failed assertions, an exit; the rule and the error are in the message."""
    for name, rule_text, error in (
        ("test_own_failure", "A rule that isn't kept.", "LookupError: gone"),
        ("test_own_assertion", "A test in the author's own words.", "AssertionError: no file"),
        ("test_own_exit", "A plugin that leaves.", "SystemExit: 3"),
    ):
        found = outcomes[name]
        assert found.status == "failed"
        assert found.message.startswith(rule_text)
        assert error in found.message


def test_a_skip_has_its_reason(outcomes: dict[str, Outcome]) -> None:
    """And no error."""
    found = outcomes["test_own_skip"]
    assert (found.status, found.message) == ("skipped", "not here")


def test_every_check_runs_once(outcomes: dict[str, Outcome]) -> None:
    """Those that classes have by inheritance included."""
    assert set(outcomes) == {name for name in dir(Own) if name.startswith("test_")}
    assert all(outcome.seconds >= 0 for outcome in outcomes.values())


def test_a_keyboard_interrupt_ends_the_run() -> None:
    """Ctrl-C is the user's, not a check's."""

    class Interrupted(JsonContract):
        """Somebody presses Ctrl-C."""

        def make_tracker(self, folder: Path) -> JsonTracker:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_contract(Interrupted))


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders are gone when the run is over."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    list(run_contract(JsonContract))
    assert not list(tmp_path.iterdir())


def test_a_call_that_hangs_is_interrupted() -> None:
    """Also one that swallows every Exception."""

    def hang() -> None:
        with within(0.05, "the call"):
            while True:
                try:
                    time.sleep(60)
                except Exception:  # noqa: S112 - as careless plugins do
                    continue

    with pytest.raises(TookTooLongError, match=r"the call did not come back within 0\.05 s"):
        hang()


def test_a_limit_outside_the_main_thread_is_none() -> None:
    """There is no alarm there, and no error."""
    failures: list[BaseException] = []

    def call() -> None:
        try:
            with within(0.01, "the call"):
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert not failures


def test_what_is_printed_is_heard_and_kept_from_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through Python's streams and through the descriptors below them, in order."""
    import os

    with listening() as said:
        print("one", flush=True)
        os.write(2, b"two\n")
        print("three", file=sys.stderr)
        heard = said()
    print("after")
    assert heard == "one\ntwo\nthree\n"
    assert capfd.readouterr().out == "after\n"
