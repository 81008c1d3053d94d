"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

from toolkit_recipes.paths import given_path


def test_home_is_meant_by_a_tilde() -> None:
    """As in a shell."""
    assert given_path("~/pages") == Path.home() / "pages"


def test_the_home_of_nobody_is_no_mistake_yet() -> None:
    """It is reported where it is looked for, as what was typed."""
    assert given_path("~no-such-user/pages") == Path("~no-such-user/pages")
