"""Rules of Lightning's logger, with Lightning itself."""

from __future__ import annotations

import signal
from argparse import Namespace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

import toolkit
from tests.bridges.reading import artifacts
from tests.bridges.reading import curves
from tests.bridges.reading import only_run
from tests.bridges.reading import params
from tests.bridges.reading import runs_in
from tests.bridges.tiny_lightning import QUIET
from tests.bridges.tiny_lightning import Line
from tests.bridges.tiny_lightning import points
from tests.bridges.tiny_lightning import trainer
from tests.commands import of_kind
from tests.commands import status
from toolkit.bridges.lightning import ToolkitLogger
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Image
from toolkit.events import Table

pytestmark = QUIET


def test_every_point_is_recorded(home: Path) -> None:
    """At Lightning's global step; the test after the training too, in the same run."""
    logger = ToolkitLogger("first", project="p", tags=["t"])
    module = Line(lr=0.2)
    lightning = trainer(home, logger, 6)
    lightning.fit(module, points(), points(8))
    lightning.test(module, points(8), verbose=False)
    toolkit.end_run()
    run = only_run(home)
    found = curves(run)
    assert found["loss"] == module.losses
    assert [step for step, _ in found["loss"]] == [0, 1, 2, 3, 4, 5]
    assert [step for step, _ in found["val/loss"]] == [3]
    assert [step for step, _ in found["test/loss"]] == [6]
    assert params(run) == {"lr": 0.2, "breaks_at": None}
    assert status(run) == "FINISHED"
    said = of_kind(run, Described)[0]
    assert (said.name, said.project, said.tags) == ("first", "p", ("t",))


def test_what_a_logger_says_of_itself(home: Path) -> None:
    """Project, id and folder of the run, which is where checkpoints go by default."""
    logger = ToolkitLogger(project="p")
    assert (logger.name, logger.version, logger.save_dir) == ("p", None, None)
    run = logger.experiment
    assert run is toolkit.active_run()
    assert (logger.version, logger.save_dir) == (run.id, str(run.dir))
    elsewhere = ToolkitLogger(save_dir=home / "here", version="an-id")
    assert (elsewhere.version, elsewhere.save_dir) == ("an-id", str(home / "here"))
    assert elsewhere.name == "lightning_logs"


def test_hyper_parameters_may_be_nested_namespaces(home: Path) -> None:
    """Or mappings, or nothing."""
    logger = ToolkitLogger()
    logger.log_hyperparams(Namespace(a=1, inner=Namespace(b=[2, 3])))
    logger.log_hyperparams({"c": {"d": torch.tensor(4)}})
    logger.log_hyperparams(None)
    toolkit.end_run()
    assert params(only_run(home)) == {"a": 1, "inner": {"b": [2, 3]}, "c": {"d": 4}}


def test_metrics_may_have_a_prefix(home: Path) -> None:
    """With a slash behind it."""
    ToolkitLogger(prefix="student").log_metrics({"loss": torch.tensor(0.5), "ok": True}, 3)
    toolkit.end_run()
    assert curves(only_run(home)) == {"student/loss": [(3, 0.5)], "student/ok": [(3, 1.0)]}


def test_pictures_tables_and_texts(home: Path) -> None:
    """With the arguments that Lightning's W&B logger takes."""
    logger = ToolkitLogger()
    logger.log_image("one", [np.zeros((4, 4))], step=1, caption=["a tree"])
    logger.log_image("two", images=[torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    logger.log_table("t", columns=["a"], data=[[1]], step=1)
    logger.log_text("s", columns=["in"], data=[["x"]])
    toolkit.end_run()
    run = only_run(home)
    found = [(said.key, said.step, said.caption) for said in of_kind(run, Image)]
    assert found == [("one", 1, "a tree"), ("two/0", None, None), ("two/1", None, None)]
    assert [(said.name, said.step) for said in of_kind(run, Table)] == [("t", 1), ("s", None)]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* is not empty:UserWarning")
def test_a_training_that_raises_is_failed_and_can_go_on(home: Path) -> None:
    """At once; the same logger then goes on in the same run, and the curve is one."""
    logger = ToolkitLogger()
    saving = ModelCheckpoint(home / "kept", save_top_k=-1, filename="{step}")
    arguments: dict[str, Any] = {"enable_checkpointing": True, "callbacks": [saving]}
    with pytest.raises(ArithmeticError):
        trainer(home, logger, 8, **arguments).fit(Line(breaks_at=6), points())
    assert status(only_run(home)) == "FAILED"
    saved = home / "kept" / "step=4.ckpt"
    trainer(home, logger, 8, **arguments).fit(Line(), points(), ckpt_path=saved)
    toolkit.end_run()
    assert [step for step, _ in curves(only_run(home))["loss"]] == list(range(8))
    assert status(only_run(home)) == "FINISHED"


class _Impatient(pl.Callback):
    """Presses Ctrl-C."""

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_kills_the_run(home: Path) -> None:
    """Lightning then leaves with code 1, which is not what happened to the run."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            trainer(home, ToolkitLogger(), 4, callbacks=[_Impatient()]).fit(Line(), points())
    finally:  # Lightning ignores further interrupts from then on
        signal.signal(signal.SIGINT, before)
    assert status(only_run(home)) == "KILLED"


def test_a_version_is_a_run_to_go_on_with(home: Path) -> None:
    """As with Lightning's other loggers."""
    first = ToolkitLogger()
    first.log_metrics({"x": 1}, 1)
    toolkit.end_run()
    ToolkitLogger(version=first.version).log_metrics({"x": 2}, 2)
    toolkit.end_run()
    assert curves(only_run(home)) == {"x": [(1, 1.0), (2, 2.0)]}


@pytest.mark.parametrize(
    ("checkpoints", "kept"),
    [
        ("none", []),
        ("all", [(2, ("latest", "best")), (4, ("latest", "best")), (6, ("latest", "best"))]),
        ("end", [(4, ("latest",)), (6, ("latest", "best"))]),
    ],
)
def test_checkpoints_are_kept_on_request(
    home: Path, checkpoints: Any, kept: list[tuple[int, tuple[str, ...]]]
) -> None:
    """All, or those that are there at the end; they lie in the run's folder by default."""
    logger = ToolkitLogger(project="p", checkpoints=checkpoints)
    saving = ModelCheckpoint(
        monitor="left", save_top_k=2, every_n_train_steps=2, filename="step-{step}",
        auto_insert_metric_name=False,
    )  # fmt: skip
    module = Line(lr=0.5)
    trainer(home, logger, 6, enable_checkpointing=True, callbacks=[saving]).fit(module, points())
    toolkit.end_run()
    run = only_run(home)
    assert artifacts(run) == [(f"step-{step}", "model", aliases) for step, aliases in kept]
    folder = run.path / "p" / run.path.name / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-4.ckpt", "step-6.ckpt"]


def test_another_choice_of_checkpoints_is_refused() -> None:
    """The message has the choices."""
    with pytest.raises(UsageError, match="checkpoints='best': expected none, end or all"):
        ToolkitLogger(checkpoints="best")  # type: ignore[arg-type]


def test_the_next_logger_has_its_own_run(home: Path) -> None:
    """When the training of the one before is over."""
    for _ in range(2):
        trainer(home, ToolkitLogger(), 2).fit(Line(), points())
    toolkit.end_run()
    assert [len(curves(run)["loss"]) for run in runs_in(home)] == [2, 2]
    assert [status(run) for run in runs_in(home)] == ["FINISHED", "FINISHED"]


def test_the_users_run_is_used_and_left_open(home: Path) -> None:
    """Whether it is active or given."""
    with toolkit.start_run() as run:
        for logger in (ToolkitLogger(), ToolkitLogger(run=run)):
            trainer(home, logger, 1).fit(Line(), points())
            assert not run.is_over
    assert len(runs_in(home)) == 1


def test_only_rank_0_records(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' calls are accepted."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = ToolkitLogger()
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"x": 1}, 1)
    logger.log_image("i", [np.zeros((2, 2))])
    logger.log_table("t", columns=["a"], data=[[1]])
    assert logger.experiment.dir is None
    logger.finalize("success")
    assert not (home / "runs").exists()
