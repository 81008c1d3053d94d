"""Where the runs of this process lie."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit import rundir
from toolkit.mlflow_api import checks
from toolkit.mlflow_api.exceptions import MISSING
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.rundir import RunDir


def home() -> Path:
    """The folder of runs: that of the run that ``toolkit track`` made, where there is one."""
    run = tracked()
    return run.path.parent if run else rundir.runs_dir(None, os.environ)


def tracked() -> RunDir | None:
    """The run that ``toolkit track`` made for this command, if it did."""
    path = os.environ.get("TOOLKIT_RUN")
    return RunDir(Path(path)) if path else None


def existing(run_id: str) -> RunDir:
    """The run of exactly this id.

    Raises:
        MlflowException: there is none.
    """
    run = RunDir(home() / checks.run_id(run_id))
    if not run.info_path.is_file():
        raise MlflowException(
            f"there is no run {run_id!r} in {home()}; `toolkit runs list` shows what is there, and "
            "TOOLKIT_RUNS_DIR says where to look",
            MISSING,
        )
    return run
