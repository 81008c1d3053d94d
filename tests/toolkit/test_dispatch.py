"""Couriers of child runs: one is sent again and again, for as long as the parent goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import Bench
from tests.toolkit.conftest import Installer
from tests.waiting import wait_until
from toolkit import delivery
from toolkit import rundir

COURIERS = """
import os, psutil, signal, sys, toolkit
def couriers():
    mine = psutil.Process().children()
    return {c.pid for c in mine if "toolkit.courier" in c.cmdline()}
def child(loss, **others):
    before = couriers()
    with toolkit.start_run(nested=True, name=str(loss), **others) as run:
        run.log_metrics({"loss": loss}, step=0)
    return couriers() - before
parent = toolkit.start_run(name="parent", backend="file")
"""


@pytest.fixture
def third_party(install: Installer) -> dict[str, str]:
    """An environment in which other people's distributions are installed."""
    return {"PYTHONPATH": install("file_plugin", "faulty_plugin")}


def run(bench: Bench, code: str, third_party: dict[str, str], *, is_tracked: bool = False) -> str:
    """Run a script that ends well; returns what it printed."""
    start = bench.track if is_tracked else bench.run_script
    done = start(COURIERS + code, env=third_party)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(bench: Bench, folder: str = "tracked") -> dict[str, dict[str, Any]]:
    """What was told of each run, by its name."""
    records = [json.loads(file.read_text()) for file in (bench.folder / folder).glob("*.json")]
    return {record["name"]: record for record in records}


@pytest.mark.parametrize("is_tracked", [True, False])
def test_the_next_child_gets_the_courier_of_the_last(
    bench: Bench, third_party: dict[str, str], is_tracked: bool
) -> None:
    """One process tells all children, each in full, and is gone when the parent has ended."""
    code = (
        "parents = couriers()\n"
        "print(*(len(child(loss, backend='file')) for loss in range(4)))\n"
        "print(*couriers() - parents)\n"
        "parent.end()\n"
        "assert not couriers()\n"
    )
    counts, kept = run(bench, code, third_party, is_tracked=is_tracked).splitlines()
    assert counts == "1 0 0 0"
    assert not psutil.pid_exists(int(kept))
    records = told(bench)
    for loss in range(4):
        assert list(records[str(loss)]["metrics"]["loss"].values()) == [loss]
        assert records[str(loss)]["status"] == "FINISHED"


def test_other_options_get_another_courier(bench: Bench, third_party: dict[str, str]) -> None:
    """What a courier was started with, options and environment, is for those runs alone."""
    code = (
        "print(len(child(1)), len(child(2, backend={'file': {'folder': 'there'}})))\n"
        "os.environ['TOOLKIT_FILE_FOLDER'] = 'elsewhere'\n"
        "print(len(child(3)), len(child(4)))\n"
    )
    assert run(bench, code, third_party) == "1 1\n1 0\n"
    assert told(bench, "there").keys() == {"2"}
    assert told(bench, "elsewhere").keys() == {"3", "4"}


def test_a_courier_that_gave_up_is_not_sent_again(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """Whatever made it fail may have left it in any state; the next child gets a new one."""
    (bench.folder / "tracked").mkdir()
    (bench.folder / "tracked" / "down").touch()
    code = (
        "parents = couriers()\n"
        "child(1, backend='silent')\n"
        "assert couriers() == parents\n"
        "os.unlink('tracked/down')\n"
        "print(len(child(2, backend='silent')))\n"
    )
    assert run(bench, code, {**third_party, "TOOLKIT_FINISH_TIMEOUT": "1"}) == "1\n"
    assert told(bench)["2"]["status"] == "FINISHED"


def test_a_courier_that_was_killed_while_idle_is_replaced(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """The next child is told all the same."""
    code = (
        "(kept,) = child(1)\n"
        "os.kill(kept, signal.SIGKILL)\n"
        "psutil.Process(kept).wait(60)\n"
        "print(len(child(2)))\n"
    )
    assert run(bench, code, third_party) == "1\n"
    assert {told(bench)[name]["status"] for name in "12"} == {"FINISHED"}


def test_each_run_has_its_own_log(bench: Bench, third_party: dict[str, str]) -> None:
    """What a courier has to say is found beside the run that it says it of."""
    code = (
        "child(1, backend='refusing')\n"
        "with toolkit.start_run(nested=True, name='2', backend='refusing') as run:\n"
        "    run.log_metric('bad', 1)\n"
        "child(3, backend='refusing')\n"
    )
    run(bench, code, third_party)
    logs = {
        delivery.log_path(one, "refusing").read_text()
        for one in rundir.all_runs(bench.runs)
        if "refusing" in delivery.backends(one)
    }
    assert len(logs) == 2
    assert sum("a metric named 'bad'" in log for log in logs) == 1


def test_idle_couriers_leave_when_the_script_is_killed(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """Nothing is left behind by SIGKILL, though a forked process of the script lives on."""
    code = (
        "(kept,) = child(1)\n"
        "print(kept, flush=True)\n"
        "if (forked := os.fork()) == 0:\n"
        "    os.close(1); os.close(2)\n"
        "    for _ in range(10_000):\n"
        "        if os.path.exists('over') or signal.sigtimedwait((), 0.05): break\n"
        "    os._exit(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = bench.run_script(COURIERS + code, env=third_party)
    (kept,) = map(int, done.stdout.split())
    try:
        wait_until(lambda: not _is_alive(kept))
    finally:
        Path(bench.folder, "over").touch()


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
