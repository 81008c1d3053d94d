"""Rules of explanations: what a path is compared with, and which documents are like it."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
import torch

from tests.recipes.taxoclass.models import random_model
from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.explain import Explainer
from toolkit_recipes.taxoclass.kept_documents import TEXTS_FILE
from toolkit_recipes.taxoclass.kept_documents import VECTORS_FILE
from toolkit_recipes.taxoclass.kept_documents import KeptDocuments
from toolkit_recipes.taxoclass.kept_documents import chosen_rows
from toolkit_recipes.taxoclass.kept_documents import excerpt
from toolkit_recipes.taxoclass.kept_documents import read_kept
from toolkit_recipes.taxoclass.kept_documents import write_kept
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.predict import Answers
from toolkit_recipes.taxoclass.taxonomy import build

DATA = read_dataset(SAMPLE)
TEXTS = list(DATA.test.texts[:4])
KEPT = [3, 5, 8, 13, 21]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path) -> SavedModel:
    """A classifier with random weights that keeps five documents, mixed with zero-shot scores."""
    made = random_model(tiny_encoder, zero_shot_weight=0.3)
    read = Classifier(made).read([DATA.train.texts[row] for row in KEPT])
    paths = decode(read.scores, made.taxonomy).paths
    kept = KeptDocuments.of(DATA.train, KEPT, paths, read.vectors, read.vectors, characters=20)
    levels = LevelCalibration(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.9, 0.8, 0.7]))
    return attrs.evolve(made, documents=kept, levels=levels)


def test_the_parts_of_a_score_add_up(model: SavedModel) -> None:
    """Each class of the path has its score, and the two parts whose weighted mean it is."""
    classifier = Classifier(model)
    taxonomy = model.taxonomy
    answers = Answers(classifier, 5, Explainer(classifier, rivals=2, nearest=1))(TEXTS)
    for answer, scores in zip(answers, classifier.scores(TEXTS), strict=True):
        explanation = answer["explanation"]
        weight = explanation["zero_shot_weight"]
        assert weight == 0.3
        assert [level["id"] for level in explanation["levels"]] == answer["classes"]
        assert [level["name"] for level in explanation["levels"]] == answer["names"]
        for level in explanation["levels"]:
            mixed = (1 - weight) * level["trained"] + weight * level["zero_shot"]
            assert level["score"] == pytest.approx(mixed, abs=1e-4)
            assert level["score"] == pytest.approx(
                scores[taxonomy.positions[level["id"]]].item(), abs=1e-4
            )
        probability = answer["probability"]
        assert probability == sorted(probability, reverse=True)
        assert 0 < probability[-1] <= probability[0] <= 1


def test_rivals_are_what_else_could_have_been_chosen(model: SavedModel) -> None:
    """The other classes below the same one, the closest first, each behind by its best path."""
    classifier = Classifier(model)
    taxonomy = model.taxonomy
    reading = classifier.read(TEXTS)
    paths = decode(reading.scores, taxonomy).paths
    explained = Explainer(classifier, rivals=100, nearest=0).explain(reading, paths)
    every = [path for leaf in taxonomy.leaves for path in taxonomy.paths_to(leaf)]
    for row, path, found in zip(reading.scores, paths, explained, strict=True):
        best = row[list(path)].mean()
        for place, level in enumerate(found["levels"]):
            family = taxonomy.children[path[place - 1]] if place else taxonomy.roots
            rivals = [taxonomy.positions[rival["id"]] for rival in level["rivals"]]
            assert sorted(rivals) == sorted(set(family) - {path[place]})
            behind = [rival["behind"] for rival in level["rivals"]]
            assert behind == sorted(behind)
            for c, gap in zip(rivals, behind, strict=True):
                through = max(row[list(other)].mean() for other in every if c in other)
                assert gap == pytest.approx((best - through).item(), abs=1e-4)
    few = Explainer(classifier, rivals=1, nearest=0).explain(reading, paths)
    assert all(len(level["rivals"]) <= 1 for found in few for level in found["levels"])


def test_the_nearest_document_of_a_kept_one_is_itself(model: SavedModel) -> None:
    """With its id, how it begins, its cosine, and what the model once said of it."""
    classifier = Classifier(model)
    texts = [DATA.train.texts[row] for row in KEPT]
    answers = Answers(classifier, 0, Explainer(classifier, rivals=0, nearest=2))(texts)
    for row, text, answer in zip(KEPT, texts, answers, strict=True):
        first, second = answer["explanation"]["nearest"]
        assert first["id"] == DATA.train.ids[row]
        assert first["excerpt"] == text[:19] + "…"
        assert first["cosine"] == pytest.approx(1, abs=1e-3)
        assert first["cosine"] >= second["cosine"]
        assert first["classes"] == answer["classes"]
        assert first["names"] == answer["names"]


def test_without_kept_documents_there_are_no_nearest_ones(tiny_encoder: Path) -> None:
    """Null, which is not the same as none that are similar; a part that isn't there is null too."""
    classifier = Classifier(random_model(tiny_encoder))
    (answer,) = Answers(classifier, 1, Explainer(classifier, rivals=1, nearest=3))(TEXTS[:1])
    assert answer["explanation"]["nearest"] is None
    assert answer["explanation"]["levels"][0]["zero_shot"] is None
    assert answer["probability"] is None


def test_what_is_kept_comes_back_with_the_model(model: SavedModel, tmp_path: Path) -> None:
    """Ids, excerpts and classes as they were, vectors in half precision; no pickle."""
    save(tmp_path / "model", model)
    loaded = load(tmp_path / "model")
    assert loaded.documents is not None
    assert model.documents is not None
    assert loaded.documents.ids == model.documents.ids
    assert loaded.documents.excerpts == model.documents.excerpts
    assert loaded.documents.paths == model.documents.paths
    assert loaded.documents.vectors.dtype == torch.float16
    assert torch.equal(loaded.documents.vectors, model.documents.vectors)
    assert loaded.documents.untrained is not None
    assert loaded.levels is not None
    assert model.levels is not None
    assert torch.equal(loaded.levels.temperatures, model.levels.temperatures)
    assert "- Train documents in this folder: 5," in (tmp_path / "model/README.md").read_text()
    first = Answers(Classifier(model), 2)(TEXTS)
    assert Answers(Classifier(loaded), 2)(TEXTS) == first


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("none", r"of documents.safetensors and documents.jsonl one is missing"),
        ("{\n", r"documents.jsonl, line 1: not what a model of this taxonomy keeps"),
        ('{"id": "a", "excerpt": "", "classes": ["99"]}\n', r"line 1: not what .*KeyError: '99'"),
        ('{"id": "a", "excerpt": "", "classes": []}\n', r"vector for each of the 1 lines"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: str, message: str) -> None:
    """The message says which file, which line, and what to do."""
    taxonomy = build(["1"], ["one"], [])
    kept = KeptDocuments(("a", "b"), ("", "x\u2028y"), ((0,), ()), torch.rand(2, 4).half(), None)
    write_kept(tmp_path, kept, taxonomy)
    back = read_kept(tmp_path, taxonomy)
    assert back is not None
    assert (back.excerpts, back.paths, back.untrained) == (kept.excerpts, kept.paths, None)
    if damage == "none":
        (tmp_path / TEXTS_FILE).unlink()
    else:
        (tmp_path / TEXTS_FILE).write_text(damage)
    with pytest.raises(UsageError, match=message):
        read_kept(tmp_path, taxonomy)


def test_a_file_of_vectors_that_is_none_is_named(tmp_path: Path) -> None:
    """As a download that was cut off."""
    (tmp_path / VECTORS_FILE).write_bytes(b"")
    (tmp_path / TEXTS_FILE).write_text(json.dumps({"id": "a", "excerpt": "", "classes": []}))
    with pytest.raises(UsageError, match=r"documents.safetensors: can't be read"):
        read_kept(tmp_path, build(["1"], ["one"], []))


def test_documents_are_drawn_by_the_seed() -> None:
    """In their order, none twice, no more than there are; another seed draws others."""
    rows = chosen_rows(1000, 100, seed=1)
    assert rows == sorted(set(rows))
    assert len(rows) == 100
    assert rows == chosen_rows(1000, 100, seed=1) != chosen_rows(1000, 100, seed=2)
    assert chosen_rows(5, 100, seed=1) == [0, 1, 2, 3, 4]
    assert chosen_rows(5, 0, seed=1) == []


@pytest.mark.parametrize(
    ("characters", "expected"), [(9, "some text"), (6, "some …"), (1, "…"), (0, "")]
)
def test_an_excerpt_is_as_long_as_allowed(characters: int, expected: str) -> None:
    """With its ellipsis; 0 keeps no text at all."""
    assert excerpt("some text", characters) == expected
