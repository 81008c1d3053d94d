"""Names of pages as they are written to files, shown and looked up."""

from __future__ import annotations


def printable(name: str) -> str:
    r"""Return a name, or a text that holds one, that can be written as UTF-8.

    Linux takes any bytes for a name, and Python holds those that are no letter as halves of
    surrogate pairs, which no file can be written with. They become ``\udce9`` and the like.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
