"""docs/plugins.md is followed to the letter, and shows the files that `plugins new` writes."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import shlex
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from toolkit.plugin_maker import Names
from toolkit.plugin_maker import rendered
from toolkit.testing import TrackerContract
from toolkit.tracker import Tracker

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "plugins.md").read_text(encoding="utf-8")
TEN_MINUTES = 600.0

_BLOCK = re.compile(
    r"(?:^`(?P<path>[\w./]+)`[^\n]*\n\n)?^(?P<fence>`{3,})(?P<language>\w+)\n"
    r"(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_MARK = "=== done"


@frozen
class File:
    """A file that the reader writes."""

    path: str
    text: str


@frozen
class Command:
    """A line that the reader types, and what the guide says that it prints."""

    line: str
    output: str


def steps() -> Iterator[File | Command]:
    """What the guide asks for, in order."""
    for block in _BLOCK.finditer(GUIDE):
        if block["path"]:
            yield File(block["path"], block["text"])
        elif block["language"] == "console":
            for typed in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                line, _, output = typed.partition("\n")
                yield Command(line, output)


FILES = {step.path: step.text for step in steps() if isinstance(step, File)}
COMMANDS = [step for step in steps() if isinstance(step, Command)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Exit codes and outputs of a reader who began with an empty folder, one for each command.

    Everything is typed into one shell. The package index is out of reach: what the guide has pip
    fetch is found installed, as the packages of the interpreter that runs the tests.
    """
    folder = tmp_path_factory.mktemp("reader")
    aside = tmp_path_factory.mktemp("aside")
    _install_for_every_python(aside)
    (aside / "toolkit").write_text('#!/bin/sh\nexec python -m toolkit "$@"\n')
    (aside / "toolkit").chmod(0o755)
    script = aside / "typed.sh"
    script.write_text("".join(_typed(step, aside / f"file-{n}") for n, step in enumerate(steps())))
    began = time.monotonic()
    done = subprocess.run(
        ["bash", str(script)],
        cwd=folder,
        env=_environment(aside),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TEN_MINUTES,
        check=True,
    )
    assert time.monotonic() - began < TEN_MINUTES
    parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
    return [(int(code), output) for output, code in zip(parts[::2], parts[1::2], strict=False)]


def _typed(step: File | Command, aside: Path) -> str:
    """The step as lines of a shell; a file's text lies aside until its turn comes."""
    if isinstance(step, Command):
        return f"{step.line}\necho {_MARK} $?\n"
    aside.write_text(step.text, encoding="utf-8")
    target = shlex.quote(step.path)
    return f"mkdir -p $(dirname {target}) && cp {aside} {target}\n"


def _install_for_every_python(folder: Path) -> None:
    """Let an interpreter that has this folder in PYTHONPATH see our packages as its own."""
    (folder / "sitecustomize.py").write_text(
        "import site, sys\n"
        "given = sys.path[:]\n"
        f"for place in {site.getsitepackages()!r}:\n"
        "    site.addsitedir(place)\n"
        "ours = [place for place in sys.path if place not in given]\n"
        "own = [place for place in given if place.endswith('site-packages')]\n"
        "sys.path[:] = [place for place in given if place not in own] + ours + own\n"
    )


def _environment(aside: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TOOLKIT_", "PYTHON", "PIP"))}
    places = [aside, Path(sys.executable).parent, os.environ["PATH"]]
    return clean | {
        "PATH": os.pathsep.join(map(str, places)),
        "PYTHONPATH": str(aside),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # which switches isolation off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a new environment has no plugins of pytest
    }


@pytest.mark.timeout(TEN_MINUTES)
def test_the_guide_works_as_it_is_written(followed: list[tuple[int, str]]) -> None:
    """Every command ends well, and prints what the guide says."""
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert len(followed) == len(COMMANDS)
    for command, (code, output) in zip(COMMANDS, followed, strict=True):
        assert code == 0, f"{command.line}\n{output}"
        is_right = not command.output or checker.check_output(command.output, output, flags)
        assert is_right, f"{command.line}\nexpected:\n{command.output}\nfound:\n{output}"


def test_it_is_what_plugins_new_writes() -> None:
    """The guide's files are those that `toolkit plugins new` writes; only its script is not."""
    written = rendered(Names("sqlite"))

    assert FILES.keys() - written.keys() == {"train.py"}
    assert {path: FILES[path] for path in written} == written


def test_signatures() -> None:
    """The guide has the signatures of the protocol."""
    for name in ("open", "write", "close"):
        signature = inspect.signature(getattr(Tracker, name))
        wanted = str(signature).replace("'", "")
        assert f"    def {name}{wanted}: ...\n" in GUIDE
        arguments = ", ".join(list(signature.parameters)[1:])
        assert f"\n### `{name}({arguments})`\n" in GUIDE


def test_links() -> None:
    """Every link leads to a page that is there."""
    for target in re.findall(r"\]\(([^)#]+)", GUIDE):
        assert (DOCS / target).exists(), target


def test_every_command_can_be_followed() -> None:
    """No block is left out: what isn't a file or typed is the protocol, once."""
    others = [
        block["language"]
        for block in _BLOCK.finditer(GUIDE)
        if not block["path"] and block["language"] != "console"
    ]

    assert others == ["python"]


def test_abilities() -> None:
    """Everything that a contract's class can say of a backend is listed."""
    table = GUIDE.partition("| attribute |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    listed = re.findall(r"`(\w+)", " ".join(rows))
    annotated = [name for cls in TrackerContract.__mro__ for name in inspect.get_annotations(cls)]

    assert sorted(listed) == sorted(
        {name for name in annotated if not name.startswith("_")} - {"folder"} | {"away"}
    )
