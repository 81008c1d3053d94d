from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import kill
from tests.processes import line_from
from tests.processes import python
from tests.processes import tell
from tests.waiting import wait_until
from toolkit.locks import Lock

HOLDER = """
import os, sys
from pathlib import Path
from toolkit.locks import Lock
lock = Lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a lock is to be."""
    return tmp_path / "0001.lock"


def test_free_lock(path: Path) -> None:
    """Nobody holds a lock before it is taken, nor after it is released."""
    assert not Lock.is_held(path)
    with Lock.acquire(path):
        assert Lock.is_held(path)
    assert not Lock.is_held(path)


def test_no_second_holder_in_this_process(path: Path) -> None:
    """The process that holds a lock doesn't get it a second time."""
    with Lock.acquire(path):
        assert Lock.try_acquire(path) is None
    with Lock.acquire(path):
        assert Lock.is_held(path)


def test_releasing_twice(path: Path) -> None:
    """Releasing a lock again does nothing, whoever has it then."""
    first = Lock.acquire(path)
    first.release()
    second = Lock.acquire(path)
    first.release()

    assert Lock.is_held(path)
    second.release()
    assert not Lock.is_held(path)


def test_lock_of_another_process(path: Path) -> None:
    """A lock that another process holds is held, and can't be had."""
    with python(HOLDER, path) as holder:
        line_from(holder)

        assert Lock.is_held(path)
        assert Lock.try_acquire(path) is None
        tell(holder, "lock.release()")
        line_from(holder)
        assert not Lock.is_held(path)


def test_lock_ends_with_its_process(path: Path) -> None:
    """SIGKILL ends a process's locks."""
    with python(HOLDER, path) as holder:
        line_from(holder)
        kill(holder)

    assert not Lock.is_held(path)


def test_waiting_for_a_lock(path: Path) -> None:
    """Whoever waits for a lock gets it when its holder dies."""
    with python(HOLDER, path) as holder:
        line_from(holder)
        with python(HOLDER, path) as waiting:
            kill(holder)
            assert line_from(waiting) == "held"


def test_forked_child_does_not_keep_a_lock(path: Path) -> None:
    """A forked child that lives on doesn't keep its parent's lock, as a DataLoader's worker may."""
    with python(HOLDER, path) as holder:
        line_from(holder)
        tell(holder, "pid = os.fork() or __import__('time').sleep(600); print(pid, flush=True)")
        child = int(line_from(holder))
        try:
            assert Lock.is_held(path)
            kill(holder)
            os.kill(child, 0)  # still there
            assert not Lock.is_held(path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_forked_child_sees_its_parents_lock(path: Path) -> None:
    """A forked child may ask, without harm, and learns of its parent's end."""
    code = """
import os, sys
from pathlib import Path
from toolkit.locks import Lock
path = Path(sys.argv[1])
lock = Lock.acquire(path)
parent = os.getpid()
if os.fork():
    sys.stdin.readline()
    os._exit(0)
print(os.getpid(), Lock.is_held(path), flush=True)
while os.getppid() == parent:
    pass
print(Lock.is_held(path), flush=True)
"""
    with python(code, path) as holder:
        assert line_from(holder).endswith("True")
        assert Lock.is_held(path)
        kill(holder)
        assert line_from(holder) == "False"


@pytest.mark.parametrize("spelling", ["path", "path.parent / '..' / path.parent.name / path.name"])
def test_asking_does_not_release(path: Path, spelling: str) -> None:
    """A process that asks about a lock of its own keeps it, however it spells the path."""
    with python(HOLDER, path) as holder:
        line_from(holder)
        tell(
            holder,
            f"path = Path(sys.argv[1]); print([Lock.is_held({spelling}) for _ in range(3)], "
            f"Lock.try_acquire({spelling}))",
        )

        assert line_from(holder) == "[True, True, True] None"
        line_from(holder)
        assert Lock.is_held(path)


def test_askers_do_not_see_each_other(path: Path) -> None:
    """Several processes that ask about a free lock at once all learn that it is free."""
    code = """
import sys
from pathlib import Path
from toolkit.locks import Lock
print("ready", flush=True)
sys.stdin.readline()
print(sum(Lock.is_held(Path(sys.argv[1])) for _ in range(3000)), flush=True)
"""
    Lock.acquire(path).release()
    with ExitStack() as stack:
        askers = [stack.enter_context(python(code, path)) for _ in range(3)]
        for asker in askers:
            line_from(asker)
        for asker in askers:
            tell(asker)

        assert [line_from(asker) for asker in askers] == ["0", "0", "0"]


def test_one_holder_among_threads(path: Path) -> None:
    """Of several threads that want a lock at the same moment, one gets it."""
    count, rounds = 4, 200
    barrier = threading.Barrier(count)
    got: list[list[Lock]] = [[] for _ in range(rounds)]

    def work() -> None:
        for number in range(rounds):
            barrier.wait()
            if lock := Lock.try_acquire(path):
                got[number].append(lock)
            if barrier.wait() == 0:
                for lock in got[number]:
                    lock.release()

    threads = [threading.Thread(target=work) for _ in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet in the middle of things
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert [len(locks) for locks in got] == [1] * rounds


def test_asking_in_one_thread_keeps_the_lock_of_another(path: Path) -> None:
    """A thread that asks while another one takes the lock doesn't take it away again."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            Lock.is_held(path)

    code = """
import sys
from pathlib import Path
from toolkit.locks import Lock
for line in sys.stdin:
    print(Lock.is_held(Path(sys.argv[1])), flush=True)
"""
    thread = threading.Thread(target=ask)
    with python(code, path) as other:
        thread.start()
        try:
            for _ in range(100):
                with Lock.acquire(path):
                    tell(other)
                    assert line_from(other) == "True"
        finally:
            stop.set()
            thread.join()


def test_interrupted_acquiring(path: Path) -> None:
    """A process that waits for a lock can be ended, and leaves nothing locked."""
    with Lock.acquire(path), python(HOLDER, path) as waiting:
        kill(waiting)
    wait_until(lambda: not Lock.is_held(path))
