"""What a run is made in: the machine, the code, the installed versions and the user."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from toolkit.redact import Redactor
from toolkit.runinfo import Host
from toolkit.runinfo import Source

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_GIT_SECONDS = 3.0
_DISTRIBUTIONS = (
    "toolkit-tracker",
    "torch",
    "accelerate",
    "transformers",
    "torch-geometric",
    "numpy",
    "mlflow",
    "wandb",
    "sentence-transformers",
)


def host(boot_id: Path = _BOOT_ID) -> Host:
    """This machine since its last start; without the file, the time of that start stands for it."""
    try:
        text = boot_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        import psutil

        text = f"{psutil.boot_time():.0f}"
    return Host(name=socket.gethostname(), boot_id=text)


def source(directory: Path) -> Source:
    """The commit, branch and origin of the git repository around the directory.

    What can't be found out within a few seconds is None: no git, no repository, no commit yet.
    ``is_dirty`` speaks of tracked files only. Credentials in the origin's URL are masked.
    """
    git = partial(_git, directory, time.monotonic() + _GIT_SECONDS)
    commit = git("rev-parse", "--quiet", "--verify", "HEAD")
    branch = git("symbolic-ref", "--quiet", "--short", "HEAD")
    remote = git("config", "--get", "remote.origin.url")
    return Source(
        commit=commit,
        branch=branch,
        # Last, because it is the slow one on a large repository.
        is_dirty=bool(git("status", "--porcelain", "--untracked-files=no")),
        remote=Redactor().text(remote) if remote else None,
    )


def versions() -> dict[str, str]:
    """Versions of Python and the installed libraries that shape results; imports none of them."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def user() -> str:
    """The login name; a user whom the system doesn't know by name is given by number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _git(directory: Path, deadline: float, *arguments: str) -> str | None:
    """What git prints, or None where it fails, prints nothing or isn't ready by the deadline."""
    if time.monotonic() >= deadline:
        return None
    # A session of its own has no terminal to ask on, and can be ended with all that git started.
    # fsmonitor is the one setting by which these commands would run a program of the repository's.
    command = ["git", "-C", str(directory), "-c", "core.fsmonitor=false", *arguments]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_git_environment(),
            encoding="utf-8",
            errors="replace",
        )
    except OSError:
        return None
    with process:
        try:
            output, _ = process.communicate(timeout=deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None
    return output.strip() or None if process.returncode == 0 else None


def _git_environment() -> dict[str, str]:
    """Our environment, without what would point git elsewhere, make it write or make it ask."""
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
