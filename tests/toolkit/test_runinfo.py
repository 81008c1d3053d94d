from __future__ import annotations

from tests.conftest import run_info
from toolkit.events import Described


def test_what_was_fixed_before_wins() -> None:
    """What the command line fixed stays; a script only fills in what nobody has chosen."""
    said = Described(1.0, "script's", "n", "g", ("b", "a"), "notes")
    info = run_info(project="mine", tags=("a",)).described(said)

    assert (info.project, info.name, info.group, info.notes) == ("mine", "n", "g", "notes")
    assert info.tags == ("a", "b")


def test_silence_leaves_things_as_they_are() -> None:
    """A script that says nothing changes nothing."""
    info = run_info(project="p", name="n", group="g", tags=("a",), notes="x")

    assert info.described(Described(1.0)) == info


def test_shown_names() -> None:
    """A project and a name that nobody chose are shown as the default project and the id."""
    unnamed = run_info(id="the-id")
    named = run_info(project="p", name="n")

    assert (unnamed.project_name, unnamed.display_name) == ("default", "the-id")
    assert (named.project_name, named.display_name) == ("p", "n")
