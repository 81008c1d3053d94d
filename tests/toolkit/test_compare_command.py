"""`toolkit runs compare`: as a table on a terminal, as plain text, as JSON."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result

from tests.terminal import at_terminal
from tests.toolkit.test_compare import points
from tests.toolkit.test_compare import said
from tests.waiting import LIMIT
from toolkit.cli import main
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.rundir import RunDir

NewRun = Callable[..., RunDir]
FIRST, SECOND = "20260101-000000-aaaaaa", "20260102-000000-bbbbbb"


@pytest.fixture
def two(new_run: NewRun) -> tuple[RunDir, RunDir]:
    """Two runs: the first has the better loss, the second the better score."""
    return (
        said(
            new_run,
            FIRST,
            Params(1.0, {"lr": 0.1, "seed": 1, "note": "a\nb"}),
            Summary(1.0, {"score": 0.5, "[bold]": "x"}),
            *points("val/loss", 3.0, 1.0, 2.0),
            Metrics(1.0, {"system/cpu": 50.0}, 0),
        ),
        said(
            new_run,
            SECOND,
            Params(1.0, {"lr": 0.2, "seed": 1}),
            Summary(1.0, {"score": 0.75, "[bold]": "y"}),
            *points("val/loss", 3.0, 1.5),
        ),
    )


def run(runs_dir: Path, *words: str) -> Result:
    """The command, its output going to no terminal."""
    given = ["runs", "compare", *words, "--runs-dir", str(runs_dir)]
    return CliRunner().invoke(main, given)


def rows(shown: str) -> dict[str, list[str]]:
    """The cells of each line of plain text."""
    cells = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    return {line[0]: line[1:] for line in cells}


def test_plain(two: tuple[RunDir, RunDir], runs_dir: Path) -> None:
    """Piped, it is aligned text without frames: one line each, the best marked with a star."""
    done = run(runs_dir, FIRST, "bbbbbb")
    found = rows(done.output)

    assert done.exit_code == 0
    assert done.output.isascii()
    assert found["id"] == [FIRST, SECOND]
    assert found["status"] == ["FINISHED", "FINISHED"]
    assert found["took"] == ["0:01:40", "0:01:40"]
    assert found["lr"] == ["0.1", "0.2"]
    assert found["note"] == ['"a\\nb"']
    assert found["score"] == ["higher", "0.5", "0.75*"]
    assert found["val/loss"] == ["lower", "2 @ 2", "1.5 @ 1*"]
    assert found["val/loss (best)"] == ["lower", "1 @ 1*", "1.5 @ 1"]
    assert "seed" not in found
    assert "system/cpu" not in found
    assert "params that are the same in all runs, left out: 1 (--all)" in done.output


def test_options(two: tuple[RunDir, RunDir], runs_dir: Path) -> None:
    """`--all` shows what is the same, `--metric` chooses, `--higher` turns a direction round."""
    whole = rows(run(runs_dir, FIRST, SECOND, "--all").output)
    chosen = rows(run(runs_dir, FIRST, SECOND, "--metric", "val/*", "--higher", "*loss").output)

    assert whole["seed"] == ["1", "1"]
    assert whole["system/cpu"] == ["50 @ 0"]
    assert "score" not in chosen
    assert chosen["val/loss"] == ["higher", "2 @ 2*", "1.5 @ 1"]


def test_json(two: tuple[RunDir, RunDir], runs_dir: Path) -> None:
    """The keys that docs/runs.md promises; a run without a value isn't among the values."""
    done = run(runs_dir, FIRST, SECOND, "--json")
    found: dict[str, Any] = json.loads(done.output, parse_constant=pytest.fail)

    assert list(found) == ["runs", "params", "same_params", "summary", "metrics"]
    assert found["runs"][0] == {
        "id": FIRST,
        "folder": str(two[0].path),
        "project": "default",
        "name": FIRST,
        "group": None,
        "tags": [],
        "status": "FINISHED",
        "created": 1767225600.0,
        "ended": 1767225700.0,
        "duration": 100.0,
    }
    assert found["params"] == {"lr": {FIRST: 0.1, SECOND: 0.2}, "note": {FIRST: "a\nb"}}
    assert found["same_params"] == 1
    assert found["summary"]["score"] == {
        "better": "higher",
        "best": [SECOND],
        "values": {FIRST: 0.5, SECOND: 0.75},
    }
    assert found["metrics"]["val/loss"] == {
        "better": "lower",
        "best": [FIRST],
        "best_last": [SECOND],
        "values": {
            FIRST: {"last": 2.0, "last_step": 2, "best": 1.0, "best_step": 1, "count": 3},
            SECOND: {"last": 1.5, "last_step": 1, "best": 1.5, "best_step": 1, "count": 2},
        },
    }


def test_json_without_numbers(new_run: NewRun, runs_dir: Path) -> None:
    """NaN is spelled out, as everywhere, and what never was a number has no best."""
    for run_id in (FIRST, SECOND):
        said(new_run, run_id, *points("loss", math.nan))
    found = json.loads(run(runs_dir, FIRST, SECOND, "--json").output, parse_constant=pytest.fail)

    value = found["metrics"]["loss"]["values"][FIRST]
    assert value == {"last": "NaN", "last_step": 0, "best": None, "best_step": None, "count": 1}


def test_empty_runs(new_run: NewRun, runs_dir: Path) -> None:
    """Runs that recorded nothing can be compared, too."""
    for run_id in (FIRST, SECOND):
        said(new_run, run_id)

    assert rows(run(runs_dir, FIRST, SECOND).output)["id"] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((FIRST, "nothing"), "no run 'nothing'"),
        ((FIRST,), "two runs to compare at least"),
        ((), "Missing argument"),
        ((FIRST, SECOND, "--metric", "f1"), "no metric or result 'f1'"),
    ],
)
def test_usage_errors(
    two: tuple[RunDir, RunDir], runs_dir: Path, words: tuple[str, ...], message: str
) -> None:
    """An unknown run or metric: 2, and what was looked for."""
    done = run(runs_dir, *words)

    assert done.exit_code == 2
    assert message in done.output


def test_on_a_terminal(new_run: NewRun, runs_dir: Path) -> None:
    """Many runs come in tables one below the other, each as wide as the window; nothing is lost."""
    for n in range(7):
        params = Params(1.0, {"n": n, "long": f"{n}" * 100})
        said(new_run, f"20260101-00000{n}-abcde{n}", params, *points("[loss]", 1.0 + n))
    words = ("runs", "compare", *(f"abcde{n}" for n in range(7)), "--runs-dir", runs_dir)
    with at_terminal([sys.executable, "-m", "toolkit", *words]) as (terminal, process):
        terminal.resize(50, 90)
        assert process.wait(LIMIT) == 0
        shown = terminal.shown()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)

    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 90
    assert all(f"abcde{n}" in plain for n in range(7))
    assert "runs 1 to" in plain
    assert "of 7" in plain
    assert re.search(r"\[loss\] +lower +1 @ 0\*", plain)
    assert plain.count("*") == 2
    assert "longer values are cut" in plain
