"""What the commands that show runs have in common: options, and how values look."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from toolkit.events import spell_out
from toolkit.recorded import Recorded

LONGEST_CELL = 60


def runs_dir_option(function: Any) -> Any:
    """``--runs-dir DIR``, as ``runs_dir``."""
    text = "Folder of the runs (TOOLKIT_RUNS_DIR, ./runs)."
    return click.option("--runs-dir", metavar="DIR", help=text)(function)


def json_option(function: Any) -> Any:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def print_json(value: Any) -> None:
    """Print one document; NaN and infinities, which JSON doesn't have, are spelled out."""
    click.echo(json.dumps(spell_out(value), indent=2, allow_nan=False))


def short(value: Any) -> str:
    """The value's text, or its beginning."""
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 3] + "..."


def print_table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below their headings: ruled on a terminal, elsewhere a row a line, however long.

    Args:
        columns: headings; what stands below the first is what one copies, so it isn't folded.
        rows: as many cells each as there are headings.
    """
    if sys.stdout.isatty():
        _print_ruled(columns, rows)
        return
    cells = [tuple(columns), *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        aligned = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(aligned).rstrip())


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def status(run: Recorded) -> str:
    """How the run stands, in a table."""
    return f"running on {run.info.host.name}?" if run.life.state == "ELSEWHERE" else run.life.state


def _print_ruled(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not table.columns)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
