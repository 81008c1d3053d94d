"""Several runs side by side: what went in, what came out, and whose results are best."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Any
from typing import Final
from typing import Literal

from attrs import field
from attrs import frozen

from toolkit import journal
from toolkit import recorded
from toolkit import rundir
from toolkit.errors import UsageError
from toolkit.errors import did_you_mean
from toolkit.events import SPELLED_OUT
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.recorded import Recorded
from toolkit.rundir import RunDir
from toolkit.tracker import flatten

Direction = Literal["lower", "higher"]


def _set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


LOWER_WORDS: Final = _set(
    "bpb bpc brier cer cost distance divergence duration ece err fid fnr fpr kl latency mae mape "
    "mse nll perplexity ppl regret rmse runtime seconds ter time wer"
)
"""A name with one of these words, or one that ends with `LOWER_ENDINGS`, is better when lower."""
LOWER_ENDINGS: Final = ("loss", "losses", "error", "errors")
NEITHER: Final = _set(
    "epoch epochs grad_norm iteration iterations learning_rate lr momentum num_tokens seed step "
    "steps global_step total_flos weight_decay"
)
"""Last parts of the names of what is neither good nor bad, nor is what the machine did."""
SYSTEM = "system/"

_MOST_LISTED = 30
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Missing:
    """Stands where a run has no such value."""


MISSING: Final = Missing()


@frozen
class Place:
    """A value and where it was measured."""

    value: float
    step: int | None


@frozen
class Curve:
    """A metric of one run: its value at the highest step, and its extremes, which are finite."""

    last: Place
    lowest: Place | None
    highest: Place | None
    count: int

    def best(self, better: Direction | None) -> Place | None:
        """The best value, at the first step that has it."""
        return {"lower": self.lowest, "higher": self.highest, None: None}[better]


@frozen
class Side:
    """One of the runs."""

    path: Path
    found: Recorded
    params: Mapping[str, Any]
    """Under dotted names."""
    summary: Mapping[str, Any]
    """Under dotted names."""
    metrics: Mapping[str, Curve]


@frozen
class Row:
    """One name's value in every run, `MISSING` where it has none, and which of them win."""

    name: str
    values: tuple[Any, ...]
    better: Direction | None = None
    best: frozenset[int] = frozenset()
    """Places of the runs with the best value; for a metric, with the best value of any step."""
    best_last: frozenset[int] = frozenset()
    """Of a metric: places of the runs with the best value at their last step."""


@frozen
class View:
    """What to compare; names may be patterns with ``*``."""

    names: tuple[str, ...] = ()
    """Metrics and results; empty means all but those of the machine."""
    lower: tuple[str, ...] = ()
    """What is better when it's lower, whatever it's called."""
    higher: tuple[str, ...] = ()
    is_whole: bool = False
    """Whether params that are the same, and what the machine did, are wanted too."""


@frozen
class Comparison:
    """The runs side by side."""

    sides: tuple[Side, ...]
    params: tuple[Row, ...]
    summary: tuple[Row, ...]
    metrics: tuple[Row, ...]
    """The values are `Curve`s."""
    same_params: int = field(default=0)
    """How many were left out, because every run has the same."""


def find_all(home: Path, names: Sequence[str]) -> list[RunDir]:
    """The runs that these ids, beginnings or ends of ids, or folders mean; each once, in order.

    Raises:
        UsageError: one can't be found, or they are fewer than two.
    """
    found = {run.path.resolve(): run for run in (_find(home, name) for name in names)}
    ids = [run.path.name for run in found.values()]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise UsageError(f"several folders hold a run {twice[0]}; give one of them")
    if len(found) < 2:
        raise UsageError(f"there are two runs to compare at least, got {', '.join(ids) or 'none'}")
    return list(found.values())


def _find(home: Path, name: str) -> RunDir:
    folder = Path(name).absolute()
    return RunDir(folder) if (folder / "run.json").is_file() else rundir.find(home, name)


def compare(runs: Iterable[RunDir], view: View) -> Comparison:
    """Read the runs and put them side by side.

    Raises:
        UsageError: no run has what the view asks for, or the view contradicts itself.
    """
    sides = tuple(_read(run) for run in runs)
    _check(view, sides)
    params = [Row(name, values) for name, values in _side_by_side(s.params for s in sides)]
    shown = [row for row in params if view.is_whole or not _is_same(row.values)]
    return Comparison(
        sides,
        tuple(shown),
        tuple(_rows((side.summary for side in sides), view, _result_row)),
        tuple(_rows((side.metrics for side in sides), view, _metric_row)),
        len(params) - len(shown),
    )


def direction(name: str, view: View) -> Direction | None:
    """Whether lower or higher is better; None for what is neither good nor bad.

    The view's own patterns decide; then `NEITHER` and ``system/`` for none, words such as loss,
    error or perplexity (`LOWER_WORDS`, `LOWER_ENDINGS`) for lower; and anything else is higher.
    """
    if _matches(name, view.lower):
        return "lower"
    if _matches(name, view.higher):
        return "higher"
    if name.startswith(SYSTEM) or re.split(r"[/.]", name)[-1].lower() in NEITHER:
        return None
    words = [word.lower() for word in _WORD.findall(name)]
    is_lower = any(word in LOWER_WORDS or word.endswith(LOWER_ENDINGS) for word in words)
    return "lower" if is_lower else "higher"


def winners(values: Sequence[Any], better: Direction | None) -> frozenset[int]:
    """Places of the best of the values; none where there is nothing to win.

    NaN, infinities and what is no number never win; nor does anybody alone, or when all are equal.
    """
    present = [value for value in values if value is not MISSING and value is not None]
    finite = {place: value for place, value in enumerate(values) if _is_finite(value)}
    if better is None or len(present) < 2 or not finite:
        return frozenset()
    if len(finite) == len(present) and len(set(finite.values())) == 1:
        return frozenset()
    best = (min if better == "lower" else max)(finite.values())
    return frozenset(place for place, value in finite.items() if value == best)


def _read(run: RunDir) -> Side:
    params: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    metrics: dict[str, Curve] = {}
    for _, event in journal.events_of(run.journal, Params, Summary, Metrics):
        match event:
            case Params():
                recorded.merge(params, event.values)
            case Summary():
                summary.update(event.values)
            case Metrics():
                for key, value in event.values.items():
                    metrics[key] = _with_point(metrics.get(key), Place(value, event.step))
    results = {key: SPELLED_OUT.get(value, value) if isinstance(value, str) else value
               for key, value in flatten(summary)}  # fmt: skip
    return Side(run.path, recorded.overview(run), dict(flatten(params)), results, metrics)


def _with_point(curve: Curve | None, point: Place) -> Curve:
    extreme = point if isfinite(point.value) else None
    if curve is None:
        return Curve(point, extreme, extreme, 1)
    is_later = (point.step or 0) >= (curve.last.step or 0)
    lowest, highest = curve.lowest, curve.highest
    if extreme and (lowest is None or extreme.value < lowest.value):
        lowest = extreme
    if extreme and (highest is None or extreme.value > highest.value):
        highest = extreme
    return Curve(point if is_later else curve.last, lowest, highest, curve.count + 1)


def _side_by_side(
    mappings: Iterable[Mapping[str, Any]],
) -> Iterable[tuple[str, tuple[Any, ...]]]:
    given = list(mappings)
    for name in sorted({name for mapping in given for name in mapping}):
        yield name, tuple(mapping.get(name, MISSING) for mapping in given)


def _rows(
    mappings: Iterable[Mapping[str, Any]],
    view: View,
    make: Callable[[str, tuple[Any, ...], Direction | None], Row],
) -> Iterable[Row]:
    for name, values in _side_by_side(mappings):
        is_wanted = view.is_whole or not name.startswith(SYSTEM)
        if _matches(name, view.names) if view.names else is_wanted:
            yield make(name, values, direction(name, view))


def _result_row(name: str, values: tuple[Any, ...], better: Direction | None) -> Row:
    is_number = any(_is_finite(value) for value in values)
    better = better if is_number else None
    return Row(name, values, better, winners(values, better))


def _metric_row(name: str, values: tuple[Any, ...], better: Direction | None) -> Row:
    best = [_value(v.best(better), v) if isinstance(v, Curve) else MISSING for v in values]
    last = [v.last.value if isinstance(v, Curve) else MISSING for v in values]
    return Row(name, values, better, winners(best, better), winners(last, better))


def _value(place: Place | None, curve: Curve) -> float:
    """The best value, or where none is finite, one that doesn't win."""
    return place.value if place else curve.last.value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_same(values: Sequence[Any]) -> bool:
    """Whether all runs have the same; True is not 1."""
    first = values[0]
    return all(
        value == first and isinstance(value, bool) is isinstance(first, bool) for value in values
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _check(view: View, sides: Sequence[Side]) -> None:
    known = sorted({name for side in sides for name in (*side.metrics, *side.summary)})
    for pattern in (*view.names, *view.lower, *view.higher):
        if not any(_matches(name, [pattern]) for name in known):
            several = ", ".join(known[:_MOST_LISTED]) + (", ..." if known[_MOST_LISTED:] else "")
            raise UsageError(
                f"no metric or result {pattern!r} in these runs{did_you_mean(pattern, known)}; "
                f"they have {several or 'none'}"
            )
    for name in known:
        if _matches(name, view.lower) and _matches(name, view.higher):
            raise UsageError(f"{name!r} can't be better both lower and higher; choose one")
