"""For those who write a tracker plugin: `TrackerContract` to prove it, samples to try it with."""

from toolkit.testing.contract import TrackerContract
from toolkit.testing.recorded import Bins
from toolkit.testing.recorded import Item
from toolkit.testing.recorded import Matrix
from toolkit.testing.recorded import Point
from toolkit.testing.recorded import Recorded
from toolkit.testing.registry import contract_for
from toolkit.testing.rules import rule
from toolkit.testing.samples import Samples
from toolkit.testing.samples import sample_events
from toolkit.testing.samples import sample_run

__all__ = [
    "Bins",
    "Item",
    "Matrix",
    "Point",
    "Recorded",
    "Samples",
    "TrackerContract",
    "contract_for",
    "rule",
    "sample_events",
    "sample_run",
]
