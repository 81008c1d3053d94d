from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import delivery
from toolkit import recorded
from toolkit.delivery import Delivery
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.journal import Role
from toolkit.journal import SegmentWriter
from toolkit.recorded import Point
from toolkit.recorded import Shown
from toolkit.rundir import RunDir
from toolkit.tracker import Link

NewRun = Callable[..., RunDir]


def write(run: RunDir, role: Role, *events: Event, status: Status | None = "FINISHED") -> None:
    """One writer's part of the journal; without a status, it vanishes."""
    writer = SegmentWriter.create(run.journal, role)
    for event in events:
        writer.append(event)
    if role == "owner" and status:
        writer.append(Ended(9.0, status))
    writer.close()


def test_empty_run(run_dir: RunDir) -> None:
    """A run that said nothing has nothing but what it is."""
    write(run_dir, "owner")
    found = recorded.everything(run_dir)

    assert found.info == run_dir.info()
    assert found.life.state == "FINISHED"
    assert (found.params, found.metrics, found.summary, found.tags) == ({}, {}, {}, {})
    assert (found.artifacts, found.deliveries) == ((), ())


def test_description(new_run: NewRun) -> None:
    """What a script said fills in what was not fixed before it."""
    run = new_run(project="mine")
    write(run, "owner", Described(1.0, "script's", "n", tags=("a",)))
    write(run, "joined", Described(2.0, name="later", group="g", tags=("b",)))
    info = recorded.overview(run).info

    assert (info.project, info.name, info.group, info.tags) == ("mine", "n", "g", ("a", "b"))


def test_overview_settles(run_dir: RunDir) -> None:
    """Looking at a run whose owner was killed shows it as KILLED."""
    write(run_dir, "owner", status=None)

    assert recorded.overview(run_dir).life.state == "KILLED"


def test_later_values_win(run_dir: RunDir) -> None:
    """Of params, tags and summary the latest of each key is shown; nested params are merged."""
    write(
        run_dir,
        "owner",
        Params(1.0, {"lr": 0.1, "gnn": {"layers": 2, "size": 8}}),
        Tags(1.0, {"a": "1", "b": "2"}),
        Summary(1.0, {"f1": 0.5, "note": "x"}),
        Console(1.0, "printed\n", 0),
        Params(2.0, {"gnn": {"layers": 3}}),
        Tags(2.0, {"a": "3"}),
        Summary(2.0, {"f1": 0.75}),
    )
    found = recorded.everything(run_dir)

    assert found.params == {"lr": 0.1, "gnn": {"layers": 3, "size": 8}}
    assert found.tags == {"a": "3", "b": "2"}
    assert found.summary == {"f1": 0.75, "note": "x"}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 1.0), (1, 0.5)], Point(0.5, 1, 2)),
        ([(5, 0.5), (3, 1.0)], Point(0.5, 5, 2)),
        ([(3, 1.0), (3, 0.5)], Point(0.5, 3, 2)),
        ([(None, 1.0), (None, 0.5)], Point(0.5, None, 2)),
        ([(None, 1.0), (0, 0.5)], Point(0.5, 0, 2)),
        ([(-5, 1.0)], Point(1.0, -5, 1)),
        ([(-5, 1.0), (-3, 0.5)], Point(0.5, -3, 2)),
    ],
)
def test_metrics(run_dir: RunDir, points: list[tuple[int | None, float]], expected: Point) -> None:
    """A metric is shown by its value at the highest step, with how many points it has."""
    write(run_dir, "owner", *(Metrics(1.0, {"loss": value}, step) for step, value in points))

    assert recorded.everything(run_dir).metrics == {"loss": expected}


def test_metrics_that_are_no_finite_numbers(run_dir: RunDir) -> None:
    """NaN at the last step is shown, not hidden behind the last number."""
    write(run_dir, "owner", Metrics(1.0, {"loss": 1.0}, 1), Metrics(2.0, {"loss": math.nan}, 2))

    assert math.isnan(recorded.everything(run_dir).metrics["loss"].value)


def test_attempts_are_one_run(run_dir: RunDir) -> None:
    """What several attempts and scripts recorded is shown together."""
    write(run_dir, "owner", Metrics(1.0, {"loss": 1.0}, 1), status=None)
    write(run_dir, "owner", Metrics(2.0, {"loss": 0.5}, 2))
    write(run_dir, "joined", Metrics(3.0, {"f1": 0.5}, 0))

    assert recorded.everything(run_dir).metrics == {
        "loss": Point(0.5, 2, 2),
        "f1": Point(0.5, 0, 1),
    }


def test_artifacts(run_dir: RunDir) -> None:
    """Every artifact is shown, in order, each version of it."""
    first = Artifact(1.0, "model", (File("m", "files/a/m"),), aliases=("best",))
    second = Artifact(2.0, "model", (File("m", "files/b/m"),), aliases=("best",))
    write(run_dir, "owner", first, second)

    assert recorded.everything(run_dir).artifacts == (first, second)


def test_media(run_dir: RunDir) -> None:
    """Of pictures, tables and texts the latest step of each name is shown, and how many."""
    write(
        run_dir,
        "owner",
        *(Image(1.0, "val/page", f"files/{step}/page.png", step) for step in (0, 20, 10)),
        Histogram(1.0, "val/page", (0.0, 1.0), (3.0,), 5),
        Text(1.0, "a.txt", "files/x/a.txt"),
        Text(2.0, "a.txt", "files/y/a.txt"),
        Console(3.0, "text\n", 0),
    )

    assert recorded.everything(run_dir).media == (
        Shown("image", "val/page", 20, 3, "files/20/page.png"),
        Shown("histogram", "val/page", 5, 1, None),
        Shown("text", "a.txt", None, 2, "files/y/a.txt"),
    )


def test_damaged_lines_do_not_matter(run_dir: RunDir) -> None:
    """A torn line hides nothing of what was recorded before and after it."""
    write(run_dir, "owner", Params(1.0, {"lr": 0.1}))
    (run_dir.journal / "0002-joined.jsonl").write_bytes(b'{"kind":"params","ti')
    write(run_dir, "owner", Params(2.0, {"seed": 1}))

    assert recorded.everything(run_dir).params == {"lr": 0.1, "seed": 1}


def test_deliveries(run_dir: RunDir) -> None:
    """How far each backend has been told is shown."""
    write(run_dir, "owner")
    told = Delivery("wandb", {"mode": "offline"}, Link("id", "http://x"), {"0001-owner.jsonl": 5})
    delivery.save(run_dir, told)
    delivery.save(run_dir, Delivery("mlflow", problem="down"))

    found = recorded.overview(run_dir).deliveries
    assert found == (Delivery("mlflow", problem="down"), told)


NESTED: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from("abc"),
    st.deferred(lambda: st.integers() | NESTED),
    max_size=3,
)


@given(NESTED, NESTED)
def test_merging(first: dict[str, Any], second: dict[str, Any]) -> None:
    """What is laid over something is there afterwards, and hides only what it replaces."""
    into: dict[str, Any] = {}
    recorded.merge(into, first)
    assert into == first
    recorded.merge(into, second)
    recorded.merge(into, second)

    assert into == laid_over(first, second)


def laid_over(first: Any, second: Any) -> Any:
    """The second on top of the first, by the rule's own words."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    merged = {**first, **second}
    return {k: laid_over(first[k], v) if k in first and k in second else v
            for k, v in merged.items()}  # fmt: skip
