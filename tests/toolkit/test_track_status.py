"""How a tracked run ends: exit codes, what the script said, and who was killed."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import lifecycle
from toolkit.events import Ended
from toolkit.events import Left
from toolkit.events import Metrics

LOGGING = """
import toolkit, itertools, os, time
with toolkit.start_run() as run:
    for step in itertools.count():
        run.log_metrics({"loss": 1.0}, step=step)
        if step == 5 and os.environ.get("RANK", "0") == "0":
            open("ready", "w").write(str(os.getpid()))
        time.sleep(0.01)
"""

LAUNCHER = """
import os, subprocess, sys
ranks = [
    subprocess.Popen(
        [sys.executable, sys.argv[1]],
        env={**os.environ, "RANK": str(rank)},
        start_new_session=True,
    )
    for rank in range(2)
]
codes = [rank.wait() for rank in ranks[:1]]
for rank in ranks:
    rank.kill()
sys.exit(1 if any(codes) else 0)
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "expected"),
    [
        ("", 0, "FINISHED"),
        ("import sys; sys.exit(1)", 1, "FAILED"),
        ("import sys; sys.exit(3)", 3, "FAILED"),
        ("raise ValueError('no')", 1, "FAILED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "KILLED"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, "KILLED"),
        ("import sys; sys.exit(130)", 130, "KILLED"),
        ("import sys; sys.exit(137)", 137, "KILLED"),
        ("import sys; sys.exit(143)", 143, "KILLED"),
    ],
)
def test_exit_code_decides(bench: Bench, code: str, exit_code: int, expected: str) -> None:
    """The command's exit code is passed on, 128+N for a signal, and decides how the run ended."""
    done = bench.track(code)

    assert (done.returncode, status(bench.only_run())) == (exit_code, expected)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import toolkit\nwith toolkit.start_run(): pass", "FINISHED"),
        ("import toolkit\nwith toolkit.start_run(): raise ValueError", "FAILED"),
        ("import toolkit, sys\nwith toolkit.start_run(): sys.exit(1)", "FAILED"),
        ("import toolkit, sys\nwith toolkit.start_run(): sys.exit(0)", "FINISHED"),
        ("import toolkit\ntoolkit.start_run()\nraise ValueError", "FAILED"),
        ("import toolkit\ntoolkit.start_run()", "FINISHED"),
        ("import toolkit\nwith toolkit.start_run(): pass\nraise ValueError", "FAILED"),
        (
            "import toolkit\ntry:\n with toolkit.start_run(): raise ValueError\n"
            "except ValueError: pass",
            "FAILED",
        ),
        (
            "import toolkit\ntry:\n with toolkit.start_run(): raise KeyboardInterrupt\n"
            "except KeyboardInterrupt: pass",
            "KILLED",
        ),
    ],
)
def test_joined_script_decides(bench: Bench, code: str, expected: str) -> None:
    """A script that joined says how it left; a `with` that ended well hides no later crash."""
    bench.track(code)

    assert len(of_kind(bench.only_run(), Left)) == 1
    assert status(bench.only_run()) == expected


def test_vanished_script_is_killed(bench: Bench) -> None:
    """A joined writer that vanished without leaving was killed, whatever the exit code says."""
    done = bench.track("import os, toolkit\ntoolkit.start_run()\nos._exit(1)")

    assert (done.returncode, status(bench.only_run())) == (1, "KILLED")


def test_only_the_owner_writes_the_end(bench: Bench) -> None:
    """One Ended per run, in the owner's segment."""
    bench.track("import toolkit\nwith toolkit.start_run(): pass")

    (segment,) = {
        path.name
        for path in bench.only_run().journal.glob("*.jsonl")
        if b'"ended"' in path.read_bytes()
    }
    assert segment == "0001-owner.jsonl"


def _ready(bench: Bench) -> int:
    path = bench.folder / "ready"
    wait_until(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _track(bench: Bench, *command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "toolkit", "track", "--", *command)


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
)
def test_interrupted_track(bench: Bench, number: signal.Signals, exit_code: int) -> None:
    """`track` passes an interruption on to the command, and the run was killed."""
    script = bench.script(LOGGING)
    with bench.started(*_track(bench, sys.executable, script)) as process:
        pid = _ready(bench)
        process.send_signal(number)
        assert process.wait(LIMIT) == exit_code

    assert _is_gone(pid)
    assert status(bench.only_run()) == "KILLED"


def test_killed_script(bench: Bench) -> None:
    """SIGKILL of the script: KILLED, exit code 137, nothing acknowledged is lost."""
    with bench.started(*_track(bench, sys.executable, bench.script(LOGGING))) as process:
        os.kill(_ready(bench), signal.SIGKILL)
        assert process.wait(LIMIT) == 137

    steps = [event.step for event in of_kind(bench.only_run(), Metrics)]
    assert steps == list(range(len(steps)))
    assert len(steps) > 5
    assert status(bench.only_run()) == "KILLED"


def test_killed_track_takes_the_command_along(bench: Bench) -> None:
    """`track` is part of the job: killed, its command dies too, and the run settles as KILLED."""
    with bench.started(*_track(bench, sys.executable, bench.script(LOGGING))) as process:
        pid = _ready(bench)
        process.kill()
        wait_until(lambda: _is_gone(pid))

    run = bench.only_run()
    assert status(run) == "UNSETTLED"
    assert lifecycle.settle(run).state == "KILLED"
    assert len(of_kind(run, Ended)) == 1


def _launcher(bench: Bench) -> tuple[str, ...]:
    launcher = bench.folder / "launcher.py"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    return _track(bench, sys.executable, str(launcher), bench.script(LOGGING))


def test_killed_rank(bench: Bench) -> None:
    """A launcher reports a killed rank as plain exit 1; the run was killed all the same."""
    with bench.started(*_launcher(bench)) as process:
        os.kill(_ready(bench), signal.SIGKILL)
        assert process.wait(LIMIT) == 1

    assert status(bench.only_run()) == "KILLED"


def test_killed_launcher_leaves_no_rank_behind(bench: Bench) -> None:
    """SIGKILL of the launcher: its ranks, in sessions of their own, are ended; KILLED."""
    with bench.started(*_launcher(bench)) as process:
        rank = _ready(bench)
        os.kill(psutil.Process(rank).ppid(), signal.SIGKILL)
        assert process.wait(LIMIT) == 137

    assert _is_gone(rank)
    assert status(bench.only_run()) == "KILLED"


def test_ranks_make_one_run(bench: Bench) -> None:
    """Ranks other than 0 are accepted and record nothing: one run, one joined writer."""
    launcher = bench.folder / "launcher.py"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    script = bench.script(
        "import os, toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_metric('rank', int(os.environ['RANK']))"
    )
    bench.toolkit("track", "--", sys.executable, str(launcher), script)

    run = bench.only_run()
    assert [event.values for event in of_kind(run, Metrics)] == [{"rank": 0.0}]
    assert [path.name for path in sorted(run.journal.glob("*.jsonl"))] == [
        "0001-owner.jsonl",
        "0002-joined.jsonl",
    ]


def test_any_command(bench: Bench) -> None:
    """A command that never heard of the toolkit is still a run."""
    done = bench.toolkit("track", "--", "sh", "-c", "echo hello")

    assert done.stdout == "hello\n"
    assert status(bench.only_run()) == "FINISHED"


def test_command_that_cannot_run(bench: Bench) -> None:
    """A file that is no program ends with 2 and its name, and the run it had is over."""
    program = bench.folder / "program"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o755)
    done = bench.toolkit("track", "--", str(program))

    assert done.returncode == 2
    assert str(program) in done.stderr
    assert "Traceback" not in done.stderr
    assert status(bench.only_run()) == "FAILED"


def test_closed_streams(bench: Bench) -> None:
    """A shell that closed standard input takes nothing away from the run."""
    command = f"{sys.executable} -m toolkit track -- echo hello <&-"
    with bench.started("sh", "-c", command) as process:
        said, errors = process.communicate(timeout=LIMIT)

    assert (process.returncode, said) == (0, "hello\n"), errors
    assert status(bench.only_run()) == "FINISHED"
