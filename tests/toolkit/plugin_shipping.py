"""Installed distributions with plugins in them, as their metadata and modules lie on a path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import field
from attrs import frozen

Ship = Callable[..., None]
"""Takes the fields of a `Shipment`."""

TRACKER = """
from typing import ClassVar

class Good:
    \"\"\"Tells nobody.

    More about it.
    \"\"\"

    protocol_version: ClassVar[int] = 1
    def open(self, run, memory): ...
    def write(self, events): ...
    def close(self, ended): ...
"""


@frozen
class Shipment:
    """What one distribution brings along."""

    name: str
    plugins: Mapping[str, str] = field(factory=dict)
    """Names to targets, under the group of trackers."""
    contracts: Mapping[str, str] = field(factory=dict)
    modules: Mapping[str, str] = field(factory=dict)
    """Paths of files to their text."""
    requires: tuple[str, ...] = ()
    version: str = "1.0"

    def unpack(self, site: Path) -> None:
        """Put it into a folder that is on the path, as an installer does."""
        metadata = site / f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        metadata.mkdir(parents=True)
        lines = [
            "Metadata-Version: 2.1",
            f"Name: {self.name}",
            f"Version: {self.version}",
            *(f"Requires-Dist: {requirement}" for requirement in self.requires),
        ]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n")
        groups = {"toolkit.trackers": self.plugins, "toolkit.contracts": self.contracts}
        (metadata / "entry_points.txt").write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in given.items())
                for group, given in groups.items()
            )
        )
        for path, text in self.modules.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)


def shipping_to(site: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Puts distributions on the path of this process; their modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(site))

    def ship(*given: object, **more: object) -> None:
        shipment = Shipment(*given, **more)  # type: ignore[arg-type]
        shipment.unpack(site)
        for path in shipment.modules:
            name = path.partition("/")[0].removesuffix(".py")
            monkeypatch.setitem(sys.modules, name, sys)
            del sys.modules[name]  # so that undoing the patch removes what comes instead

    return ship
