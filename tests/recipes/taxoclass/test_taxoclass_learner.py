"""Rules of optimizer steps: what a loss is, whatever it is computed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from attrs import evolve
from transformers import AutoModel

from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import ClassMatcher
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import Schedule
from toolkit_recipes.taxoclass.learner import StepOptions
from toolkit_recipes.taxoclass.learner import TokenDocuments
from toolkit_recipes.taxoclass.learner import VectorDocuments
from toolkit_recipes.taxoclass.learner import masked_bce
from toolkit_recipes.taxoclass.learner import shuffled_batches
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.taxonomy import build

TREE = build("abcd", "abcd", [(0, 1), (0, 2)])
OPTIONS = StepOptions(Schedule(1e-3, 1e-2, steps=20, warmup_steps=4), seed=1, clip_norm=1e9)
DOCUMENTS = VectorDocuments(torch.randn(10, 8, generator=torch.Generator().manual_seed(2)))
TARGETS = torch.randint(-1, 2, (10, 4), generator=torch.Generator().manual_seed(3))


def _losses(options: StepOptions, accelerator: Any = None) -> list[float]:
    torch.manual_seed(0)
    features = torch.randn(4, 8)
    matcher = ClassMatcher(8, features, both_directions(TREE), ClassifierConfig(dropout=0.3))
    learner = Learner.create(accelerator or Accelerator(), matcher, DOCUMENTS, options)
    return [learner.step(number, range(10), TARGETS) for number in range(8)]


def test_loss_is_summed_over_classes_and_averaged_over_documents() -> None:
    """Entries with target -1 count for nothing."""
    logits, targets = torch.tensor([[0.0, 5.0], [0.0, 0.0]]), torch.tensor([[1.0, -1.0], [0, 1]])
    expected = torch.tensor([[2.0, 0.0], [2.0, 2.0]]).log().clamp(min=0)
    assert torch.allclose(masked_bce(logits, targets), expected)


@pytest.mark.parametrize("accumulation", [3, 4, 16])
def test_accumulation_changes_nothing(accumulation: int) -> None:
    """One step in several parts has the loss of one part to 1e-4 of its size, at every step.

    Ten documents divide by none of the numbers; with 16 parts some are empty. What dropout leaves
    out doesn't depend on the parts either.
    """
    whole, parts = _losses(OPTIONS), _losses(evolve(OPTIONS, accumulation=accumulation))
    assert parts == pytest.approx(whole, rel=1e-4)
    assert whole[-1] < whole[0]


def test_the_order_follows_from_seed_and_epoch() -> None:
    """Every document once per epoch; another order in another epoch or with another seed."""
    first = shuffled_batches(range(10), 4, seed=1, epoch=0)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(row for batch in first for row in batch) == list(range(10))
    assert first == shuffled_batches(range(10), 4, seed=1, epoch=0)
    assert first != shuffled_batches(range(10), 4, seed=1, epoch=1)
    assert first != shuffled_batches(range(10), 4, seed=2, epoch=0)


def test_the_rate_rises_and_falls() -> None:
    """A straight rise in the warm-up, then a straight fall that ends at zero after the last."""
    factors = [OPTIONS.schedule.factor(step) for step in range(21)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[12] == 0.5
    assert factors[20] == 0.0


def test_predictions_keep_the_order_that_was_asked_for() -> None:
    """Sorting by length inside is not seen outside."""
    tokens = TokenDocuments([[3], [4, 5, 6], [7, 8]], padding=0)

    class Sums(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return (ids * mask).sum(dim=1, keepdim=True).float()

    learner = Learner(Accelerator(), Sums(), tokens, OPTIONS, optimizer=None)
    assert learner.predict([2, 0, 1]).flatten().tolist() == [15, 3, 15]


def _losses_with_encoder(
    folder: Path, mixed_precision: str = "no", accumulation: int = 1
) -> list[float]:
    """Losses of 12 steps in which an encoder learns too, without dropout."""
    AcceleratorState._reset_state(True)  # otherwise the number format of the first one stays
    encoder = AutoModel.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    torch.manual_seed(0)
    features = torch.randn(4, encoder.config.hidden_size)
    config = ClassifierConfig(dropout=0.0)
    model = TaxoClassifier(encoder, features, both_directions(TREE), config)
    documents = TokenDocuments([[5 + i, *range(6, 7 + i % 4)] for i in range(10)], padding=0)
    accelerator = Accelerator(mixed_precision=mixed_precision)
    options = evolve(OPTIONS, accumulation=accumulation)
    learner = Learner.create(accelerator, model, documents, options)
    return [learner.step(number, range(10), TARGETS) for number in range(12)]


def test_bf16_stays_near_single_precision(tiny_encoder: Path) -> None:
    """Trained in both formats, the losses differ by less than 2 percent at every step."""
    single = _losses_with_encoder(tiny_encoder)
    assert _losses_with_encoder(tiny_encoder, "bf16") == pytest.approx(single, rel=0.02)
    assert single[-1] < 0.8 * single[0]


def test_accumulation_changes_nothing_where_the_encoder_learns(tiny_encoder: Path) -> None:
    """Documents of unlike lengths in 4 parts, padded each for itself: the same losses to 1e-3."""
    whole = _losses_with_encoder(tiny_encoder)
    assert _losses_with_encoder(tiny_encoder, accumulation=4) == pytest.approx(whole, rel=1e-3)
