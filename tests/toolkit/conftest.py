"""Fixtures of the core's tests: third-party plugins that are really installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent

Installer = Callable[..., str]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """Install distributions of the tests folder; the path to put into PYTHONPATH."""
    done: dict[tuple[str, ...], str] = {}

    def installed(*names: str) -> str:
        if names not in done:
            # Copied first: building leaves its traces beside the sources.
            sources = tmp_path_factory.mktemp("sources")
            folders = [shutil.copytree(_TESTS / name, sources / name) for name in names]
            target = tmp_path_factory.mktemp("site")
            options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
            subprocess.run(
                [sys.executable, "-m", "pip", "install", *options, *map(str, folders)], check=True
            )
            done[names] = str(target)
        return done[names]

    return installed
