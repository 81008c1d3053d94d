"""Which contract an installed plugin is checked with, when options are given for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from unittest import SkipTest

import attrs

from toolkit import discovery
from toolkit import options
from toolkit.plugin_options import options_of
from toolkit.tracker import Tracker

if TYPE_CHECKING:
    from toolkit.testing import TrackerContract


def contract_of(name: str, given: Mapping[str, str]) -> type[TrackerContract]:
    """The plugin's contract, or the general one; the options win over those that it chooses.

    Raises:
        UsageError: no plugin has this name; an option is unknown, missing, or doesn't fit.
        BrokenPluginError: the plugin or its contract can't be used.
    """
    from importlib.metadata import entry_points

    from toolkit.testing import contract_for
    from toolkit.testing.registry import GROUP

    plugin = discovery.load(name)
    contract = contract_for(name)
    required = {option.name for option in options_of(name, plugin) if option.is_required}
    if required <= given.keys() or not entry_points(group=GROUP, name=name):
        options.build(plugin, given)  # says what is wrong with them before anything is checked
    return _with(contract, plugin, given) if given else contract


def _with(
    contract: type[TrackerContract], plugin: type[Tracker], given: Mapping[str, str]
) -> type[TrackerContract]:
    """The contract, whose trackers have these options."""

    def make_tracker(self: TrackerContract, folder: Path) -> Tracker:
        """The contract's own tracker with the options that were given."""
        try:
            made = contract.make_tracker(self, folder)
        except SkipTest:  # there is none without options
            return options.build(plugin, given)
        return options.build(type(made), {**_chosen(made), **given})

    return type(contract.__name__, (contract,), {"make_tracker": make_tracker})


def _chosen(tracker: Any) -> dict[str, Any]:
    """The options that a tracker was made with."""
    return {
        attribute.alias or attribute.name: getattr(tracker, attribute.name)
        for attribute in attrs.fields(type(tracker))
        if attribute.init
    }
