"""SIGKILL for the trainer, the courier or both at random moments: nothing acknowledged is missing.

TOOLKIT_TEST_KILLS says how many moments there are; 30 take some minutes.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import psutil
import pytest
from attrs import frozen

from tests.commands import Bench
from tests.commands import of_kind
from tests.plugins import wandb_reader
from tests.plugins.wandb_environment import without_settings
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import rundir
from toolkit.events import Metrics
from toolkit_wandb import folders

MOMENTS = int(os.environ.get("TOOLKIT_TEST_KILLS", "6"))
VICTIMS = ("trainer", "courier", "both")
RATES = (5, 400)
"""Steps a second."""
LONGEST_LIFE = 3.0
"""Seconds from the first step to the moment: a courier needs about one to open its run."""

# A step is acknowledged once log_metrics has returned.
SCRIPT = """
import itertools, os, pathlib, sys, time, toolkit
rate, place = float(sys.argv[1]), pathlib.Path(sys.argv[2])
acknowledged = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with toolkit.start_run(backend={"wandb": {"mode": "offline"}}) as run:
    os.write(acknowledged, f"{run.id}\\n".encode())
    for step in itertools.count():
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        os.write(acknowledged, f"{step}\\n".encode())
        if place.with_suffix(".stop").exists():
            break
        time.sleep(1 / rate)
"""


@frozen
class Killed:
    """One run, whom a SIGKILL ended, and the steps that had been acknowledged."""

    run_id: str
    victim: str
    steps: tuple[int, ...]


def _couriers(script: psutil.Process) -> list[psutil.Process]:
    return [child for child in script.children() if "toolkit.courier" in child.cmdline()]


def _kill_once(bench: Bench, number: int, generator: random.Random) -> Killed:
    """Run the script, kill at a random moment after its first step."""
    victim, rate = VICTIMS[number % 3], RATES[number // 3 % 2]
    place = bench.folder / f"acknowledged-{number}"
    command = (sys.executable, bench.script(SCRIPT), str(rate), str(place))
    with bench.started(*command) as process:
        script = psutil.Process(process.pid)
        wait_until(lambda: place.exists() and place.read_text().count("\n") > 1)
        wait_until(lambda: _couriers(script))
        (courier,) = _couriers(script)
        time.sleep(generator.uniform(0, LONGEST_LIFE))  # the random moment itself
        if victim != "courier":
            process.kill()
        if victim != "trainer":
            courier.kill()
        place.with_suffix(".stop").touch()
        process.wait(LIMIT)
    run_id, *steps = place.read_text().split("\n")[:-1]
    return Killed(run_id, victim, tuple(map(int, steps)))


@pytest.mark.timeout(200 * max(MOMENTS, 6))
def test_kills(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After `sync` there is one whole folder for each run, with every step once and the end."""
    pytest.importorskip("wandb")
    generator = random.Random(50)
    with without_settings(tmp_path_factory.mktemp("nothing")):
        killed = [_kill_once(bench, number, generator) for number in range(MOMENTS)]
        done = bench.toolkit("sync", timeout=20 * LIMIT)
    assert done.returncode == 0, done.stderr

    assert {VICTIMS[n % 3] for n in range(MOMENTS)} == {one.victim for one in killed}
    for one in killed:
        assert_whole(bench.folder, rundir.find(bench.runs, one.run_id), one)


def assert_whole(folder: Path, run: rundir.RunDir, killed: Killed) -> None:
    """Everything acknowledged is in the journal, and all of the journal is in wandb's folder."""
    recorded = [event.step for event in of_kind(run, Metrics)]
    assert recorded[: len(killed.steps)] == list(killed.steps)
    (kept,) = folders.of_run(folder / "wandb", killed.run_id)
    told = wandb_reader.read(kept)
    assert told.points("loss") == [(step, 1 / (step + 1)) for step in recorded]
    assert told.exit_codes == [0 if killed.victim == "courier" else 137]
