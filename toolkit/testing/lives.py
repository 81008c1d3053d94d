"""Rules about a run's life: opened, told in batches, interrupted, gone on with, ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.events import Event
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Status
from toolkit.testing.comparing import brief
from toolkit.testing.comparing import expect_values
from toolkit.testing.harness import Told
from toolkit.testing.harness import expect
from toolkit.testing.harness import is_repeatable
from toolkit.testing.limits import listening
from toolkit.testing.recorded import Recorded
from toolkit.testing.rules import MismatchError
from toolkit.testing.rules import described
from toolkit.testing.rules import need
from toolkit.testing.rules import rule
from toolkit.testing.samples import Samples
from toolkit.testing.samples import sample_run
from toolkit.testing.whole import Whole
from toolkit.tracker import Unreachable

_STEPS = 24
_SIZES = (1, 0, 2, 3, 5, 8, 1)


class LifeRules(Whole):
    """Whatever comes between, the run reads as if it had been told once."""

    @rule
    def test_batches_of_every_size(self) -> None:
        """Batches of one, none, few and many events read like one telling."""
        self.expect_story(self.once("sizes", self._tell_in_sizes))

    @rule
    def test_repeated_batches(self) -> None:
        """A batch that comes again, whole or in part, changes nothing.

        A tracker that isn't repeatable is opened again instead, and told from the start.
        """
        self.expect_story(self.once("repeated", self._tell_repeatedly))

    @rule
    def test_resume_with_memory(self) -> None:
        """A run that is gone on with reads like one telling, though some events came twice."""
        self.expect_story(self._interrupted())

    @rule
    def test_memory_is_the_same_run(self) -> None:
        """Opened with the Link that is remembered, the run has the same id."""
        told = self._interrupted()
        expect(told.link.id == told.more["link"].id, "id", told.more["link"].id, told.link.id)

    @rule
    def test_resume_without_memory(self) -> None:
        """A run that was made, but not remembered, is found and told from the start, as one."""
        self.expect_story(self._forgotten())

    @rule
    def test_the_run_is_found(self) -> None:
        """Opened without memory, a run that the backend has is found by its id, not made anew."""
        told = self._forgotten()
        expect(told.link.id == told.more["link"].id, "id", told.more["link"].id, told.link.id)

    @rule
    def test_giving_up_is_no_end(self) -> None:
        """A run that was told in part, and not closed, has no end."""
        told = self._interrupted()
        halfway = told.more["halfway"]
        found = Told(told.link, halfway).holds("status")
        need(self.keeps_ends, "does not keep how runs end")
        is_open = found not in ("FINISHED", "FAILED", "KILLED")
        expect(is_open, "status before close", "RUNNING", found)

    @rule
    def test_resume_after_the_end(self) -> None:
        """A run that has ended is opened again, told more, and has its latest end."""
        told = self.once("ended", self._tell_after_the_end)
        self.expect_story(told)
        self.expect_status(told, "FAILED")

    @rule
    def test_a_failed_event_spoils_no_other(self) -> None:
        """Where an event can't be told, those around it arrive once each, and close works."""
        told = self.once("failed", self._tell_with_a_failure)
        for event, error in told.refused:
            is_lost = event is told.more["lost"]
            expect(is_lost, f"write of {brief(event)}", "no error", described(error))
        self.expect_story(told)

    @rule
    def test_unreachable(self) -> None:
        """While the backend is away, calls raise Unreachable; later the same calls work."""
        run, other = sample_run(self.folder), sample_run(self.folder, 2)
        events = [Samples(self.folder / "files").metrics({"loss": 0.5}, 1)]
        tracker, second = self.make_tracker(self.folder), self.make_tracker(self.folder)
        link = self.open(tracker, run)
        with listening(), self.away(self.folder):  # what is said of it is not for the terminal
            _expect_unreachable("write", lambda: self.write(tracker, events))
            _expect_unreachable("open", lambda: self.open(second, other))
        if not is_repeatable(tracker):
            link = self.open(tracker, run, link)
        self.write(tracker, events)
        self.close(tracker)
        self.open(second, other)
        self.close(second)
        self.expect_points(Told(link, self.look(self.folder, link)), events)

    @rule
    def test_finished(self) -> None:
        """A run that ended well is shown as FINISHED."""
        self.expect_status(self.whole(), "FINISHED")

    @rule
    def test_failed(self) -> None:
        """A run that failed is shown as FAILED."""
        self.expect_status(self.relative("child"), "FAILED")

    @rule
    def test_killed(self) -> None:
        """A run that was killed is shown as KILLED."""
        self.expect_status(self.relative("orphan"), "KILLED")

    @rule
    def test_close_comes_back(self) -> None:
        """Close comes back in time, also where nothing was told of a run that says little."""
        run = sample_run(self.folder / "gone", 7, command=(), user="", project=None, versions={})
        tracker = self.make_tracker(self.folder)
        self.open(tracker, run)
        self.close(tracker)

    @rule
    def test_runs_have_their_own_ids(self) -> None:
        """Runs in one store have different ids."""
        ids = [self.relative(name).link.id for name in ("parent", "child", "orphan")]
        expect(len(set(ids)) == len(ids), "ids of three runs", "three", ids)

    @rule
    def test_runs_do_not_mix(self) -> None:
        """Runs in one store with the same names keep their own points, params and tags."""
        for name in ("parent", "child", "orphan"):
            told = self.relative(name)
            self.expect_points(told, told.more["metrics"])
            for what in ("params", "tags"):
                found = getattr(told.recorded, what)
                if found is not None:
                    expect_values(f"{what} of {name}", {"who": name}, found)

    @rule
    def test_child_run(self) -> None:
        """A run inside another is opened, and shows which is its parent."""
        parent, child = self.relative("parent"), self.relative("child")
        ids = {parent.link.id, parent.more["run"].id}
        found = child.holds("parent")
        expect(found in ids, "parent", " or ".join(sorted(ids)), repr(found))

    @rule
    def test_names(self) -> None:
        """Project, name, group, labels and notes are shown, quotes and any letters included."""
        told = self.relative("orphan")
        run = told.more["run"]
        labels = told.holds("labels")
        expect(set(run.tags) <= set(labels), "labels", run.tags, labels)
        for name in ("project", "name", "group", "notes"):
            found = getattr(told.recorded, name)
            if found is not None:
                expected = getattr(run, name)
                expect(found == expected, name, repr(expected), repr(found))

    def expect_status(self, told: Told, expected: Status) -> None:
        """Complain unless the run has ended like this."""
        found = told.holds("status")
        need(self.keeps_ends, "does not keep how runs end")
        expect(found == expected, "status", expected, repr(found))

    def expect_story(self, told: Told) -> None:
        """Complain unless the run reads as if its events had been told once."""
        events: Sequence[Event] = told.more["events"]
        self.expect_points(told, [event for event in events if isinstance(event, Metrics)])
        recorded = told.recorded
        assert isinstance(recorded, Recorded)  # noqa: S101 - its points have been seen
        if recorded.params is not None:
            expect_values("param", {"lr": 0.5, "seed": 1}, recorded.params)
        if recorded.console is not None:
            expected = [f"step {n}" for n in range(0, _STEPS, 6)]
            found = recorded.console.splitlines()
            expect(found == expected, "console", expected, brief(found))
        if recorded.images is not None:
            steps = [event.step for event in events if isinstance(event, Image)]
            kept = [item.step for item in recorded.images.get("story/pages", ())]
            expect(kept == steps, "steps of images 'story/pages'", steps, kept)

    def relative(self, name: str) -> Told:
        """One of three runs in one store: a parent, its child, and one whose parent isn't there."""
        told = self.once("family", self._tell_a_family)
        found: Told = told.more[name]
        return found

    def _interrupted(self) -> Told:
        return self.once("interrupted", lambda folder: self._tell_in_two(folder, is_known=True))

    def _forgotten(self) -> Told:
        return self.once("forgotten", lambda folder: self._tell_in_two(folder, is_known=False))

    def _tell_in_sizes(self, folder: Path) -> Told:
        events = _story(folder)
        tracker = self.make_tracker(folder)
        link = self.open(tracker, sample_run(folder))
        place = 0
        for size in (*_SIZES, len(events)):
            self.write(tracker, events[place : place + size])
            place += size
        self.close(tracker)
        return Told(link, self.look(folder, link), more={"events": events})

    def _tell_repeatedly(self, folder: Path) -> Told:
        events = _story(folder)
        third = len(events) // 3
        first, second = events[:third], events[third:]
        tracker = self.make_tracker(folder)
        link = self.open(tracker, sample_run(folder))
        self.write(tracker, first)
        if is_repeatable(tracker):
            again = [first, first[third // 2 :], second, second, events]
        else:
            link = self.open(tracker, sample_run(folder), self.remembered(link))
            again = [events]
        for batch in again:
            self.write(tracker, batch)
        self.close(tracker)
        return Told(link, self.look(folder, link), more={"events": events})

    def _tell_in_two(self, folder: Path, *, is_known: bool) -> Told:
        events = _story(folder)
        cut = len(events) * 2 // 3
        run = sample_run(folder)
        link = self.open(first := self.make_tracker(folder), run)
        self.write(first, events[:cut])
        halfway = self.look(folder, link)
        second = self.make_tracker(folder)
        again = self.open(second, run, self.remembered(link) if is_known else None)
        from_start = not is_known or not is_repeatable(second)
        self.write(second, events if from_start else events[cut // 2 :])
        self.close(second)
        more = {"events": events, "link": link, "halfway": halfway}
        return Told(again, self.look(folder, again), more=more)

    def _tell_after_the_end(self, folder: Path) -> Told:
        events = _story(folder)
        half = len(events) // 2
        run = sample_run(folder)
        link = self.open(first := self.make_tracker(folder), run)
        self.write(first, events[:half])
        self.close(first)
        second = self.make_tracker(folder)
        link = self.open(second, run, self.remembered(link))
        self.write(second, events[half:] if is_repeatable(second) else events)
        self.close(second, "FAILED")
        return Told(link, self.look(folder, link), more={"events": events})

    def _tell_with_a_failure(self, folder: Path) -> Told:
        events = _story(folder)
        lost = Samples(folder / "lost").lost_artifact("lost.bin")
        half = len(events) // 2
        tracker = self.make_tracker(folder)
        link = self.open(tracker, sample_run(folder))
        refused = self.tell(tracker, [*events[:half], lost, *events[half:]])
        self.close(tracker)
        return Told(link, self.look(folder, link), refused, {"events": events, "lost": lost})

    def _tell_a_family(self, folder: Path) -> Told:
        odd = {"project": 'it\'s a "project", ünï', "name": "o'name 日本", "group": "g'1"}
        runs = {
            "parent": sample_run(folder, 1, name="parent"),
            "child": sample_run(folder, 2, name="child", parent=sample_run(folder, 1).id),
            "orphan": sample_run(
                folder, 3, **odd, tags=("it's", "ß 1"), notes='"Two"\nlines', parent="unknown"
            ),
        }
        ends: list[Status] = ["FINISHED", "FAILED", "KILLED"]
        family: dict[str, Any] = {}
        for number, (name, run) in enumerate(runs.items()):
            make = Samples(folder / "files")
            metrics = [make.metrics({"loss": float(number)}, step) for step in range(3)]
            link = self.open(tracker := self.make_tracker(folder), run)
            self.write(tracker, [make.params({"who": name}), make.tags({"who": name}), *metrics])
            self.close(tracker, ends[number])
            family[name] = link, {"run": run, "metrics": metrics}
        told = {  # only now: what comes later must leave earlier runs alone
            name: Told(link, self.look(folder, link), more=more)
            for name, (link, more) in family.items()
        }
        return Told(told["parent"].link, told["parent"].recorded, more=told)


def _story(folder: Path) -> list[Event]:
    """A short run: a curve, params, some lines of the console, and images."""
    make = Samples(folder / "files")
    events: list[Event] = [make.params({"lr": 0.5, "seed": 1}), make.tags({"dataset": "v1"})]
    for step in range(_STEPS):
        events.append(make.metrics({"loss": (step * 7 % 11) / 4}, step))
        if step % 6 == 0:
            events.append(make.console(f"step {step}\n"))
        if step % 10 == 0:
            events.append(make.image("story/pages", 5 * step, step))
    events.append(make.summary({"best": 0.25}))
    return events


def _expect_unreachable(what: str, call: Any) -> None:
    try:
        call()
    except Unreachable:
        return
    except Exception as error:
        raise MismatchError(what, "toolkit.tracker.Unreachable", described(error)) from error
    raise MismatchError(what, "toolkit.tracker.Unreachable", "no error")
