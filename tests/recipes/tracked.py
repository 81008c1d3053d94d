"""Recipes under ``toolkit track`` that are watched, and killed, while they run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from tests.waiting import LIMIT
from tests.waiting import wait_until


def start(
    folder: Path, script: str, *arguments: str, resume: str | None = None
) -> subprocess.Popen[bytes]:
    """Start ``toolkit track [--resume RUN] -- python script arguments`` in a folder."""
    options = () if resume is None else ("--resume", resume)
    command = [sys.executable, "-m", "toolkit", "track", *options, "--", sys.executable]
    return subprocess.Popen(
        [*command, str(RECIPES / script), *arguments],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_at(
    folder: Path, tracked: subprocess.Popen[bytes], script: str, metric: str, points: int
) -> None:
    """Kill the recipe, not what tracks it, once a curve has so many points."""
    wait_until(lambda: len(curves(folder).get(metric, [])) >= points or tracked.poll() is not None)
    assert tracked.poll() is None, "it ended before it could be killed"
    # Workers of a data loader are forked and called the same.
    (recipe,) = (
        child
        for child in psutil.Process(tracked.pid).children(recursive=True)
        if child.cmdline()[1:2] == [str(RECIPES / script)] and child.ppid() == tracked.pid
    )
    recipe.kill()
    assert tracked.wait(LIMIT) == 128 + 9


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what the runs in a folder have recorded, without a line that isn't whole yet."""
    for segment in sorted((folder / "runs").glob("*/journal/*.jsonl")):
        for line in segment.read_text(encoding="utf-8").split("\n")[:-1]:
            yield json.loads(line)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every metric's points in the order they were recorded, but for measures of time."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines(folder):
        if line["kind"] == "metrics":
            for name, value in line["values"].items():
                if not name.endswith("_per_second"):
                    found.setdefault(name, []).append((line["step"], value))
    return found
