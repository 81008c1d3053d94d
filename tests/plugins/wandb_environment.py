"""An environment in which nobody has settings for wandb, nor a key."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def without_settings(folder: Path) -> Iterator[None]:
    """Hide WANDB_* variables, wandb's settings files and stored keys; ``folder`` is empty."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_CONFIG_DIR", str(folder))
        patch.setenv("NETRC", str(folder / "netrc"))
        yield
