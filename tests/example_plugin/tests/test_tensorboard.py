"""The tracker keeps the contract, and TensorBoard finds its runs."""

from __future__ import annotations

from pathlib import Path

from toolkit_tensorboard.contract import TensorBoardContract
from toolkit_tensorboard.tracker import EVENT_FILES
from toolkit_tensorboard.tracker import TensorBoardTracker

from toolkit.testing import sample_events
from toolkit.testing import sample_run


class TestTensorBoard(TensorBoardContract):
    """Every rule of the contract, as a test."""


def test_each_run_is_one_event_file_of_its_project(tmp_path: Path) -> None:
    """In the command's working folder, unless an option names another."""
    tracker = TensorBoardTracker()
    for _ in range(2):
        tracker.open(sample_run(tmp_path, project="my/project"), None)
        tracker.write(sample_events(tmp_path / "files"))
    (only,) = (tmp_path / "tensorboard").rglob(EVENT_FILES)
    assert only.parent == tmp_path / "tensorboard" / "my%2Fproject" / sample_run(tmp_path).id
