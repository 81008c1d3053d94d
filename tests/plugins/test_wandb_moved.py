"""Offline runs that were copied: the places in the `.wandb` file are corrected, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins import wandb_reader
from tests.plugins.wandb_environment import without_settings
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import Ended
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit_wandb import moved
from toolkit_wandb.tracker import WandbTracker

HEADER = b":W&B\xe1\xbe\x00"


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.integers(32700, 32800).map(bytes),
            st.integers(0, 100_000).map(lambda size: b"x" * size),
        ),
        max_size=6,
    )
)
def test_records_are_written_as_they_are_read(records: list[bytes]) -> None:
    """Of any size: within a block, up to its very end, and over several."""
    content = HEADER + b"".join(moved._chunks(records))
    assert list(moved.records(content)) == records


def test_a_torn_end_is_left_out() -> None:
    """What a crash has cut ends the run's records; what comes before it is whole."""
    content = HEADER + b"".join(moved._chunks([b"first", b"second"]))
    for cut in range(1, len(b"second") + 1):
        assert list(moved.records(content[:-cut])) == [b"first"]


def test_a_copied_run_has_its_artifacts_again(tmp_path: Path) -> None:
    """Wandb's own format is kept; all else in the run stays as it was; twice is once."""
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    tracker = WandbTracker(mode="offline")
    info = RunInfo("run-1", 1.7e9, Host("node-1", "boot-1"), ("python", "t.py"), str(tmp_path))
    link = tracker.open(info, None)
    tracker.write([Metrics(1.7e9 + n, {"loss": float(n)}, n) for n in range(2000)])
    tracker.write([Artifact(1.7e9, "model", (File("model.bin", str(weights)),))])
    tracker.close(Ended(1.7e9, "FINISHED"))
    kept = Path(link.state["folder"])
    before = wandb_reader.read(kept)

    (tmp_path / "elsewhere").mkdir()
    copy = kept.rename(tmp_path / "elsewhere" / kept.name)
    assert (moved.correct(copy), moved.correct(copy)) == (1, 0)
    after = wandb_reader.read(copy)
    assert (after.rows, after.exit_codes) == (before.rows, before.exit_codes)
    (entry,) = after.artifacts[0].manifest.contents
    assert Path(entry.local_path).is_relative_to(copy)
    assert Path(entry.local_path).read_bytes() == b"weights"


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(UsageError, match="is no folder of a W&B run"):
        moved.correct(tmp_path)
