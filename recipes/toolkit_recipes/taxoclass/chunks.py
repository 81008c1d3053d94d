"""Work on some of the documents at a time, which bounds the memory of what looks at all pairs.

A matrix of all documents and classes of a large corpus takes hundreds of megabytes, and each step
between similarities and core classes would hold several of them at once.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

CHUNK = 4096
"""Documents looked at together: some megabytes for each number that a class has."""


def in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Return what a function makes of rows, computed for some of them at a time.

    Beside the result only what ``CHUNK`` rows need is in memory, however often the function copies
    them.

    Args:
        function: makes as many rows of some rows; each depends on its own alone.
        rows: [documents, ...].

    Returns:
        [documents, ...].
    """
    first = function(rows[:CHUNK])
    result = first.new_empty(len(rows), *first.shape[1:])
    result[:CHUNK] = first
    for start in range(CHUNK, len(rows), CHUNK):
        result[start : start + CHUNK] = function(rows[start : start + CHUNK])
    return result
