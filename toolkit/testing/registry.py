"""Which contract an installed tracker is checked with."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

from toolkit import discovery
from toolkit import options
from toolkit.discovery import BrokenPluginError
from toolkit.errors import UsageError
from toolkit.testing.contract import TrackerContract
from toolkit.testing.rules import described
from toolkit.tracker import Tracker

GROUP = "toolkit.contracts"


def contract_for(name: str) -> type[TrackerContract]:
    """The contract that a distribution gives for this tracker under ``toolkit.contracts``.

    Without one, a contract that makes the tracker with its default options, in a temporary working
    folder, and skips what needs reading back.

    Raises:
        UsageError: no tracker has this name, or several distributions claim it or its contract.
        BrokenPluginError: the contract can't be imported, or is none.
    """
    from importlib.metadata import entry_points

    discovery.find(name)
    entries = tuple(entry_points(group=GROUP, name=name))
    if not entries:
        return _generic(name)
    owners = [f"{entry.dist.name if entry.dist else '?'} ({entry.value})" for entry in entries]
    if len(entries) > 1:
        raise UsageError(
            f"the contract of {name!r} is claimed by {' and '.join(owners)}: "
            "uninstall all but one of them"
        )
    try:
        contract = entries[0].load()
    except Exception as error:
        raise BrokenPluginError(
            f"the contract of {name!r} from {owners[0]} can't be imported: {described(error)}"
        ) from error
    if not (isinstance(contract, type) and issubclass(contract, TrackerContract)):
        raise BrokenPluginError(
            f"the contract of {name!r} from {owners[0]} is no subclass of TrackerContract"
        )
    return contract


def _generic(plugin: str) -> type[TrackerContract]:
    """A contract for a tracker that has brought none."""

    class PluginContract(TrackerContract):
        """Makes the tracker as the toolkit does when nobody gives it options."""

        def setup_method(self) -> None:
            """Remember the working folder."""
            super().setup_method()
            self._home = os.getcwd()

        def teardown_method(self) -> None:
            """Go back to the working folder."""
            os.chdir(self._home)
            super().teardown_method()

        def make_tracker(self, folder: Path) -> Tracker:
            """The tracker, which finds itself in the folder: defaults are relative to that."""
            os.chdir(folder)
            try:
                return options.build(discovery.load(plugin), {})
            except UsageError as error:
                raise SkipTest(
                    f"{error}; with its own contract, under the entry points {GROUP}, "
                    "the plugin can be made with options"
                ) from error

    return PluginContract
