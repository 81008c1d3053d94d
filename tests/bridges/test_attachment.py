"""Rules of which run a bridge records in."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toolkit
from tests.bridges.reading import curves
from tests.bridges.reading import only_run
from tests.bridges.reading import runs_in
from tests.commands import of_kind
from tests.commands import status
from toolkit.bridges.attachment import Attachment
from toolkit.bridges.attachment import RunOptions
from toolkit.events import Described
from toolkit.events import Left


def test_the_options_are_those_of_start_run() -> None:
    """Every option has the name and the type that it has there."""
    expected = {
        name: parameter.annotation
        for name, parameter in inspect.signature(toolkit.start_run).parameters.items()
    }
    found = {name: kind.__forward_arg__ for name, kind in RunOptions.__annotations__.items()}
    assert found == expected


def test_the_active_run_is_used_and_left_open() -> None:
    """Who started a run ends it."""
    with toolkit.start_run() as run:
        attachment = Attachment(None, {"project": "other"})
        assert attachment.begin() is run
        attachment.end("FAILED")
        assert not run.is_over


def test_a_run_that_is_given_is_used(home: Path) -> None:
    """Also beside an active one."""
    given = toolkit.start_run()
    with toolkit.start_run(nested=True):
        assert Attachment(given, {}).begin() is given
    given.end()
    assert len(runs_in(home)) == 2


def test_a_run_is_started_where_there_is_none(home: Path) -> None:
    """With the user's options, before those of the bridge; what starts it ends it."""
    attachment = Attachment(None, {"project": "p", "name": None})
    run = attachment.begin(name="of the bridge", project="ignored")
    assert attachment.begin() is run is toolkit.active_run()
    attachment.end("FAILED")
    assert status(only_run(home)) == "FAILED"
    (said, *_) = of_kind(only_run(home), Described)
    assert (said.project, said.name) == ("p", "of the bridge")


def test_a_resting_run_ends_when_another_begins(home: Path) -> None:
    """A training that is over has its run to itself; the next one gets its own."""
    first, second = Attachment(None, {}), Attachment(None, {})
    one = first.begin()
    first.rest()
    assert first.begin() is one
    assert second.begin() is not one
    second.end("FINISHED")
    assert [status(run) for run in runs_in(home)] == ["FINISHED", "FINISHED"]


def test_bridges_at_work_share_a_run(home: Path) -> None:
    """The second finds the first one's run active."""
    first, second = Attachment(None, {}), Attachment(None, {})
    assert first.begin() is second.begin()
    second.end("FAILED")
    first.end("FINISHED")
    assert status(only_run(home)) == "FINISHED"


def test_more_after_the_end_is_a_new_run_or_the_same_one(home: Path) -> None:
    """As the bridge says."""
    for after_end in ("new", "resume"):
        attachment = Attachment(None, {}, after_end=after_end)
        ended = attachment.begin()
        ended.end()
        again = attachment.begin()
        assert again is not ended
        assert (again.id == ended.id) is (after_end == "resume")
        again.end()
    assert len(runs_in(home)) == 3


def _record(attachment: Attachment, step: int) -> None:
    attachment.begin().log_metrics({"x": step}, step)
    attachment.rest()


def _read_only(attachment: Attachment, step: int) -> None:
    attachment.begin().log_metrics({"helper": step}, step)


def _in_process(method: str, work: Callable[..., Any], *args: Any, daemon: bool = False) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=work, args=args, daemon=daemon)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_worker_takes_part_in_its_parents_run(home: Path) -> None:
    """Forked or spawned, it joins, and leaves when its work is done; helpers don't write."""
    attachment = Attachment(None, {})
    attachment.begin().log_metrics({"x": 0}, 0)
    _in_process("fork", _record, attachment, 1)
    _in_process("spawn", _record, attachment, 2)
    _in_process("fork", _read_only, attachment, 3, daemon=True)
    attachment.begin().log_metrics({"x": 3}, 3)
    attachment.end("FINISHED")
    run = only_run(home)
    assert curves(run) == {"x": [(0, 0.0), (3, 3.0), (1, 1.0), (2, 2.0)]}
    assert [left.status for left in of_kind(run, Left)] == ["FINISHED", "FINISHED"]
