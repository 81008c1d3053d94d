"""Rules of Accelerate's tracker, with accelerate itself."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import accelerate.tracking
import numpy as np
import pytest
import torch
from accelerate import Accelerator

import toolkit
import toolkit.bridges.accelerate
from tests.bridges.reading import curves
from tests.bridges.reading import only_run
from tests.bridges.reading import params
from tests.bridges.reading import runs_in
from tests.bridges.reading import summary
from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import clean_environment
from toolkit import tables
from toolkit.bridges.accelerate import ToolkitTracker
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Table


def test_by_name(home: Path) -> None:
    """The project is accelerate's, the rest of start_run comes in init_kwargs."""
    accelerator = Accelerator(log_with="toolkit")
    options = {"name": "first", "tags": ["baseline"]}
    accelerator.init_trackers("receipts", init_kwargs={"toolkit": options})
    accelerator.log({"loss": 0.5}, step=1)
    accelerator.end_training()
    run = only_run(home)
    (said, *_) = of_kind(run, Described)
    assert (said.project, said.name, said.tags) == ("receipts", "first", ("baseline",))
    assert curves(run) == {"loss": [(1, 0.5)]}
    assert status(run) == "FINISHED"


def test_by_object_beside_others(home: Path) -> None:
    """A tracker that was made before is used as it is."""
    tracker = ToolkitTracker("receipts", name="second")
    accelerator = Accelerator(log_with=[tracker])
    accelerator.init_trackers("accelerate's own", config={"lr": 0.1})
    assert accelerator.get_tracker("toolkit") is tracker
    assert accelerator.get_tracker("toolkit", unwrap=True) is toolkit.active_run()
    accelerator.end_training()
    (said, *_) = of_kind(only_run(home), Described)
    assert (said.project, said.name) == ("receipts", "second")


def test_a_configuration_keeps_its_nesting(home: Path) -> None:
    """Also what accelerate's TensorBoard tracker raises at, and a long value."""
    accelerator = Accelerator(log_with=ToolkitTracker())
    config = {
        "optimizer": {"name": "adamw", "betas": [0.9, 0.999]},
        "model": Namespace(width=8),
        "seed": None,
        "prompt": "x" * 7000,
    }
    accelerator.init_trackers("p", config=config)
    accelerator.end_training()
    assert params(only_run(home)) == config | {"model": {"width": 8}}


def test_every_value_is_kept(home: Path) -> None:
    """Tensors, NumPy scalars, bools and nested values too, which its MLflow tracker drops."""
    accelerator = Accelerator(log_with=ToolkitTracker())
    accelerator.init_trackers("p")
    values = {
        "tensor": torch.tensor(0.5, requires_grad=True),
        "numpy": np.float32(0.25),
        "bool": True,
        "val": {"f1": {"macro": np.array([0.75])}},
        "note": "fine",
        "gradients": torch.arange(5.0),
    }
    accelerator.log(values, step=3)
    accelerator.end_training()
    run = only_run(home)
    expected = {"tensor": 0.5, "numpy": 0.25, "bool": 1.0, "val/f1/macro": 0.75}
    assert curves(run) == {key: [(3, value)] for key, value in expected.items()}
    assert summary(run) == {"note": "fine"}
    assert [(said.key, said.step) for said in of_kind(run, Histogram)] == [("gradients", 3)]


def test_pictures_and_tables(home: Path) -> None:
    """With the arguments that accelerate's W&B tracker takes."""
    accelerator = Accelerator(log_with=ToolkitTracker())
    accelerator.init_trackers("p")
    tracker: Any = accelerator.get_tracker("toolkit")
    tracker.log_images({"pages": [np.zeros((4, 4, 3)), np.ones((4, 4, 3))]}, step=2)
    tracker.log_table("samples", columns=["text", "label"], data=[["a", 1]], step=2)
    accelerator.end_training()
    run = only_run(home)
    images = [(said.key, said.step) for said in of_kind(run, Image)]
    assert images == [("pages/0", 2), ("pages/1", 2)]
    (table,) = of_kind(run, Table)
    assert (table.name, table.step) == ("samples", 2)
    assert tables.read(run.path / table.path) == tables.Rows(["text", "label"], [["a", 1]])


def _break_and_end(accelerator: Accelerator) -> None:
    try:
        raise ArithmeticError("this step can't be done")
    finally:
        accelerator.end_training()


def test_an_exception_on_the_way_to_the_end_fails_the_run(home: Path) -> None:
    """The usual try and finally tell what happened."""
    accelerator = Accelerator(log_with=ToolkitTracker())
    accelerator.init_trackers("p")
    with pytest.raises(ArithmeticError):
        _break_and_end(accelerator)
    assert status(only_run(home)) == "FAILED"


def test_the_users_run_is_used_and_left_open(home: Path) -> None:
    """Whether it is active or given."""
    with toolkit.start_run() as run:
        for tracker in (ToolkitTracker(), ToolkitTracker(run=run)):
            accelerator = Accelerator(log_with=tracker)
            accelerator.init_trackers("p")
            assert tracker.tracker is run
            accelerator.end_training()
            assert not run.is_over
    assert len(runs_in(home)) == 1


def test_before_it_has_started_a_tracker_has_no_run() -> None:
    """The message says what to call."""
    with pytest.raises(UsageError, match=r"call accelerator.init_trackers\(\)"):
        _ = ToolkitTracker().tracker


def test_an_accelerate_without_the_registry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do instead; the tracker by object still works."""
    monkeypatch.delattr(accelerate.tracking, "register_tracker_class")
    monkeypatch.delitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "toolkit")
    message = r"has no tracking.register_tracker_class.*log_with=ToolkitTracker\(\.\.\.\) instead"
    with pytest.raises(UsageError, match=message):
        toolkit.bridges.accelerate.register()
    with pytest.warns(RuntimeWarning, match=message):
        runpy.run_path(str(toolkit.bridges.accelerate.__file__))


def test_registering_again_changes_nothing() -> None:
    """No warning that a name is taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        toolkit.bridges.accelerate.register()


_TWO = """
import json
import os
import sys
import torch
from accelerate import Accelerator
from toolkit.bridges.accelerate import ToolkitTracker

tracker = ToolkitTracker("two")
accelerator = Accelerator(log_with=tracker)
accelerator.init_trackers("two", config={"seed": {"torch": 5}})
run = tracker.tracker
tracker.log_table("ranks", ["rank"], [[accelerator.process_index]])
run.set_tag("rank", accelerator.process_index)
for step in range(3):
    value = torch.tensor(float(accelerator.process_index + step), device=accelerator.device)
    accelerator.log({"mean": accelerator.gather(value).mean(), "mine": value}, step=step)
with open(f"rank-{accelerator.process_index}.json", "w") as file:
    json.dump([accelerator.num_processes, run.dir is not None], file)
accelerator.end_training()
"""


def test_two_processes_are_one_run_and_rank_0_records_it(bench: Bench) -> None:
    """It joins the run of `toolkit track`; the other rank accepts every call."""
    command = [sys.executable, "-m", "toolkit", "track", "--project", "above", "--"]
    command += [sys.executable, "-m", "accelerate.commands.launch", *TWO_PROCESSES]
    done = subprocess.run(
        [*command, bench.script(_TWO)],
        cwd=bench.folder,
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads((bench.folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert said == [[2, True], [2, False]]
    run = bench.only_run()
    assert curves(run) == {
        "mean": [(0, 0.5), (1, 1.5), (2, 2.5)],
        "mine": [(0, 0.0), (1, 1.0), (2, 2.0)],
    }
    assert params(run) == {"seed": {"torch": 5}}
    shown = bench.shown(run)
    assert (shown["project"], shown["run_tags"]) == ("above", {"rank": "0"})
    assert status(run) == "FINISHED"
