"""Runs side by side: which params differ, and whose results are best."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import compare
from toolkit.compare import MISSING
from toolkit.compare import Comparison
from toolkit.compare import Curve
from toolkit.compare import Direction
from toolkit.compare import Place
from toolkit.compare import Row
from toolkit.compare import View
from toolkit.errors import UsageError
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.journal import SegmentWriter
from toolkit.rundir import RunDir

NewRun = Callable[..., RunDir]
Compare = Callable[..., Comparison]


@pytest.fixture
def compared(new_run: NewRun) -> Compare:
    """Compares runs that said these events."""

    def made(*sayings: list[Event], view: View | None = None) -> Comparison:
        runs = [said(new_run, f"20260101-00000{n}-abcde{n}", *s) for n, s in enumerate(sayings)]
        return compare.compare(runs, view or View())

    return made


def said(new_run: NewRun, run_id: str, *events: Event) -> RunDir:
    """A run that has said this, and is over."""
    run = new_run(id=run_id)
    writer = SegmentWriter.create(run.journal, "owner")
    for event in (*events, Ended(1767225700.0, "FINISHED")):
        writer.append(event)
    writer.close()
    return run


def points(name: str, *values: float) -> list[Event]:
    """A metric with these values at steps 0, 1, ..."""
    return [Metrics(1.0, {name: value}, step) for step, value in enumerate(values)]


def only(rows: tuple[Row, ...]) -> Row:
    """The one row that there is."""
    (row,) = rows
    return row


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ({"lr": 0.1}, {"lr": 0.1}, False),
        ({"lr": 0.1}, {"lr": 0.2}, True),
        ({"lr": 1}, {"lr": 1.0}, False),
        ({"lr": 1}, {"lr": True}, True),
        ({"lr": "1"}, {"lr": 1}, True),
        ({"lr": None}, {}, True),
        ({"lr": math.nan}, {"lr": math.nan}, False),
        ({"lr": [1, 2]}, {"lr": [1, 2]}, False),
        ({"lr": [1, 2]}, {"lr": [2, 1]}, True),
    ],
)
def test_params_that_differ(
    compared: Compare, first: dict[str, Any], second: dict[str, Any], differ: bool
) -> None:
    """Those that are the same in all runs are left out and counted, unless all are wanted."""
    sayings: list[list[Event]] = [[Params(1.0, first)], [Params(1.0, second)]]
    found = compared(*sayings)

    assert [row.name for row in found.params] == (["lr"] if differ else [])
    assert found.same_params == (not differ)


def test_all_params(compared: Compare) -> None:
    """Asked for, all are shown; nested ones under dotted names."""
    sayings: list[list[Event]] = [[Params(1.0, {"a": {"b": n}, "c": 1})] for n in range(3)]
    found = compared(*sayings, view=View(is_whole=True))

    assert [(row.name, row.values) for row in found.params] == [
        ("a.b", (0, 1, 2)),
        ("c", (1, 1, 1)),
    ]
    assert found.same_params == 0


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("loss", "lower"),
        ("train/loss", "lower"),
        ("Loss/train", "lower"),
        ("eval_loss", "lower"),
        ("valLoss", "lower"),
        ("logloss", "lower"),
        ("top1_error", "lower"),
        ("val/perplexity", "lower"),
        ("test.CER", "lower"),
        ("eval/runtime", "lower"),
        ("accuracy", "higher"),
        ("val/f1", "higher"),
        ("eval_samples_per_second", "higher"),
        ("glossary_hits", "higher"),
        ("mirror", "higher"),
        ("train/epoch", None),
        ("learning_rate", None),
        ("train/grad_norm", None),
        ("system/cpu", None),
    ],
)
def test_direction(name: str, better: Direction | None) -> None:
    """Words such as loss and error are better lower, what is no result neither, others higher."""
    assert compare.direction(name, View()) == better


def test_documented_words() -> None:
    """docs/runs.md names every word that decides."""
    text = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    table = text.partition("| what is best |")[2].partition("| higher |")[0]
    words = set(re.findall(r"[a-z_]+", table))

    assert words >= compare.LOWER_WORDS
    assert {name.removesuffix("s") for name in compare.NEITHER} <= {
        word.removesuffix("s") for word in words
    }


def test_chosen_direction() -> None:
    """The user's own word, which may be a pattern, comes before what the name says."""
    view = View(lower=("val/*",), higher=("loss", "epoch"))

    assert compare.direction("val/f1", view) == "lower"
    assert compare.direction("loss", view) == "higher"
    assert compare.direction("epoch", view) == "higher"


@pytest.mark.parametrize(
    ("values", "better", "expected"),
    [
        ((1, 2, 3), "higher", {2}),
        ((1, 2, 3), "lower", {0}),
        ((1, 3, 3), "higher", {1, 2}),
        ((math.nan, 2.0, 1.0), "higher", {1}),
        ((math.nan, 2.0), "lower", {1}),
        ((-math.inf, 2.0), "lower", {1}),
        ((math.inf, 2.0), "higher", {1}),
        ((math.nan, math.nan), "higher", set()),
        ((1, 1, 1), "higher", set()),
        ((1, MISSING), "higher", set()),
        ((1, MISSING, 2), "lower", {0}),
        (("a", "b"), "higher", set()),
        ((True, False), "higher", set()),
        ((1, 2), None, set()),
    ],
)
def test_winners(values: tuple[Any, ...], better: Direction | None, expected: set[int]) -> None:
    """The best numbers win together; not NaN or infinities, not alone, and not when all are one."""
    assert compare.winners(values, better) == expected


@given(st.lists(st.floats() | st.just(MISSING), max_size=6), st.sampled_from(["lower", "higher"]))
def test_nobody_beats_a_winner(values: list[Any], better: Direction) -> None:
    """No number of a run that doesn't win is better than that of one that does."""
    places = compare.winners(values, better)
    numbers = [v for v in values if v is not MISSING and math.isfinite(v)]
    for place in places:
        assert values[place] == (min if better == "lower" else max)(numbers)


def test_last_and_best(compared: Compare) -> None:
    """A metric has its last value and its best with the first step that had it, each with stars."""
    found = compared(points("f1", 0.1, 0.9, 0.9, 0.3), points("f1", 0.2, 0.5))
    row = only(found.metrics)

    first, second = row.values
    assert first == Curve(Place(0.3, 3), Place(0.1, 0), Place(0.9, 1), 4)
    assert (first.best("higher"), second.best("higher")) == (Place(0.9, 1), Place(0.5, 1))
    assert (row.better, sorted(row.best), sorted(row.best_last)) == ("higher", [0], [1])


def test_nan_never_wins(compared: Compare) -> None:
    """Neither as the last value nor as the best; a run that has nothing else has no best."""
    found = compared(points("loss", 1.0, math.nan), points("loss", 2.0), points("loss", math.nan))
    row = only(found.metrics)

    assert (sorted(row.best), sorted(row.best_last)) == ([0], [1])
    assert row.values[2].best("lower") is None


def test_summary(compared: Compare) -> None:
    """Results are compared by the same rule; texts have no best, NaN is a number."""
    found = compared(
        [Summary(1.0, {"final": {"loss": 1.0}, "note": "a", "f1": math.nan})],
        [Summary(1.0, {"final": {"loss": 0.5}, "note": "b", "f1": 0.5})],
    )
    rows = {row.name: row for row in found.summary}

    assert rows["final.loss"].values == (1.0, 0.5)
    assert rows["final.loss"].best == {1}
    assert (rows["note"].better, rows["note"].best) == (None, frozenset())
    assert rows["f1"].best == {1}


def test_what_a_run_does_not_have(compared: Compare) -> None:
    """A run without a value is shown without it."""
    found = compared(points("f1", 0.5), [], points("f1", 0.7))

    assert only(found.metrics).values[1] is MISSING
    assert only(found.metrics).best == {2}


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (View(), ["train/loss", "val/f1", "val/loss", "f1"]),
        (View(("val/*",)), ["val/f1", "val/loss"]),
        (View(("f1", "system/cpu")), ["system/cpu", "f1"]),
        (View(is_whole=True), ["system/cpu", "train/loss", "val/f1", "val/loss", "f1"]),
    ],
)
def test_chosen_names(compared: Compare, view: View, names: list[str]) -> None:
    """Only what was asked for by name or pattern; the machine's metrics when asked for."""
    events: list[Event] = [
        Metrics(1.0, {"val/f1": 1.0, "val/loss": 1.0, "train/loss": 1.0, "system/cpu": 1.0}),
        Summary(1.0, {"f1": 1.0}),
    ]
    found = compared(events, events, view=view)

    assert [row.name for row in (*found.metrics, *found.summary)] == names


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(("val/f2",)), r"no metric or result 'val/f2' .*did you mean 'val/f1'"),
        (View(lower=("los",)), "no metric or result 'los'"),
        (View(lower=("val/*",), higher=("val/f1",)), "both lower and higher"),
    ],
)
def test_views_that_make_no_sense(compared: Compare, view: View, message: str) -> None:
    """A name that no run has, or that is to be better both ways, is refused."""
    with pytest.raises(UsageError, match=message):
        compared(points("val/f1", 1.0), points("val/f1", 2.0), view=view)


def test_finding(new_run: NewRun, runs_dir: Path, tmp_path: Path) -> None:
    """Runs are named by an id, its beginning or end, or their folder, and each comes once."""
    first = said(new_run, "20260101-000000-aaaaaa")
    second = said(new_run, "20260102-000000-bbbbbb")
    elsewhere = tmp_path / "elsewhere" / "20260103-000000-cccccc"
    elsewhere.parent.mkdir()
    said(new_run, "20260103-000000-cccccc").path.rename(elsewhere)

    def found(*names: str) -> list[Path]:
        return [run.path for run in compare.find_all(runs_dir, names)]

    assert found("20260101", "bbbbbb") == [first.path, second.path]
    assert found("aaa", str(elsewhere)) == [first.path, elsewhere]
    assert found(second.path.name, f"{first.path}/", "20260102") == [second.path, first.path]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["20260101", "nothing"], "no run 'nothing' in .*runs"),
        (["2026", "20260101"], "give more of its id"),
        (["20260101", "aaaaaa"], "two runs to compare at least, got 20260101-000000-aaaaaa"),
    ],
)
def test_not_finding(new_run: NewRun, runs_dir: Path, names: list[str], message: str) -> None:
    """What was looked for is said; one run alone is nothing to compare."""
    said(new_run, "20260101-000000-aaaaaa")
    said(new_run, "20260102-000000-bbbbbb")

    with pytest.raises(UsageError, match=message):
        compare.find_all(runs_dir, names)
