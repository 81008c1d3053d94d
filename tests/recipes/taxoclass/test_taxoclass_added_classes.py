"""Rules of classes that are added to a trained model by their names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import attrs
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor
from transformers import AutoModel
from transformers import AutoTokenizer

from tests.recipes.launching import RECIPES
from tests.recipes.launching import clean_environment
from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.taxoclass.added_classes import Addition
from toolkit_recipes.taxoclass.added_classes import extend
from toolkit_recipes.taxoclass.added_classes import extended_taxonomy
from toolkit_recipes.taxoclass.added_classes import read_additions
from toolkit_recipes.taxoclass.calibration import Calibration
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.classifier import centred
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.kept_documents import KeptDocuments
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import ZeroShot
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.presets import DecodeConfig
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.presets import SimilarityConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.taxonomy import build
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder

SMALL = build(["1", "2", "3"], ["food", "bread", "sport"], [(0, 1)])


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> TextEncoder:
    """The small encoder, as stage 1 uses it."""
    files, quiet = ModelFiles(tiny_encoder, "path"), Reporter(Console(quiet=True))
    return TextEncoder(files, EncoderConfig(max_length=32), Accelerator(), quiet)


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, encoder: TextEncoder) -> SavedModel:
    """A classifier on the shipped taxonomy whose graph network says something."""
    taxonomy = read_taxonomy_folder(SAMPLE)
    config = TaxoClassConfig(
        encoder=EncoderConfig(max_length=32),
        classifier=ClassifierConfig(),
        decode=DecodeConfig(zero_shot_weight=0.0),
    )
    vectors = encoder.encode(class_texts(taxonomy.names, "{name}"), "class names")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        logits, similarity = torch.randn(16, len(taxonomy)), torch.rand(16, len(taxonomy))
        classifier = TaxoClassifier(
            AutoModel.from_pretrained(tiny_encoder),
            centred(vectors),
            both_directions(taxonomy),
            config.classifier,
        )
    torch.nn.init.constant_(classifier.matcher.class_encoder.gates, 0.1)
    return SavedModel(
        classifier=classifier.eval(),
        tokenizer=AutoTokenizer.from_pretrained(tiny_encoder),
        taxonomy=taxonomy,
        config=config,
        calibration=Calibration.fit(logits, similarity, taxonomy, config.decode),
    )


def encode_with(encoder: TextEncoder, texts: list[str]) -> Tensor:
    """Vectors of class names."""
    return encoder.encode(texts, "class names")


def additions(*words: str) -> list[Addition]:
    """Classes as the command line gives them."""
    return read_additions(words)


def test_words_and_lines_say_the_same(tmp_path: Path) -> None:
    """The last colon parts name and parent; a third column is the id, else it is the name."""
    file = tmp_path / "more.txt"
    file.write_text("rye, dark\tbread\t17\nchess\t\n", encoding="utf-8")
    found = read_additions(["16:9 films : sport", "music:"], str(file))
    assert [(a.name, a.parent, a.id) for a in found] == [
        ("16:9 films", "sport", "16:9 films"),
        ("music", "", "music"),
        ("rye, dark", "bread", "17"),
        ("chess", "", "chess"),
    ]
    assert found[2].source == f"{file}, line 1"


def test_new_classes_come_last_below_their_parents() -> None:
    """A parent is given by name or id and may be new itself; no parent is the top level."""
    found = extended_taxonomy(SMALL, additions("rye:2", "dark rye:rye", "music:"))
    assert found.ids == ("1", "2", "3", "rye", "dark rye", "music")
    assert found.parents == ((), (0,), (), (1,), (3,), ())
    assert found.roots == (0, 2, 5)
    assert (SMALL.children[1], found.children[1]) == ((), (3,))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rye", r"add=rye: no colon; give NAME:PARENT"),
        (
            "rye:bred",
            r"add=rye:bred: there is no class 'bred' to put 'rye' below \(did you mean 'bread'\?\)",
        ),
        ("rye:rye", r"there is no class 'rye' to put 'rye' below"),
        ("sport:food", r"class name 'sport' is already taken \(id 3\)"),
        ("3:food", r"class id '3' is already taken \(by 'sport'\)"),
        (":food", r"a class needs a name"),
        ("a, b:food", r"class id 'a, b' has a comma"),
    ],
)
def test_a_class_that_cannot_be_added_is_refused(word: str, message: str) -> None:
    """The message says where it was asked for, why not, and what to do."""
    with pytest.raises(UsageError, match=message):
        extended_taxonomy(SMALL, additions(word))


def test_nothing_to_add_is_an_error(tmp_path: Path) -> None:
    """So that a forgotten key or an empty file doesn't copy a model."""
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UsageError, match="no class to add; give add=NAME:PARENT"):
        read_additions([], str(tmp_path / "empty.txt"))


def test_a_text_that_is_the_new_name_gets_the_new_class(
    model: SavedModel, encoder: TextEncoder
) -> None:
    """Untrained, a class is found by what its name says."""
    (new,) = additions("sourdough starter:baking")
    extended = extend(model, [new], lambda texts: encode_with(encoder, texts)).model
    taxonomy = extended.taxonomy
    scores = Classifier(extended).scores(["sourdough starter"])[0]
    siblings = taxonomy.siblings[taxonomy.positions["sourdough starter"]]
    assert scores[-1] > scores[list(siblings)].max()


def test_what_is_far_from_the_new_class_is_said_as_before(
    model: SavedModel, encoder: TextEncoder
) -> None:
    """One layer of the graph network reaches the neighbours of what changed, and no further."""
    (new,) = additions("sourdough starter:baking")
    extended = extend(model, [new], lambda texts: encode_with(encoder, texts)).model
    old, taxonomy = model.taxonomy, extended.taxonomy
    (parent,) = taxonomy.parents[-1]
    near = {parent, *old.children[parent], *old.parents[parent]}
    far = [c for c in range(len(old)) if c not in near]
    texts = ["Feed the sourdough before you go to bed.", "The tyre was flat again"]
    before, after = Classifier(model).scores(texts), Classifier(extended).scores(texts)
    torch.testing.assert_close(after[:, far], before[:, far])
    assert not torch.allclose(after[:, parent], before[:, parent])
    assert len(model.taxonomy) == 43
    assert model.classifier.matcher.class_features.shape[0] == 43


def test_a_new_class_is_as_similar_as_the_kept_documents_say(
    model: SavedModel, encoder: TextEncoder, tiny_encoder: Path
) -> None:
    """Its mean similarity is measured on them; without them it is that of its siblings."""
    taxonomy = model.taxonomy
    vectors = torch.nn.functional.normalize(torch.randn(9, 32), dim=1)
    kept = KeptDocuments(("d",) * 9, ("",) * 9, ((),) * 9, vectors.half(), vectors.half())
    zero_shot = ZeroShot(tiny_encoder, torch.zeros(len(taxonomy), 32))
    whole = attrs.evolve(model, zero_shot=zero_shot, documents=kept)
    new = additions("sourdough starter:baking")
    found = extend(whole, new, lambda texts: encode_with(encoder, texts)).model
    name = encode_with(encoder, ["sourdough starter"])
    expected = cosine_similarity(vectors, name).mean()
    assert found.calibration.class_means[-1].item() == pytest.approx(expected.item(), abs=1e-3)
    assert found.zero_shot is not None
    torch.testing.assert_close(found.zero_shot.class_vectors[-1:], name)

    bare = extend(model, new, lambda texts: encode_with(encoder, texts)).model.calibration
    siblings = model.calibration.class_means[list(found.taxonomy.siblings[-1])]
    assert bare.class_means[-1].item() == pytest.approx(siblings.mean().item())
    torch.testing.assert_close(bare.class_means[:-1], model.calibration.class_means)


def test_a_new_class_is_seen_from_all_views(
    model: SavedModel, encoder: TextEncoder, tiny_encoder: Path
) -> None:
    """As those of stage 1; beside them stands its name alone where others have mined terms."""
    similarity = SimilarityConfig(template="{name} | {path}", mined_terms=5, terms_weight=0.25)
    whole = attrs.evolve(
        model,
        config=attrs.evolve(model.config, similarity=similarity),
        zero_shot=ZeroShot(tiny_encoder, torch.zeros(len(model.taxonomy), 32)),
    )
    new = additions("sourdough starter:baking")
    found = extend(whole, new, lambda texts: encode_with(encoder, texts)).model.zero_shot
    name, path = encode_with(
        encoder, ["sourdough starter", "food and drink > baking > sourdough starter"]
    )
    views = torch.nn.functional.normalize(name + path, dim=0)
    expected = torch.nn.functional.normalize(0.75 * views + 0.25 * name, dim=0)
    assert found is not None
    torch.testing.assert_close(found.class_vectors[-1], expected, atol=1e-5, rtol=1e-4)


def test_another_encoder_is_refused(model: SavedModel) -> None:
    """It is known by what it makes of the classes that are there."""
    generator = torch.Generator().manual_seed(0)

    def other(texts: list[str]) -> Tensor:
        return torch.randn(len(texts), 32, generator=generator)

    with pytest.raises(UsageError, match=r"it can't encode a new one; give encoder=FOLDER"):
        extend(model, additions("sourdough starter:baking"), other)


def test_a_class_can_be_added_to_a_single_one(model: SavedModel, encoder: TextEncoder) -> None:
    """Though the only class, which is the mean of all, lies in no direction."""
    one = build(["1"], ["food"], [])
    vectors = encode_with(encoder, ["food"])
    classifier = TaxoClassifier(
        model.classifier.encoder, centred(vectors), both_directions(one), model.classifier.config
    )
    calibration = Calibration.fit(torch.rand(4, 1), torch.rand(4, 1), one, model.config.decode)
    alone = attrs.evolve(model, taxonomy=one, classifier=classifier, calibration=calibration)
    extended = extend(alone, additions("bread:food"), partial(encode_with, encoder))
    assert extended.model.taxonomy.names == ("food", "bread")


def test_it_is_said_that_a_leaf_is_none_any_more(model: SavedModel, encoder: TextEncoder) -> None:
    """A path ends in a leaf, so all documents of the class above go on to the new one."""
    new = additions("chess:", "rye bread:baking", "openings:chess")
    leaf = model.taxonomy.names[model.taxonomy.leaves[0]]
    new += additions(f"one:{leaf}", f"other:{leaf}")
    notes = extend(model, new, lambda texts: encode_with(encoder, texts)).notes
    assert notes[0] == "'chess' (id chess) is a class of the top level"
    assert re.fullmatch(
        r"'rye bread' \(id rye bread\) is below 'baking', beside \d others", notes[1]
    )
    assert notes[2] == "'openings' (id openings) is below 'chess', beside 0 others"
    assert notes[3].endswith("which was a leaf: all its documents now go on to it or 1 others")


def test_the_script_writes_a_model_that_knows_the_class(model: SavedModel, tmp_path: Path) -> None:
    """It is loaded, saved and described like any other, and its source stays as it was."""
    save(tmp_path / "model", attrs.evolve(model, metrics={"test/example_f1": 0.5}))
    before = sorted((f.name, f.stat().st_mtime_ns) for f in (tmp_path / "model").iterdir())
    arguments = ("model=model", "add=sourdough starter:baking", "output=more")
    done = run(tmp_path, "taxoclass_extend.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "'sourdough starter' (id sourdough starter) is below 'baking', beside" in done.stdout
    assert "Saved in more, with 44 classes" in done.stdout
    assert before == sorted((f.name, f.stat().st_mtime_ns) for f in (tmp_path / "model").iterdir())

    loaded = load(tmp_path / "more")
    assert loaded.added == ("sourdough starter",)
    assert loaded.taxonomy.names[-1] == "sourdough starter"
    decoded = Classifier(loaded).classify(["sourdough starter"])
    assert decoded.ranking.shape == (1, 44)
    card = (tmp_path / "more" / "README.md").read_text(encoding="utf-8")
    assert "- Added by name after training: sourdough starter" in card
    assert "## Results on the test documents, before classes were added" in card


def test_a_class_added_for_one_prediction_is_the_same_class(
    model: SavedModel, encoder: TextEncoder, tmp_path: Path
) -> None:
    """The prediction script adds it in memory; the model's folder stays as it was."""
    save(tmp_path / "model", model)
    (tmp_path / "more.txt").write_text("sourdough starter\tbaking\t99\n")
    (tmp_path / "in.txt").write_text("sourdough starter\nFeed it before bed\n")
    arguments = ("model=model", "add_from=more.txt", "input=in.txt", "mixed_precision=no")
    done = run(tmp_path, "taxoclass_predict.py", *arguments, "top_k=44")
    assert done.returncode == 0, done.stderr
    assert "'sourdough starter' (id 99) is below 'baking', beside 2 others" in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    new = read_additions([], str(tmp_path / "more.txt"))
    extended = Classifier(extend(model, new, lambda texts: encode_with(encoder, texts)).model)
    for row, scores in zip(
        found, extended.scores(["sourdough starter", "Feed it before bed"]), strict=True
    ):
        by_id = {entry["id"]: entry["score"] for entry in row["ranking"]}
        for identifier, score in zip(extended.taxonomy.ids, scores.tolist(), strict=True):
            assert by_id[identifier] == pytest.approx(score, abs=1e-3)
    assert load(tmp_path / "model").added == ()


def test_what_must_be_given_is_named(tmp_path: Path) -> None:
    """Exit code 2, and no traceback."""
    done = run(tmp_path, "taxoclass_extend.py", "output=x")
    assert done.returncode == 2
    assert done.stderr == "error: model is missing; give model=FOLDER|RUN and output=FOLDER\n"


def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, as a user would."""
    return subprocess.run(
        [sys.executable, str(RECIPES / script), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
