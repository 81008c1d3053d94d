"""Fixtures of the core's tests: third-party plugins that are really installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import installing

Installer = Callable[..., str]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """Install distributions of the tests folder; the path to put into PYTHONPATH."""
    done: dict[tuple[str, ...], str] = {}

    def installed(*names: str) -> str:
        if names not in done:
            sources = tmp_path_factory.mktemp("sources")
            target = tmp_path_factory.mktemp("site")
            installing.install([installing.copied(name, sources) for name in names], target)
            done[names] = str(target)
        return done[names]

    return installed


@pytest.fixture
def third_party(install: Installer) -> dict[str, str]:
    """An environment in which other people's distributions are installed."""
    return {"PYTHONPATH": install("file_plugin", "faulty_plugin", "broken_plugin")}
