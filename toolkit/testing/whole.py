"""One long run with something of everything, told once; most rules look at a part of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.testing.comparing import SINGLE_PRECISION
from toolkit.testing.comparing import brief
from toolkit.testing.comparing import curves
from toolkit.testing.comparing import expect_points
from toolkit.testing.comparing import is_same
from toolkit.testing.exhibits import all_exhibits
from toolkit.testing.harness import Harness
from toolkit.testing.harness import Told
from toolkit.testing.harness import expect
from toolkit.testing.limits import Surroundings
from toolkit.testing.limits import contents
from toolkit.testing.limits import listening
from toolkit.testing.recorded import Item
from toolkit.testing.rules import MismatchError
from toolkit.testing.rules import described
from toolkit.testing.samples import Samples
from toolkit.testing.samples import sample_run

_BATCH = 100


class Whole(Harness):
    """Tells the long run, and compares groups of its events with what the backend holds."""

    def whole(self) -> Told:
        """The long run, finished."""
        return self.once("whole", self._tell_whole)

    def exhibit(self, *names: str) -> list[Any]:
        """The events of these groups, all of which the tracker has taken.

        Raises:
            MismatchError: it failed on one of them.
        """
        told = self.whole()
        events = [event for name in names for event in told.more["exhibits"][name]]
        for event, error in told.refused:
            if any(event is one for one in events):
                raise MismatchError(
                    f"write of {brief(event)}", "no error", described(error)
                ) from error
        return events

    def expect_curves(self, *names: str) -> None:
        """Complain unless the metrics of these groups are there: all, once each, in order."""
        told = [event for event in self.exhibit(*names) if isinstance(event, Metrics)]
        self.expect_points(self.whole(), told)

    def expect_points(self, told: Told, events: Sequence[Metrics]) -> None:
        """Complain unless the run has these events' points: all, once each, in order."""
        found = told.holds("metrics")
        precision = 0.0 if self.keeps_doubles is True else SINGLE_PRECISION
        for key, points in curves(events).items():
            if self.keeps_missing_steps is not True:
                points = [(step or 0, value) for step, value in points]
                found = {**found, key: [_at_zero(point) for point in found.get(key, ())]}
            expect_points(key, points, found, precision)

    def expect_items(
        self, what: str, names: Sequence[str], content: Callable[[Any], tuple[str, Item[Any]]]
    ) -> None:
        """Complain unless the things of these groups are in their series, with their steps.

        ``content`` gives an event's name, and what is expected under it.
        """
        expected: dict[str, list[Item[Any]]] = {}
        for event in self.exhibit(*names):
            name, item = content(event)
            expected.setdefault(name, []).append(item)
        found: Mapping[str, Sequence[Item[Any]]] = self.whole().holds(what)
        for name, items in expected.items():
            kept = list(found.get(name, ()))
            if self.keeps_missing_steps is not True:
                items, kept = [_at_zero(i) for i in items], [_at_zero(i) for i in kept]
            _expect_series(f"{what} {name!r}", items, kept)

    def _tell_whole(self, folder: Path) -> Told:
        files, store = folder / "files", folder / "store"
        store.mkdir()
        exhibits = all_exhibits(Samples(files))
        tracker = self.make_tracker(store)
        more: dict[str, Any] = {"exhibits": exhibits, "files": contents(files)}
        more["before"] = Surroundings.now(self.own_variables)
        with listening() as said:
            link = self.open(tracker, sample_run(store))
            refused = [
                failed
                for batch in _batches([e for group in exhibits.values() for e in group])
                for failed in self.tell(tracker, batch)
            ]
            self.close(tracker)
            more["printed"] = said()
        more["after"] = Surroundings.now(self.own_variables)
        more["files after"] = contents(files)
        return Told(link, self.look(store, link), refused, more)


def _batches(events: Sequence[Event]) -> Iterable[Sequence[Event]]:
    return (events[start : start + _BATCH] for start in range(0, len(events), _BATCH))


def _at_zero(thing: Any) -> Any:
    """The point or item, at step 0 if it has none."""
    return evolve(thing, step=thing.step or 0)


def _expect_series(what: str, expected: list[Item[Any]], found: list[Item[Any]]) -> None:
    steps = [item.step for item in expected], [item.step for item in found]
    expect(steps[0] == steps[1], f"{what}: steps", *map(str, steps))
    for place, (told, kept) in enumerate(zip(expected, found, strict=True)):
        told_content, kept_content = told.content, kept.content
        is_right = is_same(told_content, kept_content)
        expect(is_right, f"{what}, number {place + 1}", brief(told_content), brief(kept_content))
