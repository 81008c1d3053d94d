"""Running the trials of a sweep, one after the other, each as a run of ``toolkit track``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from attrs import field
from attrs import frozen

from toolkit import lifecycle
from toolkit import options
from toolkit import recorded
from toolkit import rundir
from toolkit import start
from toolkit.errors import UsageError
from toolkit.locks import Lock
from toolkit.owner import Backends
from toolkit.recorded import Recorded
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.sweep import command
from toolkit.sweep.command import Values
from toolkit.sweep.guard import Guard
from toolkit.sweep.interruption import InterruptedTrialError
from toolkit.sweep.interruption import Interruption
from toolkit.sweep.interruption import interruptible
from toolkit.sweep.search import Outcome
from toolkit.sweep.search import Proposal
from toolkit.sweep.search import Search
from toolkit.sweep.search import Trial
from toolkit.sweep.search import open_storage
from toolkit.sweep.space import short
from toolkit.sweep.sweepfile import Metric
from toolkit.sweep.sweepfile import Sweep

_HOPELESS = 3
"""So many failures at the start, and no success, end the sweep."""
_VALUES = "trials"
"""The folder, in the sweep's, of the file that has the running trial's values."""
_LOOK_SECONDS = 0.1
_CLOCK_SECONDS = 5.0
"""How far back to look for a run before its trial began, should the clock have been set."""


@frozen
class Options:
    """What the command line says about a sweep."""

    home: Path
    """The folder of the runs."""
    count: int | None = None
    program: str | None = None
    project: str | None = None
    backends: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seed: int = 0
    trial_output: int | None = None
    """Descriptor that the trials' standard output goes to; None for ours."""

    def words(self, sweep: Sweep) -> list[str]:
        """Options of ``toolkit track`` that are the same for every trial."""
        project = self.project or sweep.texts.get("project")
        words = ["--runs-dir", str(self.home), *(("--project", project) if project else ())]
        for backend in self.backends:
            words += ["--backend", backend]
        for setting in (*self._entity(sweep), *self.settings):
            words += ["-o", setting]
        return words

    def _entity(self, sweep: Sweep) -> tuple[str, ...]:
        """W&B's entity, which the file may name; an option wins over it."""
        asked: Backends = {name: {} for name in self.backends}
        chosen = start.chosen_backends(asked, {} if self.backends else os.environ)
        entity = sweep.texts.get("entity")
        return (f"wandb.entity={entity}",) if entity and "wandb" in chosen else ()


@frozen
class Report:
    """How a sweep stands when the command ends."""

    sweep: Sweep
    id: str
    trials: tuple[Trial, ...]
    best: Trial | None
    cap: int
    signal: int | None = None
    """The signal that it was stopped with."""
    is_hopeless: bool = False
    """Whether it was stopped because nothing but failures came of it."""

    @property
    def ended(self) -> int:
        """How many trials count."""
        return sum(trial.has_ended for trial in self.trials)


def run(sweep: Sweep, chosen: Options, tell: Callable[[str], None]) -> Report:
    """Begin the sweep, or go on with it, until it has as many trials as it may have.

    Args:
        sweep: what to search.
        chosen: what the command line says.
        tell: called with one line at a time.

    Raises:
        UsageError: the sweep can't be run like this, or it runs already.
    """
    cap = _cap(sweep, chosen)
    _refuse_what_cannot_run(sweep, chosen)
    name = identity(sweep, chosen)
    with _alone(chosen.home / "sweeps" / name, name) as folder:
        search = Search(sweep, chosen.seed, open_storage(folder / "study.jsonl"))
        with Guard() as guard, interruptible() as interruption:
            session = _Session(sweep, chosen, name, folder, search, guard, interruption, tell)
            is_hopeless = session.go_on(cap)
        trials = tuple(evolve(trial, values=_masked(trial.values)) for trial in search.trials())
        return Report(sweep, name, trials, search.best(), cap, interruption.signal, is_hopeless)


def identity(sweep: Sweep, chosen: Options) -> str:
    """The sweep's id: the same for the same file and options, so that it can be gone on with.

    How many trials it may have, and where the runs lie, doesn't make it another sweep.
    """
    redactor = Redactor.from_environment(os.environ)
    parts = [
        sweep.file.read_text(encoding="utf-8"),
        chosen.program,
        chosen.project,
        chosen.backends,
        redactor.values(options.parse(chosen.settings)),
        chosen.seed,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _cap(sweep: Sweep, chosen: Options) -> int:
    cap = chosen.count or sweep.run_cap
    if sweep.method == "grid":
        return min(cap or sweep.grid_size(), sweep.grid_size())
    if cap is None:
        raise sweep.error(
            "method",
            f"method {sweep.method} has no end: give --count N, or run_cap: N in the file",
        )
    return cap


def _refuse_what_cannot_run(sweep: Sweep, chosen: Options) -> None:
    if os.environ.get("TOOLKIT_DISABLED") == "1":
        raise UsageError("TOOLKIT_DISABLED=1 records nothing, and a sweep reads what is recorded")
    if missing := command.missing_variables(sweep.command, os.environ):
        raise sweep.error(
            "command", f"${{envvar:{missing[0]}}}: the environment has no {missing[0]}; set it"
        )
    program = chosen.program or sweep.program
    if "${program}" not in sweep.command:
        return
    if program is None:
        raise sweep.error(
            "command",
            "the command runs ${program}, and there is none: add `program: FILE`, or give "
            "--program FILE",
        )
    if sweep.command == command.DEFAULT and not Path(program).is_file():
        raise sweep.error(
            "program", f"there is no program {program!r} in {Path.cwd()}; give --program FILE"
        )


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[Path]:
    """The sweep's folder, which nobody else writes to meanwhile."""
    try:
        (folder / _VALUES).mkdir(parents=True, exist_ok=True)
        lock = Lock.try_acquire(folder / "sweep.lock")
    except OSError as error:
        raise UsageError(
            f"can't keep the sweep in {folder}: {error}; choose another folder with --runs-dir"
        ) from error
    if lock is None:
        raise UsageError(
            f"sweep {name} is running already; wait for it, or make this another one with --seed"
        )
    with lock:
        yield folder


@frozen
class _Session:
    """One stretch of a sweep, from its start to its end or interruption."""

    sweep: Sweep
    chosen: Options
    name: str
    folder: Path
    search: Search
    guard: Guard
    interruption: Interruption
    tell: Callable[[str], None]
    words: list[str] = field(init=False)

    @words.default
    def _track_options(self) -> list[str]:
        return self.chosen.words(self.sweep)

    @property
    def title(self) -> str:
        """What the sweep's group is called, and its trials after it."""
        return self.sweep.texts.get("name", self.name)

    def go_on(self, cap: int) -> bool:
        """Run trials until enough have ended; whether it was given up as hopeless."""
        self._give_up_what_was_left()
        first = len(self.search.trials())
        while self.interruption.signal is None and not self._is_done(cap):
            try:
                self.search.try_one(self._attempt)
            except InterruptedTrialError:
                break
            self._tell_last()
            trials = self.search.trials()
            failed = [trial for trial in trials[first:] if trial.state == "FAILED"]
            if len(failed) >= _HOPELESS and not any(t.state == "COMPLETE" for t in trials):
                return True
        return False

    def _is_done(self, cap: int) -> bool:
        trials, metric = self.search.trials(), self.sweep.metric
        if metric and any(t.value is not None and metric.is_reached_by(t.value) for t in trials):
            return True
        return sum(trial.has_ended for trial in trials) >= cap

    def _give_up_what_was_left(self) -> None:
        """Wait for the end of a trial that a killed sweep was at, and queue its values again.

        What else it has left are the values as they are, with their secrets: they go.
        """
        for trial in self.search.trials():
            if trial.state != "RUNNING":
                continue
            if run := self._run_of(trial.number):
                self.search.note_run(trial.number, run.path.name)
                self._wait_for_end(trial.number, run)
            if self.interruption.signal is not None:
                return
            self.tell(f"trial {trial.number} was interrupted: its values are tried again")
        for file in (self.folder / _VALUES).iterdir():
            file.unlink()
        self.search.recover()

    def _wait_for_end(self, number: int, run: RunDir) -> None:
        has_said = False
        while (life := lifecycle.look(run)).state == "RUNNING" and not self.interruption.signal:
            if not has_said:
                pids = ", ".join(str(part.writer_pid()) for part in life.alive)
                self.tell(f"trial {number} still runs (process {pids}): waiting for its end")
            has_said = True
            time.sleep(_LOOK_SECONDS)

    def _attempt(self, proposal: Proposal) -> Outcome:
        """Run one trial to its end."""
        values = Values(proposal.values, self.folder / _VALUES / f"{proposal.number:03d}.json")
        self.tell(f"trial {proposal.number}: {_in_one_line(_masked(proposal.values))}")
        code = self._run_to_its_end(self._argv(proposal.number, values), values)
        run = self._run_of(proposal.number)
        if run is not None:
            self.search.note_run(proposal.number, run.path.name)
        if self.interruption.signal is not None and not (run and _has_finished(run)):
            raise InterruptedTrialError
        if run is None:
            raise UsageError(
                f"trial {proposal.number} made no run: `toolkit track` ended with "
                f"{code}, and says why above"
            )
        return judge(recorded.everything(run), self.sweep.metric, code)

    def _run_to_its_end(self, argv: list[str], values: Values) -> int:
        """The exit code of a trial's process."""
        _write_for_us_alone(values.file, values.json() + "\n")
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=self.chosen.trial_output,
                process_group=0,  # Ctrl-C is for us, and we pass it on
            )
            self.guard.watch(process.pid)
            code = self.interruption.wait_for(process)
            self.guard.watch(0)
        finally:
            values.file.unlink()  # the run has the values, and their secrets masked
        return code

    def _argv(self, number: int, values: Values) -> list[str]:
        program = self.chosen.program or self.sweep.program
        words = command.build(self.sweep.command, program, values, os.environ)
        if shutil.which(words[0]) is None:
            raise self.sweep.error(
                "command", f"there is no command {words[0]!r}; is it on PATH and executable?"
            )
        python = [sys.executable, "-m"]
        track = [*python, "toolkit", "track", *self.words, "--group", self.title]
        named = ["--name", f"{self.title}-{number:03d}"]
        tags = [word for tag in self._tags(number) for word in ("--tag", tag)]
        trial = [*python, "toolkit.sweep.trial", str(values.file), *words]
        return [*track, *named, *tags, "--", *trial]

    def _tags(self, number: int) -> tuple[str, str]:
        return f"sweep-{self.name}", f"trial-{number:03d}"

    def _run_of(self, number: int) -> RunDir | None:
        """The run of a trial, by its tags."""
        since = self.search.started(number) - _CLOCK_SECONDS
        for run in reversed(rundir.all_runs(self.chosen.home)):
            info = run.info()
            if info.created < since:
                break
            if set(self._tags(number)) <= set(info.tags):
                return run
        return None

    def _tell_last(self) -> None:
        last = self.search.trials()[-1]
        if last.reason is not None:
            self.tell(f"trial {last.number} failed: {last.reason}")
        elif last.value is not None and self.sweep.metric:
            best = " (best so far)" if self.search.best() == last else ""
            self.tell(f"trial {last.number}: {self.sweep.metric.name}={last.value:g}{best}")


def _write_for_us_alone(file: Path, text: str) -> None:
    """Nobody else may read it: secrets are masked only in what is kept."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _has_finished(run: RunDir) -> bool:
    return lifecycle.settle(run).state == "FINISHED"


def judge(run: Recorded, metric: Metric | None, code: int) -> Outcome:
    """What the trial's run has shown."""
    if run.life.state != "FINISHED":
        return Outcome(reason=f"its run is {run.life.state}, exit code {code}")
    if metric is None:
        return Outcome()
    if metric.name in run.summary:
        value = run.summary[metric.name]
    elif metric.name in run.metrics:
        value = run.metrics[metric.name].value
    else:
        logged = ", ".join(sorted(n for n in run.metrics if not n.startswith("system/")))
        return Outcome(reason=f"it logged no {metric.name!r}, but: {logged or 'nothing'}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Outcome(reason=f"its {metric.name!r} is {value!r}")
    return Outcome(float(value))


def _masked(values: Mapping[str, Any]) -> dict[str, Any]:
    return Redactor.from_environment(os.environ).values(values)


def _in_one_line(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={short(value)}" for name, value in values.items())
