"""Rules of what an epoch's end brings: the best one, which models are kept, when to stop."""

from __future__ import annotations

import json
import time

import attrs
import pytest

from tests.waiting import LIMIT
from toolkit_recipes.dbnet.epochs import Progress


def _after(*hmeans: float, epochs: int = 10, patience: int = 3) -> Progress:
    progress = Progress()
    for hmean in hmeans:
        progress = progress.after_epoch(hmean, epochs, patience)
    return progress


def test_the_first_of_equal_epochs_is_the_best() -> None:
    """Epochs count from 1."""
    assert Progress().best_epoch == 0
    assert _after(0.1, 0.5, 0.5, 0.2).best_epoch == 2


@pytest.mark.parametrize(
    ("hmeans", "is_over"),
    [((0.5, 0.4, 0.4), False), ((0.5, 0.4, 0.4, 0.5), True), ((0.1,) * 2 + (0.2,) * 3, False)],
)
def test_training_stops_when_patience_is_over(hmeans: tuple[float, ...], is_over: bool) -> None:
    """Three epochs without a higher hmean than the best before; an equal one isn't higher."""
    assert _after(*hmeans).is_over is is_over


def test_patience_begins_when_something_is_found() -> None:
    """Epochs that find nothing don't use it up, and the last of them is the best."""
    nothing = _after(0.0, 0.0, 0.0, 0.0, 0.0)
    assert not nothing.is_over
    assert nothing.best_epoch == 5


def test_training_stops_at_the_last_epoch() -> None:
    """However good the last ones were."""
    assert not _after(0.1, epochs=2).is_over
    assert _after(0.1, 0.2, epochs=2).is_over


def test_the_best_so_far_are_kept() -> None:
    """With two to keep, an epoch counts when fewer than two earlier ones were as good."""
    kept = [
        _after(*(0.3, 0.2, 0.1, 0.25, 0.4)[: n + 1], patience=9).is_among_best(2) for n in range(5)
    ]
    assert kept == [True, True, False, True, True]


def test_progress_survives_json() -> None:
    """What a checkpoint holds is read back as it was."""
    progress = _after(0.25, 0.5).after_step()
    assert Progress.restored(json.loads(json.dumps(progress.saved()))) == progress


def test_time_counts_over_all_attempts() -> None:
    """What earlier attempts took is added to what this one has taken."""
    first = attrs.evolve(Progress(), since=time.monotonic() - 100)
    second = Progress.restored(json.loads(json.dumps(first.saved())))
    assert 100 <= first.seconds < 100 + LIMIT
    assert 100 <= second.seconds < 100 + LIMIT
