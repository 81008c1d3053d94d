"""The tracker that tells nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.events import Ended
from toolkit.events import Metrics
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit.tracker import PROTOCOL_VERSION
from toolkit.tracker import Link
from toolkit_none import NoneTracker


def test_everything_is_accepted_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is the run's own id, and the folder stays empty."""
    monkeypatch.chdir(tmp_path)
    run = RunInfo(
        id="run-1", created=1.7e9, host=Host("node-1", "boot-1"), command=(), directory="."
    )
    tracker = NoneTracker()
    assert tracker.open(run, None) == Link(id="run-1")
    tracker.write([Metrics(time=1.7e9, values={"loss": 1.0}, step=0)])
    tracker.close(Ended(time=1.7e9, status="FINISHED"))
    assert tracker.protocol_version == PROTOCOL_VERSION
    assert not list(tmp_path.iterdir())
