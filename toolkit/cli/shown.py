"""What the commands that show runs have in common: options, and how values look."""

from __future__ import annotations

from typing import Any

import click

from toolkit.recorded import Recorded

LONGEST_CELL = 60


def runs_dir_option(function: Any) -> Any:
    """``--runs-dir DIR``, as ``runs_dir``."""
    text = "Folder of the runs (TOOLKIT_RUNS_DIR, ./runs)."
    return click.option("--runs-dir", metavar="DIR", help=text)(function)


def json_option(function: Any) -> Any:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def short(value: Any) -> str:
    """The value's text, or its beginning."""
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 3] + "..."


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def status(run: Recorded) -> str:
    """How the run stands, in a table."""
    return f"running on {run.info.host.name}?" if run.life.state == "ELSEWHERE" else run.life.state
