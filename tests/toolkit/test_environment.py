"""What a run is made in is found out quickly, or left out."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from toolkit import environment
from toolkit.runinfo import Source


def _git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit on the branch "topic"."""
    _git(tmp_path, "init", "--quiet", "--initial-branch=topic")
    (tmp_path / "train.py").write_text("print(1)\n")
    _git(tmp_path, "add", "train.py")
    _git(tmp_path, "commit", "--quiet", "--message=first")
    return tmp_path


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="needs Linux")
def test_host() -> None:
    """The host is known by its name and by its kernel's boot id."""
    host = environment.host()

    assert host.name == socket.gethostname()
    assert re.fullmatch(r"[0-9a-f-]{36}", host.boot_id)


def test_host_without_boot_id(tmp_path: Path) -> None:
    """Without a boot id the time of the start takes its place."""
    host = environment.host(boot_id=tmp_path / "missing")

    assert abs(int(host.boot_id) - psutil.boot_time()) <= 1


def test_source(repository: Path) -> None:
    """Commit, branch and origin come from the repository around the directory."""
    _git(repository, "remote", "add", "origin", "https://me:hunter2@example.org/a.git")
    inner = repository / "inner"
    inner.mkdir()

    assert environment.source(inner) == Source(
        commit=_git(repository, "rev-parse", "HEAD"),
        branch="topic",
        is_dirty=False,
        remote="https://***@example.org/a.git",
    )


def test_source_with_changes(repository: Path) -> None:
    """A changed file makes the source dirty; an untracked one doesn't."""
    (repository / "notes.txt").write_text("new\n")
    assert not environment.source(repository).is_dirty

    (repository / "train.py").write_text("print(2)\n")
    assert environment.source(repository).is_dirty


def test_source_detached(repository: Path) -> None:
    """Away from any branch there is a commit, and no branch."""
    _git(repository, "checkout", "--quiet", "--detach")

    assert environment.source(repository) == Source(commit=_git(repository, "rev-parse", "HEAD"))


def test_source_before_first_commit(tmp_path: Path) -> None:
    """A new repository has a branch, and no commit."""
    _git(tmp_path, "init", "--quiet", "--initial-branch=topic")

    assert environment.source(tmp_path) == Source(branch="topic")


@pytest.mark.parametrize("directory", [".", "missing"])
def test_source_without_repository(tmp_path: Path, directory: str) -> None:
    """Outside any repository, or in a folder that is gone, nothing is known and nothing fails."""
    assert environment.source(tmp_path / directory) == Source()


def test_source_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git nothing is known, and nothing fails."""
    monkeypatch.setenv("PATH", "")

    assert environment.source(repository) == Source()


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_source_when_git_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that never answers is given up, with the processes that it started."""
    pids = tmp_path / "pids"
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >> {pids}\nwait\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    start = time.monotonic()

    assert environment.source(tmp_path) == Source()
    assert time.monotonic() - start < 60

    started = [int(line) for line in pids.read_text().splitlines()]
    while any(map(_is_running, started)) and time.monotonic() - start < 60:
        time.sleep(0.01)
    assert not any(map(_is_running, started))


def test_source_ignores_git_variables(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository is the directory's, even when git's own variables name another."""
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))

    assert environment.source(repository).branch == "topic"


def test_versions() -> None:
    """Versions are those of Python and of what is installed."""
    versions = environment.versions()

    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.match(r"\d+\.\d+", versions["toolkit-tracker"])


def test_versions_import_nothing() -> None:
    """Asking for versions imports none of the libraries."""
    code = (
        "import sys; from toolkit.environment import versions; versions();"
        "print({'torch', 'numpy', 'mlflow', 'wandb', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "set()"


def test_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is the one who is logged in."""
    monkeypatch.setenv("LOGNAME", "ada")

    assert environment.user() == "ada" == getpass.getuser()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a name")
def test_user_without_name() -> None:
    """A user whom the system has no name for, as in many containers, is a number."""
    code = "import os; from toolkit import environment; os.setuid(54321); print(environment.user())"
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in names},
    )

    assert done.stdout.strip() == "54321"
