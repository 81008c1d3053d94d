"""What a run has recorded, folded up: latest values instead of every event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve
from attrs import field
from attrs import frozen

from toolkit import delivery
from toolkit import journal
from toolkit import lifecycle
from toolkit.delivery import Delivery
from toolkit.events import MEDIA
from toolkit.events import Artifact
from toolkit.events import Described
from toolkit.events import Media
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.events import name_of
from toolkit.lifecycle import Life
from toolkit.rundir import RunDir
from toolkit.runinfo import RunInfo


@frozen
class Point:
    """A metric's value with the highest step, and how many points it has."""

    value: float
    step: int | None
    count: int


@frozen
class Shown:
    """The latest picture, table or text of one kind and name, and how many there are."""

    kind: str
    name: str
    step: int | None
    count: int
    file: str | None
    """Its path in the run's folder, where it has one."""


@frozen
class Recorded:
    """One run at a glance."""

    info: RunInfo
    life: Life
    params: Mapping[str, Any] = field(factory=dict)
    metrics: Mapping[str, Point] = field(factory=dict)
    summary: Mapping[str, Any] = field(factory=dict)
    tags: Mapping[str, str] = field(factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    media: tuple[Shown, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


def overview(run: RunDir) -> Recorded:
    """What the run is and how it stands, without its values."""
    info = run.info()
    for _, event in journal.events_of(run.journal, Described):
        if isinstance(event, Described):
            info = info.described(event)
    deliveries = tuple(delivery.load(run, name) for name in delivery.backends(run))
    return Recorded(info, lifecycle.settle(run), deliveries=deliveries)


def everything(run: RunDir) -> Recorded:
    """The overview with the values."""
    params: dict[str, Any] = {}
    metrics: dict[str, Point] = {}
    summary: dict[str, Any] = {}
    tags: dict[str, str] = {}
    artifacts: list[Artifact] = []
    media: dict[tuple[str, str], Shown] = {}
    kinds = (Params, Metrics, Summary, Tags, Artifact, *MEDIA)
    for _, event in journal.events_of(run.journal, *kinds):
        match event:
            case Params():
                merge(params, event.values)
            case Metrics():
                _add_points(metrics, event)
            case Summary():
                summary.update(event.values)
            case Tags():
                tags.update(event.values)
            case Artifact():
                artifacts.append(event)
            case _ if isinstance(event, MEDIA):
                _add_media(media, event)
    return evolve(
        overview(run),
        params=params,
        metrics=metrics,
        summary=summary,
        tags=tags,
        artifacts=tuple(artifacts),
        media=tuple(media.values()),
    )


def _add_points(metrics: dict[str, Point], event: Metrics) -> None:
    for key, value in event.values.items():
        old = metrics.get(key)
        if old is None:
            metrics[key] = Point(value, event.step, 1)
        elif (event.step or 0) >= (old.step or 0):
            metrics[key] = Point(value, event.step, old.count + 1)
        else:
            metrics[key] = Point(old.value, old.step, old.count + 1)


def _add_media(media: dict[tuple[str, str], Shown], event: Media) -> None:
    kind, name, step = type(event).__name__.lower(), name_of(event), getattr(event, "step", None)
    old = media.get((kind, name))
    if old is not None and (step or 0) < (old.step or 0):
        media[kind, name] = evolve(old, count=old.count + 1)
    else:
        count = old.count + 1 if old else 1
        media[kind, name] = Shown(kind, name, step, count, getattr(event, "path", None))


def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Lay nested params over those that are there."""
    for key, value in values.items():
        below = into.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            merge(below, value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
