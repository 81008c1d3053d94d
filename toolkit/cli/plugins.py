"""``toolkit plugins``: trackers that are installed here."""

from __future__ import annotations

import json
from typing import Any

import click

from toolkit import discovery


@click.group()
def command() -> None:
    """Trackers that are installed here."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """List them from their metadata; none is imported."""
    rows = [
        {
            "name": name,
            "distribution": entry.dist.name if entry.dist else None,
            "version": entry.dist.version if entry.dist else None,
            "class": entry.value,
            "is_claimed_twice": len(entries) > 1,
        }
        for name, entries in sorted(discovery.available().items())
        for entry in entries
    ]
    click.echo(json.dumps(rows, indent=2) if as_json else _table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    columns = ("name", "distribution", "version", "class")
    cells = [columns, *(tuple(str(row[c] or "?") for c in columns) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    twice = sorted({row["name"] for row in rows if row["is_claimed_twice"]})
    lines += [
        f"{name} is claimed by several distributions: uninstall all but one" for name in twice
    ]
    return "\n".join(lines)
