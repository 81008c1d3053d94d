"""Rules of the Trainer's callback, with transformers itself."""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.integrations.integration_utils
from transformers import Trainer
from transformers import TrainerControl
from transformers import TrainerState
from transformers import TrainingArguments

import toolkit
import toolkit.bridges.transformers
from tests.bridges import tiny
from tests.bridges.reading import artifacts
from tests.bridges.reading import curves
from tests.bridges.reading import only_run
from tests.bridges.reading import params
from tests.bridges.reading import runs_in
from tests.bridges.reading import summary
from tests.commands import of_kind
from tests.commands import status
from toolkit.bridges.transformers import ToolkitCallback
from toolkit.errors import UsageError
from toolkit.events import Described

_SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
_TOTALS = {
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_loss",
    "total_flos",
}


def _logged(trainer: Trainer, key: str) -> list[tuple[int, float]]:
    """What the Trainer itself says of one key."""
    return [(int(entry["step"]), entry[key]) for entry in trainer.state.log_history if key in entry]


def test_report_to_toolkit(home: Path) -> None:
    """Every point that the Trainer logs is there, at its global step; epochs once a step."""
    trainer = tiny.trainer(
        home / "out",
        steps=4,
        evaluates=True,
        report_to="toolkit",
        run_name="first",
        eval_strategy="steps",
        eval_steps=2,
    )
    trainer.train()
    trainer.evaluate()
    trainer.predict(tiny.Texts(4))
    toolkit.end_run()
    run = only_run(home)
    found = curves(run)
    for key in ("loss", "grad_norm", "learning_rate"):
        assert found[f"train/{key}"] == _logged(trainer, key)
        assert len(found[f"train/{key}"]) == 4
    assert found["eval/loss"] == _logged(trainer, "eval_loss")
    assert [step for step, _ in found["eval/loss"]] == [2, 4, 4]
    assert found["train/epoch"] == [(step, step / 8) for step in (1, 2, 3, 4)]
    assert [step for step, _ in found["test/loss"]] == [4]
    assert set(summary(run)) == _TOTALS
    assert status(run) == "FINISHED"
    assert of_kind(run, Described)[0].name == "first"


def test_arguments_and_model_are_params(home: Path) -> None:
    """Each under where it comes from, and the model's size."""
    trainer = tiny.trainer(home / "out", steps=1, callbacks=[ToolkitCallback(project="p")])
    trainer.train()
    toolkit.end_run()
    found = params(only_run(home))
    assert set(found) == {"training", "model", "model_parameters"}
    assert (found["training"]["learning_rate"], found["training"]["max_steps"]) == (1e-2, 1)
    assert (found["model"]["hidden_size"], found["model"]["model_type"]) == (8, "bert")
    assert found["model_parameters"] == tiny.model().num_parameters()
    assert of_kind(only_run(home), Described)[0].project == "p"


def _breaking(home: Path, callback: ToolkitCallback, breaks_at: int, **given: Any) -> Trainer:
    network = tiny.BreakingModel(tiny.CONFIG, breaks_at)
    return tiny.trainer(home / "out", steps=6, callbacks=[callback], network=network, **given)


def test_a_training_that_raises_is_failed(home: Path) -> None:
    """As soon as the next one begins, in a run of its own, whatever its Trainer."""
    with pytest.raises(ArithmeticError):
        _breaking(home, ToolkitCallback(), 2).train()
    trainer = tiny.trainer(home / "out", steps=1, callbacks=[ToolkitCallback()])
    trainer.train()
    trainer.train()
    toolkit.end_run()
    assert [status(run) for run in runs_in(home)] == ["FAILED", "FINISHED", "FINISHED"]
    assert [len(curves(run)["train/loss"]) for run in runs_in(home)] == [2, 1, 1]


def _give_up(home: Path) -> None:
    """Train in vain, and leave as an interpreter does whose script went on to end well."""
    atexit._clear()  # those of pytest's process
    torch.set_num_threads(1)  # the others don't live on in a forked process
    with contextlib.suppress(ArithmeticError):
        _breaking(home, ToolkitCallback(), 1).train()
    atexit._run_exitfuncs()


def test_a_training_that_was_given_up_is_failed_at_exit(home: Path) -> None:
    """Even if the script caught what it raised."""
    child = multiprocessing.get_context("fork").Process(target=_give_up, args=(home,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert status(only_run(home)) == "FAILED"


def test_a_resumed_training_goes_on_in_its_run(home: Path) -> None:
    """A new process's Trainer finds the run by the checkpoint; the curve is one."""
    with pytest.raises(ArithmeticError):
        _breaking(home, ToolkitCallback(), 3, **_SAVING).train()
    trainer = tiny.trainer(home / "out", steps=6, callbacks=[ToolkitCallback()], **_SAVING)
    trainer.train(resume_from_checkpoint=True)
    toolkit.end_run()
    run = only_run(home)
    assert [step for step, _ in curves(run)["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert status(run) == "FINISHED"
    memory = json.loads((home / "out" / "checkpoint-6" / "trainer_state.json").read_text())
    assert memory["stateful_callbacks"]["toolkit"]["attributes"] == {"run_id": run.path.name}


def test_a_branch_of_a_finished_run_is_a_new_run(home: Path) -> None:
    """Its points would be passed over in the old one; more steps after its end are not."""
    tiny.trainer(home / "out", steps=4, callbacks=[ToolkitCallback()], **_SAVING).train()
    toolkit.end_run()
    longer = tiny.trainer(home / "out", steps=6, callbacks=[ToolkitCallback()], **_SAVING)
    longer.train(resume_from_checkpoint=True)
    toolkit.end_run()
    branch = tiny.trainer(home / "out", steps=4, callbacks=[ToolkitCallback()], **_SAVING)
    with pytest.warns(RuntimeWarning, match="has finished, and is at step 6 already"):
        branch.train(resume_from_checkpoint=str(home / "out" / "checkpoint-2"))
    toolkit.end_run()
    steps = [[step for step, _ in curves(run)["train/loss"]] for run in runs_in(home)]
    assert steps == [[1, 2, 3, 4, 5, 6], [3, 4]]


def test_a_run_that_is_gone_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a warning that names it."""
    tiny.trainer(home / "out", steps=2, callbacks=[ToolkitCallback()], **_SAVING).train()
    toolkit.end_run()
    monkeypatch.setenv("TOOLKIT_RUNS_DIR", str(home / "elsewhere"))
    trainer = tiny.trainer(home / "out", steps=4, callbacks=[ToolkitCallback()], **_SAVING)
    with pytest.warns(RuntimeWarning, match="is not in .*elsewhere; this training is recorded in"):
        trainer.train(resume_from_checkpoint=True)
    toolkit.end_run()
    assert len(list((home / "elsewhere").iterdir())) == 1


@pytest.mark.parametrize(
    ("checkpoints", "kept"),
    [
        ("none", []),
        ("all", [(2, ("latest", "best")), (4, ("latest", "best")), (6, ("latest", "best"))]),
        ("end", [(6, ("latest", "best"))]),
    ],
)
def test_checkpoints_are_kept_on_request(
    home: Path, checkpoints: Any, kept: list[tuple[int, tuple[str, ...]]]
) -> None:
    """All, or those of the end; versions of one artifact, which aliases point to."""
    trainer = tiny.trainer(
        home / "out",
        steps=6,
        callbacks=[ToolkitCallback(checkpoints=checkpoints)],
        evaluates=True,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        metric_for_best_model="loss",
        greater_is_better=False,
        learning_rate=1e-3,
    )
    trainer.train()
    toolkit.end_run()
    losses = [loss for _, loss in _logged(trainer, "eval_loss")]
    assert losses == sorted(losses, reverse=True), "each of them is the best one so far"
    expected = [(f"checkpoint-{step}", "model", aliases) for step, aliases in kept]
    assert artifacts(only_run(home)) == expected


def test_another_choice_of_checkpoints_is_refused() -> None:
    """The message has the choices."""
    with pytest.raises(UsageError, match="checkpoints='best': expected none, end or all"):
        ToolkitCallback(checkpoints="best")  # type: ignore[arg-type]


def test_trials_are_children(home: Path) -> None:
    """Of one run for the search; each has its parameters, name, curve and checkpoints."""
    pytest.importorskip("optuna")
    trainer = Trainer(
        model_init=tiny.model,
        args=tiny.trainer(
            home / "out", steps=2, save_strategy="steps", save_steps=2, report_to="none"
        ).args,
        train_dataset=tiny.Texts(),
        eval_dataset=tiny.Texts(8),
        callbacks=[ToolkitCallback(checkpoints="all", name="search")],
    )
    trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)},
        hp_name=lambda trial: f"number-{trial.number}",
        n_trials=2,
        backend="optuna",
    )
    while toolkit.active_run():
        toolkit.end_run()
    search, *trials = runs_in(home)
    assert of_kind(search, Described)[0].name == "search"
    assert curves(search) == {}
    assert [trial.info().parent for trial in trials] == [search.path.name] * 2
    assert [of_kind(trial, Described)[0].name for trial in trials] == ["number-0", "number-1"]
    for trial in trials:
        rate = params(trial)["trial"]["learning_rate"]
        assert params(trial)["training"]["learning_rate"] == rate
        assert [step for step, _ in curves(trial)["train/loss"]] == [1, 2]
        assert [step for step, _ in curves(trial)["eval/loss"]] == [2]
        assert artifacts(trial) == [("checkpoint-2", "model", ("latest",))]
        assert status(trial) == "FINISHED"


def test_the_users_run_is_used_and_left_open(home: Path) -> None:
    """All trainings inside it are recorded in it."""
    with toolkit.start_run() as run:
        tiny.trainer(home / "out", steps=1, callbacks=[ToolkitCallback()]).train()
        assert not run.is_over
    assert len(curves(only_run(home))["train/loss"]) == 1


def test_only_the_process_of_world_rank_0_records(home: Path) -> None:
    """The others are told of everything too."""
    callback = ToolkitCallback(checkpoints="all")
    arguments = TrainingArguments(output_dir=str(home / "out"), use_cpu=True, report_to="none")
    state, control = TrainerState(is_world_process_zero=False), TrainerControl()
    callback.on_train_begin(arguments, state, control, model=tiny.model())
    callback.on_log(arguments, state, control, logs={"loss": 1.0})
    callback.on_save(arguments, state, control)
    callback.on_predict(arguments, state, control, metrics={"test_loss": 1.0})
    callback.on_train_end(arguments, state, control)
    assert callback.run is None
    assert not (home / "runs").exists()


def test_a_transformers_without_the_registry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do instead; the callback itself still works."""
    monkeypatch.delattr(transformers.integrations.integration_utils, "INTEGRATION_TO_CALLBACK")
    message = r"has no INTEGRATION_TO_CALLBACK.*pass callbacks=\[ToolkitCallback\(\.\.\.\)\]"
    with pytest.raises(UsageError, match=message):
        toolkit.bridges.transformers.register()
    with pytest.warns(RuntimeWarning, match=message):
        runpy.run_path(str(toolkit.bridges.transformers.__file__))
