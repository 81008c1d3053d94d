"""Preset ``paper``: the recipe with a language inference model, from command line to records."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.recipes.launching import TWO_PROCESSES
from tests.recipes.launching import Launched
from tests.recipes.launching import launch
from tests.recipes.launching import run_plainly
from tests.recipes.taxoclass.nli import SmallModel
from toolkit.errors import UsageError
from toolkit_recipes.config import load
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.evidence import Evidence
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import load as load_model
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import with_family
from toolkit_recipes.taxoclass.presets import PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import check_together
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.similarity import propagate

SCRIPT = "taxoclass.py"
SETTINGS = (
    "preset=paper",
    "classifier.dropout=0",  # what it leaves out depends on how documents are dealt to processes
    "training.epochs=2",
    "self_training.iterations=1",
    "self_training.refresh_every=3",
)


@pytest.fixture(scope="module")
def models(
    tiny_encoder: Path, roberta_nli: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """Arguments: an encoder without dropout, of BERT's class, and a model of RoBERTa's."""
    folder = tmp_path_factory.mktemp("models")
    encoder = Path(shutil.copytree(tiny_encoder, folder / "encoder"))
    config = json.loads((encoder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (encoder / "config.json").write_text(json.dumps(config))
    labels = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
    nli = roberta_nli.save(folder / "nli", labels)
    return f"encoder.model={encoder}", f"similarity.model={nli}"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, models: tuple[str, str]) -> Launched:
    """The sample corpus on one process."""
    return launch(tmp_path_factory.mktemp("one"), SCRIPT, *models, *SETTINGS)


def stage1(launched: Launched) -> dict[str, torch.Tensor]:
    """What stage 1 kept."""
    files = (launched.folder / "runs").glob("*/cache/stage1-*")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def test_the_paper_runs_from_stage_1_to_the_model(one: Launched) -> None:
    """Its scores are probabilities of few pairs, and no document was encoded for stage 1."""
    assert one.done.returncode == 0, one.done.stderr
    found = stage1(one)
    assert not [name for name in found if name.endswith("vectors")]
    scores = found["train.scores"]
    scored = scores[~scores.isnan()]
    assert 0.1 < len(scored) / scores.numel() < 0.9
    values = one.values("metrics")
    assert 0 <= values["stage1/similarity_min"] < values["stage1/similarity_max"] <= 1
    assert math.isclose(values["stage1/similarity_mean"], scored.double().mean(), abs_tol=1e-9)
    assert {"stage2/num_core_classes", "zero_shot/example_f1", "test/example_f1"} <= set(values)
    assert one.values("params")["similarity_source"] == "path"


def test_two_processes_give_the_values_of_one(
    one: Launched, tmp_path: Path, models: tuple[str, str]
) -> None:
    """Each scores its share of the pairs; the 273 documents don't divide by two."""
    two = launch(tmp_path, SCRIPT, *models, *SETTINGS, options=TWO_PROCESSES)
    assert two.done.returncode == 0, two.done.stderr
    assert two.values("params")["num_processes"] == 2
    for name, tensor in stage1(one).items():
        torch.testing.assert_close(
            stage1(two)[name].float(), tensor.float(), atol=1e-5, rtol=0, equal_nan=True
        )
    expected, found = one.values("metrics"), two.values("metrics")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert math.isclose(found[name], value, abs_tol=1e-4), name


def test_its_model_classifies_without_the_inference_model(
    one: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded by the run, it needs no zero-shot part and predicts as the run did."""
    monkeypatch.chdir(one.folder)
    monkeypatch.delenv("TOOLKIT_RUNS_DIR", raising=False)
    (run,) = (one.folder / "runs").iterdir()
    test = read_dataset(SAMPLE).test
    with model_folder(run.name, ARTIFACT) as folder:
        assert not (folder / "zero_shot").exists()
        decoded = Classifier(load_model(folder)).classify(test.texts)
    names = read_dataset(SAMPLE).taxonomy.names
    lines = [json.loads(line) for line in one.file("test/predictions.jsonl").splitlines()]
    assert [[names[c] for c in path] for path in decoded.paths] == [x["path"] for x in lines]


def test_the_search_can_walk_on_embeddings(tmp_path: Path, models: tuple[str, str]) -> None:
    """Then entailment scores only what was kept, with parents and siblings."""
    settings = (*SETTINGS, "search.scores=propagated", "training.epochs=1")
    found = stage1(launch(tmp_path, SCRIPT, *models, *settings))
    taxonomy = read_dataset(SAMPLE).taxonomy
    evidence = Evidence.of(found, transductive=True)
    assert evidence.corpus.vectors is not None
    raised = propagate(cosine_similarity(evidence.corpus.vectors, evidence.classes), taxonomy)
    candidates = find_candidates(DensePairs(raised), taxonomy)
    assert torch.equal(found["train.candidates"], candidates[: len(found["train.scores"])])
    scored = ~evidence.similarity(evidence.corpus).isnan()
    assert torch.equal(scored, with_family(candidates, taxonomy))


def test_a_model_that_cannot_tell_entailment_ends_with_code_2(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    """The message is all there is, and no run is begun."""
    arguments = (f"encoder.model={tiny_encoder}", f"similarity.model={tiny_encoder}")
    done = run_plainly(tmp_path, SCRIPT, "preset=paper", *arguments).done
    assert done.returncode == 2
    assert "none of its labels is called entailment" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("preset", ["paper", "original"])
def test_presets_of_the_paper_name_its_model(preset: str) -> None:
    """Both use the inference model of the paper, and may be run as they are."""
    config = PRESETS[preset]()
    check_together(config)
    assert config.similarity.backend == "entailment"
    assert config.similarity.model == "FacebookAI/roberta-large-mnli"


def test_entailment_is_not_mixed_with_a_classifier() -> None:
    """A saved model could not say it again; refused whatever order the keys come in."""
    given = ["similarity.backend=entailment", "decode.zero_shot_weight=0"]
    check_together(load(TaxoClassConfig, given, PRESETS))
    with pytest.raises(UsageError, match=r"set decode.zero_shot_weight=0"):
        check_together(load(TaxoClassConfig, given[:1], PRESETS))
