"""How a rule of the contract is stated, kept, broken or passed over."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any
from typing import TypeVar
from unittest import SkipTest

from toolkit.testing.limits import TookTooLongError

Check = TypeVar("Check", bound=Callable[[Any], None])

Can = bool | str
"""Whether a backend can do something: True, or a text that says why it can't (or just False)."""


class BrokenRuleError(AssertionError):
    """A tracker doesn't keep a rule: the message says which, what was expected, what was found."""


class MismatchError(Exception):
    """Something isn't as a rule wants it; `rule` adds which rule that is."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        super().__init__(f"{what}\n  expected: {expected}\n  found:    {found}")


def rule(check: Check) -> Check:
    """Make a method a check: its docstring's first line is the rule that its failures name."""

    @functools.wraps(check)
    def checked(contract: Any) -> None:
        try:
            check(contract)
        except (SkipTest, BrokenRuleError):
            raise
        except MismatchError as error:
            raise BrokenRuleError(f"{rule_of(check)}\n{error}") from error.__cause__
        except (Exception, SystemExit, TookTooLongError) as error:
            told = MismatchError("the tracker's call failed", "no error", described(error))
            raise BrokenRuleError(f"{rule_of(check)}\n{told}") from error

    return checked  # type: ignore[return-value]


def rule_of(check: Callable[..., object]) -> str:
    """The first line of the check's docstring; without one, its name."""
    text = str(inspect.getdoc(check) or getattr(check, "__name__", "a check"))
    return text.partition("\n")[0]


def described(error: BaseException) -> str:
    """The error's type and message, without an end that nobody reads."""
    text = str(error)
    return f"{type(error).__name__}: {text[:1000]}" if text else type(error).__name__


def need(can: Can, ability: str) -> None:
    """Go on only if the backend can do it.

    Raises:
        SkipTest: it can't; the message says why.
    """
    if can is not True:
        raise SkipTest(can or f"this backend {ability}: its contract says so")
