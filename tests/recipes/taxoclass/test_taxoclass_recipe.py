"""The TaxoClass recipe from its command line to what it records."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import Launched
from tests.recipes.launching import launch
from tests.recipes.launching import run_plainly

SCRIPT = "taxoclass.py"
QUALITY = (
    "example_f1 p_at_1 p_at_3 mrr mrr_filtered accuracy precision recall f1_score "
    "top3_accuracy top5_accuracy top10_accuracy "
    "level_0_accuracy level_1_accuracy level_2_accuracy"
)
METRICS = {
    "stage1": "similarity_min similarity_max similarity_mean similarity_std",
    "stage2": "num_core_classes total_docs_with_core avg_docs_per_core_class "
    "core_precision core_coverage",
    "stage3": "num_positive_labels num_negative_labels num_ignored_labels positive_ratio "
    "train_samples val_samples train_loss learning_rate epoch "
    "epoch_train_loss epoch_val_loss best_val_loss best_epoch",
    "stage4": "confident_predictions confidence_ratio avg_max_prediction avg_target_entropy "
    "iteration self_train_loss epoch",
    "zero_shot": QUALITY,
    "stage3_test": QUALITY,
    "test": QUALITY,
}
SETTINGS = (
    "seed=7",
    "self_training.iterations=2",
    "self_training.refresh_every=5",
)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Launched:
    """The sample corpus on one process, with an encoder that is quick and knows nothing."""
    folder = tmp_path_factory.mktemp("one")
    return launch(folder, SCRIPT, f"encoder.model={tiny_encoder}", *SETTINGS)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Launched:
    """The same on two processes; the 85 test documents don't divide by two."""
    folder = tmp_path_factory.mktemp("two")
    arguments = (f"encoder.model={tiny_encoder}", *SETTINGS)
    return launch(folder, SCRIPT, *arguments, options=TWO_PROCESSES)


def test_a_run_on_the_sample_records_every_metric(one: Launched) -> None:
    """Without data= the shipped corpus is used; every promised name has a value."""
    assert one.done.returncode == 0, one.done.stderr
    expected = {f"{stage}/{name}" for stage, names in METRICS.items() for name in names.split()}
    assert set(one.values("metrics")) == expected
    assert one.events("ended")[-1]["status"] == "FINISHED"


def test_params_are_the_configuration_and_the_environment(one: Launched) -> None:
    """The configuration stays nested; beside it stands what else shapes a result."""
    params = one.values("params")
    assert params["encoder"]["max_length"] == 128
    assert params["seed"] == 7
    names = {"git_commit", "pytorch_version", "cuda_version", "device", "mixed_precision"}
    assert names <= set(params)
    assert params["num_processes"] == 1


def test_the_configuration_is_kept_as_a_file(one: Launched) -> None:
    """The file can be given to the next run as config=FILE."""
    config = json.loads(one.file("config.json"))
    assert config["seed"] == 7
    assert config["mixed_precision"] == "auto"


def test_predictions_are_kept_line_by_line(one: Launched) -> None:
    """Every test document has its predicted path and its true classes."""
    lines = [json.loads(line) for line in one.file("test/predictions.jsonl").splitlines()]
    assert len(lines) == 85
    assert all(line["path"] and line["true"] for line in lines)


def test_the_end_shows_results_and_where_to_look(one: Launched) -> None:
    """The last lines are a table of results and the command that shows the run."""
    (run,) = (one.folder / "runs").iterdir()
    assert "test/example_f1" in one.done.stdout
    assert f"toolkit runs show {run.name}" in one.done.stdout


def test_two_processes_give_the_values_of_one(one: Launched, two: Launched) -> None:
    """Two real processes make one run with the same values to rounding."""
    assert two.done.returncode == 0, two.done.stderr
    assert two.values("params")["num_processes"] == 2
    expected, found = one.values("metrics"), two.values("metrics")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert math.isclose(found[name], value, abs_tol=1e-4), name
    rows = [
        [json.loads(x) for x in r.file("test/predictions.jsonl").splitlines()] for r in (one, two)
    ]
    for alone, shared in zip(*rows, strict=True):
        assert shared["path"] == alone["path"]
        assert math.isclose(shared["score"], alone["score"], abs_tol=1e-4)


def test_only_the_main_process_speaks(two: Launched) -> None:
    """With two processes the table is printed once."""
    assert two.done.stdout.count(" test/example_f1") == 1


def test_wrong_input_ends_with_code_2(tmp_path: Path) -> None:
    """The message is all there is: no traceback, and no run is begun."""
    done = run_plainly(tmp_path, SCRIPT, "data=nowhere").done
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: no such folder")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_two_processes_report_wrong_input_once(tmp_path: Path) -> None:
    """The main process speaks for all, also where the others wait for it; they just leave."""
    arguments = ("encoder.model=./nowhere",)
    done = launch(tmp_path, SCRIPT, *arguments, options=TWO_PROCESSES).done
    assert done.returncode != 0
    assert done.stderr.count("error: encoder.model=./nowhere: no such folder") == 1
    assert "exitcode  : 2" in done.stderr
    assert "[rank" not in done.stderr


def test_help_lists_the_keys(tmp_path: Path) -> None:
    """`help` prints what can be set, and does nothing else."""
    done = run_plainly(tmp_path, SCRIPT, "help").done
    assert done.returncode == 0
    assert "encoder.batch_size=16  (a whole number)" in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("stage", [2, 4])
def test_starting_later_needs_what_came_before(
    tmp_path: Path, tiny_encoder: Path, stage: int
) -> None:
    """Without stored results the message says what is missing and what to do."""
    done = run_plainly(
        tmp_path, SCRIPT, f"encoder.model={tiny_encoder}", f"start_from={stage}"
    ).done
    assert done.returncode == 2
    assert f"start_from={stage}: " in done.stderr
    assert "has no result of stage 1" in done.stderr
    assert "cache=FOLDER" in done.stderr
