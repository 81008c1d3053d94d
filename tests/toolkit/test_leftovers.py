from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import kill
from tests.processes import line_from
from tests.processes import python
from tests.processes import tell
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import leftovers

RANK = """
import os, signal, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "heir" in sys.argv:
    def leave(number, frame):
        import subprocess
        heir = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(heir.pid, flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, leave)
print(os.getpid(), flush=True)
time.sleep(600)
"""

WATCHING = """
import os, sys
from pathlib import Path
from toolkit import leftovers
guard = leftovers.watch_over(Path(sys.argv[1]))
print("watching", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run whose processes are gone after the test, however it went."""
    path = tmp_path / "the run"
    yield path
    leftovers.end_processes(path)


def environ(run: Path | None) -> dict[str, str]:
    """The environment of a process of the run, or of none."""
    clean = {name: value for name, value in os.environ.items() if name != "TOOLKIT_RUN"}
    return {**clean, "TOOLKIT_RUN": str(run)} if run else clean


def is_alive(pid: int) -> bool:
    """Whether the process does anything any more."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_processes_in_sessions_of_their_own(run: Path) -> None:
    """Every process of the run is ended, wherever it stands; nobody else is."""
    with (
        python(RANK, env=environ(run), start_new_session=True) as rank,
        python(RANK, env=environ(run)) as other_rank,
        python(RANK, env=environ(run.parent), start_new_session=True) as of_another_run,
        python(RANK, env=environ(None)) as of_nobody,
    ):
        for process in (rank, other_rank, of_another_run, of_nobody):
            line_from(process)
        leftovers.end_processes(run)

        assert not is_alive(rank.pid)
        assert not is_alive(other_rank.pid)
        assert of_another_run.poll() is None
        assert of_nobody.poll() is None


def test_grandchildren(run: Path) -> None:
    """A process whose parent has gone is found all the same."""
    code = """
import subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                              start_new_session=True)
print(grandchild.pid, flush=True)
"""
    with python(code, env=environ(run)) as parent:
        pid = int(line_from(parent))
        parent.wait()
        assert is_alive(pid)
        leftovers.end_processes(run)

        assert not is_alive(pid)


def test_deaf_and_stopped_processes(run: Path) -> None:
    """What doesn't heed SIGTERM, or was stopped and can't, is killed."""
    with (
        python(RANK, "deaf", env=environ(run)) as deaf,
        python(RANK, env=environ(run)) as stopped,
    ):
        line_from(deaf)
        line_from(stopped)
        stopped.send_signal(signal.SIGSTOP)
        leftovers.end_processes(run)

        assert not is_alive(deaf.pid)
        assert not is_alive(stopped.pid)


def test_process_started_meanwhile(run: Path) -> None:
    """What a process starts on being ended, as a launcher may, is ended as well."""
    with python(RANK, "heir", env=environ(run)) as rank:
        line_from(rank)
        leftovers.end_processes(run)

        assert not is_alive(int(line_from(rank)))


def test_nothing_left(run: Path) -> None:
    """Where no process is left, nothing happens."""
    leftovers.end_processes(run)


def test_caller_is_spared(run: Path) -> None:
    """Whoever ends a run's processes is not one of them, even inside the run."""
    code = """
import os
from pathlib import Path
from toolkit import leftovers
leftovers.end_processes(Path(os.environ["TOOLKIT_RUN"]))
print("still here", flush=True)
"""
    with python(code, env=environ(run)) as process:
        assert line_from(process) == "still here"


def test_guard_acts_when_its_process_is_killed(run: Path) -> None:
    """When the watching process is killed, the guard takes the run's processes along."""
    with python(RANK, env=environ(run), start_new_session=True) as rank:
        line_from(rank)
        with python(WATCHING, run) as watching:
            line_from(watching)
            assert rank.poll() is None
            kill(watching)

            assert rank.wait(LIMIT) == -signal.SIGTERM


def test_dismissed_guard_does_nothing(run: Path) -> None:
    """A guard that was dismissed leaves, and the run's processes live on."""
    with (
        python(RANK, env=environ(run), start_new_session=True) as rank,
        python(WATCHING, run) as watching,
    ):
        line_from(rank)
        line_from(watching)
        (guard,) = psutil.Process(watching.pid).children()
        tell(watching, "leftovers.dismiss(guard)")
        line_from(watching)
        wait_until(lambda: not is_alive(guard.pid))
        kill(watching)

        assert rank.poll() is None


def test_guard_is_deaf_to_the_terminal(run: Path) -> None:
    """Signals that are meant for the command, or that end everybody, don't end the guard."""
    with python(RANK, env=environ(run)) as rank, python(WATCHING, run) as watching:
        line_from(rank)
        line_from(watching)
        (guard,) = psutil.Process(watching.pid).children()
        assert os.getsid(guard.pid) == guard.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            guard.send_signal(number)
        kill(watching)

        assert rank.wait(LIMIT) == -signal.SIGTERM


def test_guard_holds_no_stream(run: Path) -> None:
    """Whoever reads our output to its end is not kept waiting by the guard."""
    with (
        python(RANK, "deaf", env=environ(run)) as rank,
        python(WATCHING, run, stderr=subprocess.PIPE) as watching,
    ):
        line_from(rank)
        line_from(watching)
        (guard,) = psutil.Process(watching.pid).children()
        kill(watching)
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stdout.read() == watching.stderr.read() == ""

        assert is_alive(guard.pid)  # busy for seconds yet with a process that is deaf
        assert rank.poll() is None


def test_guard_holds_nothing_else_of_ours(run: Path, tmp_path: Path) -> None:
    """The guard keeps no file, pipe or folder open but its own end of the pipe."""
    with python(WATCHING, run, pass_fds=[os.open(tmp_path, os.O_RDONLY)]) as watching:
        line_from(watching)
        (guard,) = psutil.Process(watching.pid).children()
        held = [os.readlink(link) for link in Path(f"/proc/{guard.pid}/fd").iterdir()]
        tell(watching, "leftovers.dismiss(guard)")
        line_from(watching)

    assert sorted(path.partition(":")[0] for path in held) == [*["/dev/null"] * 3, "pipe"]


def test_dismissing_a_guard_that_is_gone(run: Path) -> None:
    """A guard that somebody killed costs the run nothing."""
    with python(WATCHING, run, stderr=subprocess.PIPE) as watching:
        line_from(watching)
        (guard,) = psutil.Process(watching.pid).children()
        guard.kill()
        wait_until(lambda: not is_alive(guard.pid))
        tell(watching, "leftovers.dismiss(guard)")

        assert line_from(watching) == "done"
