"""The search itself: where it looks, what it remembers, and that it learns."""

from __future__ import annotations

import shutil
import statistics
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from tests.toolkit.sweep.sweeping import best_of
from tests.toolkit.sweep.sweeping import drawn
from tests.toolkit.sweep.sweeping import parse
from tests.toolkit.sweep.sweeping import search
from toolkit.sweep.search import Outcome
from toolkit.sweep.search import Proposal
from toolkit.sweep.search import Search
from toolkit.sweep.search import Trial
from toolkit.sweep.search import open_storage
from toolkit.sweep.sweepfile import Sweep

BOWL = """\
method: {method}
metric: {{name: loss}}
parameters:
  x: {{min: -5.0, max: 5.0}}
  y: {{min: -5.0, max: 5.0}}
  lr: {{min: 1e-5, max: 1.0, distribution: log_uniform_values}}
"""
GRID = """\
method: grid
metric: {name: loss, goal: maximize}
parameters:
  a: {values: [1, 1.0, "1", [1]]}
  b: {min: 3, max: 4}
  c: {min: 0.0, max: 0.5, q: 0.25, distribution: q_uniform}
  d: {value: constant}
"""
LINE = "method: {method}\nmetric: {{name: loss}}\nparameters: {{x: {{min: 0.0, max: 1.0}}}}\n"


def test_bayes_beats_random(tmp_path: Path) -> None:
    """On a bowl in three dimensions, over 20 seeds, TPE's best of 30 trials is the better one."""
    found = {
        method: [
            best_of(parse(tmp_path, BOWL.format(method=method)), seed, 30) for seed in range(20)
        ]
        for method in ("random", "bayes")
    }

    wins = sum(b < r for b, r in zip(found["bayes"], found["random"], strict=True))
    assert statistics.mean(found["bayes"]) < statistics.mean(found["random"]) / 2
    assert statistics.median(found["bayes"]) < statistics.median(found["random"]) / 2
    assert wins >= 15


@pytest.mark.parametrize(("goal", "end"), [("minimize", 0.0), ("maximize", 1.0)])
def test_direction(tmp_path: Path, goal: str, end: float) -> None:
    """The search goes where the goal says, and the best trial is best by it."""
    text = LINE.format(method="bayes").replace("loss", f"loss, goal: {goal}")
    found = search(parse(tmp_path, text))
    for _ in range(30):
        found.try_one(lambda proposal: Outcome(proposal.values["x"]))
    values = [trial.values["x"] for trial in found.trials()]

    best = found.best()
    assert best is not None
    assert best.value == (min(values) if goal == "minimize" else max(values))
    assert abs(statistics.mean(values[15:]) - end) < 0.25


def test_grid_is_walked_once(tmp_path: Path) -> None:
    """A grid has every combination once, equal values in different places among them."""
    sweep = parse(tmp_path, GRID)
    found = drawn(sweep, sweep.grid_size())

    tried = [(str(type(v["a"])), v["a"], v["b"], v["c"], v["d"]) for v in found]
    expected = [
        (str(type(a)), a, b, c, "constant")
        for a, b, c in product([1, 1.0, "1", [1]], [3, 4], [0.0, 0.25, 0.5])
    ]
    assert sorted(map(repr, tried)) == sorted(map(repr, expected))


@pytest.mark.parametrize("method", ["grid", "random"])
def test_only_constants(tmp_path: Path, method: str) -> None:
    """A sweep with nothing to choose has its one trial."""
    sweep = parse(tmp_path, f"method: {method}\nparameters: {{d: {{value: [1]}}}}\n")

    assert drawn(sweep, 1) == [{"d": [1]}]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_seed(tmp_path: Path, method: str) -> None:
    """The same seed gives the same trials, another seed others."""
    sweep = parse(tmp_path, LINE.format(method=method))

    assert drawn(sweep, 15) == drawn(sweep, 15) != drawn(sweep, 15, seed=1)


class _StoppedError(Exception):
    """Stands for whatever ends a search in the middle of a trial."""


def _stopping(proposal: Proposal) -> Outcome:
    raise _StoppedError


def _score(proposal: Proposal) -> Outcome:
    values = proposal.values
    return Outcome(abs(values["x"] - 0.3) if "x" in values else float(values["b"]))


def _open(sweep: Sweep, folder: Path) -> Search:
    return Search(sweep, 0, open_storage(folder / "study.jsonl"))


def _search_with_interruptions(sweep: Sweep, folder: Path, count: int) -> list[Trial]:
    """The trials that ended, of a search that was stopped again and again."""
    for number in range(count):
        for _ in range(2 if number % 3 == 1 else 0):
            found = _open(sweep, folder)
            found.recover()
            with pytest.raises(_StoppedError):
                found.try_one(_stopping)
        found = _open(sweep, folder)
        found.recover()
        found.try_one(_score)
    return [trial for trial in _open(sweep, folder).trials() if trial.has_ended]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_interruptions_change_nothing(tmp_path: Path, method: str) -> None:
    """A search that is stopped again and again tries the same values as one that isn't."""
    sweep = parse(tmp_path, LINE.format(method=method))
    whole = search(sweep)
    for _ in range(14):
        whole.try_one(_score)
    ended = _search_with_interruptions(sweep, tmp_path, 14)

    assert [t.values for t in ended] == [t.values for t in whole.trials()]
    assert [t.value for t in ended] == [t.value for t in whole.trials()]


def test_interrupted_grid(tmp_path: Path) -> None:
    """A grid that is stopped again and again still has every combination once."""
    sweep = parse(tmp_path, GRID)
    ended = _search_with_interruptions(sweep, tmp_path, sweep.grid_size())

    assert len({repr(trial.values) for trial in ended}) == len(ended) == sweep.grid_size()


def test_killed_in_a_trial(tmp_path: Path) -> None:
    """What a killed search was at is given up, and its values come next, once."""
    sweep = parse(tmp_path, GRID)
    begun, left = _open(sweep, tmp_path), tmp_path / "left"
    left.mkdir()

    def leave_as_it_is(proposal: Proposal) -> Outcome:
        begun.note_run(proposal.number, "the-run")
        shutil.copy(tmp_path / "study.jsonl", left)
        return Outcome(0.0)

    begun.try_one(leave_as_it_is)
    found = _open(sweep, left)
    assert [trial.state for trial in found.trials()] == ["RUNNING"]
    found.recover()
    found.recover()
    found.try_one(_score)
    found.try_one(_score)

    first, again, next_one = found.trials()
    assert (first.state, first.run_id) == ("ABANDONED", "the-run")
    assert again.values == first.values != next_one.values
    assert (again.state, again.run_id) == ("COMPLETE", None)


def test_failed_trials(tmp_path: Path) -> None:
    """A trial with a reason has failed: it counts, keeps its values, and is not tried again."""
    found = search(parse(tmp_path, LINE.format(method="bayes")))
    found.try_one(lambda _: Outcome(reason="no luck"))
    found.recover()
    found.try_one(_score)

    failed, complete = found.trials()
    assert (failed.state, failed.reason, failed.value) == ("FAILED", "no luck", None)
    assert failed.values != complete.values
    assert found.best() == complete


def test_torn_line(tmp_path: Path) -> None:
    """What a killed process left of a line doesn't make the journal unreadable."""
    sweep = parse(tmp_path, LINE.format(method="random"))
    _open(sweep, tmp_path).try_one(_score)
    with (tmp_path / "study.jsonl").open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    _open(sweep, tmp_path).try_one(_score)

    values = [trial.value for trial in _open(sweep, tmp_path).trials()]
    assert len(values) == 2
    assert None not in values


def test_stale_lock_of_the_storage(tmp_path: Path) -> None:
    """A lock that a killed process left beside the journal holds nobody up."""
    sweep = parse(tmp_path, LINE.format(method="random"))
    _open(sweep, tmp_path).try_one(_score)
    (tmp_path / "study.jsonl.lock").symlink_to(tmp_path / "study.jsonl")
    _open(sweep, tmp_path).try_one(_score)

    assert len(_open(sweep, tmp_path).trials()) == 2
