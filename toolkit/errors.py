"""The errors that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Something the user gave is wrong; the message says what, where, and what to do.

    The command line prints it and exits with code 2.
    """


class InvalidValueError(UsageError, ValueError):
    """A value that can't be recorded; the message names its key and what was given."""


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `` (did you mean 'NAME'?)`` with the known name nearest to a word, if one is near.

    Args:
        word: what the user wrote.
        known: what could have been meant.
        cutoff: similarity from which a name is near, from 0 to 1.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]!r}?)" if near else ""
