"""A third party's whole distribution: it installs, is found, and keeps the contract."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import installing

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


def test_the_example_passes_its_own_tests(tmp_path: Path) -> None:
    """Installed into a folder of its own, found by its entry points, read back by TensorBoard."""
    source = installing.copied("example_plugin", tmp_path)
    installing.install([source], tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs"],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
