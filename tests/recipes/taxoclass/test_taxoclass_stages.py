"""Rules of the classifier that stage 3 starts from, and of what it takes from stage 1."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

import toolkit
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.learner import TokenDocuments
from toolkit_recipes.taxoclass.learner import predict
from toolkit_recipes.taxoclass.learner import tokenise
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import TrainingConfig
from toolkit_recipes.taxoclass.stages import EncoderOnly
from toolkit_recipes.taxoclass.stages import Workplace
from toolkit_recipes.taxoclass.stages import build_classifier
from toolkit_recipes.taxoclass.stages import document_vectors
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder
from toolkit_recipes.taxoclass.training import Journal

TEXTS = [*["bread and tea"] * 20, "the bread " * 30, *["a cat on a boat"] * 20]
CONFIG = TaxoClassConfig(encoder=EncoderConfig(max_length=64))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """One process that prints nothing."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        journal = Journal(run, Reporter(Console(quiet=True)), 1, 1)
        return Workplace(Accelerator(), CONFIG, journal, None)


def make(
    encoder: Path, config: TaxoClassConfig = CONFIG
) -> tuple[TaxoClassifier, TokenDocuments, TokenDocuments]:
    """A classifier, and the texts as it reads them, whole and cut short."""
    taxonomy = read_taxonomy_folder(SAMPLE)
    model, tokenizer = build_classifier(encoder, torch.rand(len(taxonomy), 32), taxonomy, config)
    read = partial(tokenise, TEXTS, tokenizer, model.encoder.config)
    return model, read(64), read(8)


@pytest.mark.parametrize("trained", ["frozen", "full", "last_layers=1"])
def test_weights_in_half_precision_are_trained_in_single(half_encoder: Path, trained: str) -> None:
    """Small steps are lost in half precision, whatever the files of an encoder hold."""
    config = attrs.evolve(CONFIG, training=TrainingConfig(encoder=trained))
    model, _, _ = make(half_encoder, config)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_vectors_of_stage_1_are_taken_where_the_encoder_reads_alike(
    place: Workplace, tiny_encoder: Path
) -> None:
    """Rounding apart; then nothing is computed again."""
    model, tokens, _ = make(tiny_encoder)
    own = predict(place.accelerator, EncoderOnly(model), tokens, range(len(tokens)))
    known = own + 1e-4
    assert document_vectors(place, model, tokens, known) is known


def test_vectors_of_a_shorter_part_of_the_texts_are_not_taken(
    place: Workplace, tiny_encoder: Path
) -> None:
    """They agree for short documents, wherever the long ones are."""
    model, tokens, cut = make(tiny_encoder)
    reader = EncoderOnly(model)
    own, known = (predict(place.accelerator, reader, t, range(len(t))) for t in (tokens, cut))
    torch.testing.assert_close(known[:4], own[:4])
    assert (known - own).abs().max() > 0.01
    torch.testing.assert_close(document_vectors(place, model, tokens, known), own)


def test_documents_are_cut_at_what_the_encoder_has_positions_for(tiny_encoder: Path) -> None:
    """Also where the tokenizer knows no limit."""
    taxonomy = read_taxonomy_folder(SAMPLE)
    model, tokenizer = build_classifier(
        tiny_encoder, torch.rand(len(taxonomy), 32), taxonomy, CONFIG
    )
    tokenizer.model_max_length = 10**30
    documents = tokenise(["bread " * 200], tokenizer, model.encoder.config, 500)
    (length,) = documents.lengths([0])
    assert length == 62
    with torch.inference_mode():
        model.encode(*documents.inputs([0], torch.device("cpu")))
