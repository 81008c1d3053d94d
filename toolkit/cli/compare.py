"""``toolkit runs compare``: several runs side by side."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING
from typing import Any

import click
from attrs import frozen

from toolkit import compare
from toolkit import rundir
from toolkit.cli.shown import LONGEST_CELL
from toolkit.cli.shown import duration
from toolkit.cli.shown import json_option
from toolkit.cli.shown import print_json
from toolkit.cli.shown import runs_dir_option
from toolkit.cli.shown import short
from toolkit.cli.shown import status
from toolkit.compare import MISSING
from toolkit.compare import Comparison
from toolkit.compare import Curve
from toolkit.compare import Place
from toolkit.compare import Row
from toolkit.compare import Side
from toolkit.compare import View
from toolkit.events import spell_out

if TYPE_CHECKING:
    from rich.table import Table

_NARROWEST, _WIDEST = 12, 26
"""Columns of characters for a run on a terminal."""
_WIDEST_NAME = 36
_BETWEEN = 3


@click.command("compare")
@click.argument("run_ids", metavar="RUN RUN...", nargs=-1, required=True)
@click.option(
    "--metric",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this metric or result; a pattern such as 'val/*'; may be given again.",
)
@click.option("--lower", multiple=True, metavar="NAME", help="This one is better when it is lower.")
@click.option(
    "--higher", multiple=True, metavar="NAME", help="This one is better when it is higher."
)
@click.option(
    "--all", "is_whole", is_flag=True, help="Also params that are the same, and system metrics."
)
@runs_dir_option
@json_option
def command(
    run_ids: tuple[str, ...],
    names: tuple[str, ...],
    lower: tuple[str, ...],
    higher: tuple[str, ...],
    is_whole: bool,
    runs_dir: str | None,
    as_json: bool,
) -> None:
    """Show what differs between RUNs, and whose results are best.

    A RUN is an id, a beginning or an end of one, or a run's folder. The best of each line is marked
    with a star. Lower is better for names with words such as loss, error or perplexity, higher for
    others.
    """
    runs = compare.find_all(rundir.runs_dir(runs_dir, os.environ), run_ids)
    found = compare.compare(runs, View(names, lower, higher, is_whole))
    if as_json:
        print_json(_as_json(found))
    elif sys.stdout.isatty():
        _print_tables(found)
    else:
        _print_plain(found)


def _as_json(found: Comparison) -> dict[str, Any]:
    ids = [side.found.info.id for side in found.sides]
    return {
        "runs": [_side_as_json(side) for side in found.sides],
        "params": {row.name: _by_id(ids, row.values) for row in found.params},
        "same_params": found.same_params,
        "summary": {
            row.name: {
                "better": row.better,
                "best": _ids(ids, row.best),
                "values": _by_id(ids, row.values),
            }
            for row in found.summary
        },
        "metrics": {
            row.name: {
                "better": row.better,
                "best": _ids(ids, row.best),
                "best_last": _ids(ids, row.best_last),
                "values": {
                    run_id: _curve_as_json(curve, row)
                    for run_id, curve in _by_id(ids, row.values).items()
                },
            }
            for row in found.metrics
        },
    }


def _side_as_json(side: Side) -> dict[str, Any]:
    info, ended = side.found.info, side.found.life.ended
    return {
        "id": info.id,
        "folder": str(side.path),
        "project": info.project_name,
        "name": info.display_name,
        "group": info.group,
        "tags": list(info.tags),
        "status": side.found.life.state,
        "created": info.created,
        "ended": ended.time if ended else None,
        "duration": ended.time - info.created if ended else None,
    }


def _by_id(ids: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {i: value for i, value in zip(ids, values, strict=True) if value is not MISSING}


def _ids(ids: Sequence[str], places: frozenset[int]) -> list[str]:
    return [ids[place] for place in sorted(places)]


def _curve_as_json(curve: Curve, row: Row) -> dict[str, Any]:
    best = curve.best(row.better)
    return {
        "last": curve.last.value,
        "last_step": curve.last.step,
        "best": best.value if best else None,
        "best_step": best.step if best else None,
        "count": curve.count,
    }


@frozen
class _Line:
    """One line of a table."""

    name: str
    better: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()


@frozen
class _Section:
    """Lines that belong together."""

    title: str
    lines: tuple[_Line, ...]


def _sections(found: Comparison) -> list[_Section]:
    results = tuple(_line(row, (_cell(value) for value in row.values)) for row in found.summary)
    sections = [
        _Section("", tuple(_facts(found.sides))),
        _Section("params", tuple(_line(r, map(_cell, r.values)) for r in found.params)),
        _Section("summary", results),
        _Section("metrics", tuple(line for row in found.metrics for line in _curves(row))),
    ]
    return [section for section in sections if section.lines]


def _facts(sides: Sequence[Side]) -> Iterator[_Line]:
    for name in ("id", "project", "name", "status", "started", "took"):
        cells = tuple(_fact(side, name) for side in sides)
        if name != "project" or len(set(cells)) > 1:
            yield _Line(name, "", cells)


def _fact(side: Side, name: str) -> str:
    info, ended = side.found.info, side.found.life.ended
    match name:
        case "id":
            return info.id
        case "project":
            return _cell(info.project_name)
        case "name":
            return _cell(info.name or "")
        case "status":
            return status(side.found)
        case "started":
            return time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created))
    return duration((ended.time if ended else time.time()) - info.created)


def _line(row: Row, cells: Iterator[str]) -> _Line:
    return _Line(_cell(row.name), row.better or "", tuple(cells), row.best)


def _curves(row: Row) -> Iterator[_Line]:
    """A metric's last values, and where they aren't the best ones, those below."""
    name, better = _cell(row.name), row.better or ""
    last = tuple(_place(v.last) if isinstance(v, Curve) else "" for v in row.values)
    yield _Line(name, better, last, row.best_last)
    best = tuple(_place(v.best(row.better)) if isinstance(v, Curve) else "" for v in row.values)
    if row.better and best != last:
        yield _Line(f"{name} (best)", better, best, row.best)


def _place(place: Place | None) -> str:
    if place is None:
        return ""
    return _number(place.value) + ("" if place.step is None else f" @ {place.step}")


def _number(value: float) -> str:
    return f"{value:.6g}" if isfinite(value) else str(spell_out(value))


def _cell(value: Any) -> str:
    """A value in one line: a text as it is where it can be shown, all else as JSON."""
    if value is MISSING:
        return ""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(spell_out(value), ensure_ascii=False)


def _notes(found: Comparison) -> Iterator[str]:
    if any(row.best or row.best_last for row in (*found.summary, *found.metrics)):
        yield "* the best of the line; --lower NAME and --higher NAME say what is better"
    if found.same_params:
        yield f"params that are the same in all runs, left out: {found.same_params} (--all)"


def _print_plain(found: Comparison) -> None:
    """Aligned text, for files and other programs."""
    rows: list[tuple[str, ...]] = []
    for section in _sections(found):
        rows += [(), (section.title,)] if section.title else []
        for line in section.lines:
            stars = ("*" if place in line.best else "" for place in range(len(line.cells)))
            cells = (cell + star for cell, star in zip(line.cells, stars, strict=True))
            rows.append((line.name, line.better, *cells))
    columns = max(map(len, rows))
    widths = [max((len(row[i]) for row in rows if len(row) > i), default=0) for i in range(columns)]
    for row in rows:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip())
    for number, note in enumerate(_notes(found)):
        click.echo(note if number else f"\n{note}")


def _print_tables(found: Comparison) -> None:
    """As many tables as the runs need on this terminal, one below the other."""
    from rich.console import Console

    console = Console(highlight=False)
    sections = _sections(found)
    lines = [line for section in sections for line in section.lines]
    name_width = min(_WIDEST_NAME, max(len(line.name) for line in lines))
    cell = max(len(cell) + 1 for line in lines[1:] for cell in line.cells)  # an id may fold
    cell = min(_WIDEST, max(_NARROWEST, cell))
    room = console.width - name_width - len("better") - 2 * _BETWEEN
    at_once = max(1, room // (cell + _BETWEEN))
    count = len(found.sides)
    for start in range(0, count, at_once):
        places = range(start, min(start + at_once, count))
        console.print(_table(sections, places, "" if at_once >= count else _which(places, count)))
    for note in _notes(found):
        console.print(note, markup=False)
    if any(len(cell) > LONGEST_CELL for line in lines for cell in line.cells):
        console.print("longer values are cut; --json has them whole")


def _which(places: range, count: int) -> str:
    if len(places) == 1:
        return f"run {places[0] + 1} of {count}"
    return f"runs {places[0] + 1} to {places[-1] + 1} of {count}"


def _table(sections: Sequence[_Section], places: range, title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left")
    heads = [_head(sections, place) for place in places]
    for heading in ("", "better", *heads):
        table.add_column(Text(heading), overflow="fold")
    for section in sections:
        if section.title:
            table.add_section()
            table.add_row(Text(section.title, style="bold"))
        for line in section.lines:
            cells = [
                Text(f"{short(line.cells[p])}*", style="bold green")
                if p in line.best
                else Text(short(line.cells[p]))
                for p in places
            ]
            table.add_row(Text(short(line.name)), Text(line.better), *cells)
    return table


def _head(sections: Sequence[_Section], place: int) -> str:
    """The end of the run's id, which is enough to name it, if no other ends so."""
    ids = sections[0].lines[0].cells
    end = ids[place].rpartition("-")[2]
    return end if sum(other.endswith(end) for other in ids) == 1 else ids[place]
