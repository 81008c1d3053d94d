"""Rules of how a recipe's run is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.recipes.launching import RECIPES
from tests.recipes.launching import run_plainly
from tests.recipes.launching import track
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.journal import events_of
from toolkit.rundir import RunDir
from toolkit_recipes.config import load
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.tracking import TrackingConfig
from toolkit_recipes.tracking import filled
from toolkit_recipes.tracking import start_recipe_run

TINY = (
    "synthetic.train_pages=2",
    "synthetic.val_pages=1",
    "synthetic.height=64",
    "crop=64",
    "long_side=64",
    "width=0.125",
    "neck_channels=16",
    "batch_size=2",
    "epochs=1",
    "workers=0",
)


def described(folder: Path) -> Described:
    """What the script said of the only run."""
    (run,) = folder.iterdir()
    (said,) = [e for _, e in events_of(RunDir(run).journal, Described) if isinstance(e, Described)]
    return said


def started(runs: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Described:
    """What is said of a run with these flags."""
    monkeypatch.setenv("TOOLKIT_RUNS_DIR", str(runs))
    monkeypatch.delenv("TOOLKIT_BACKEND", raising=False)
    config = DbnetConfig(tracking=TrackingConfig(**given))
    start_recipe_run(config, config.tracking, "receipts", ("plain",)).end()
    return described(runs)


def test_flags_say_what_the_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Project, name, group and tags come from the flags."""
    said = started(
        tmp_path, monkeypatch, project="mine", name="first", group="baselines", tags=("a", "b")
    )
    assert (said.project, said.name, said.group) == ("mine", "first", "baselines")
    assert said.tags == ("a", "b")


def test_without_flags_the_recipe_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its project and its tags; nobody is told."""
    said = started(tmp_path, monkeypatch)
    assert (said.project, said.name, said.tags, said.backends) == ("receipts", None, ("plain",), {})


def test_wandb_gets_its_own_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entity and offline are wandb's; other trackers don't hear of them."""
    said = started(tmp_path, monkeypatch, tracker=("none", "wandb"), entity="team", offline=True)
    assert said.backends == {"none": {}, "wandb": {"entity": "team", "mode": "offline"}}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{model}_gnn{gnn.layers}_lr{lr}", "all-MiniLM-L6-v2_gnn1_lr5e-05"),
        ("taxo_{encoder.model}_{gnn_hidden_dim:04d}", "taxo_all-MiniLM-L6-v2_0000"),
        ("{{as it is}}", "{as it is}"),
        ("plain", "plain"),
    ],
)
def test_a_name_is_made_from_the_configuration(template: str, name: str) -> None:
    """Keys, their last parts and their other names stand for values; names of models are short."""
    assert filled(template, TaxoClassConfig()) == name


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{nothing}", r"there is no key 'nothing'"),
        ("{batch_size}", r"'batch_size' may be any of encoder.batch_size, "),
        ("{model", r"expected '}' before end of string"),
        ("{gnn_hidden_dim:%}x{model:d}", r"[Uu]nknown format code 'd'"),
        ("{}", r"there is no key ''"),
    ],
)
def test_a_name_that_cant_be_made_is_refused(template: str, message: str) -> None:
    """The message quotes the name and says what is wrong."""
    with pytest.raises(UsageError, match=message) as caught:
        filled(template, TaxoClassConfig())
    assert str(caught.value).startswith(f"name={template!r}")


@pytest.mark.parametrize("kind", [DbnetConfig, TaxoClassConfig])
def test_every_recipe_takes_the_flags(kind: type[Any]) -> None:
    """By their short names."""
    flags = ("tracker=wandb,mlflow", "project=p", "entity=e", "name=n", "tags=a,b", "group=g")
    config = load(kind, [*flags, "offline=true", "log_interval=7"], {})
    assert attrs.asdict(config.tracking) == {
        "tracker": ("wandb", "mlflow"),
        "project": "p",
        "entity": "e",
        "name": "n",
        "group": "g",
        "tags": ("a", "b"),
        "offline": True,
    }
    assert config.log_interval == 7


def test_the_command_line_of_track_wins(tmp_path: Path) -> None:
    """What `toolkit track` was told stays; the flags fill in the rest."""
    done = track(tmp_path, ("--name", "outer"), "dbnet.py", *TINY, "name=inner", "group=g")
    assert done.done.returncode == 0, done.done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    info = RunDir(run).info()
    assert info.name == "outer"
    assert described(tmp_path / "runs").group == "g"


def test_an_unknown_tracker_ends_before_training(tmp_path: Path) -> None:
    """It is a mistake of the command line: one line, exit code 2."""
    done = run_plainly(tmp_path, "dbnet.py", *TINY, "tracker=wanbd").done
    assert done.returncode == 2
    assert "wanbd" in done.stderr
    assert "Traceback" not in done.stderr
    assert RECIPES.name not in done.stderr
