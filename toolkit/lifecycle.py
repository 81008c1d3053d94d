"""Whether a run is alive, how it ended, and settling one whose owner is gone."""

from __future__ import annotations

import time
from typing import Literal

from attrs import frozen

from toolkit import journal
from toolkit.environment import host
from toolkit.errors import UsageError
from toolkit.events import Ended
from toolkit.events import Status
from toolkit.journal import Segment
from toolkit.journal import SegmentWriter
from toolkit.rundir import RunDir
from toolkit.runinfo import Host

State = Literal["RUNNING", "UNSETTLED", "ELSEWHERE"] | Status


@frozen
class Life:
    """What can be said of a run's life from this machine."""

    state: State
    """RUNNING, how it ended, UNSETTLED (nobody lives, nobody wrote how it ended), or ELSEWHERE (no
    end, and only another machine, or another boot of this one, could tell)."""
    ended: Ended | None = None
    end_segment: int | None = None
    """Number of the segment in which the end was written."""
    alive: tuple[Segment, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether how the run ended is known."""
        return self.ended is not None


def look(run: RunDir) -> Life:
    """Read the run's life off its locks and its last events."""
    parts = journal.segments(run.journal)
    # Who settles a run is no part of it, and holds a segment only for as long as it writes the end.
    alive = tuple(part for part in parts if part.role != "settler" and part.is_alive())
    if alive:
        return Life("RUNNING", alive=alive)
    for part in reversed(parts):
        if isinstance(event := journal.last_event(part), Ended):
            return Life(event.status, event, part.number)
        if part.role == "owner":  # an earlier end belongs to an earlier attempt
            break
    return Life("UNSETTLED" if _is_same_boot(run.info().host) else "ELSEWHERE")


def _is_same_boot(there: Host) -> bool:
    return there == host()


def settle(run: RunDir) -> Life:
    """Write KILLED for a run whose owner vanished; any other run is left as it is."""
    if look(run).state != "UNSETTLED":
        return look(run)
    try:
        with run.lock():  # whoever joins, resumes or settles meanwhile waits; so look again first
            if look(run).state == "UNSETTLED":
                writer = SegmentWriter.create(run.journal, "settler")
                writer.append(Ended(time.time(), "KILLED"))
                writer.close()
    except OSError:  # on a disk that can't be written, runs can be looked at, not settled
        return look(run)
    return look(run)


def refuse_if_live(run: RunDir) -> None:
    """Raise UsageError, naming process and host, when somebody still writes this run."""
    life, there = look(run), run.info().host
    if life.state == "RUNNING":
        pids = ", ".join(str(part.writer_pid()) for part in life.alive)
        raise UsageError(
            f"run {run.path.name} is still alive on {there.name} (process {pids}); stop it first, "
            "or start another run"
        )
    if life.state == "ELSEWHERE":
        raise UsageError(
            f"run {run.path.name} may still be running on {there.name}, and only that machine can "
            "tell; resume it there, or end it there with `toolkit runs list`"
        )
