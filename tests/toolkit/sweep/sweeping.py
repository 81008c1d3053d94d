"""Sweeps in tests: files of a few lines, scripts that log one number."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.storages import InMemoryStorage

from tests.commands import Bench
from toolkit.sweep import sweepfile
from toolkit.sweep.search import Outcome
from toolkit.sweep.search import Proposal
from toolkit.sweep.search import Search
from toolkit.sweep.sweepfile import Sweep

SCRIPT = """
import json, sys, toolkit
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
with toolkit.start_run() as run:
    run.log_metric("loss", (float(given["x"]) - 0.3) ** 2)
"""

LOSS = "metric: {name: loss}\nprogram: script.py\n"


def parse(folder: Path, text: str) -> Sweep:
    """The sweep that a file with this text describes."""
    return sweepfile.read(write(folder, text))


def write(folder: Path, text: str) -> Path:
    """A sweep file with this text."""
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def search(sweep: Sweep, seed: int = 0) -> Search:
    """A search that is kept nowhere."""
    return Search(sweep, seed, InMemoryStorage())


def drawn(sweep: Sweep, count: int, seed: int = 0) -> list[Mapping[str, Any]]:
    """The values of so many trials, all of which are equally good."""
    found = search(sweep, seed)
    for _ in range(count):
        found.try_one(lambda _: Outcome(0.0))
    return [trial.values for trial in found.trials()]


def outcome(value: float) -> Outcome:
    """What a trial with this value has shown."""
    return Outcome(value)


def best_of(sweep: Sweep, seed: int, count: int) -> float:
    """The best value of so many trials on a bowl in x, y and the logarithm of lr."""
    import math

    def bowl(proposal: Proposal) -> Outcome:
        given = proposal.values
        return Outcome(
            (given["x"] - 1) ** 2 + (given["y"] + 2) ** 2 + math.log10(given["lr"] / 1e-3) ** 2
        )

    found = search(sweep, seed)
    for _ in range(count):
        found.try_one(bowl)
    best = found.best()
    assert best is not None
    assert best.value is not None
    return best.value


def swept(
    bench: Bench, text: str, *options: str, script: str = SCRIPT, env: Mapping[str, str] = {}
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """What `toolkit sweep --json` says of a sweep with this file and script."""
    write(bench.folder, text)
    bench.script(script)
    done = bench.toolkit("sweep", "sweep.yaml", "--json", *options, env=env)
    return json.loads(done.stdout or "{}"), done
