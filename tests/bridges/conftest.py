"""Fixtures of the bridges' tests: a user's empty environment, and loops in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import toolkit

_NOT_INHERITED = ("TOOLKIT_", "MLFLOW_", "WANDB_", "RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder; runs lie in its folder ``runs``, and none is active before or after.

    Libraries compute on the CPU, without the network, and forget what a test has set up.
    """
    for name in os.environ:
        if name.startswith(_NOT_INHERITED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOOLKIT_SYSTEM_INTERVAL", "0")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    while toolkit.active_run():
        toolkit.end_run()
    if accelerate := sys.modules.get("accelerate.state"):
        for state in ("AcceleratorState", "GradientState", "PartialState"):
            getattr(accelerate, state)._reset_state()
