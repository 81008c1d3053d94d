"""Sweeps that are stopped: by a signal, by SIGKILL, by each other; the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from typing import Any

import psutil
import pytest

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from tests.commands import Bench
from tests.commands import status
from tests.terminal import at_terminal
from tests.toolkit.sweep.sweeping import LOSS
from tests.toolkit.sweep.sweeping import write
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import rundir
from toolkit.sweep.interruption import interruptible

# The trial whose number is in the file "stay" stays until it is killed.
SCRIPT = """
import os, pathlib, sys, time, toolkit
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
with toolkit.start_run() as run:
    number = len([path for path in pathlib.Path("runs").glob("*/run.json")]) - 1
    stay = pathlib.Path("stay")
    while stay.exists() and stay.read_text() == str(number):
        pathlib.Path("staying").write_text(str(os.getpid()))
        time.sleep(0.02)
    run.log_metric("loss", (float(given["x"]) - 0.3) ** 2)
"""
FILE = f"method: bayes\nname: s\nrun_cap: 4\n{LOSS}parameters: {{x: {{min: 0.0, max: 1.0}}}}\n"
COMMAND = (sys.executable, "-m", "toolkit", "sweep", "sweep.yaml", "--json")


def _prepare(bench: Bench, stay: int) -> None:
    write(bench.folder, FILE)
    bench.script(SCRIPT)
    (bench.folder / "stay").write_text(str(stay), encoding="utf-8")


def _stayer(bench: Bench, process: subprocess.Popen[str]) -> int:
    """The process id of the script that stays, once it does."""
    staying = bench.folder / "staying"
    wait_until(lambda: staying.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    wait_until(staying.read_text)
    return int(staying.read_text())


def _finish(bench: Bench) -> dict[str, Any]:
    """Start the same command again, and let every trial end."""
    (bench.folder / "stay").unlink(missing_ok=True)
    done = bench.toolkit("sweep", "sweep.yaml", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _assert_whole(bench: Bench, found: dict[str, Any], given_up: int) -> None:
    """Four trials have ended, the one that was given up was tried again, all are runs."""
    states = [trial["state"] for trial in found["trials"]]
    by_number = {trial["number"]: trial for trial in found["trials"]}
    assert states == ["COMPLETE"] * 4 + ["ABANDONED"]
    assert by_number[given_up]["state"] == "ABANDONED"
    again = [t for t in found["trials"] if t["params"] == by_number[given_up]["params"]]
    assert sorted(trial["state"] for trial in again) == ["ABANDONED", "COMPLETE"]
    runs = {run.path.name: status(run) for run in rundir.all_runs(bench.runs)}
    assert {t["run_id"] for t in found["trials"]} == runs.keys()
    assert runs[by_number[given_up]["run_id"]] == "KILLED"


def test_sigkill_half_way(bench: Bench) -> None:
    """Killed half way and started again, it ends with as many trials as one that wasn't.

    A trial's values, whose secrets aren't masked, are for the user alone, and none are left.
    """
    _prepare(bench, stay=2)
    with bench.started(*COMMAND) as process:
        script = _stayer(bench, process)
        process.kill()
        process.wait(LIMIT)
        wait_until(lambda: not psutil.pid_exists(script))  # the guard has taken it along
    (values,) = bench.runs.glob("sweeps/*/trials/*")
    assert stat.S_IMODE(values.stat().st_mode) == 0o600
    found = _finish(bench)
    assert not list(values.parent.iterdir())

    _assert_whole(bench, found, given_up=2)
    assert [found["ended"], found["cap"]] == [4, 4]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal(bench: Bench, number: int, code: int) -> None:
    """A signal ends the running trial in its own way, and the sweep says how to go on."""
    _prepare(bench, stay=1)
    with bench.started(*COMMAND) as process:
        script = _stayer(bench, process)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=LIMIT)

    assert process.returncode == code
    assert not psutil.pid_exists(script)
    assert "1 of 4 trials have ended; `toolkit sweep sweep.yaml --json` goes on" in stderr
    if number != signal.SIGINT:  # of which Python shows the script's traceback
        assert "Traceback" not in stderr
    assert [trial["state"] for trial in json.loads(stdout)["trials"]] == ["COMPLETE", "ABANDONED"]
    if number == signal.SIGINT:
        _assert_whole(bench, _finish(bench), given_up=1)


def test_ignored_signal_stays_ignored() -> None:
    """Under nohup a hangup doesn't stop a sweep."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.signal is None
            assert signal.getsignal(signal.SIGTERM) == interruption.receive
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_at_a_terminal(bench: Bench) -> None:
    """Ctrl-C is for the sweep, whose trial is in the background and shows what it prints."""
    _prepare(bench, stay=1)
    bench.script(f"print('on stdout', flush=True)\n{SCRIPT}")
    with at_terminal(COMMAND[:-1], cwd=bench.folder, env=bench.environ()) as (terminal, process):
        staying = bench.folder / "staying"
        wait_until(lambda: staying.exists() or process.poll() is not None)
        terminal.type("\x03")
        code = process.wait(LIMIT)
        wait_until(lambda: "goes on" in terminal.shown())

        assert code == 130
        assert terminal.shown().count("on stdout") == 2
        assert "1 of 4 trials have ended" in terminal.shown()


def test_trial_that_outlives_its_sweep(bench: Bench) -> None:
    """When the guard is killed as well, the next sweep waits for the trial that is left."""
    _prepare(bench, stay=0)
    with bench.started(*COMMAND) as process:
        _stayer(bench, process)
        (guard,) = (
            child
            for child in psutil.Process(process.pid).children()
            if "toolkit.sweep.guard" in child.cmdline()
        )
        guard.kill()
        process.kill()
        process.wait(LIMIT)
        with bench.started(*COMMAND) as again:
            assert again.stderr is not None
            assert "trial 0 still runs" in again.stderr.readline()
            (bench.folder / "stay").unlink()
            stdout, stderr = again.communicate(timeout=LIMIT)

    assert again.returncode == 0, stderr
    states = [trial["state"] for trial in json.loads(stdout)["trials"]]
    assert states == ["COMPLETE"] * 4 + ["ABANDONED"]


def test_one_at_a_time(bench: Bench) -> None:
    """A sweep that runs isn't run a second time; another seed is another sweep."""
    _prepare(bench, stay=0)
    with bench.started(*COMMAND) as process:
        _stayer(bench, process)
        second = bench.toolkit("sweep", "sweep.yaml")
        other = bench.toolkit("sweep", "sweep.yaml", "--seed", "1", "--count", "1")
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=LIMIT)

    assert second.returncode == 2
    assert "is running already" in second.stderr
    assert other.returncode == 0, other.stderr
