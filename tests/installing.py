"""Installing distributions of the tests folder, as their users would."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).parent


def copied(name: str, folder: Path) -> Path:
    """A copy of the distribution: building leaves its traces beside the sources."""
    return shutil.copytree(_TESTS / name, folder / name)


def install(sources: list[Path], target: Path) -> None:
    """Build and install the distributions into a folder for PYTHONPATH, without the network."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *map(str, sources)], check=True
    )
