"""Choosing values for trials with Optuna, and remembering what became of them.

The study lies in a journal file of its own, one line per change. Outside of grids, a trial's values
depend on the seed and on the trials that ended before it alone, not on how often the search was
interrupted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit.sweep.space import Constant
from toolkit.sweep.sweepfile import Sweep

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

State = Literal["COMPLETE", "FAILED", "ABANDONED", "RUNNING"]

_STUDY = "sweep"
_RUN, _REASON, _ABANDONED, _RETRY_OF = "run_id", "reason", "is_abandoned", "retry_of"


@frozen
class Proposal:
    """Values to try."""

    number: int
    values: Mapping[str, Any]


@frozen
class Outcome:
    """What a trial has shown: a value, or the reason why there is none."""

    value: float | None = None
    reason: str | None = None
    """Why the trial failed; None when it didn't."""


@frozen
class Trial:
    """A trial that was begun."""

    number: int
    state: State
    values: Mapping[str, Any]
    value: float | None = None
    run_id: str | None = None
    reason: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it counts: it has shown that its values are good or bad for something."""
        return self.state in ("COMPLETE", "FAILED")


class _FailedError(Exception):
    """Tells Optuna that a trial failed."""


@frozen
class Search:
    """The search of one sweep. Only one process at a time may have it.

    Args:
        sweep: what to search.
        seed: of the samplers.
        storage: where Optuna keeps the study; see `open_storage`.
    """

    sweep: Sweep
    seed: int
    storage: BaseStorage
    _study: Any = field(init=False)

    @_study.default
    def _make_study(self) -> Any:
        optuna = _quiet_optuna()
        return optuna.create_study(
            storage=self.storage,
            study_name=_STUDY,
            direction=self.sweep.metric.goal if self.sweep.metric else "minimize",
            sampler=optuna.samplers.RandomSampler(self.seed),
            load_if_exists=True,
        )

    def recover(self) -> None:
        """Give up the trial that a killed search was at, and queue what was given up once more."""
        optuna = _quiet_optuna()
        states = optuna.trial.TrialState
        for trial in self._study.get_trials(states=(states.RUNNING,)):
            place = self._storage_id(trial.number)
            self.storage.set_trial_user_attr(place, _ABANDONED, value=True)
            self.storage.set_trial_state_values(place, states.FAIL)
        trials = self._study.get_trials()
        retried = {trial.user_attrs.get(_RETRY_OF) for trial in trials}
        for trial in trials:
            if trial.user_attrs.get(_ABANDONED) and trial.number not in retried:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=states.WAITING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs={_RETRY_OF: trial.number},
                        system_attrs=trial.system_attrs,  # the place in the grid
                    )
                )

    def try_one(self, attempt: Callable[[Proposal], Outcome]) -> None:
        """Choose values, try them, and remember the outcome.

        An exception of ``attempt`` goes through, and the trial is given up: it doesn't count, and
        `recover` queues its values.
        """

        def objective(trial: OptunaTrial) -> float:
            try:
                outcome = attempt(Proposal(trial.number, self._draw(trial)))
            except BaseException:
                trial.set_user_attr(_ABANDONED, value=True)
                raise
            if outcome.reason is not None:
                trial.set_user_attr(_REASON, outcome.reason)
                raise _FailedError(outcome.reason)
            # Without a metric there is no value, and Optuna wants one of every complete trial.
            return 0.0 if outcome.value is None else outcome.value

        self._study.sampler = self._sampler()
        self._study.optimize(objective, n_trials=1, catch=(_FailedError,))

    def note_run(self, number: int, run_id: str) -> None:
        """Remember the run of a trial that hasn't ended."""
        self.storage.set_trial_user_attr(self._storage_id(number), _RUN, run_id)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial that was begun, in order."""
        states = _quiet_optuna().trial.TrialState
        found = self._study.get_trials(deepcopy=False)
        return tuple(self._read(trial) for trial in found if trial.state != states.WAITING)

    def started(self, number: int) -> float:
        """When the trial began, in Unix seconds."""
        began = self._study.get_trials(deepcopy=False)[number].datetime_start
        return float(began.timestamp())

    def best(self) -> Trial | None:
        """The complete trial with the best value; the first of several."""
        metric = self.sweep.metric
        best: Trial | None = None
        for trial in self.trials():
            if trial.value is None or metric is None:
                continue
            if best is None or best.value is None or metric.is_better(trial.value, best.value):
                best = trial
        return best

    def _storage_id(self, number: int) -> int:
        study_id = self.storage.get_study_id_from_name(_STUDY)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def _draw(self, trial: OptunaTrial) -> dict[str, Any]:
        parameters = self.sweep.parameters
        return self._decode({name: domain.draw(trial, name) for name, domain in parameters.items()})

    def _decode(self, drawn: Mapping[str, float]) -> dict[str, Any]:
        """The values of what was drawn, which isn't everything where a search was killed then."""
        return {
            name: domain.decode(drawn.get(name, 0.0))
            for name, domain in self.sweep.parameters.items()
            if name in drawn or isinstance(domain, Constant)
        }

    def _read(self, trial: FrozenTrial) -> Trial:
        attributes = trial.user_attrs
        has_metric = self.sweep.metric is not None
        return Trial(
            trial.number,
            _state(trial),
            self._decode(trial.params),
            trial.value if has_metric else None,
            attributes.get(_RUN),
            attributes.get(_REASON),
        )

    def _sampler(self) -> BaseSampler:
        from optuna import samplers

        if self.sweep.method == "grid":
            grids = {name: domain.grid() for name, domain in self.sweep.parameters.items()}
            return samplers.GridSampler({n: list(g) for n, g in grids.items() if g}, self.seed)
        position = sum(trial.has_ended for trial in self.trials())
        digest = hashlib.sha256(f"{self.seed}/{position}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        if self.sweep.method == "random":
            return samplers.RandomSampler(seed)
        return samplers.TPESampler(seed=seed)


def _state(trial: FrozenTrial) -> State:
    states = _quiet_optuna().trial.TrialState
    if trial.state == states.COMPLETE:
        return "COMPLETE"
    if trial.user_attrs.get(_ABANDONED):
        return "ABANDONED"
    return "FAILED" if trial.state == states.FAIL else "RUNNING"


def open_storage(path: Path) -> BaseStorage:
    """The journal in this file, new or gone on with; the caller sees to it that he is alone."""
    _quiet_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _drop_torn_line(path)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # it outlives a SIGKILL
    return JournalStorage(JournalFileBackend(str(path)))


def _drop_torn_line(path: Path) -> None:
    """What a killed process left of a line would make the file unreadable with the next one."""
    if not path.exists():
        return
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)


def _quiet_optuna() -> Any:
    """Optuna, which says itself what a sweep says better."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            f'sweeps need Optuna ({error}): pip install "toolkit-tracker[sweep]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return optuna
