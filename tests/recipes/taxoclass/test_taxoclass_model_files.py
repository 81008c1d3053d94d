"""Rules of a saved model: what is in the folder, and that it comes back as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel
from transformers import AutoTokenizer

from tests.recipes.taxoclass.models import random_model
from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.model_files import REQUIRED
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import ZeroShot
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.taxonomy import build

TEXTS = ["Feed the sourdough before you go to bed.", "Tea", "The tyre was flat again"]
CLASSIFIERS = {
    "default": ClassifierConfig(),
    "ego": ClassifierConfig(gnn="sage", gnn_num_layers=2, gnn_scope="ego", pooling="cls"),
    "narrow": ClassifierConfig(gnn="gat", gnn_num_layers=3, gnn_hidden_dim=16, residual=False),
}


def logits(model: SavedModel) -> torch.Tensor:
    """What the model says of a few texts."""
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        found: torch.Tensor = model.classifier(batch["input_ids"], batch["attention_mask"])
    return found


@pytest.fixture(scope="module")
def model(tiny_encoder: Path) -> SavedModel:
    """A classifier with random weights."""
    return random_model(tiny_encoder)


@pytest.fixture
def saved(model: SavedModel, tmp_path: Path) -> Path:
    """The same in a folder."""
    save(tmp_path / "model", model)
    return tmp_path / "model"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_loaded_model_gives_the_same_logits_bit_for_bit(
    tiny_encoder: Path, tmp_path: Path, name: str
) -> None:
    """Whatever the classifier is made of, one call brings it back, ready to use."""
    model = random_model(tiny_encoder, classifier=CLASSIFIERS[name])
    save(tmp_path / "model", model)
    loaded = load(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model))
    assert not loaded.classifier.training


def test_all_else_comes_back_too(model: SavedModel, saved: Path) -> None:
    """Taxonomy, calibration and configuration are as they were, but for the maker's folders."""
    loaded = load(saved)
    assert loaded.taxonomy == model.taxonomy
    assert loaded.config == attrs.evolve(model.config, data=None)
    found = loaded.calibration.saved()
    for name, tensor in model.calibration.saved().items():
        assert torch.equal(found[name], tensor)
    assert loaded.zero_shot is None


def test_the_encoder_alone_loads_as_any_hugging_face_model(model: SavedModel, saved: Path) -> None:
    """AutoModel and AutoTokenizer take the folder and find the trained encoder."""
    encoder, report = AutoModel.from_pretrained(saved, output_loading_info=True)
    expected = model.classifier.encoder.state_dict()
    assert encoder.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in encoder.state_dict().items())
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert (
        AutoTokenizer.from_pretrained(saved)(TEXTS)["input_ids"]
        == (model.tokenizer(TEXTS)["input_ids"])
    )


def test_there_is_no_pickle_in_the_folder(saved: Path) -> None:
    """Tensors are safetensors, all else is text."""
    assert {file.suffix for file in saved.rglob("*")} <= {".json", ".safetensors", ".txt", ".md"}
    assert all(name.startswith("matcher.") for name in load_file(saved / "head.safetensors"))


def test_a_taxonomy_of_any_kind_comes_along(tiny_encoder: Path, tmp_path: Path) -> None:
    """Two parents, ids with colons and other alphabets, names with commas, key terms."""
    taxonomy = build(
        ["http://x/1", "둘", "-3"],
        ["가, 나", "b c", "d"],
        [(0, 1), (2, 1)],
        terms=[("ㄱ",), (), ()],
    )
    model = random_model(tiny_encoder, taxonomy)
    save(tmp_path / "model", model)
    loaded = load(tmp_path / "model")
    assert loaded.taxonomy == taxonomy
    assert torch.equal(logits(loaded), logits(model))


def test_the_untrained_encoder_is_kept_where_scores_need_it(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    """Its files are copied with their folders, but neither code nor pickles."""
    source = tmp_path / "source"
    source.mkdir()
    for file in tiny_encoder.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text("{}")
    (source / "modeling.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"")
    model = random_model(tiny_encoder, zero_shot_weight=0.3)
    assert model.zero_shot
    save(
        tmp_path / "model",
        attrs.evolve(model, zero_shot=attrs.evolve(model.zero_shot, folder=source)),
    )
    kept = load(tmp_path / "model").zero_shot
    assert kept
    assert kept.folder == tmp_path / "model" / "zero_shot"
    assert torch.equal(kept.class_vectors, model.zero_shot.class_vectors)
    assert (kept.folder / "1_Pooling" / "config.json").is_file()
    assert {file.suffix for file in kept.folder.rglob("*.*")} <= {".json", ".safetensors", ".txt"}


def test_a_missing_untrained_encoder_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    """Scores that need it would otherwise silently be others."""
    model = random_model(tiny_encoder, zero_shot_weight=0.3)
    save(tmp_path / "model", model)
    shutil.rmtree(tmp_path / "model" / "zero_shot")
    with pytest.raises(UsageError, match=r"no zero_shot/config.json, the untrained encoder"):
        load(tmp_path / "model")
    with pytest.raises(ValueError, match="needs zero_shot"):
        save(tmp_path / "other", attrs.evolve(model, zero_shot=None))


def test_an_untrained_encoder_that_scores_do_not_need_is_left_out(
    model: SavedModel, tiny_encoder: Path, tmp_path: Path
) -> None:
    """With decode.zero_shot_weight=0 the folder isn't twice as large for nothing."""
    given = ZeroShot(tiny_encoder, torch.zeros(len(model.taxonomy), 32))
    save(tmp_path / "model", attrs.evolve(model, zero_shot=given))
    assert not (tmp_path / "model" / "zero_shot").exists()
    assert load(tmp_path / "model").zero_shot is None


def test_the_card_tells_the_facts(model: SavedModel, tmp_path: Path) -> None:
    """Size of the taxonomy, how to load, and the results; no folder of the machine."""
    save(tmp_path / "model", attrs.evolve(model, metrics={"test/example_f1": 0.51234}))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "Classes: 43, of which 5 on the top level and 26 leaves; 3 levels" in card
    assert "| test/example_f1 | 0.5123 |" in card
    assert "AutoModel.from_pretrained" in card
    assert "/somewhere/private" not in card
    assert "/somewhere/private" not in (tmp_path / "model" / "taxoclass.json").read_text()
    assert load(tmp_path / "model").metrics == {"test/example_f1": 0.51234}


@pytest.mark.parametrize("name", [*REQUIRED, "model.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    """The message says which file makes the folder no model."""
    (saved / name).unlink()
    with pytest.raises(UsageError, match=rf"not a saved TaxoClass model, for it has no {name};"):
        load(saved)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is not taken for a name to download."""
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("taxoclass.json", "{", r"taxoclass.json: not JSON that can be read"),
        ("taxoclass.json", "[]", r"taxoclass.json: no whole number 'format'"),
        ("taxoclass.json", '{"format": 99}', r"format 99 is newer than 1"),
        ("taxoclass.json", '{"format": 1}', r"not a configuration of this version: .*config"),
        ("head.safetensors", "", r"head.safetensors: can't be read"),
        ("model.safetensors", "", r"can't be loaded as the encoder"),
        ("labels.txt", "1\tone\n", r"label_hierarchy.txt, line 1: class id '0' is not in"),
    ],
)
def test_a_damaged_file_is_named(saved: Path, file: str, content: str, message: str) -> None:
    """A file that was cut off or edited is refused with its name and the reason."""
    (saved / file).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load(saved)


def test_an_unknown_setting_is_named(saved: Path) -> None:
    """A configuration that this version doesn't have is not passed over."""
    settings = json.loads((saved / "taxoclass.json").read_text())
    settings["config"]["classifier"]["gnn_colour"] = "blue"
    (saved / "taxoclass.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match="gnn_colour"):
        load(saved)


def test_another_taxonomy_is_refused(saved: Path) -> None:
    """With a class more than there are logits, every answer would be wrong."""
    with (saved / "labels.txt").open("a", encoding="utf-8") as file:
        file.write("new\tnew class\n")
    with pytest.raises(UsageError, match=r"labels.txt has 44 classes, but .* trained on 43"):
        load(saved)


def test_nothing_is_overwritten(model: SavedModel, saved: Path) -> None:
    """A model is saved into a new or empty folder, so that no two are mixed."""
    with pytest.raises(UsageError, match=r"already there; give a new or empty folder"):
        save(saved, model)


def test_folders_of_pretrained_models_are_not_published(
    model: SavedModel, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Of a model that was read from a folder its name is kept, of others all that was given."""
    secret = Path(shutil.copytree(tiny_encoder, tmp_path / "private" / "my-encoder"))
    config = attrs.evolve(
        model.config,
        encoder=attrs.evolve(model.config.encoder, model=str(secret)),
        similarity=attrs.evolve(model.config.similarity, model=f"{secret}/../my-encoder/"),
    )
    made = random_model(secret, zero_shot_weight=0.3)
    save(tmp_path / "model", attrs.evolve(made, config=config))
    loaded = load(tmp_path / "model").config
    assert (loaded.encoder.model, loaded.similarity.model) == ("my-encoder", "my-encoder")
    texts = [f for f in (tmp_path / "model").rglob("*") if f.suffix in {".json", ".md", ".txt"}]
    assert not [f for f in texts if str(tmp_path) in f.read_text(encoding="utf-8")]
    save(tmp_path / "other", model)
    assert load(tmp_path / "other").config.encoder.model == model.config.encoder.model


def test_a_model_stored_in_half_precision_is_loaded_in_single(
    half_encoder: Path, tmp_path: Path
) -> None:
    """Its head is in single precision, and a device may not compute in half."""
    made = random_model(half_encoder)
    made.classifier.encoder.half()  # type: ignore[no-untyped-call]
    save(tmp_path / "model", made)
    classifier = load(tmp_path / "model").classifier
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}
