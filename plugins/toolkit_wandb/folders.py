"""The folders in which wandb keeps runs on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from toolkit.errors import UsageError


def of_run(wandb_dir: Path, run_id: str) -> set[Path]:
    """Every folder that holds this run, ``offline-run-<time>-<id>`` or ``run-<time>-<id>``.

    wandb appends ``-<number>`` when the same run is opened twice within a second.
    """
    name = re.compile(rf"(?:offline-)?run-\d{{8}}_\d{{6}}-{re.escape(run_id)}(?P<again>-\d+)?")
    found = set()
    for folder in wandb_dir.glob("*run-*"):
        match = name.fullmatch(folder.name)
        # Another run's id may end like our id and such a number; its file is called differently.
        if match and (match["again"] is None or (folder / f"run-{run_id}.wandb").exists()):
            found.add(folder)
    return found


def remove(folders: Iterable[Path]) -> None:
    """Delete the folders with all that is in them."""
    for folder in folders:
        shutil.rmtree(folder)


def ensure_writable(folder: Path) -> None:
    """Create the folder if need be; wandb itself would silently write to /tmp instead.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(_unwritable(folder)) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(_unwritable(folder))


def _unwritable(folder: Path) -> str:
    return f"W&B can't write its runs to {folder}: choose another folder with -o wandb.dir=FOLDER"
