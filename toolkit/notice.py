"""One line to the user of a training script, beside whatever the script itself says."""

from __future__ import annotations

import contextlib
import sys


def warn(line: str) -> None:
    """Print a line on standard error, which may lie on the very disk that is full."""
    with contextlib.suppress(OSError):
        print(f"toolkit: {line}", file=sys.stderr)  # noqa: T201 - there is no other way
