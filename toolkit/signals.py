"""Handling signals for a while, without undoing what the user has said about them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Call the handler when one of these signals comes; afterwards they do again what they did.

    What is ignored stays so: nohup, and jobs that a script has put into the background.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, old in before.items() if old is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
