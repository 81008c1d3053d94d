"""A small classifier that knows nothing, on the shipped taxonomy."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModel
from transformers import AutoTokenizer

from toolkit_recipes.taxoclass.calibration import Calibration
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import ZeroShot
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.presets import DecodeConfig
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder


def random_model(
    encoder: Path,
    taxonomy: Taxonomy | None = None,
    classifier: ClassifierConfig | None = None,
    zero_shot_weight: float = 0.0,
) -> SavedModel:
    """A classifier with random weights on an encoder's folder; the same every time."""
    taxonomy = taxonomy or read_taxonomy_folder(SAMPLE)
    config = TaxoClassConfig(
        data="/somewhere/private",
        encoder=EncoderConfig(max_length=32),
        classifier=classifier or ClassifierConfig(),
        decode=DecodeConfig(zero_shot_weight=zero_shot_weight),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        features, logits = torch.randn(2, len(taxonomy), 32)
        similarity = torch.rand(32, len(taxonomy))
        module = TaxoClassifier(
            AutoModel.from_pretrained(encoder),
            features,
            both_directions(taxonomy),
            config.classifier,
        )
        for parameter in module.matcher.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return SavedModel(
        classifier=module.eval(),
        tokenizer=AutoTokenizer.from_pretrained(encoder),
        taxonomy=taxonomy,
        config=config,
        calibration=Calibration.fit(logits.T, similarity, taxonomy, config.decode),
        zero_shot=ZeroShot(encoder, features) if zero_shot_weight else None,
    )
