"""Fixtures that several parts share: a folder of runs, and runs in it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings

from tests.commands import Bench
from toolkit import environment
from toolkit import rundir
from toolkit.rundir import RunDir
from toolkit.runinfo import RunInfo

# A distribution with tests of its own: tests/plugins/test_example_plugin.py installs and runs it.
collect_ignore = ["example_plugin"]

# How long an example takes says more of what else the machine does than of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A script's background job is born ignoring Ctrl-C and Ctrl-\, and what nohup starts the end of its
# terminal; they would hand that on to what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A working folder of its own, to run commands in."""
    return Bench(tmp_path)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """A folder of runs of its own."""
    return tmp_path / "runs"


@pytest.fixture
def new_run(runs_dir: Path) -> Callable[..., RunDir]:
    """Makes runs of this machine; fields of `RunInfo` may be given."""

    def made(**fields: Any) -> RunDir:
        return rundir.create(runs_dir, run_info(**fields))

    return made


@pytest.fixture
def run_dir(new_run: Callable[..., RunDir]) -> RunDir:
    """One run of this machine, which nobody has written to yet."""
    return new_run()


def run_info(**fields: Any) -> RunInfo:
    """What a run of this machine is."""
    given: dict[str, Any] = {
        "id": "20260101-000000-abcdef",
        "created": 1767225600.0,
        "host": environment.host(),
        "command": ("python", "train.py"),
        "directory": "/somewhere",
    }
    return RunInfo(**(given | fields))
