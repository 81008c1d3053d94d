"""The Trainer's callback: ``report_to="toolkit"``, or ``callbacks=[ToolkitCallback(...)]``.

Importing this module makes the name ``toolkit`` known to transformers.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Unpack

import transformers  # noqa: TID253 - who imports this module wants it
from transformers.trainer_callback import TrainerCallback  # noqa: TID253

from toolkit import lifecycle
from toolkit import recorded
from toolkit import rundir
from toolkit.bridges import values as bridged
from toolkit.bridges.attachment import Attachment
from toolkit.bridges.attachment import RunOptions
from toolkit.errors import UsageError
from toolkit.events import Status
from toolkit.run import Run
from toolkit.run import status_of
from toolkit.rundir import RunDir

NAME = "toolkit"

Checkpoints = Literal["none", "end", "all"]

_TOTALS = (
    "total_flos",
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
)
"""What the Trainer says once, of a training as a whole."""
_PROGRESS = ("epoch", "num_input_tokens_seen")
"""What the Trainer adds to everything it logs, so that it comes several times at one step."""
_PARTS = {"eval_": "eval/", "test_": "test/"}


class ToolkitCallback(TrainerCallback):
    """Records a Trainer's runs: arguments, model configuration, metrics at their global step.

    A training that raises is FAILED, one that is trained again with the same Trainer is another
    run, and one that goes on from a checkpoint goes on in the run that wrote it. Evaluations and
    predictions after a training belong to its run. Each trial of a hyper-parameter search is a
    child run. Everything is recorded by the process of world rank 0.

    Args:
        checkpoints: which of those that the Trainer saves are kept with the run as artifacts: every
            one as it is saved, the last and the best one at the end, or none.
        run: record in this run, and leave its end to whoever started it.
        options: what else `toolkit.start_run` takes; the run is called as ``run_name`` of the
            training arguments says, unless ``name`` is given here.
    """

    def __init__(
        self,
        *,
        checkpoints: Checkpoints = "none",
        run: Run | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__()
        if checkpoints not in ("none", "end", "all"):
            raise UsageError(f"checkpoints={checkpoints!r}: expected none, end or all")
        self._checkpoints = checkpoints
        self._options = options
        self._whole = Attachment(run, options)
        self._trial: Attachment | None = None
        self._trials = 0
        self._said_at: dict[str, int] = {}
        self._saved: Path | None = None
        self._watches_exit = False

    @property
    def run(self) -> Run | None:
        """The run that is recorded in; None before the first training or evaluation."""
        return self._current.run

    @property
    def _current(self) -> Attachment:
        return self._trial or self._whole

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any
    ) -> None:
        """Start or join the run, and record what is trained and how."""
        if not state.is_world_process_zero:
            return
        self._end_previous()
        if state.is_hyper_param_search:
            run = self._begin_trial(args, state)
        else:
            self._trial = None
            run = self._whole.begin(**_named(args), **self._resumed(state))
        self._said_at, self._saved = {}, None
        self._current.if_replaced = "FAILED"  # until the Trainer says that all went well
        if not self._watches_exit:  # after the run's own function, and so called before it
            atexit.register(self._at_exit)
            self._watches_exit = True
        if run.dir:
            state.stateful_callbacks = {**(state.stateful_callbacks or {}), NAME: _memory(run)}
        run.log_params(_params(args, state, model))

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Keep the run open for evaluations of what has been trained; it ended well so far."""
        if not state.is_world_process_zero or self._current.run is None:
            return
        if self._checkpoints == "end":
            self._keep_last_and_best(state)
        self._current.rest()

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Record what the Trainer logs: ``train/...`` and ``eval/...`` at the global step."""
        if not state.is_world_process_zero or not logs:
            return
        run = self._current.begin(**_named(args))
        totals = {key: logs[key] for key in logs if key in _TOTALS}
        new = {
            key: value
            for key, value in logs.items()
            if key not in totals and self._is_new(key, state)
        }
        bridged.log_values(run, _in_parts(new), state.global_step)
        if totals:
            run.log_summary(totals)

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **rest: Any
    ) -> None:
        """Record the metrics of a prediction, ``test/...``."""
        if state.is_world_process_zero:
            run = self._current.begin(**_named(args))
            bridged.log_values(run, _in_parts(metrics), state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Keep the checkpoint with the run, where that is wanted."""
        if not state.is_world_process_zero or self._checkpoints == "none":
            return
        self._saved = _checkpoint_folder(Path(args.output_dir), state.global_step)
        if self._checkpoints == "all":
            is_best = state.best_global_step == state.global_step
            self._keep(self._saved, ("latest", "best") if is_best else ("latest",))

    def _keep_last_and_best(self, state: Any) -> None:
        best = Path(state.best_model_checkpoint) if state.best_model_checkpoint else None
        if best is not None and best == self._saved:
            self._keep(best, ("latest", "best"))
            return
        self._keep(best, ("best",))
        self._keep(self._saved, ("latest",))

    def _keep(self, folder: Path | None, aliases: tuple[str, ...]) -> None:
        # The Trainer may have removed it meanwhile, to keep no more than save_total_limit.
        if folder is not None and folder.is_dir():
            run = self._current.begin()
            run.log_artifacts(folder, folder.name, name="model", type="model", aliases=aliases)

    def _is_new(self, key: str, state: Any) -> bool:
        """Whether this is to be recorded: how far training is, only once a step."""
        if key not in _PROGRESS:
            return True
        before = self._said_at.get(key)
        self._said_at[key] = state.global_step
        return bool(before != state.global_step)

    def _end_previous(self) -> None:
        """End the run of the training before this one, where it was started here."""
        for attachment in (self._trial, self._whole):
            if attachment and attachment.if_replaced:
                attachment.end(attachment.if_replaced)

    def _begin_trial(self, args: Any, state: Any) -> Run:
        """Start a child run for a trial; what it is a child of stays open through the search."""
        whole = self._whole.begin(**_named(args))
        options: RunOptions = {"nested": True, "parent_run_id": whole.id}
        options["name"] = state.trial_name or f"trial-{self._trials}"
        options["runs_dir"] = whole.dir.parent if whole.dir else None
        self._trials += 1
        self._trial = Attachment(None, options)
        return self._trial.begin()

    def _resumed(self, state: Any) -> dict[str, Any]:
        """Options to go on in the run that wrote the checkpoint, where that can be."""
        memory = (state.stateful_callbacks or {}).get(NAME)
        if not memory or os.environ.get("TOOLKIT_RUN") or self._whole.has_one():
            return {}
        home = rundir.runs_dir(self._options.get("runs_dir"), os.environ)
        run = RunDir(home / Path(str(memory["attributes"]["run_id"])).name)
        problem = _why_not(run, state.global_step)
        if problem:
            warnings.warn(
                f"toolkit: the run of this checkpoint, {run.path.name}, {problem}; this training "
                "is recorded in a new run",
                RuntimeWarning,
                stacklevel=2,
            )
            return {}
        return {"run_id": run.path.name}

    def _at_exit(self) -> None:
        """End a run whose training didn't come to its end."""
        if self._current.if_replaced == "FAILED":
            self._current.end(_status_at_exit())


def _status_at_exit() -> Status:
    error = getattr(sys, "last_value", None)
    return "FAILED" if error is None else status_of(error)


def _named(args: Any) -> dict[str, Any]:
    """What the training arguments call the run; versions before 5 make that the output folder."""
    name = getattr(args, "run_name", None)
    return {"name": name} if name and name != args.output_dir else {}


def _memory(run: Run) -> dict[str, Any]:
    """What a checkpoint says of the run, in the form of the Trainer's own callbacks."""
    return {"args": {}, "attributes": {"run_id": run.id}}


def _why_not(run: RunDir, step: int) -> str | None:
    """What keeps a training that is at this step from going on in the run; None if nothing does."""
    if not run.info_path.is_file():
        return f"is not in {run.path.parent}"
    life = lifecycle.look(run)
    if life.state in ("RUNNING", "ELSEWHERE"):
        return "may still be running"
    if life.state != "FINISHED":
        return None
    points = recorded.everything(run).metrics.items()
    last = max((p.step or 0 for key, p in points if not key.startswith("system/")), default=0)
    return f"has finished, and is at step {last} already" if last > step else None


def _params(args: Any, state: Any, model: Any) -> dict[str, Any]:
    """The inputs of a training, by where they come from."""
    found: dict[str, Any] = {"training": args.to_dict()}
    if (config := getattr(model, "config", None)) is not None:
        found["model"] = config.to_dict() if hasattr(config, "to_dict") else config
    if hasattr(model, "num_parameters"):
        found["model_parameters"] = model.num_parameters()
    if (peft := getattr(model, "peft_config", None)) is not None:
        found["peft"] = peft
    if state.trial_params is not None:
        found["trial"] = state.trial_params
    return bridged.as_params(found)


def _in_parts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics with what they are of as their first part: training, evaluation or test."""

    def named(key: str) -> str:
        for prefix, part in _PARTS.items():
            if key.startswith(prefix):
                return part + key.removeprefix(prefix)
        return f"train/{key}"

    return {named(key): value for key, value in metrics.items()}


def _checkpoint_folder(output: Path, step: int) -> Path:
    """Where the Trainer has just saved; trials have folders of their own in the output folder."""
    name = f"checkpoint-{step}"
    found = [path for path in (output / name, *output.glob(f"*/{name}")) if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=output / name)


def register() -> None:
    """Make ``TrainingArguments(report_to="toolkit")`` work; importing this module has done it.

    Raises:
        UsageError: this transformers takes no integrations by name from others.
    """
    from transformers.integrations import integration_utils

    known = getattr(integration_utils, "INTEGRATION_TO_CALLBACK", None)
    if not isinstance(known, dict):
        raise UsageError(
            f"transformers {transformers.__version__} has no INTEGRATION_TO_CALLBACK, so it can't "
            'know report_to="toolkit": pass callbacks=[ToolkitCallback(...)] to the Trainer instead'
        )
    known[NAME] = ToolkitCallback


try:
    register()
except UsageError as error:  # the callback itself works all the same
    warnings.warn(str(error), RuntimeWarning, stacklevel=2)
