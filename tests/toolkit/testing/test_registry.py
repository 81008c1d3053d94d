"""Which contract a plugin is checked with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.discovery import BrokenPluginError
from toolkit.errors import UsageError
from toolkit.testing import TrackerContract
from toolkit.testing import contract_for
from toolkit.testing.runner import run_contract

PLUGIN = """
import pathlib
from attrs import define
from toolkit.testing import TrackerContract
from toolkit.tracker import Link

@define
class Lines:
    protocol_version = 1
    folder: str = "lines"
    def open(self, run, memory):
        path = pathlib.Path(self.folder)
        path.mkdir(exist_ok=True)
        (path / run.id).touch()
        return Link(id=run.id)
    def write(self, events): ...
    def close(self, ended): ...

@define
class Picky(Lines):
    address: str = attrs_field()

class LinesContract(TrackerContract):
    def make_tracker(self, folder):
        return Lines(folder=str(folder))

NoContract = 7
""".replace("attrs_field()", "__import__('attrs').field(kw_only=True)")

Ship = Callable[..., None]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Put a distribution with this contract's entry point on the path of this process."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def shipped(module: str, contract: str = "", name: str = "", tracker: str = "Lines") -> None:
        (tmp_path / f"{module}.py").write_text(PLUGIN)
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [] if name else [f"[toolkit.trackers]\n{module} = {module}:{tracker}\n"]
        if contract:
            lines.append(f"[toolkit.contracts]\n{name or module} = {module}:{contract}\n")
        (metadata / "entry_points.txt").write_text("".join(lines))

    return shipped


def test_the_distributions_own_contract(ship: Ship) -> None:
    """The class under the entry point of the tracker's name."""
    ship("contract_lines", "LinesContract")
    found = contract_for("contract_lines")
    assert (found.__name__, found.__module__) == ("LinesContract", "contract_lines")


def test_a_plugin_without_a_contract_gets_a_general_one(ship: Ship, tmp_path: Path) -> None:
    """Made with its defaults in a temporary folder; what needs reading back is skipped."""
    ship("contract_bare")
    home = Path.cwd()
    found = {one.name: one for one in run_contract(contract_for("contract_bare"))}
    assert {one.status for one in found.values()} == {"passed", "skipped"}
    assert "read_back isn't overridden" in found["test_order"].message
    assert Path.cwd() == home
    assert not (home / "lines").exists()


def test_a_plugin_that_needs_options_is_skipped_and_says_why(ship: Ship) -> None:
    """With what its author can do about it."""
    ship("contract_picky", tracker="Picky")
    found = list(run_contract(contract_for("contract_picky")))
    assert {one.status for one in found} == {"skipped"}
    assert "Picky needs the option 'address'" in found[0].message
    assert "toolkit.contracts" in found[0].message


def test_an_unknown_tracker(ship: Ship) -> None:
    """Refused with the nearest name."""
    ship("contract_lime")
    with pytest.raises(UsageError, match="did you mean 'contract_lime'"):
        contract_for("contract_limy")


def test_two_contracts_for_one_tracker(ship: Ship) -> None:
    """Refused, naming both."""
    ship("contract_one", "LinesContract")
    ship("contract_two", "LinesContract", name="contract_one")
    with pytest.raises(UsageError, match=r"contract_one.*contract_two"):
        contract_for("contract_one")


@pytest.mark.parametrize(
    ("contract", "message"),
    [("Missing", "can't be imported"), ("NoContract", "no subclass"), ("Lines", "no subclass")],
)
def test_a_contract_that_is_none(ship: Ship, contract: str, message: str) -> None:
    """Refused with the distribution that it comes from."""
    module = f"contract_bad_{contract.lower()}"
    ship(module, contract)
    with pytest.raises(BrokenPluginError, match=f"{module}.*{message}"):
        contract_for(module)


def test_our_own_plugins_bring_theirs() -> None:
    """The tracker that tells nobody has one, and imports nothing for it."""
    found = contract_for("none")
    assert issubclass(found, TrackerContract)
    assert found.__module__ == "toolkit_none.contract"
