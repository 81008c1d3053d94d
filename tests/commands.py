"""Running the command line and scripts as a user would: real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.waiting import LIMIT
from toolkit import lifecycle
from toolkit import rundir
from toolkit.events import Decoder
from toolkit.events import Event
from toolkit.rundir import RunDir

_NOT_INHERITED = ("TOOLKIT_", "MLFLOW_", "WANDB_", "RANK", "WORLD_SIZE", "LOCAL_RANK")


@frozen
class Bench:
    """A working folder with a folder of runs in it."""

    folder: Path

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.folder / "runs"

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a user who has set nothing, and these."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        return {**clean, "TOOLKIT_SYSTEM_INTERVAL": "0", **(extra or {})}

    def toolkit(
        self, *args: str, env: Mapping[str, str] | None = None, timeout: float = LIMIT
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "toolkit", *args],
            cwd=self.folder,
            env=self.environ(env),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
        )

    def track(
        self, code: str, *options: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Track a Python script to its end."""
        return self.toolkit("track", *options, "--", sys.executable, self.script(code), env=env)

    def run_script(
        self, code: str, env: Mapping[str, str] | None = None, timeout: float = LIMIT
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python script without `toolkit track`."""
        return subprocess.run(
            [sys.executable, self.script(code)],
            cwd=self.folder,
            env=self.environ(env),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextmanager
    def started(
        self, *argv: str, env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """A process in a group of its own; whatever is left of it is killed at the end."""
        process = subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.environ(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def script(self, code: str) -> str:
        """The code as a file; its path."""
        path = self.folder / "script.py"
        path.write_text(code, encoding="utf-8")
        return str(path)

    def only_run(self) -> RunDir:
        """The one run that there is."""
        (run,) = rundir.all_runs(self.runs)
        return run

    def shown(self, run: RunDir) -> dict[str, Any]:
        """What `toolkit runs show --json` says."""
        done = self.toolkit("runs", "show", run.path.name, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def status(run: RunDir) -> str:
    """How the run stands, without settling it."""
    return lifecycle.look(run).state


def events(run: RunDir) -> list[Event]:
    """Every event of the run, segment by segment; a torn last line is left out."""
    decoder = Decoder()
    found = []
    for path in sorted(run.journal.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            found.append(decoder.decode(line))
    return found


def of_kind(run: RunDir, kind: type[Any]) -> list[Any]:
    """The events of one kind."""
    return [event for event in events(run) if isinstance(event, kind)]
