"""Command lines of trials: W&B's macros, and values that stay what they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from toolkit.sweep import command
from toolkit.sweep.command import Values

VALUES = Values(
    {"lr": 5e-06, "fast": True, "slow": False, "net.layers": 3, "net.kind": "a b"}, Path("v.json")
)
NESTED = {"lr": 5e-06, "fast": True, "slow": False, "net": {"layers": 3, "kind": "a b"}}


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("${env}", ["/usr/bin/env"]),
        ("${interpreter}", [sys.executable]),
        ("${program}", ["train.py"]),
        (
            "${args}",
            ["--lr=5e-06", "--fast=True", "--slow=False", "--net.layers=3", "--net.kind=a b"],
        ),
        (
            "${args_no_hyphens}",
            ["lr=5e-06", "fast=True", "slow=False", "net.layers=3", "net.kind=a b"],
        ),
        (
            "${args_no_boolean_flags}",
            ["--lr=5e-06", "--fast", "--net.layers=3", "--net.kind=a b"],
        ),
        ("${args_json_file}", ["v.json"]),
        ("${envvar:HOME_OF_DATA}", ["/data"]),
        ("--data=${envvar:HOME_OF_DATA}/${envvar:SET}", ["--data=/data/$(reboot)"]),
        ("plain", ["plain"]),
        ("$HOME", ["$HOME"]),
    ],
)
def test_macros(macro: str, expected: list[str]) -> None:
    """Each macro becomes the words that W&B's agent makes of it; a nested name has dots."""
    environ = {"HOME_OF_DATA": "/data", "SET": "$(reboot)"}

    assert command.build((macro,), "train.py", VALUES, environ) == expected


@pytest.mark.parametrize("macro", ["args", "args_no_hyphens", "args_no_boolean_flags", "args_json"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside wandb
def test_like_wandbs_agent(macro: str) -> None:
    """W&B's own agent makes the same words of the same values."""
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils", reason="needs the extra wandb")
    flat = {"lr": 5e-06, "n": 3, "on": True, "off": False, "none": None, "text": "a b", "l": [1, 2]}
    agents = utils.create_sweep_command_args({"args": {k: {"value": v} for k, v in flat.items()}})

    built = command.build((f"${{{macro}}}",), None, Values(flat, Path("v.json")), {})
    assert built == agents[macro]


def test_json() -> None:
    """``${args_json}`` is one word, in which nested parameters are nested."""
    (word,) = command.build(("${args_json}",), None, VALUES, {})

    assert json.loads(word) == NESTED


def test_no_boolean_flags_at_all() -> None:
    """A macro that becomes no word leaves none."""
    values = Values({"fast": False}, Path("v.json"))

    assert command.build(("a", "${args_no_boolean_flags}"), None, values, {}) == ["a"]


def test_missing_variables() -> None:
    """Variables that the environment lacks are known before anything starts."""
    words = ("${envvar:A}", "x${envvar:B}y${envvar:C}")

    assert command.missing_variables(words, {"B": ""}) == ["A", "C"]


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20)))
def test_values_stay_as_they_are(flat: dict[str, str]) -> None:
    """Whatever a value holds, it is one word; macros in values mean nothing."""
    values = Values(flat, Path("v.json"))
    built = command.build(("${args_no_hyphens}",), None, values, {})

    assert built == [f"{name}={value}" for name, value in flat.items()]
