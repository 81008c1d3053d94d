"""What the distribution promises: its packages, a light core, commands that answer at once."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = frozenset(
    [
        "accelerate",
        "cattrs",
        "mlflow",
        "numpy",
        "optuna",
        "psutil",
        "pynvml",
        "rich",
        "torch",
        "transformers",
        "wandb",
        "yaml",
    ]
)


def test_every_package_is_listed() -> None:
    """A folder with modules that setup.cfg doesn't list would be missing from the wheel."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = config["options"]["packages"].split()
    homes = {"toolkit": ROOT, "plugins": ROOT / "plugins", "recipes": ROOT / "recipes"}
    found = {
        ".".join(path.parent.relative_to(home).parts)
        for name, home in homes.items()
        for path in (ROOT / name).rglob("__init__.py")
    }

    assert sorted(found) == listed


def _modules_after(code: str) -> set[str]:
    shown = f"{code}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import toolkit",
        "import toolkit; toolkit.start_run",
        "import toolkit.cli",
        "import toolkit.fluent",
        "import toolkit.cli.track",
        "import toolkit.cli.runs, toolkit.cli.sync, toolkit.cli.plugins",
        "import toolkit_mlflow.tracker, toolkit_wandb.tracker, toolkit_none",
    ],
)
def test_imports_are_light(code: str) -> None:
    """Core, command line and plugins import nothing heavy before it is used."""
    before = _modules_after("")

    assert not (_modules_after(code) - before) & HEAVY


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("track", "--help"),
        ("runs", "--help"),
        ("runs", "list", "--help"),
        ("runs", "show", "--help"),
        ("runs", "compare", "--help"),
        ("sweep", "--help"),
        ("sync", "--help"),
        ("plugins", "list"),
        ("plugins", "show", "--help"),
        ("plugins", "check", "--help"),
        ("plugins", "new", "--help"),
    ],
)
def test_command_line_answers(words: tuple[str, ...]) -> None:
    """Every command explains itself."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words], check=True, capture_output=True, text=True
    )

    assert done.stdout
    assert not done.stderr


@pytest.mark.parametrize("words", [("track",), ("nothing",), ("runs", "show")])
def test_usage_errors(words: tuple[str, ...]) -> None:
    """A command line that says too little, or something unknown, ends with 2 and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
