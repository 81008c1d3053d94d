"""`toolkit plugins new` writes a distribution that works, and never touches what is there."""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result

from tests.installing import install
from tests.toolkit.plugin_shipping import TRACKER
from tests.toolkit.plugin_shipping import Shipment
from tests.waiting import LIMIT
from toolkit.cli import main

NAME = "my-lab"
FILES = {
    "README.md",
    "pyproject.toml",
    "setup.cfg",
    "tests/test_contract.py",
    "toolkit_my_lab/__init__.py",
    "toolkit_my_lab/contract.py",
}


def new(*words: str) -> Result:
    """What `new` does."""
    return CliRunner().invoke(main, ["plugins", "new", *words])


def contents(folder: Path) -> dict[str, str]:
    """Every file in the folder, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the distribution's name, with all files, each of which is named."""
    monkeypatch.chdir(tmp_path)

    done = new(NAME)

    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["toolkit-tracker-my-lab"]
    written = contents(tmp_path / "toolkit-tracker-my-lab")
    assert set(written) == FILES
    assert all(f"toolkit-tracker-my-lab/{path}\n" in done.output for path in FILES)
    assert not any("$name" in text or "${" in text for text in written.values())
    for path, text in written.items():
        if path.endswith(".py"):
            ast.parse(text)


def test_both_entry_points(tmp_path: Path) -> None:
    """The tracker and its contract have the plugin's name."""
    assert new(NAME, "--directory", str(tmp_path / "here")).exit_code == 0
    config = configparser.ConfigParser()
    config.read(tmp_path / "here" / "setup.cfg", encoding="utf-8")

    points = config["options.entry_points"]

    assert points["toolkit.trackers"].strip() == "my-lab = toolkit_my_lab:MyLabTracker"
    assert points["toolkit.contracts"].strip() == "my-lab = toolkit_my_lab.contract:MyLabContract"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Lab",
        "9lab",
        "-lab",
        "lab-",
        "my--lab",
        "my_lab",
        "my.lab",
        "my lab",
        "..",
        "../lab",
        "/lab",
        "a/b",
        "lab\n",
        "läb",
        "l" * 41,
    ],
)
def test_names_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Other forms of a name, paths among them, are refused, saying which form it takes."""
    monkeypatch.chdir(tmp_path)

    done = new("--", name)

    assert done.exit_code == 2
    assert "lower-case letters" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mlflow", "'mlflow' is installed already"),
        ("my-acme", "'My_Acme' is installed already"),
        ("recipes", "module toolkit_recipes would hide"),
    ],
)
def test_names_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    """A plugin's name, however it is spelt, and a module's name are refused."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    Shipment("acme", {"My_Acme": "x:Good"}, modules={"x.py": TRACKER}).unpack(tmp_path / "site")

    done = new(name, "--directory", str(tmp_path / "new"))

    assert done.exit_code == 2
    assert reason in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["setup.cfg", ".hidden"])
def test_nothing_is_replaced(tmp_path: Path, there: str) -> None:
    """A folder with anything in it is refused, and left as it is."""
    (tmp_path / there).write_text("mine")

    done = new(NAME, "--directory", str(tmp_path))

    assert done.exit_code == 2
    assert "not an empty folder" in done.stderr
    assert contents(tmp_path) == {there: "mine"}


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    """A file of that name, or among the folders above, is refused with a reason."""
    (tmp_path / "file").write_text("mine")

    for place in ("file", "file/inner"):
        done = new(NAME, "--directory", str(tmp_path / place))
        assert done.exit_code == 2
        assert "Traceback" not in done.output

    assert contents(tmp_path) == {"file": "mine"}


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """An empty folder is written into."""
    assert new(NAME, "--directory", str(tmp_path)).exit_code == 0
    assert set(contents(tmp_path)) == FILES


def test_it_works_at_once(tmp_path: Path) -> None:
    """What is written installs, keeps the contract, and passes its own tests."""
    assert new(NAME, "--directory", str(tmp_path / "new")).exit_code == 0
    install([tmp_path / "new"], tmp_path / "site")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a new environment has no plugins of pytest
    }

    for words in (
        ["-m", "toolkit", "plugins", "check", NAME],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
    ):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path / "new",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAILED" not in done.stdout
