"""Rules of the scores that paths are decoded from, and of classifying with a saved model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.recipes.taxoclass.models import random_model
from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.calibration import Calibration
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.presets import DecodeConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

TEXTS = ["Tea", "The tyre was flat again, and it was raining", "Sourdough"]


@given(scored_taxonomies(), st.floats(0, 1), st.floats(0.1, 50))
def test_scores_are_a_mean_of_both_in_one_scale(
    case: tuple[Taxonomy, torch.Tensor], weight: float, scale: float
) -> None:
    """Over the documents that were measured both parts have mean 0 and deviation 1."""
    taxonomy, similarity = case
    similarity = similarity.float()
    logits = scale * similarity.flip(0).roll(1, dims=1) - 5
    config = DecodeConfig(zero_shot_weight=weight)
    untrained = zero_shot_scores(similarity, similarity.mean(dim=0), taxonomy, config.propagation)

    def scaled(values: torch.Tensor) -> torch.Tensor:
        return (values - values.mean()) / values.std(correction=0).clamp(min=1e-6)

    found = Calibration.fit(logits, similarity, taxonomy, config).scores(
        logits, similarity, taxonomy, config
    )
    expected = (1 - weight) * scaled(logits) + weight * scaled(untrained)
    assert torch.allclose(found, expected, atol=2e-3)


def test_similarities_are_needed_where_they_count() -> None:
    """Leaving them out of a score that has a zero-shot part would silently change it."""
    taxonomy, values = build("ab", "ab", [(0, 1)]), torch.rand(3, 2)
    calibration = Calibration.fit(values, values, taxonomy, DecodeConfig())
    alone = calibration.scores(values, None, taxonomy, DecodeConfig(zero_shot_weight=0))
    assert alone.shape == values.shape
    with pytest.raises(ValueError, match="similarities are needed"):
        calibration.scores(values, None, taxonomy, DecodeConfig(zero_shot_weight=0.5))


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_text_is_scored_as_if_it_were_alone(
    tiny_encoder: Path, tmp_path: Path, weight: float
) -> None:
    """The texts beside it, their order and the size of the batch change nothing but rounding."""
    save(tmp_path / "model", random_model(tiny_encoder, zero_shot_weight=weight))
    together = Classifier(load(tmp_path / "model")).scores(TEXTS)
    alone = Classifier(load(tmp_path / "model"), batch_size=1)
    for text, scores in zip(TEXTS, together, strict=True):
        assert torch.allclose(alone.scores([text])[0], scores, atol=1e-4)


def test_a_taxonomy_without_edges_is_classified_into(tiny_encoder: Path, tmp_path: Path) -> None:
    """Classes side by side are the simplest taxonomy; no text at all gives no prediction."""
    save(tmp_path / "model", random_model(tiny_encoder, build("abc", "abc", [])))
    classifier = Classifier(load(tmp_path / "model"))
    assert [len(path) for path in classifier.classify(TEXTS).paths] == [1, 1, 1]
    assert classifier.classify([]).paths == []
