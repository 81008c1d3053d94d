"""Experiments: an experiment of MLflow is a project here.

Projects have a name only. The ids that MLflow's functions speak of, and an experiment's tags, are
kept in ``experiments.json`` in the folder of runs. Trackers are told an experiment's tags as tags
``experiment.<key>`` of its runs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from attrs import field
from attrs import frozen

from toolkit import jsonfile
from toolkit import start
from toolkit.locks import Lock
from toolkit.mlflow_api import checks
from toolkit.mlflow_api import places
from toolkit.mlflow_api import state
from toolkit.mlflow_api.exceptions import EXISTS
from toolkit.mlflow_api.exceptions import MISSING
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.mlflow_api.exceptions import NotCoveredError
from toolkit.mlflow_api.records import Experiment

TAG_PREFIX = "experiment."
DEFAULT_ID, DEFAULT_NAME = "0", "Default"

_FILE_NAME = "experiments.json"
_BY_NAME = re.compile(
    r"""\s*(?:attribute\.)?name\s*=\s*(["'])(?P<name>(?:(?!\1).)*)\1\s*""", re.DOTALL
)
_DELETED_ONLY = 2


@frozen
class Known:
    """One experiment."""

    id: str
    name: str
    created: float = 0.0
    """Unix seconds."""
    tags: Mapping[str, str] = field(factory=dict)

    def shown(self) -> Experiment:
        """As scripts see it."""
        moment = int(self.created * 1000)
        location = places.home().as_uri()
        tags = dict(self.tags)
        return Experiment(self.id, self.name, location, "active", tags, moment, moment)


@frozen
class Register:
    """All experiments of a folder of runs, oldest first."""

    experiments: tuple[Known, ...] = (Known(DEFAULT_ID, DEFAULT_NAME),)

    def named(self, name: str) -> Known | None:
        """The experiment of this name."""
        return next((known for known in self.experiments if known.name == name), None)

    def numbered(self, experiment_id: str) -> Known:
        """The experiment of this id.

        Raises:
            MlflowException: there is none.
        """
        for known in self.experiments:
            if known.id == experiment_id:
                return known
        raise MlflowException(
            f"there is no experiment with the id {experiment_id!r} in {places.home()}; give "
            "set_experiment a name to make one",
            MISSING,
        )

    def with_new(self, name: str) -> Register:
        """With one more; its id is the next number."""
        known = Known(str(len(self.experiments)), name, time.time())
        return Register((*self.experiments, known))

    def with_tags(self, name: str, tags: Mapping[str, str]) -> Register:
        """With these tags instead of those that the experiment of this name has."""
        return Register(
            tuple(
                evolve(known, tags=tags) if known.name == name else known
                for known in self.experiments
            )
        )


def set_experiment(
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    trace_location: Any = None,
) -> Experiment:
    """Put the runs that are started from now on into this experiment; a new name makes one."""
    checks.not_covered("set_experiment", trace_location=trace_location)
    if (experiment_name is None) is (experiment_id is None):
        raise MlflowException("set_experiment takes either experiment_name or experiment_id")
    if experiment_id is not None:
        known = _read().numbered(str(experiment_id))
    else:
        known = with_name(checks.experiment_name(experiment_name))
    state.set_experiment(known.name)
    return known.shown()


def create_experiment(
    name: str,
    artifact_location: str | None = None,
    tags: dict[str, Any] | None = None,
    trace_location: Any = None,
) -> str:
    """Make an experiment of a name that none has yet; its id."""
    checks.not_covered(
        "create_experiment", artifact_location=artifact_location, trace_location=trace_location
    )
    checks.experiment_name(name)
    texts = {checks.key("tag", key): str(value) for key, value in (tags or {}).items()}

    def made(register: Register) -> Register:
        if register.named(name):
            raise MlflowException(f"experiment {name!r} exists already", EXISTS)
        return register.with_new(name).with_tags(name, texts)

    changed = _change(made).named(name)
    return changed.id if changed else DEFAULT_ID


def get_experiment(experiment_id: str) -> Experiment:
    """The experiment of this id."""
    return _read().numbered(str(experiment_id)).shown()


def get_experiment_by_name(name: str) -> Experiment | None:
    """The experiment of this name, or None."""
    known = _read().named(name)
    return known.shown() if known else None


def search_experiments(
    view_type: int = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: list[str] | None = None,
) -> list[Experiment]:
    """The experiments, the newest first; of filters, ``name = '...'`` is covered."""
    checks.not_covered("search_experiments", order_by=order_by)
    by_name = _BY_NAME.fullmatch(filter_string or "")
    if filter_string and not by_name:
        raise NotCoveredError(f"search_experiments(filter_string={filter_string!r})")
    if view_type == _DELETED_ONLY:  # nothing deletes one
        return []
    found = [
        known.shown()
        for known in reversed(_read().experiments)
        if by_name is None or known.name == by_name["name"]
    ]
    return found[:max_results]


def set_experiment_tag(key: str, value: Any) -> None:
    """Set one tag of the current experiment; see `set_experiment_tags`."""
    set_experiment_tags({key: value})


def set_experiment_tags(tags: dict[str, Any]) -> None:
    """Set tags of the current experiment; its active and later runs say them to trackers."""
    texts = {checks.key("tag", key): str(value) for key, value in tags.items()}
    current = chosen(None)
    _change(lambda register: register.with_tags(current.name, {**current.tags, **texts}))
    for run in state.stack():
        if run.info.experiment_id == current.id:
            run.held.recording.set_tags(as_run_tags(texts))


def delete_experiment_tag(key: str) -> None:
    """Delete a tag of the current experiment; runs that have been told of it keep it."""
    current = chosen(None)
    if key not in current.tags:
        raise MlflowException(f"experiment {current.name!r} has no tag {key!r}", MISSING)
    left = {name: text for name, text in current.tags.items() if name != key}
    _change(lambda register: register.with_tags(current.name, left))


def as_run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """An experiment's tags as its runs say them."""
    return {f"{TAG_PREFIX}{key}": text for key, text in tags.items()}


def chosen(experiment_id: str | None) -> Known:
    """The experiment of a run to be started.

    That of the project that was fixed outside of the script, else the one of this id, else the one
    that was set, else the one that MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID says, else the
    default one.

    Raises:
        MlflowException: there is none of this id.
    """
    asked = None if experiment_id is None else _read().numbered(experiment_id)
    fixed = fixed_project()
    if asked and not fixed:
        return asked
    if name := fixed or state.experiment() or os.environ.get(state.EXPERIMENT_NAME):
        return with_name(name)
    return _read().numbered(os.environ.get("MLFLOW_EXPERIMENT_ID") or DEFAULT_ID)


def fixed_project() -> str | None:
    """The project that comes before what a script says: TOOLKIT_PROJECT, `toolkit track --project`.

    A run that was made outside of the script keeps its own.
    """
    run = places.tracked()
    of_run = run.info().project if run and run.info_path.is_file() else None
    return of_run or os.environ.get("TOOLKIT_PROJECT") or None


def with_name(name: str) -> Known:
    """The experiment of this name, which is made where there is none."""
    if found := _read().named(name):
        return found
    register = _change(lambda now: now if now.named(name) else now.with_new(name))
    return register.named(name) or Known(DEFAULT_ID, name)


def id_of(project: str) -> str:
    """The id of a project's experiment; the name itself, where it has none."""
    known = _read().named(project)
    return known.id if known else project


def _path() -> Path:
    return places.home() / _FILE_NAME


def _read() -> Register:
    return jsonfile.read(_path(), Register) if _path().exists() else Register()


def _change(change: Callable[[Register], Register]) -> Register:
    """Change the file, one process at a time; where nothing is recorded, nothing is written."""
    if start.is_silent(os.environ):
        return change(_read())
    _path().parent.mkdir(parents=True, exist_ok=True)
    with Lock.acquire(_path().with_suffix(".lock")):
        changed = change(_read())
        jsonfile.write(_path(), changed)
    return changed
