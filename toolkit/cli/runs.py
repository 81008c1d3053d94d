"""``toolkit runs``: look at recorded runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

import attrs
import click

from toolkit import recorded
from toolkit import rundir
from toolkit.cli import compare
from toolkit.cli.shown import duration
from toolkit.cli.shown import json_option
from toolkit.cli.shown import print_json
from toolkit.cli.shown import print_table
from toolkit.cli.shown import runs_dir_option
from toolkit.cli.shown import short
from toolkit.cli.shown import status
from toolkit.recorded import Recorded
from toolkit.tracker import flatten

_COLUMNS = ("id", "project", "name", "status", "started", "took", "told to")


@click.group()
def command() -> None:
    """Look at recorded runs."""


command.add_command(compare.command)


@command.command("list")
@runs_dir_option
@json_option
def list_runs(runs_dir: str | None, as_json: bool) -> None:
    """List the runs, newest first."""
    home = rundir.runs_dir(runs_dir, os.environ)
    found = [recorded.overview(run) for run in reversed(rundir.all_runs(home))]
    if as_json:
        print_json([_row(run) for run in found])
        return
    if not found:
        click.echo(f"No runs in {home}.")
        return
    print_table(_COLUMNS, [_cells(run) for run in found])


@command.command("show")
@click.argument("run_id", metavar="RUN")
@runs_dir_option
@json_option
def show(run_id: str, runs_dir: str | None, as_json: bool) -> None:
    """Show what one run is and what it has recorded."""
    home = rundir.runs_dir(runs_dir, os.environ)
    run = rundir.find(home, run_id)
    found = recorded.everything(run)
    if as_json:
        print_json({**_row(found), **_values(found)})
        return
    print_table(("run", str(run.path)), list(_facts(found)))
    _print_section("params", ((k, short(v)) for k, v in flatten(found.params)))
    _print_section(
        "metrics",
        (
            (key, f"{point.value:.6g}", short(point.step), str(point.count))
            for key, point in sorted(found.metrics.items())
        ),
        ("last", "step", "points"),
    )
    _print_section("summary", ((k, short(v)) for k, v in found.summary.items()))
    _print_section("tags", found.tags.items())
    _print_section(
        "artifacts",
        ((a.name, a.type, ", ".join(a.aliases), str(len(a.files))) for a in found.artifacts),
        ("type", "aliases", "files"),
    )
    _print_section(
        "media",
        ((m.name, m.kind, short(m.step), str(m.count), m.file or "") for m in found.media),
        ("kind", "step", "count", "latest"),
    )


def _row(run: Recorded) -> dict[str, Any]:
    """The overview as JSON."""
    return {
        "id": run.info.id,
        "parent": run.info.parent,
        "project": run.info.project_name,
        "name": run.info.display_name,
        "group": run.info.group,
        "tags": list(run.info.tags),
        "status": run.life.state,
        "created": run.info.created,
        "ended": run.life.ended.time if run.life.ended else None,
        "command": list(run.info.command),
        "host": run.info.host.name,
        "deliveries": [_delivery_row(run, d.backend) for d in run.deliveries],
    }


def _delivery_row(run: Recorded, backend: str) -> dict[str, Any]:
    state = next(d for d in run.deliveries if d.backend == backend)
    return {
        "backend": backend,
        "told": state.told,
        "is_closed": state.closed is not None,
        "link": attrs.asdict(state.link) if state.link else None,
        "problem": state.problem,
        "passed_over": list(state.passed_over),
    }


def _values(run: Recorded) -> dict[str, Any]:
    return {
        "params": run.params,
        "metrics": {key: attrs.asdict(point) for key, point in run.metrics.items()},
        "summary": run.summary,
        "run_tags": run.tags,
        "artifacts": [attrs.asdict(artifact) for artifact in run.artifacts],
        "media": [attrs.asdict(shown) for shown in run.media],
        "source": attrs.asdict(run.info.source),
        "versions": dict(run.info.versions),
    }


def _cells(run: Recorded) -> tuple[str, ...]:
    end = run.life.ended.time if run.life.ended else time.time()
    told = ", ".join(
        d.backend if d.closed is not None else f"{d.backend} (owed)" for d in run.deliveries
    )
    name = "" if run.info.name is None else run.info.name
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.info.created))
    took = duration(end - run.info.created)
    return (run.info.id, run.info.project_name, name, status(run), started, took, told)


def _facts(run: Recorded) -> Iterable[tuple[str, str]]:
    yield from zip(_COLUMNS, _cells(run), strict=True)
    yield "command", " ".join(run.info.command)
    if run.info.source.commit:
        yield "commit", run.info.source.commit + (" (changed)" if run.info.source.is_dirty else "")
    for state in run.deliveries:
        if state.link:
            yield state.backend, state.link.url or state.link.view or state.link.id
        if state.problem:
            yield f"{state.backend}: problem", state.problem


def _print_section(
    title: str, rows: Iterable[tuple[str, ...]], more: tuple[str, ...] = ("",)
) -> None:
    if found := list(rows):
        print_table((title, *more), found)
