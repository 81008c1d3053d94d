"""Rules of what stage 1 finds out about the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

import toolkit
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.evidence import Evidence
from toolkit_recipes.taxoclass.evidence import Models
from toolkit_recipes.taxoclass.evidence import compare
from toolkit_recipes.taxoclass.evidence import documents_key
from toolkit_recipes.taxoclass.evidence import encode_documents
from toolkit_recipes.taxoclass.evidence import evidence_key
from toolkit_recipes.taxoclass.evidence import find_models
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.presets import MiningConfig
from toolkit_recipes.taxoclass.presets import SearchConfig
from toolkit_recipes.taxoclass.presets import SimilarityConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.stages import Workplace
from toolkit_recipes.taxoclass.training import Journal


def settings(encoder: Path, template: str) -> TaxoClassConfig:
    """An encoder that is quick, and the text around a class name."""
    return TaxoClassConfig(
        encoder=EncoderConfig(str(encoder), max_length=16),
        similarity=SimilarityConfig(template=template),
    )


def evidence(config: TaxoClassConfig, data: Dataset, tmp_path: Path) -> Evidence:
    """What stage 1 finds on one process."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        journal = Journal(run, Reporter(Console(quiet=True)), 1, 1)
        place = Workplace(Accelerator(), config, journal, None)
        models = find_models(config)
        documents = encode_documents(place, data, models)
        found = compare(place, data, models, documents, None)
        return Evidence.of(documents | found, transductive=False)


def test_class_features_come_from_names_and_key_terms_alone(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    """The words of the template shape what documents are compared with, and nothing else."""
    data = read_dataset(SAMPLE)
    terms = [("bread", "oven"), *[()] * (len(data.taxonomy) - 1)]
    named = attrs.evolve(data, taxonomy=attrs.evolve(data.taxonomy, terms=tuple(terms)))
    plain = evidence(settings(tiny_encoder, "{name}"), named, tmp_path)
    framed = evidence(settings(tiny_encoder, "this document is about {name}"), named, tmp_path)
    assert torch.equal(plain.names, plain.classes)
    assert torch.equal(framed.names, plain.names)
    assert not torch.allclose(framed.classes, plain.classes, atol=0.01)
    without = evidence(settings(tiny_encoder, "{name}"), data, tmp_path).names
    changed = (without - plain.names).abs().amax(dim=1) > 0.01
    assert changed.nonzero().flatten().tolist() == [0]


def test_the_key_tells_names_from_templates(tiny_encoder: Path) -> None:
    """A word in the template and the same word in every name make other results."""
    data = read_dataset(SAMPLE)
    names = tuple(f"the {name}" for name in data.taxonomy.names)
    renamed = attrs.evolve(data, taxonomy=attrs.evolve(data.taxonomy, names=names))
    plain, framed = (settings(tiny_encoder, t) for t in ("{name}", "the {name}"))
    models = find_models(plain)
    assert _key(models, renamed, plain) != _key(models, data, framed)


@pytest.mark.parametrize("scores", ["similarity", "propagated"])
def test_terms_are_mined_anew_where_the_search_walks_on_other_scores(
    tiny_encoder: Path, scores: Literal["similarity", "propagated"]
) -> None:
    """The paper's mining rule gives other documents to a class then, and so other terms."""
    data, plain = read_dataset(SAMPLE), settings(tiny_encoder, "{name}")
    config = attrs.evolve(
        plain,
        similarity=attrs.evolve(plain.similarity, mined_terms=5),
        mining=MiningConfig(rule="paper"),
    )
    models, other = find_models(config), attrs.evolve(config, search=SearchConfig(scores=scores))
    assert (_key(models, data, other) == _key(models, data, config)) is (other == config)


def test_other_class_texts_leave_the_vectors_of_documents(tiny_encoder: Path) -> None:
    """They take most of the time of stage 1, and are kept by themselves."""
    data = read_dataset(SAMPLE)
    plain, framed = (settings(tiny_encoder, t) for t in ("{name}", "the {name}"))
    models = find_models(plain)
    assert documents_key(models, data, plain, "no") == documents_key(models, data, framed, "no")


def _key(models: Models, data: Dataset, config: TaxoClassConfig) -> str:
    documents = documents_key(models, data, config, "no")
    return evidence_key(documents, models, data, config, "no")
