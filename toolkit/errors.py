"""The errors that a user can act on."""

from __future__ import annotations


class UsageError(Exception):
    """Something the user gave is wrong; the message says what, where, and what to do.

    The command line prints it and exits with code 2.
    """


class InvalidValueError(UsageError, ValueError):
    """A value that can't be recorded; the message names its key and what was given."""
