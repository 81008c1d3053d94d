"""Rules of the ablation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.launching import RECIPES
from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import clean_environment
from tests.recipes.launching import launch
from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.config import changed
from toolkit_recipes.taxoclass.ablation import VARIANTS
from toolkit_recipes.taxoclass.ablation import Variant
from toolkit_recipes.taxoclass.ablation import configurations
from toolkit_recipes.taxoclass.ablation import variants
from toolkit_recipes.taxoclass.presets import best
from toolkit_recipes.taxoclass.presets import check_together
from toolkit_recipes.taxoclass.presets import paper

SETTINGS = (
    "parts=inner classes",
    "encoder.max_length=16",
    "training.head_epochs=1",
    "training.epochs=0",
    "self_training.iterations=1",
    "threads=1",
)


@pytest.mark.parametrize("variant", variants(list(VARIANTS))[1:], ids=lambda v: v.name)
def test_a_variant_differs_and_can_be_run(variant: Variant) -> None:
    """A variant that is the same as what it is compared with would say that a part is worth 0."""
    varied = changed(best(), variant.settings)
    assert as_dict(varied) != as_dict(best())
    check_together(varied)


def test_names_tell_variants_apart() -> None:
    """They are the names of runs, and rows of the table."""
    names = [variant.name for variant in variants(list(VARIANTS))]
    assert len(set(names)) == len(names)
    assert names[0] == "unchanged"


@pytest.mark.recipe
def test_every_variant_is_a_child_run(tmp_path: Path, tiny_encoder: Path) -> None:
    """With its figures; the parent has them all in a table, the unchanged one first."""
    command = [sys.executable, str(RECIPES / "taxoclass_ablation.py")]
    arguments = [f"encoder.model={tiny_encoder}", *SETTINGS]
    subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=clean_environment(), check=True, timeout=300
    )
    children = {
        next(event["name"] for event in events if event["kind"] == "described"): events
        for folder in (tmp_path / "runs").iterdir()
        if json.loads((folder / "run.json").read_text(encoding="utf-8"))["parent"]
        for events in [_events(folder)]
    }
    assert set(children) == {variant.name for variant in variants(["inner classes"])}
    for events in children.values():
        measured = {name for e in events if e["kind"] == "metrics" for name in e["values"]}
        assert {f"{stage}/example_f1" for stage in ("zero_shot", "stage3_test", "test")} <= measured


def _events(run: Path) -> list[dict[str, Any]]:
    segments = sorted((run / "journal").glob("*.jsonl"))
    return [
        json.loads(line)
        for segment in segments
        for line in segment.read_text(encoding="utf-8").splitlines()
    ]


def test_what_cannot_be_varied_is_said_before_anything_runs() -> None:
    """The message names the variant and how to do without it."""
    with pytest.raises(UsageError, match=r"variant 'views: name and parent': .*parts="):
        configurations(paper(), ["mining", "views"])


def test_one_process_is_enough(tmp_path: Path) -> None:
    """Two would measure every variant twice, each with files of its own."""
    launched = launch(tmp_path, "taxoclass_ablation.py", options=TWO_PROCESSES)
    assert launched.done.returncode != 0
    assert "error: this runs in one process" in launched.done.stderr
