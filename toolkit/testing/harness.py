"""What a contract is made of: the tracker's making and reading back, runs told, comparisons."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar
from unittest import SkipTest

from attrs import field
from attrs import frozen

from toolkit import jsonfile
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Status
from toolkit.runinfo import RunInfo
from toolkit.testing.limits import TookTooLongError
from toolkit.testing.limits import within
from toolkit.testing.recorded import Recorded
from toolkit.testing.rules import Can
from toolkit.testing.rules import MismatchError
from toolkit.testing.rules import described
from toolkit.testing.samples import START
from toolkit.tracker import Link
from toolkit.tracker import Tracker
from toolkit.tracker import Unreachable

ENDED_AT = START + 10_000.0


@frozen
class Told:
    """One run that a tracker was told, and what its backend holds of it."""

    link: Link
    recorded: Recorded | SkipTest
    """Why nothing can be read back, if so."""
    refused: Sequence[tuple[Event, Exception]] = ()
    """Events that the tracker failed on, each with its error."""
    more: Mapping[str, Any] = field(factory=dict)

    def holds(self, name: str) -> Any:
        """The field of `Recorded`.

        Raises:
            SkipTest: this backend can't show it.
        """
        if isinstance(self.recorded, SkipTest):
            raise SkipTest(f"told without an error, but {self.recorded}")
        found = getattr(self.recorded, name)
        if found is None:
            raise SkipTest(f"told without an error, but this backend can't show {name}")
        return found


class Shelf:
    """Keeps runs that several rules look at: each is told once."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="toolkit-contract-")
        self._kept: dict[str, Any] = {}

    def get(self, name: str, tell: Callable[[Path], Any]) -> Any:
        """What the call returns for a folder of its own, or raises: now or before."""
        if name not in self._kept:
            folder = Path(self._scratch.name).resolve() / name
            folder.mkdir()
            try:
                self._kept[name] = tell(folder)
            except (Exception, TookTooLongError) as error:
                self._kept[name] = error
        if isinstance(self._kept[name], BaseException):
            raise self._kept[name]
        return self._kept[name]

    def clear(self) -> None:
        """Remove every folder."""
        self._scratch.cleanup()


class Harness:
    """What an author overrides and sets, and what rules are written with.

    An ability is True, or a text that says why the backend hasn't got it: rules that need it are
    skipped, with that reason.
    """

    keeps_nan: ClassVar[Can] = True
    keeps_infinities: ClassVar[Can] = True
    keeps_doubles: ClassVar[Can] = True
    """Metrics with 64 bits; without this, they are compared with the precision of 32 bits."""
    keeps_missing_steps: ClassVar[Can] = True
    """Tells a metric without a step from one at step 0."""
    keeps_ends: ClassVar[Can] = True
    """Tells FINISHED, FAILED and KILLED runs from each other, and from those without an end."""
    longest_param: ClassVar[int | None] = None
    """How many characters of a param's value the backend takes; None: any number."""
    longest_tag: ClassVar[int | None] = None
    """The same of a tag's value."""
    time_resolution: ClassVar[float] = 0.001
    """In seconds; how far a point's time may be from what was told."""
    own_variables: ClassVar[Sequence[str]] = ()
    """Beginnings of environment variables that are the tracker's to change."""
    secrets: ClassVar[Sequence[str]] = ()
    """Passwords and keys that `make_tracker` gives to the tracker: no Link may show them."""
    patience: ClassVar[float] = 60.0
    """Seconds that each call of the tracker may take."""

    folder: Path
    """A temporary folder of the check that runs."""

    _shelf: ClassVar[Shelf | None] = None

    def make_tracker(self, folder: Path) -> Tracker:
        """A fresh tracker, not yet open, that keeps its things under the folder.

        The same folder given twice means the same backend store.
        """
        raise NotImplementedError(f"{type(self).__name__} has to override make_tracker")

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """What the backend holds of that run, read without the tracker's own methods."""
        raise SkipTest("nothing can be read back: read_back isn't overridden")

    def away(self, folder: Path) -> contextlib.AbstractContextManager[None]:
        """A context in which the backend in the folder can't be reached."""
        raise SkipTest("no way is known to make this backend unreachable: away isn't overridden")

    def setup_method(self) -> None:
        """Make the check's folder."""
        self._scratch = tempfile.TemporaryDirectory(prefix="toolkit-contract-")
        self.folder = Path(self._scratch.name).resolve()

    def teardown_method(self) -> None:
        """Remove the check's folder."""
        self._scratch.cleanup()

    @classmethod
    def teardown_class(cls) -> None:
        """Remove the runs that several checks have looked at."""
        shelf = vars(cls).get("_shelf")
        cls._shelf = None
        if shelf is not None:
            shelf.clear()

    def once(self, name: str, tell: Callable[[Path], Told]) -> Told:
        """The run of this name, told by the first rule that looks at it."""
        cls = type(self)
        shelf = vars(cls).get("_shelf")  # not that of a contract which this one extends
        if shelf is None:
            cls._shelf = shelf = Shelf()
        found: Told = shelf.get(name, tell)
        return found

    def open(self, tracker: Tracker, run: RunInfo, memory: Link | None = None) -> Link:
        """Open the run, within the time that there is."""
        with within(self.patience, "open"):
            link = tracker.open(run, memory)
        if not isinstance(link, Link):
            raise MismatchError("what open returns", "a toolkit.tracker.Link", repr(link))
        return link

    def write(self, tracker: Tracker, events: Sequence[Event]) -> None:
        """Write one batch, within the time that there is."""
        with within(self.patience, f"write of {len(events)} events"):
            tracker.write(events)

    def close(self, tracker: Tracker, status: Status = "FINISHED") -> None:
        """Close the run, within the time that there is."""
        with within(self.patience, "close"):
            tracker.close(Ended(ENDED_AT, status))

    def tell(self, tracker: Tracker, events: Sequence[Event]) -> list[tuple[Event, Exception]]:
        """Write as couriers do: a batch that fails comes again in halves, down to single events.

        Returns the events that fail by themselves, each with its error.
        """
        if not events:
            return []
        try:
            self.write(tracker, events)
        except Unreachable:
            raise
        except Exception as error:
            if len(events) == 1:
                return [(events[0], error)]
            half = len(events) // 2
            return [*self.tell(tracker, events[:half]), *self.tell(tracker, events[half:])]
        return []

    def look(self, folder: Path, link: Link) -> Recorded | SkipTest:
        """What the backend holds, or why that can't be said."""
        try:
            return self.read_back(folder, link)
        except SkipTest as reason:
            return reason
        except Exception as error:
            raise MismatchError("read_back", "a Recorded", described(error)) from error

    def remembered(self, link: Link) -> Link:
        """The Link as the toolkit remembers it, in a file of JSON."""
        path = Path(tempfile.mkdtemp(dir=self.folder), "link.json")
        try:
            jsonfile.write(path, link)
            return jsonfile.read(path, Link)
        except (TypeError, ValueError) as error:
            raise MismatchError(
                "Link in a file of JSON", "JSON values", described(error)
            ) from error


def is_repeatable(tracker: Tracker) -> bool:
    """Whether the same events may come again without another open."""
    return bool(getattr(tracker, "repeatable", True))


def expect(is_so: object, what: str, expected: object, found: object) -> None:
    """Complain unless something is so."""
    if not is_so:
        raise MismatchError(what, expected, found)
