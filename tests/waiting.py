"""Waiting for a condition, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 200.0
"""Seconds to wait for anything: far more than it takes, for machines that have much else to do."""
_LOOK_SECONDS = 0.02


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it didn't within ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s"
        time.sleep(_LOOK_SECONDS)
