from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import kill
from tests.processes import line_from
from tests.processes import python
from tests.processes import tell
from toolkit import environment
from toolkit import journal
from toolkit import lifecycle
from toolkit.errors import UsageError
from toolkit.events import Ended
from toolkit.events import Left
from toolkit.events import Status
from toolkit.journal import SegmentWriter
from toolkit.rundir import RunDir
from toolkit.runinfo import Host

NewRun = Callable[..., RunDir]

OWNER = """
import sys
from pathlib import Path
from toolkit.journal import SegmentWriter
writer = SegmentWriter.create(Path(sys.argv[1]), sys.argv[2])
print("writing", flush=True)
sys.stdin.read()
"""


def attempt(run: RunDir, status: Status | None) -> None:
    """An owner that comes and goes; without a status, it vanishes."""
    writer = SegmentWriter.create(run.journal, "owner")
    if status:
        writer.append(Ended(1.0, status))
    writer.close()


def ends(run: RunDir) -> list[Ended]:
    """Every end that was written."""
    return [e for _, e in journal.events_of(run.journal, Ended) if isinstance(e, Ended)]


def test_running(run_dir: RunDir) -> None:
    """A run lives while its owner does, even when the end is written already."""
    writer = SegmentWriter.create(run_dir.journal, "owner")
    assert lifecycle.look(run_dir).state == "RUNNING"
    writer.append(Ended(1.0, "FINISHED"))
    assert lifecycle.look(run_dir).state == "RUNNING"
    assert not lifecycle.look(run_dir).is_over
    writer.close()

    assert lifecycle.look(run_dir).is_over


def test_running_while_a_script_lives(run_dir: RunDir) -> None:
    """A run lives while any writer does: a script may outlive its owner."""
    attempt(run_dir, None)
    with python(OWNER, run_dir.journal, "joined") as script:
        line_from(script)
        life = lifecycle.settle(run_dir)
        assert life.state == "RUNNING"
        assert [part.role for part in life.alive] == ["joined"]
        kill(script)

    assert lifecycle.look(run_dir).state == "UNSETTLED"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_ended(run_dir: RunDir, status: Status) -> None:
    """A run ended as its owner wrote, and settling leaves it so."""
    attempt(run_dir, status)
    life = lifecycle.settle(run_dir)

    assert (life.state, life.ended, life.end_segment) == (status, Ended(1.0, status), 1)
    assert life.is_over
    assert len(ends(run_dir)) == 1


def test_end_stands_although_a_script_left(run_dir: RunDir) -> None:
    """What a script said on leaving is not the run's end, nor does it hide that."""
    owner = SegmentWriter.create(run_dir.journal, "owner")
    script = SegmentWriter.create(run_dir.journal, "joined")
    script.append(Left(1.0, "FINISHED"))
    script.close()
    assert lifecycle.look(run_dir).state == "RUNNING"
    owner.append(Ended(2.0, "FAILED"))
    owner.close()

    assert lifecycle.look(run_dir).state == "FAILED"


def test_killed_owner_is_settled(run_dir: RunDir) -> None:
    """A run whose owner was killed is UNSETTLED until somebody settles it as KILLED."""
    with python(OWNER, run_dir.journal, "owner") as owner:
        line_from(owner)
        assert lifecycle.settle(run_dir).state == "RUNNING"
        kill(owner)
    assert lifecycle.look(run_dir).state == "UNSETTLED"
    life = lifecycle.settle(run_dir)

    assert (life.state, life.end_segment) == ("KILLED", 2)
    assert [part.role for part in journal.segments(run_dir.journal)] == ["owner", "settler"]
    assert lifecycle.settle(run_dir) == life


def test_run_without_a_writer_is_settled(run_dir: RunDir) -> None:
    """An owner may die before it has written anything."""
    assert lifecycle.look(run_dir).state == "UNSETTLED"
    assert lifecycle.settle(run_dir).state == "KILLED"


def test_being_settled_is_not_being_alive(run_dir: RunDir) -> None:
    """Who looks while another process writes the end doesn't take that one for the run."""
    attempt(run_dir, None)
    settler = SegmentWriter.create(run_dir.journal, "settler")

    assert lifecycle.look(run_dir).state == "UNSETTLED"
    settler.close()


def test_settled_once(new_run: NewRun, runs_dir: Path) -> None:
    """However many processes settle a run at once, it ends once, and all of them see it ended."""
    runs = [new_run(id=f"run-{number:02d}") for number in range(12)]
    for run in runs:
        attempt(run, None)
    code = """
import sys
from pathlib import Path
from toolkit import lifecycle, rundir
runs = rundir.all_runs(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(*{lifecycle.settle(run).state for run in runs}, flush=True)
"""
    with ExitStack() as stack:
        settlers = [stack.enter_context(python(code, runs_dir)) for _ in range(4)]
        for settler in settlers:
            line_from(settler)
        for settler in settlers:
            tell(settler)
        assert [line_from(settler) for settler in settlers] == ["KILLED"] * 4

    assert [len(ends(run)) for run in runs] == [1] * 12


def test_killed_settler_is_settled(run_dir: RunDir) -> None:
    """A settler that dies before it has written leaves the run to the next one."""
    attempt(run_dir, None)
    SegmentWriter.create(run_dir.journal, "settler").close()

    assert lifecycle.look(run_dir).state == "UNSETTLED"
    assert lifecycle.settle(run_dir).state == "KILLED"


def test_torn_end_is_no_end(run_dir: RunDir) -> None:
    """An owner that was killed while it wrote the end has not ended the run."""
    attempt(run_dir, None)
    path = journal.segments(run_dir.journal)[0].path
    path.write_bytes(b'{"kind":"ended","time":1.0,"status":"FIN')

    assert lifecycle.settle(run_dir).state == "KILLED"


@pytest.mark.parametrize("earlier", ["FINISHED", "FAILED", None])
def test_end_of_an_earlier_attempt(run_dir: RunDir, earlier: Status | None) -> None:
    """After a resume, how an earlier attempt ended doesn't count."""
    attempt(run_dir, earlier)
    lifecycle.settle(run_dir)
    attempt(run_dir, None)

    assert lifecycle.look(run_dir).state == "UNSETTLED"
    assert lifecycle.settle(run_dir).state == "KILLED"
    attempt(run_dir, "FINISHED")
    assert lifecycle.look(run_dir).state == "FINISHED"


@pytest.mark.parametrize(
    "host",
    [Host(environment.host().name, "another boot"), Host("elsewhere", environment.host().boot_id)],
    ids=["another boot", "another machine"],
)
def test_elsewhere(new_run: NewRun, host: Host) -> None:
    """Only its own machine, in the same boot, may say that a run was killed."""
    run = new_run(host=host)
    attempt(run, None)

    assert lifecycle.look(run).state == "ELSEWHERE"
    assert lifecycle.settle(run).state == "ELSEWHERE"
    assert not lifecycle.look(run).is_over
    assert ends(run) == []


def test_end_elsewhere_is_known_here(new_run: NewRun) -> None:
    """An end that was written can be read anywhere."""
    run = new_run(host=Host("elsewhere", "x"))
    attempt(run, "FINISHED")

    assert lifecycle.look(run).state == "FINISHED"


def test_live_run_is_refused(run_dir: RunDir) -> None:
    """A live run can't be resumed; the message names its process and its machine."""
    with python(OWNER, run_dir.journal, "owner") as owner:
        line_from(owner)
        with pytest.raises(UsageError, match="still alive") as caught:
            lifecycle.refuse_if_live(run_dir)
        assert str(owner.pid) in str(caught.value)
        assert environment.host().name in str(caught.value)
        kill(owner)

    lifecycle.refuse_if_live(run_dir)


def test_run_elsewhere_is_refused(new_run: NewRun) -> None:
    """A run that may be alive on another machine can't be resumed here."""
    run = new_run(host=Host("far-away", "x"))
    attempt(run, None)

    with pytest.raises(UsageError, match="far-away"):
        lifecycle.refuse_if_live(run)


def test_ended_run_is_not_refused(run_dir: RunDir) -> None:
    """A run that has ended can be resumed."""
    attempt(run_dir, "FAILED")

    lifecycle.refuse_if_live(run_dir)
