"""TrackerContract: the rules that every tracker keeps, as tests that its author runs."""

from __future__ import annotations

from toolkit.testing.kinds import KindRules
from toolkit.testing.lives import LifeRules
from toolkit.testing.manners import MannerRules
from toolkit.testing.values import ValueRules


class TrackerContract(LifeRules, KindRules, ValueRules, MannerRules):
    """The rules of the Tracker protocol, each a test.

    Subclass it, override `make_tracker` and `read_back`, and call the class ``Test...`` in a file
    of tests::

        class TestMine(TrackerContract):
            def make_tracker(self, folder):
                return MyTracker(path=str(folder / "store"))

            def read_back(self, folder, link):
                return Recorded(metrics=..., params=...)

    Neither pytest nor anything else is needed to run it: `toolkit.testing.runner.run_contract` and
    ``toolkit plugins check NAME`` do. What a backend can't do is said by the class's attributes
    (`keeps_nan` and others) and by fields of `Recorded` that stay None; rules that need it are
    skipped, with that reason. Overriding `away` adds the rule about a backend that can't be
    reached.
    """
