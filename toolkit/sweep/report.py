"""A sweep's trials, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.sweep.runner import Report
from toolkit.sweep.search import Trial
from toolkit.sweep.space import Constant
from toolkit.sweep.space import short


def ranked(report: Report) -> list[Trial]:
    """Trials with a value, the best first; then the others, in order."""
    sign = -1 if report.sweep.metric and report.sweep.metric.goal == "maximize" else 1

    def place(trial: Trial) -> tuple[float, float, int]:
        states = ("COMPLETE", "FAILED", "ABANDONED", "RUNNING")
        value = 0.0 if trial.value is None else sign * trial.value
        return states.index(trial.state), value, trial.number

    return sorted(report.trials, key=place)


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain values."""
    sweep = report.sweep
    return {
        "id": report.id,
        "name": sweep.texts.get("name"),
        "file": str(sweep.file),
        "method": sweep.method,
        "metric": sweep.metric.name if sweep.metric else None,
        "goal": sweep.metric.goal if sweep.metric else None,
        "cap": report.cap,
        "ended": report.ended,
        "best": report.best.number if report.best else None,
        "trials": [_trial_row(trial) for trial in ranked(report)],
    }


def _trial_row(trial: Trial) -> Mapping[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": dict(trial.values),
        "run_id": trial.run_id,
        "reason": trial.reason,
    }


def print_table(report: Report) -> None:
    """Print the trials by value, the best one marked."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    metric = report.sweep.metric
    parameters = report.sweep.parameters
    names = [name for name, domain in parameters.items() if not isinstance(domain, Constant)]
    reasons = ("why",) if any(trial.reason for trial in report.trials) else ()
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "trial", "state", metric.name if metric else "value", "run"):
        table.add_column(_plain(column), no_wrap=True)
    for column in (*names, *reasons):
        table.add_column(_plain(column), overflow="fold")
    for trial in ranked(report):
        is_best = report.best is not None and trial.number == report.best.number
        cells = ["best" if is_best else "", str(trial.number), trial.state]
        cells += ["" if trial.value is None else short(trial.value), trial.run_id or ""]
        cells += [short(trial.values.get(name, "")) for name in names]
        cells += [trial.reason or "" for _ in reasons]
        table.add_row(*map(_plain, cells), style="bold" if is_best else None)
    Console().print(table)


def _plain(text: str) -> str:
    """Text that rich takes as it is."""
    return text.replace("[", "\\[")
