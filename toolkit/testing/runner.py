"""Runs a contract where there is no pytest."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Literal
from unittest import SkipTest

from attrs import frozen

from toolkit.testing.contract import TrackerContract
from toolkit.testing.limits import TookTooLongError
from toolkit.testing.rules import BrokenRuleError
from toolkit.testing.rules import described
from toolkit.testing.rules import rule_of

_PREFIX = "test_"


@frozen
class Outcome:
    """What became of one check."""

    name: str
    rule: str
    """The first line of the check's docstring."""
    status: Literal["passed", "failed", "skipped"]
    message: str
    """Why it failed or was skipped; empty where it passed."""
    seconds: float


def run_contract(contract: type[TrackerContract]) -> Iterator[Outcome]:
    """Run every check, one after the other; each outcome comes as soon as it is known.

    Whatever a check raises is an outcome; only KeyboardInterrupt ends the run.
    """
    try:
        for name in _checks(contract):
            yield _outcome(contract, name)
    finally:
        contract.teardown_class()


def _checks(contract: type[TrackerContract]) -> list[str]:
    """The names of all checks, in the order in which they stand in their classes."""
    found = {
        name: None
        for cls in reversed(contract.__mro__)
        for name, value in vars(cls).items()
        if name.startswith(_PREFIX) and callable(value)
    }
    return [name for name in found if callable(getattr(contract, name))]


def _outcome(contract: type[TrackerContract], name: str) -> Outcome:
    check: Callable[..., object] = getattr(contract, name)
    began = time.monotonic()
    status: Literal["passed", "failed", "skipped"] = "passed"
    message = ""
    try:
        _run(contract(), name)
    except SkipTest as reason:
        status, message = "skipped", str(reason)
    except BrokenRuleError as error:
        status, message = "failed", str(error)
    except (Exception, SystemExit, TookTooLongError) as error:
        status, message = "failed", f"{rule_of(check)}\n{described(error)}"
    return Outcome(name, rule_of(check), status, message, time.monotonic() - began)


def _run(contract: TrackerContract, name: str) -> None:
    contract.setup_method()
    try:
        getattr(contract, name)()
    finally:
        contract.teardown_method()
