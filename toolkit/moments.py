"""Moments: Unix milliseconds, as MLflow's callers give them, and the seconds of events."""

from __future__ import annotations

import math
import time


def seconds(milliseconds: float | None) -> float:
    """Unix seconds of a moment; of now, if it is None.

    They are the same milliseconds again also where a plugin cuts the fraction off. Dividing alone
    would not do: of 1001 milliseconds it makes a float whose thousandfold is just below 1001.
    """
    if milliseconds is None:
        return time.time()
    moment = milliseconds / 1000
    return moment if moment * 1000 >= milliseconds else math.nextafter(moment, math.inf)
