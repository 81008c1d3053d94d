"""Every command of docs/wandb.md that needs neither the cloud nor a package index works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from attrs import frozen

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from tests.waiting import LIMIT
from toolkit.rundir import RunDir
from toolkit_recipes.config import load
from toolkit_recipes.dbnet.presets import PRESETS as DBNET_PRESETS
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.taxoclass.presets import PRESETS as TAXOCLASS_PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.tracking import filled

GUIDE = (RECIPES.parent / "docs" / "wandb.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]
_ELSEWHERE = re.compile("# (cloud|package index|on the other machine)")
HERE = [line for line in COMMANDS if not _ELSEWHERE.search(line)]
TELLING = ("train.py", "RUN", "receipts.yaml", "offline", "sweep", "{model}")
"""What marks the commands that are unlike the others."""
SCRIPT = """
import toolkit
with toolkit.start_run() as run:
    run.log_metrics({"loss": 0.5}, step=1)
"""
SMALL_DBNET = (
    "synthetic.train_pages=4 synthetic.val_pages=2 synthetic.height=64 crop=64 long_side=64 "
    "width=0.125 neck_channels=16 batch_size=2 epochs=1 workers=0 threads=1"
)
SMALL_TAXOCLASS = "head_epochs=1 training.epochs=0 iterations=1 refresh_every=5 threads=1"
SMALL_TUNING = "pages=2 workers=0 thresh=0.3 box_thresh=0.5 unclip=0 min_size=2"


@frozen
class Reader:
    """Somebody who follows the guide in a folder of their own."""

    folder: Path
    encoder: Path

    def follow(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type a line of the guide, with settings after it that make it small."""
        words = shlex.split(line)
        given = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            given[name] = value
        environment = clean_environment() | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "WANDB_MODE": "offline",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [*words, *self._small(words)],
            cwd=self.folder,
            env=environment | given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def runs(self) -> list[RunDir]:
        """What was recorded, in order."""
        return [RunDir(path.parent) for path in sorted(self.folder.glob("runs/*/run.json"))]

    def _small(self, words: list[str]) -> list[str]:
        line = " ".join(words)
        if "sweep" in words:
            return []
        if "dbnet_tune.py" in line:
            return SMALL_TUNING.split()
        if "dbnet.py" in line:
            return SMALL_DBNET.split()
        if "taxoclass.py" in line:
            return [*SMALL_TAXOCLASS.split(), f"encoder.model={self.encoder}"]
        return []


@pytest.fixture
def reader(tmp_path: Path, tiny_encoder: Path) -> Reader:
    """A folder with the recipes and the files that the guide shows."""
    (tmp_path / "recipes").symlink_to(RECIPES)
    for name, content in re.findall(r"```yaml\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    found = Reader(tmp_path, tiny_encoder)
    sweep = tmp_path / "sweep.yaml"
    small = [*SMALL_TAXOCLASS.split(), f"encoder.model={tiny_encoder}"]
    command = ["${env}", "${interpreter}", "${program}", "${args}", *small]
    text = sweep.read_text(encoding="utf-8")
    sweep.write_text(f"{text}{yaml.safe_dump({'command': command})}", encoding="utf-8")
    return found


def first_of(recipe: str) -> str:
    """The guide's first command that trains with a recipe."""
    found: list[str] = [line for line in HERE if f"recipes/{recipe}" in line]
    return found[0]


@pytest.mark.parametrize("line", HERE)
def test_the_guide_works_as_it_is_written(reader: Reader, line: str) -> None:
    """Each command ends well and leaves a run that finished.

    Where one differs from another in a name or a tag alone, one of them is run unless
    TOOLKIT_TEST_GUIDE=all; what is said by all is read by the test below.
    """
    if os.environ.get("TOOLKIT_TEST_GUIDE") != "all" and not any(word in line for word in TELLING):
        pytest.skip("much like another; TOOLKIT_TEST_GUIDE=all runs it")
    if "RUN" in line:
        recipe = "taxoclass.py" if "--resume" in line else "dbnet.py"
        before = reader.follow(first_of(recipe))
        assert before.returncode == 0, before.stderr
        line = line.replace("RUN", reader.runs()[0].path.name)
    done = reader.follow(line.replace("--count 12", "--count 1"))
    assert done.returncode == 0, done.stderr
    assert reader.runs()
    tells_nobody = line == "accelerate launch recipes/taxoclass.py"
    assert any(reader.folder.glob("**/offline-run-*")) != tells_nobody


@pytest.mark.parametrize("line", [line for line in HERE if "accelerate launch" in line])
def test_a_recipe_understands_what_the_guide_gives_it(line: str) -> None:
    """Every key is one, its value is of its type, and the name of the run can be made from it."""
    script, *words = shlex.split(line.partition("accelerate launch recipes/")[2])
    config: DbnetConfig | TaxoClassConfig
    arguments = [word for word in words if not word.startswith("config=")]
    if script == "dbnet.py":
        config = load(DbnetConfig, arguments, DBNET_PRESETS)
    else:
        config = load(TaxoClassConfig, arguments, TAXOCLASS_PRESETS)
    if config.tracking.name is not None:
        assert "{" not in filled(config.tracking.name, config)
