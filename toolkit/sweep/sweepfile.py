"""A sweep file in W&B's format, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit.errors import did_you_mean
from toolkit.sweep import command
from toolkit.sweep import located
from toolkit.sweep import parameters
from toolkit.sweep.located import Item
from toolkit.sweep.space import Domain

Method = Literal["grid", "random", "bayes"]
Goal = Literal["minimize", "maximize"]

_METHODS: Mapping[str, Method] = MappingProxyType(
    {"grid": "grid", "random": "random", "bayes": "bayes"}
)
_GOALS: Mapping[str, Goal] = MappingProxyType({"minimize": "minimize", "maximize": "maximize"})
_TEXTS = ("program", "name", "description", "project", "entity")
_KNOWN = ("method", "metric", "parameters", "command", "run_cap", "early_terminate", *_TEXTS)
_FOR_THE_SERVER = ("apiVersion", "kind", "controller")
_ELSEWHERE = ("job", "image_uri", "scheduler", "metrics")
_LARGEST_GRID = 100_000


@frozen
class Metric:
    """What a trial is judged by."""

    name: str
    goal: Goal = "minimize"
    target: float | None = None

    def is_reached_by(self, value: float) -> bool:
        """Whether the value is as good as the target, where there is one."""
        if self.target is None:
            return False
        return value <= self.target if self.goal == "minimize" else value >= self.target

    def is_better(self, value: float, other: float) -> bool:
        """Whether the first value is the better one."""
        return value < other if self.goal == "minimize" else value > other


@frozen
class Sweep:
    """A sweep as its file describes it."""

    file: Path
    method: Method
    parameters: Mapping[str, Domain]
    metric: Metric | None = None
    command: tuple[str, ...] = command.DEFAULT
    program: str | None = None
    run_cap: int | None = None
    texts: Mapping[str, str] = field(factory=dict)
    """Name, description, project and entity, where given."""
    notices: tuple[str, ...] = ()
    """What the user should know of the file."""
    lines: Mapping[str, int] = field(factory=dict)
    """Where each key of the file is."""

    def error(self, key: str, message: str) -> UsageError:
        """An error about this key, or the file where it lacks the key."""
        return UsageError(f"{self.file}:{self.lines.get(key, 1)}: {message}")

    def grid_size(self) -> int:
        """How many points the grid has."""
        size = 1
        for domain in self.parameters.values():
            size *= len(domain.grid() or (0,))
        return size


def read(file: Path) -> Sweep:
    """Read the file.

    Raises:
        UsageError: the file can't be read, or something in it can't be done; the message says
            where and what to do.
    """
    root = located.read(file)
    fields = root.mapping("a sweep file")
    _refuse_unknown(fields)
    for key in ("method", "parameters"):
        if key not in fields:
            raise root.error(f"a sweep needs {key!r}")
    method = _METHODS[fields["method"].one_of("method", _METHODS)]
    metric = _metric(fields["metric"]) if "metric" in fields else None
    if method == "bayes" and metric is None:
        raise fields["method"].error("method bayes needs a metric to learn from: name and goal")
    texts = {key: fields[key].string(key) for key in _TEXTS if key in fields}
    found = Sweep(
        file,
        method,
        parameters.read(fields["parameters"]),
        metric,
        command.read(fields["command"]) if "command" in fields else command.DEFAULT,
        texts.pop("program", None),
        _run_cap(fields["run_cap"]) if "run_cap" in fields else None,
        texts,
        _notices(fields),
        {key: item.line for key, item in fields.items()},
    )
    if method == "grid":
        _refuse_endless_grid(found)
    return found


def _refuse_unknown(fields: Mapping[str, Item]) -> None:
    for key, item in fields.items():
        if key in _ELSEWHERE:
            raise item.error(
                f"{key!r} needs W&B's server; remove it, and give program or command instead"
            )
        if key not in (*_KNOWN, *_FOR_THE_SERVER):
            raise item.error(
                f"a sweep has no key {key!r}{did_you_mean(key, _KNOWN)}; it has {', '.join(_KNOWN)}"
            )


def _notices(fields: Mapping[str, Item]) -> tuple[str, ...]:
    if "early_terminate" not in fields:
        return ()
    item = fields["early_terminate"]
    return (
        f"{item.file}:{item.line}: early_terminate is not done here: every trial runs to its end",
    )


def _metric(item: Item) -> Metric:
    fields = item.mapping("metric")
    known = ("name", "goal", "target")
    for key, below in fields.items():
        if key not in known:
            raise below.error(
                f"metric has no key {key!r} here{did_you_mean(key, known)}; "
                f"it has {', '.join(known)}"
            )
    if "name" not in fields:
        raise item.error("metric needs a name, as the run logs it")
    goal = fields["goal"].one_of("goal of the metric", _GOALS) if "goal" in fields else "minimize"
    target = fields["target"].number("target of the metric") if "target" in fields else None
    return Metric(fields["name"].string("name of the metric"), _GOALS[goal], target)


def _run_cap(item: Item) -> int:
    if not isinstance(item.value, int) or isinstance(item.value, bool) or item.value < 1:
        raise item.error(f"run_cap must be a whole number from 1 on, not {item.shown()}")
    return item.value


def _refuse_endless_grid(sweep: Sweep) -> None:
    for name, domain in sweep.parameters.items():
        if domain.grid() is None:
            raise sweep.error(
                "parameters",
                f"parameter {name!r} can't be searched by a grid; give value, values, whole min "
                "and max, or q_uniform, or use method random or bayes",
            )
    if sweep.grid_size() > _LARGEST_GRID:
        raise sweep.error(
            "parameters",
            f"the grid has {sweep.grid_size():,} points, and can have {_LARGEST_GRID:,}; use "
            "method random or bayes",
        )
