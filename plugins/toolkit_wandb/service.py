"""The process that wandb starts for itself (wandb-core), and the settings around a run."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.runinfo import RunInfo


def take_over(run: RunInfo) -> Any:
    """Make wandb in this process ours alone, and return the settings found around it.

    These come from WANDB_* variables and wandb's settings files. A run that an earlier tracker of
    this process left open is given up.
    """
    # The trial of one of W&B's agents has the agent's id, whatever wandb is told; children don't.
    if run.parent is not None:
        os.environ.pop("WANDB_SWEEP_ID", None)
    # A training script that uses wandb itself passes on the address of its own service, which would
    # end with that script.
    os.environ.pop("WANDB_SERVICE", None)
    # Its reports about itself are sent where the user asked for them, and not from offline runs.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    if wandb.run is not None:
        give_up(wandb.run)
    return wandb.setup(wandb.Settings(silent=True)).settings


def give_up(run: Any) -> None:
    """Let go of an open run without an end, and stop wandb's process.

    Left to itself, wandb marks open runs as finished when Python exits. Offline, what was told is
    written out; online, where the server may be gone, there is no waiting.
    """
    if run.offline and _close_file(run.id):
        release()
    else:
        stop()


def release() -> None:
    """Stop wandb's process after its run has ended."""
    atexit.unregister(give_up)
    _tear_down()


def stop() -> None:
    """Kill wandb's process before it can wait for a server, or mark its runs as finished."""
    import psutil
    import wandb

    atexit.unregister(give_up)
    for child in psutil.Process().children():
        if child.name() == "wandb-core":
            child.kill()
            with contextlib.suppress(Exception):  # wandb's insides: only to collect its exit code
                service: Any = wandb.setup().assert_service()
                service._proc.join()
    _tear_down()


def _close_file(run_id: str) -> bool:
    """Have the run's file closed as it is; False when that is not possible."""
    import wandb

    try:
        wandb.setup().assert_service().inform_finish(run_id=run_id)
    except Exception:  # wandb's insides, which change: the caller has another way
        return False
    return True


def _tear_down() -> None:
    """Have the next run start wandb afresh, with the environment as it is then."""
    import wandb

    with contextlib.suppress(Exception):  # it complains when its process is gone
        wandb.teardown()


@contextlib.contextmanager
def without_arguments() -> Iterator[None]:
    """Keep wandb from showing this process's own arguments as those of the run's command."""
    words = sys.argv
    sys.argv = words[:1]  # wandb has no setting for it
    try:
        yield
    finally:
        sys.argv = words


@contextlib.contextmanager
def staging_in(folder: Path) -> Iterator[None]:
    """Have wandb copy the files of artifacts into this folder, unless WANDB_DATA_DIR says where."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder)  # wandb has no setting for it
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]
