"""How this plugin is checked: it takes everything, and there is nothing to read back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from unittest import SkipTest

from toolkit.testing import Recorded
from toolkit.testing import TrackerContract
from toolkit.tracker import Link
from toolkit_none import NoneTracker


class NoneContract(TrackerContract):
    """The tracker that tells nobody."""

    def make_tracker(self, folder: Path) -> NoneTracker:
        """It has no options, and no use for the folder."""
        return NoneTracker()

    def read_back(self, folder: Path, link: Link) -> Recorded:
        """Nothing is kept."""
        raise SkipTest("this tracker keeps nothing that could be read back")

    def away(self, folder: Path) -> AbstractContextManager[None]:
        """It is always there."""
        raise SkipTest("this tracker has no backend that could be away")
