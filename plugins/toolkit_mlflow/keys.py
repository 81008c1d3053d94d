"""Keys that MLflow refuses, mapped by one rule to keys that it accepts.

MLflow takes letters, digits and ``_ - . : /`` and space, up to 250 characters, where the whole
reads as a relative path without detours. In a key that is not so, every refused character becomes
``_``, likewise every empty, ``.`` or ``..`` part of the path. It is cut to fit, and ``-`` and ten
digits of the SHA-256 of the original are added, so that two keys never become one. The original is
kept in the tag ``toolkit.key.<mapped>``. Names of files are mapped by the same rule where they hold
characters that an address can't carry, or are those of the files that this plugin itself writes.
"""

from __future__ import annotations

import hashlib
import re

MAX_KEY_LENGTH = 250
ORIGINAL_PREFIX = "toolkit.key."
OWN_FOLDER = "toolkit"
"""Where this plugin keeps the params and the console among the artifacts."""

_DIGITS = 10
_REFUSED = re.compile(r"[^\w.\- :/]")
_NOT_IN_A_FILE_NAME = re.compile(r"[#?%\\\x00-\x1f\x7f]")
_OWN_FILE = re.compile(rf"{OWN_FOLDER}(?:/(?:params|console(?:-\d+)?)(?:\.\w+)?)?")
_LONGEST_STEM = MAX_KEY_LENGTH - len(ORIGINAL_PREFIX) - _DIGITS - 1


def accepted(key: str) -> str:
    """The key itself where MLflow accepts it, else what stands for it."""
    has_place = len(key) <= MAX_KEY_LENGTH
    if has_place and not _REFUSED.search(key) and not _detours(key):
        return key
    return _mapped(key, _REFUSED)


def accepted_path(path: str) -> str:
    """The path of an artifact's file itself, else a stand-in.

    A server can be asked for it, and it is none of the plugin's own, with or without a suffix.
    """
    is_free = not _OWN_FILE.fullmatch(path)
    if is_free and not _NOT_IN_A_FILE_NAME.search(path) and not _detours(path):
        return path
    return _mapped(path, _NOT_IN_A_FILE_NAME)


def _detours(key: str) -> bool:
    return key.startswith("..") or any(part in {"", ".", ".."} for part in key.split("/"))


def _mapped(key: str, refused: re.Pattern[str]) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    parts = re.sub(r"^\.\.", "__", refused.sub("_", key)).split("/")
    stem = "/".join("_" if part in {"", ".", ".."} else part for part in parts)
    return f"{stem[:_LONGEST_STEM]}-{digest}"


class Keys(dict[str, str]):
    """Every key seen so far and what it is called in MLflow; looking a key up adds it."""

    def __init__(self) -> None:
        super().__init__()
        self.unsaid: dict[str, str] = {}
        """Tags that keep the originals of mapped keys, and have not been told yet."""

    def __missing__(self, key: str) -> str:
        self[key] = mapped = accepted(key)
        self._keep(key, mapped)
        return mapped

    def path(self, name: str) -> str:
        """What the file of an artifact is called in MLflow."""
        mapped = accepted_path(name)
        self._keep(name, mapped)
        return mapped

    def _keep(self, original: str, mapped: str) -> None:
        if mapped != original:
            self.unsaid[accepted(ORIGINAL_PREFIX + mapped)] = original
