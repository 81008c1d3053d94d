"""``toolkit sync``: deliver what is still owed, or tell a run to another backend."""

from __future__ import annotations

import os
import sys

import click

from toolkit import delivery
from toolkit import discovery
from toolkit import lifecycle
from toolkit import options
from toolkit import rundir
from toolkit import start
from toolkit.dispatch import IdleCouriers
from toolkit.errors import UsageError
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir


@click.command()
@click.argument("run_ids", metavar="[RUN]...", nargs=-1)
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="Tell this backend.")
@click.option(
    "-o", "settings", multiple=True, metavar="NAME.FIELD=VALUE", help="An option of a backend."
)
@click.option("--runs-dir", metavar="DIR", help="Folder of the runs (TOOLKIT_RUNS_DIR, ./runs).")
def command(
    run_ids: tuple[str, ...],
    backends: tuple[str, ...],
    settings: tuple[str, ...],
    runs_dir: str | None,
) -> None:
    """Deliver what RUNs, or all runs, still owe; ends with 1 if something stays owed.

    It ends with 2 if an option is missing that held a secret, and so was not kept.

    Runs that are still going on are left to their own couriers.
    """
    given = options.parse(settings)
    for name in backends:
        discovery.find(name)
    home = rundir.runs_dir(runs_dir, os.environ)
    runs = [rundir.find(home, i) for i in run_ids] or rundir.all_runs(home)
    told = {name for run in runs for name in delivery.backends(run)}
    start.refuse_unused(given, backends or told)
    codes, idle = {0}, IdleCouriers()
    for run in runs:
        if lifecycle.settle(run).state == "RUNNING":
            click.echo(f"{run.path.name}: still running; its own couriers are at it")
            continue
        for backend in backends or delivery.backends(run):
            if not delivery.load(run, backend).is_complete(run, lifecycle.look(run)):
                codes.add(_deliver(run, backend, given.get(backend, {}), idle))
            elif run_ids or backends:
                click.echo(f"{run.path.name}: {backend}: everything was told already")
    idle.dismiss()
    sys.exit(max(codes))


def _deliver(run: RunDir, backend: str, given: dict[str, str], idle: IdleCouriers) -> int:
    """Tell one backend what it hasn't been told.

    0: everything is told now; 1: something stays owed; 2: it needs an option that isn't given.
    """
    try:
        delivery.load(run, backend).open_options(
            {**options.from_environment(backend, os.environ), **given}
        )
    except UsageError as error:
        click.echo(f"{run.path.name}: {backend}: still owed: {error}", err=True)
        return 2
    delivery.owe(run, backend, given, Redactor.from_environment(os.environ))
    courier = idle.send(run, backend, given)
    try:
        courier.wait(Patience.from_environment(os.environ))
    finally:
        idle.keep(courier)
    state = courier.state()
    if state.is_complete(run, lifecycle.look(run)):
        click.echo(f"{run.path.name}: {backend}: told ({state.told} events)")
        return 0
    reason = state.problem or f"see {delivery.log_path(run, backend)}"
    click.echo(f"{run.path.name}: {backend}: still owed: {reason}", err=True)
    return 1
