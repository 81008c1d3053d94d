"""One courier is sent again and again with the runs of a process that follow each other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import Bench
from tests.waiting import wait_until
from toolkit import delivery
from toolkit import recorded
from toolkit import rundir
from toolkit.dispatch import CourierProcess
from toolkit.dispatch import IdleCouriers
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

CHILDREN = """
import os, psutil, signal, toolkit
def couriers():
    mine = psutil.Process().children()
    return {c.pid for c in mine if "toolkit.courier" in c.cmdline()}
def child(name, **others):
    with toolkit.start_run(nested=True, name=name, **others) as run:
        run.log_metrics({"loss": int(name)}, step=0)
parent = toolkit.start_run(name="parent", backend="file")
"""


def run(bench: Bench, code: str, third_party: dict[str, str], *, is_tracked: bool = False) -> str:
    """Run a script that ends well; returns what it printed."""
    start = bench.track if is_tracked else bench.run_script
    done = start(CHILDREN + code, env=third_party)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(bench: Bench, folder: str = "tracked") -> dict[str, dict[str, Any]]:
    """What was told of each run in full, by its name."""
    records = [json.loads(file.read_text()) for file in (bench.folder / folder).glob("*.json")]
    assert {record["status"] for record in records} == {"FINISHED"}
    return {record["name"]: record for record in records}


def teller(bench: Bench, name: str, folder: str = "tracked") -> int:
    """The process that told of a run."""
    pid: int = told(bench, folder)[name]["pid"]
    return pid


@pytest.mark.parametrize("is_tracked", [True, False])
def test_the_next_child_gets_the_courier_of_the_last(
    bench: Bench, third_party: dict[str, str], is_tracked: bool
) -> None:
    """One process tells all children, each in full, and is gone when the script has ended."""
    code = "for name in '0123': child(name, backend='file')"
    run(bench, code, third_party, is_tracked=is_tracked)
    pids = {teller(bench, name) for name in "0123"}
    assert len(pids) == 1
    assert not any(map(psutil.pid_exists, pids))
    for name in "0123":
        assert list(told(bench)[name]["metrics"]["loss"].values()) == [int(name)]


def test_the_next_run_gets_the_courier_of_the_last(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """Also where runs are no children of each other."""
    code = "parent.end()\nfor name in '12': toolkit.start_run(name=name, backend='file').end()"
    run(bench, code, third_party)
    assert teller(bench, "parent") == teller(bench, "1") == teller(bench, "2")


def test_threads_share_couriers(bench: Bench, third_party: dict[str, str]) -> None:
    """A pool of threads that start runs doesn't fill the machine with idle processes."""
    code = (
        "import threading\n"
        "parent.end()\n"
        "def trial(name): toolkit.start_run(name=name, backend='file').end()\n"
        "for name in '12':\n"
        "    thread = threading.Thread(target=trial, args=[name])\n"
        "    thread.start()\n"
        "    thread.join()\n"
    )
    run(bench, code, third_party)
    assert teller(bench, "parent") == teller(bench, "1") == teller(bench, "2")


def test_sync_sends_one_courier_with_all_runs(bench: Bench, third_party: dict[str, str]) -> None:
    """What is owed of a hundred runs doesn't take a hundred couriers."""
    run(bench, "for name in '12': child(name, backend='none')", third_party)
    done = bench.toolkit("sync", "--backend", "file", "-o", "file.folder=late", env=third_party)
    assert done.returncode == 0, done.stderr
    assert teller(bench, "1", "late") == teller(bench, "2", "late")


def test_other_options_get_another_courier(bench: Bench, third_party: dict[str, str]) -> None:
    """What a courier was started with, options and environment, is for such runs alone."""
    code = (
        "child('1')\n"
        "child('2', backend={'file': {'folder': 'there'}})\n"
        "os.environ['TOOLKIT_FILE_FOLDER'] = 'elsewhere'\n"
        "child('3')\n"
        "del os.environ['TOOLKIT_FILE_FOLDER']\n"
        "child('4')\n"
    )
    run(bench, code, third_party)
    assert teller(bench, "4") == teller(bench, "1")
    assert told(bench, "there").keys() == {"2"}
    assert told(bench, "elsewhere").keys() == {"3"}


def test_a_courier_that_gave_up_is_not_sent_again(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """It may be in any state: it ends, and the next run gets another."""
    (bench.folder / "tracked").mkdir()
    (bench.folder / "tracked" / "down").touch()
    code = (
        "before = couriers()\n"
        "child('1', backend='silent')\n"
        "assert couriers() == before\n"
        "os.unlink('tracked/down')\n"
        "child('2', backend='silent')\n"
    )
    run(bench, code, {**third_party, "TOOLKIT_FINISH_TIMEOUT": "1"})
    assert told(bench).keys() == {"2", "parent"}


def test_a_courier_that_breaks_on_a_later_run_is_replaced(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """What its plugin knew may be of another time: the run is told by a new courier."""
    run(bench, "for name in '12': child(name, backend='worn')", third_party)
    assert teller(bench, "1") != teller(bench, "2")


def test_nothing_in_the_environment_is_left_to_the_next_run(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """A password that a plugin took out of one address doesn't go to another."""
    run(bench, "for name in '12': child(name, backend='litterer')", third_party)
    assert teller(bench, "1") == teller(bench, "2")


def test_a_stopped_courier_leaves_at_once(
    bench: Bench, third_party: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of a run that can't be told ends it, not only its work."""
    monkeypatch.setenv("PYTHONPATH", third_party["PYTHONPATH"])
    monkeypatch.chdir(bench.folder)
    (bench.folder / "tracked").mkdir()
    (bench.folder / "tracked" / "down").touch()
    run(bench, "parent.end()", {**third_party, "TOOLKIT_BACKEND": "none"})
    delivery.owe(bench.only_run(), "silent", {}, Redactor.from_environment({}))
    courier = CourierProcess.send(bench.only_run(), "silent", {})
    wait_until(lambda: courier.state().problem)
    (process,) = (
        child for child in psutil.Process().children() if "toolkit.courier" in child.cmdline()
    )
    process.terminate()
    wait_until(lambda: not _is_alive(process.pid))
    assert not courier.has_told()
    courier.dismiss()


def test_what_python_prints_when_it_starts_is_no_answer(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """It goes into the log, as all that a courier's process says."""
    site = bench.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("print('hello', flush=True)\n")
    path = os.pathsep.join((str(site), third_party["PYTHONPATH"]))
    run(bench, "parent.end()", {"PYTHONPATH": path})
    assert told(bench)["parent"]["status"] == "FINISHED"
    assert "hello" in delivery.log_path(bench.only_run(), "file").read_text()


def test_a_courier_that_was_killed_while_idle_is_replaced(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """The next run is told all the same."""
    code = (
        "before = couriers()\n"
        "child('1')\n"
        "(kept,) = couriers() - before\n"
        "os.kill(kept, signal.SIGKILL)\n"
        "psutil.Process(kept).wait(60)\n"
        "child('2')\n"
    )
    run(bench, code, third_party)
    assert teller(bench, "1") != teller(bench, "2")


def test_a_plugin_that_reads_standard_input_gets_nothing(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """Which run is told next is between the courier and who sent it."""
    run(bench, "for name in '12': child(name, backend='asking')", third_party)
    assert teller(bench, "1") == teller(bench, "2")


def test_each_run_has_its_own_log(bench: Bench, third_party: dict[str, str]) -> None:
    """What a courier has to say is found beside the run that it says it of."""
    code = (
        "child('1', backend='refusing')\n"
        "with toolkit.start_run(nested=True, name='2', backend='refusing') as run:\n"
        "    run.log_metric('bad', 1)\n"
        "child('3', backend='refusing')\n"
    )
    run(bench, code, third_party)
    assert teller(bench, "1") == teller(bench, "2") == teller(bench, "3")
    logs = [
        delivery.log_path(one, "refusing").read_text()
        for one in rundir.all_runs(bench.runs)
        if "refusing" in delivery.backends(one)
    ]
    assert sorted("a metric named 'bad'" in log for log in logs) == [False, False, True]


def test_a_forked_process_has_couriers_of_its_own(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """It doesn't order its parent's about, nor end them when it ends."""
    code = (
        "child('1')\n"
        "parent.end()\n"
        "if os.fork() == 0:\n"
        "    toolkit.start_run(name='2', backend='file').end()\n"
        "else:\n"
        "    assert os.wait()[1] == 0\n"
        "    toolkit.start_run(name='3', backend='file').end()\n"
    )
    run(bench, code, third_party)
    before = {teller(bench, "1"), teller(bench, "parent")}
    assert teller(bench, "2") not in before
    assert teller(bench, "3") in before


def test_idle_couriers_leave_when_the_script_is_killed(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """Nothing is left behind by SIGKILL, though a forked process of the script lives on."""
    code = (
        "child('1')\n"
        "parent.end()\n"
        "print(*couriers(), flush=True)\n"
        "if os.fork() == 0:\n"
        "    os.close(1); os.close(2)\n"
        "    for _ in range(10_000):\n"
        "        if os.path.exists('over') or signal.sigtimedwait((), 0.05): break\n"
        "    os._exit(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = bench.run_script(CHILDREN + code, env=third_party)
    kept = [int(pid) for pid in done.stdout.split()]
    assert len(kept) == 2
    try:
        wait_until(lambda: not any(map(_is_alive, kept)))
    finally:
        Path(bench.folder, "over").touch()


def test_idle_couriers_leave_after_a_while(
    bench: Bench, third_party: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that goes on for days doesn't keep processes that nobody sends."""
    monkeypatch.setenv("PYTHONPATH", third_party["PYTHONPATH"])
    (courier,) = _tell_all(bench, IdleCouriers(seconds=0.1), third_party, names="1")
    wait_until(lambda: not _is_alive(courier))


def test_the_longest_idle_courier_makes_room(
    bench: Bench, third_party: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many settings a process tells runs with, it keeps only a few couriers."""
    monkeypatch.setenv("PYTHONPATH", third_party["PYTHONPATH"])
    idle = IdleCouriers(most=2)
    first, second, third = _tell_all(bench, idle, third_party, names="123")
    assert [_is_alive(courier) for courier in (first, second, third)] == [False, True, True]
    idle.dismiss()
    assert not _is_alive(second)
    assert not _is_alive(third)


def _tell_all(
    bench: Bench, idle: IdleCouriers, third_party: dict[str, str], names: str
) -> list[int]:
    """Have runs told one after another, each into a folder of its own; returns who told them."""
    run(bench, f"for name in '{names}': child(name, backend='none')", third_party)
    found = {recorded.overview(one).info.name: one for one in rundir.all_runs(bench.runs)}
    for name in names:
        _tell(found[name], idle, name)
    return [teller(bench, name, name) for name in names]


def _tell(run_dir: RunDir, idle: IdleCouriers, folder: str) -> None:
    given = {"folder": folder}
    delivery.owe(run_dir, "file", given, Redactor.from_environment({}))
    courier = idle.send(run_dir, "file", given)
    courier.wait(Patience())
    idle.keep(courier)


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
