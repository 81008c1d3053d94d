"""Paths as people type them."""

from __future__ import annotations

import os
from pathlib import Path


def given_path(text: str) -> Path:
    """Return the path that was given; ``~`` is the user's home folder.

    The home of a user who isn't there stays as it is, and is found missing like any other folder.
    """
    return Path(os.path.expanduser(text))  # Path.expanduser raises RuntimeError for such a user
