"""Rules of the ablation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from toolkit_recipes.config import as_dict
from toolkit_recipes.config import changed
from toolkit_recipes.taxoclass.ablation import VARIANTS
from toolkit_recipes.taxoclass.ablation import Variant
from toolkit_recipes.taxoclass.ablation import variants
from toolkit_recipes.taxoclass.presets import best
from toolkit_recipes.taxoclass.presets import check_together

SETTINGS = (
    "parts=decoding",
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
    runs = {
        info["name"]: (folder, info["parent"])
        for folder in (tmp_path / "runs").iterdir()
        for info in [json.loads((folder / "run.json").read_text(encoding="utf-8"))]
    }
    wanted = {variant.name for variant in variants(["decoding"])}
    assert {name for name, (_, parent) in runs.items() if parent} == wanted
    for name in wanted:
        journal = "".join(f.read_text() for f in (runs[name][0] / "journal").glob("*.jsonl"))
        for stage in ("zero_shot", "stage3_test", "test"):
            assert f'"{stage}/example_f1"' in journal
