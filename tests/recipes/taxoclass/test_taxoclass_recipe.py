"""The TaxoClass recipe from its command line to what it records."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.recipes.launching import RECIPES
from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import Launched
from tests.recipes.launching import launch
from tests.recipes.launching import predict
from tests.recipes.launching import run_plainly
from toolkit.environment import source
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.report import RIGHT

SCRIPT = "taxoclass.py"
QUALITY = (
    "example_f1 p_at_1 p_at_3 mrr mrr_filtered accuracy precision recall f1_score "
    "top3_accuracy top5_accuracy top10_accuracy "
    "level_0_accuracy level_1_accuracy level_2_accuracy"
)
ECE = ("ece", "ece_uncalibrated")
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
    "test": " ".join([QUALITY, *(f"{kind}_level_{level}" for kind in ECE for level in range(3))]),
}
SETTINGS = (
    "seed=7",
    "log_interval=3",
    "self_training.iterations=2",
    "self_training.refresh_every=5",
    "self_training.batch_size=31",
    "self_training.tolerance=0",
    "self_training.agreement=0",
)
TRAIN_DOCUMENTS = 173
"""So that the documents learned from and the held-out ones don't divide by two either."""
REPLACED = 40
"""The test document whose text the other corpus changes."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with fewer train documents: no number of documents divides by two."""
    folder = tmp_path_factory.mktemp("corpus") / "data"
    shutil.copytree(SAMPLE, folder)
    for file in (folder / "train").iterdir():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:TRAIN_DOCUMENTS]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def other_test_text(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """The same corpus with another text in one of the test documents."""
    folder = tmp_path_factory.mktemp("other_test_text") / "data"
    shutil.copytree(corpus, folder)
    file = folder / "test" / "corpus.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    identifier = lines[REPLACED].split("\t")[0]
    lines[REPLACED] = f"{identifier}\tThe kayak, the paddle and a short swim before breakfast."
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, corpus: Path) -> Launched:
    """The corpus on one process, with an encoder that is quick and knows nothing."""
    folder = tmp_path_factory.mktemp("one")
    return launch(folder, SCRIPT, f"encoder.model={tiny_encoder}", f"data={corpus}", *SETTINGS)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, corpus: Path) -> Launched:
    """The same on two processes."""
    folder = tmp_path_factory.mktemp("two")
    arguments = (f"encoder.model={tiny_encoder}", f"data={corpus}", *SETTINGS)
    return launch(folder, SCRIPT, *arguments, options=TWO_PROCESSES)


@pytest.fixture(scope="module")
def other(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, other_test_text: Path
) -> Launched:
    """The run on the corpus with the other test text."""
    folder = tmp_path_factory.mktemp("other")
    arguments = (f"encoder.model={tiny_encoder}", f"data={other_test_text}", *SETTINGS)
    return launch(folder, SCRIPT, *arguments)


def predictions(launched: Launched) -> list[dict[str, Any]]:
    """What the run says about the test documents."""
    return [json.loads(line) for line in launched.file("test/predictions.jsonl").splitlines()]


def results(launched: Launched, stage: int) -> dict[str, torch.Tensor]:
    """The stored result of a stage: of the first, document vectors and all else, in two files."""
    files = list((launched.folder / "runs").glob(f"*/cache/stage{stage}-*.safetensors"))
    assert len(files) == (2 if stage == 1 else 1)
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def test_a_run_records_every_metric(one: Launched) -> None:
    """Every promised name has a value, and there is no other."""
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
    assert params["git_commit"] == (source(RECIPES).commit or "unknown")
    assert params["num_processes"] == 1


def test_the_configuration_is_kept_as_a_file(one: Launched) -> None:
    """The file can be given to the next run as config=FILE."""
    config = json.loads(one.file("config.json"))
    assert config["seed"] == 7
    assert config["mixed_precision"] == "auto"


def test_predictions_are_kept_line_by_line(one: Launched) -> None:
    """Every test document has its predicted path and its true classes."""
    lines = predictions(one)
    assert len(lines) == 85
    assert all(line["path"] and line["true"] for line in lines)


def test_the_end_shows_results_and_where_to_look(one: Launched) -> None:
    """The last lines are a table of results and the command that shows the run."""
    (run,) = (one.folder / "runs").iterdir()
    assert "test/example_f1" in one.done.stdout
    assert f"toolkit runs show {run.name}" in one.done.stdout


def test_curves_have_a_point_every_log_interval(one: Launched) -> None:
    """From the first step of stage 3 and of stage 4, and not more often."""
    curves = one.curves()
    steps = {name: [step for step, _ in points] for name, points in curves.items()}
    end_of_stage3 = steps["stage3/epoch_train_loss"][-1]
    for name in ("train_loss", "learning_rate", "epoch"):
        assert steps[f"stage3/{name}"] == list(range(0, end_of_stage3, 3))
    first, last = steps["stage4/iteration"][0], steps["stage4/iteration"][-1]
    assert first == end_of_stage3
    assert last == first + 10
    for name in ("self_train_loss", "epoch"):
        assert steps[f"stage4/{name}"] == list(range(first, last, 3))


def test_the_confusion_matrix_is_of_top_level_classes(one: Launched) -> None:
    """It counts every test document once, under the true class and the predicted one."""
    (matrix,) = one.events("confusionmatrix")
    assert matrix["name"] == "test/confusion_matrix"
    size = len(matrix["labels"])
    assert size > 1
    assert [len(row) for row in matrix["counts"]] == [size] * size
    assert sum(map(sum, matrix["counts"])) == 85
    right = sum(matrix["counts"][i][i] for i in range(size)) / 85
    assert math.isclose(right, one.values("metrics")["test/level_0_accuracy"])


def test_the_class_table_has_every_class_that_occurs(one: Launched) -> None:
    """Its support is how many test documents have the class."""
    table = one.table("test/class_performance")
    assert list(table) == ["Class", "Precision", "Recall", "F1", "Support"]
    assert sum(table["Support"]) == sum(len(line["true"]) for line in predictions(one))
    assert all(0 <= value <= 1 for name in ("Precision", "Recall", "F1") for value in table[name])


def test_the_examples_are_test_documents(one: Launched) -> None:
    """With true classes, predicted classes and whether they are the same."""
    table = one.table("test/prediction_examples")
    assert list(table) == ["Document", "True", "Predicted", "Correct"]
    assert len(table["Document"]) == 10
    rows = zip(table["True"], table["Predicted"], table["Correct"], strict=True)
    assert all((true == predicted) == (mark == RIGHT) for true, predicted, mark in rows)


def test_the_summary_says_how_good_it_is_and_how_long_it_took(one: Launched) -> None:
    """The final figures are those of the test documents."""
    summary, metrics = one.values("summary"), one.values("metrics")
    assert set(summary) == {"final_accuracy", "final_f1", "training_time_hours"}
    assert summary["final_accuracy"] == metrics["test/accuracy"]
    assert summary["final_f1"] == metrics["test/f1_score"]
    assert 0 < summary["training_time_hours"] < 1


def test_the_model_is_an_artifact(one: Launched) -> None:
    """It is the best, and a model."""
    (artifact,) = one.events("artifact")
    assert (artifact["name"], artifact["type"]) == ("taxo_model", "model")
    assert artifact["aliases"] == ["best"]
    names = {file["name"] for file in artifact["files"]}
    assert {"config.json", "model.safetensors", "head.safetensors", "taxoclass.json"} <= names


def test_the_saved_model_says_what_the_run_said(one: Launched, corpus: Path) -> None:
    """The prediction script gives the run's own paths and scores for the test documents."""
    (run,) = (one.folder / "runs").iterdir()
    arguments = (f"input={corpus / 'test' / 'corpus.txt'}", "format=corpus")
    found = predict(one.folder, f"model={run.name}", *arguments)
    expected = predictions(one)
    assert len(found) == len(expected)
    for row, line in zip(found, expected, strict=True):
        assert row["id"] == line["id"]
        assert row["names"] == line["path"]
        assert math.isclose(row["score"], line["score"], abs_tol=1e-4)


def test_texts_of_test_documents_teach_nothing(one: Launched, other: Launched) -> None:
    """Unless transductive=true, another test text changes no figure and no weight of any stage."""
    assert other.done.returncode == 0, other.done.stderr
    assert one.values("params")["transductive"] is False
    expected, found = one.curves(), other.curves()
    for name in (name for name in expected if name.startswith("stage") and "_test" not in name):
        assert found[name] == expected[name], name
    for stage in (2, 3, 4):
        stored = results(other, stage)
        for name, tensor in results(one, stage).items():
            assert torch.equal(stored[name], tensor), f"stage {stage}: {name}"
    pairs = zip(predictions(one), predictions(other), strict=True)
    changed = [row for row, (before, after) in enumerate(pairs) if before != after]
    assert changed == [REPLACED]


def test_the_corpus_does_not_divide_by_two(one: Launched) -> None:
    """Otherwise two processes would have nothing to share unevenly."""
    values = one.values("metrics")
    samples = [values["stage3/train_samples"], values["stage3/val_samples"]]
    assert all(count % 2 == 1 for count in (TRAIN_DOCUMENTS, len(predictions(one)), *samples))


def test_two_processes_give_the_values_of_one(one: Launched, two: Launched) -> None:
    """Two real processes make one run with the same curves to rounding."""
    assert two.done.returncode == 0, two.done.stderr
    assert two.values("params")["num_processes"] == 2
    expected, found = one.curves(), two.curves()
    assert set(found) == set(expected)
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        for (step, shared), (_, alone) in zip(found[name], points, strict=True):
            assert math.isclose(shared, alone, abs_tol=1e-4), f"{name} at step {step}"


def test_two_processes_predict_as_one(one: Launched, two: Launched) -> None:
    """Every document has the same path, and the same score to rounding."""
    for alone, shared in zip(predictions(one), predictions(two), strict=True):
        assert shared["id"] == alone["id"]
        assert shared["path"] == alone["path"]
        assert math.isclose(shared["score"], alone["score"], abs_tol=1e-4)


def test_two_processes_learn_as_one(one: Launched, two: Launched) -> None:
    """Core classes are the same; vectors, and weights learned from Q, are so to rounding."""
    assert torch.equal(results(two, 2)["core"], results(one, 2)["core"])
    for stage in (1, 3, 4):
        stored = results(two, stage)
        for name, tensor in results(one, stage).items():
            difference = (stored[name] - tensor).abs().max().item()
            assert difference < 1e-4, f"stage {stage}: {name}"
    before, after = (results(one, stage)["matcher.bilinear"] for stage in (3, 4))
    assert not torch.equal(before, after)


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
