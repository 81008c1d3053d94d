"""``toolkit sweep``: search for hyper-parameters, every trial a tracked run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from toolkit import rundir
from toolkit.cli.shown import print_json
from toolkit.redact import Redactor
from toolkit.sweep import report
from toolkit.sweep import runner
from toolkit.sweep import sweepfile
from toolkit.sweep.runner import Options
from toolkit.sweep.runner import Report

_SIGNAL_BASE = 128
_STDERR = 2


@click.command()
@click.argument("file", metavar="FILE.yaml", type=click.Path(path_type=Path))
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Trials in all, instead of run_cap."
)
@click.option("--program", metavar="FILE", help="Run this, instead of the file's program.")
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Whom to tell.")
@click.option(
    "-o", "settings", multiple=True, metavar="NAME.FIELD=VALUE", help="An option of a backend."
)
@click.option("--project", help="What the runs belong to, instead of the file's project.")
@click.option("--runs-dir", metavar="DIR", help="Folder of the runs (TOOLKIT_RUNS_DIR, ./runs).")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Of the search; 0 if not given."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; trials print to stderr.")
def command(
    file: Path,
    count: int | None,
    program: str | None,
    backends: tuple[str, ...],
    settings: tuple[str, ...],
    project: str | None,
    runs_dir: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Run the sweep that FILE.yaml describes in W&B's format: `toolkit sweep sweep.yaml`.

    Interrupted, it goes on when the same command is started again.
    """
    sweep = sweepfile.read(file)
    home = rundir.runs_dir(runs_dir, os.environ)
    output = _STDERR if as_json else None
    chosen = Options(home, count, program, project, backends, settings, seed, output)
    for notice in sweep.notices:
        _tell(notice)
    done = runner.run(sweep, chosen, _tell)
    if as_json:
        print_json(report.as_json(done))
    else:
        report.print_table(done)
    sys.exit(_conclude(done))


def _tell(line: str) -> None:
    click.echo(f"toolkit: {line}", err=True)


def _conclude(done: Report) -> int:
    """Say how the sweep stands where it isn't done, and choose the exit code."""
    again = shlex.join(Redactor.from_environment(os.environ).command(sys.argv[1:]))
    if done.signal is not None:
        _tell(f"stopped: {done.ended} of {done.cap} trials have ended; `toolkit {again}` goes on")
        return _SIGNAL_BASE + done.signal
    failed = [trial for trial in done.trials if trial.state == "FAILED"]
    if done.is_hopeless:
        last = failed[-1]
        _tell(
            f"stopped: no trial has succeeded, and the last {len(failed)} failed ({last.reason}); "
            f"look at `toolkit runs show {last.run_id}`, then `toolkit {again}` goes on"
        )
        return 1
    if failed:
        _tell(f"{len(failed)} of {done.ended} trials failed")
    return 0 if done.ended > len(failed) else 1
