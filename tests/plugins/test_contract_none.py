"""The tracker that tells nobody keeps the contract, as far as that can be seen."""

from __future__ import annotations

import time

import pytest

from toolkit.testing.runner import Outcome
from toolkit.testing.runner import run_contract
from toolkit_none.contract import NoneContract


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """What became of every rule; the whole takes less than ten seconds of this process's time."""
    began = time.process_time()
    found = list(run_contract(NoneContract))
    assert time.process_time() - began < 10
    return found


def test_no_rule_is_broken(outcomes: list[Outcome]) -> None:
    """All that can be seen without reading back is checked."""
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []
    passed = {outcome.name for outcome in outcomes if outcome.status == "passed"}
    assert passed >= {
        "test_close_comes_back",
        "test_every_kind_is_accepted",
        "test_files_stay",
        "test_link_is_json",
        "test_memory_is_the_same_run",
        "test_nothing",
        "test_prints_nothing",
        "test_runs_have_their_own_ids",
        "test_the_run_is_found",
    }


def test_only_what_was_kept_is_skipped(outcomes: list[Outcome]) -> None:
    """There is nothing to read back, and nothing to be away."""
    reasons = {outcome.message for outcome in outcomes if outcome.status == "skipped"}
    assert reasons == {
        "told without an error, but this tracker keeps nothing that could be read back",
        "this tracker has no backend that could be away",
    }
