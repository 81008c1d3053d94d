"""One line to the user of a training script, beside whatever the script itself says."""

from __future__ import annotations

import contextlib
import sys

from attrs import field
from attrs import frozen


def warn(line: str) -> None:
    """Print a line on standard error, which may lie on the very disk that is full."""
    with contextlib.suppress(OSError):
        print(f"toolkit: {line}", file=sys.stderr)  # noqa: T201 - there is no other way


@frozen
class Notices:
    """What a run and its children have to say; what several of them say is printed once."""

    _said: set[str] = field(init=False, factory=set)

    def tell(self, line: str) -> None:
        """Print a line, if it is new."""
        if line not in self._said:
            self._said.add(line)
            warn(line)
