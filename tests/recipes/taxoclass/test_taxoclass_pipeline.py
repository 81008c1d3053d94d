"""Rules of what the pipeline keeps, finds again and computes once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

import toolkit
from toolkit_recipes.console import Reporter
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.evidence import find_models
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.pipeline import Pipeline
from toolkit_recipes.taxoclass.pipeline import Trained
from toolkit_recipes.taxoclass.pipeline import stage_key
from toolkit_recipes.taxoclass.presets import DecodeConfig
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.presets import KeepConfig
from toolkit_recipes.taxoclass.presets import MiningConfig
from toolkit_recipes.taxoclass.presets import SelfTrainingConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import TrainingConfig
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder


@contextmanager
def pipeline(folder: Path, encoder: Path, shown: io.StringIO) -> Iterator[Pipeline]:
    """The stages on the sample corpus, with one epoch of stage 3."""
    config = TaxoClassConfig(
        cache=str(folder / "cache"),
        encoder=EncoderConfig(str(encoder), max_length=16),
        training=TrainingConfig(head_epochs=1, epochs=0),
        self_training=SelfTrainingConfig(iterations=1, refresh_every=2),
    )
    data, models = read_dataset(SAMPLE), find_models(config)
    with toolkit.start_run(runs_dir=folder / "runs") as run:
        reporter = Reporter(Console(file=shown, width=1000))
        yield Pipeline.create(config, data, models, Accelerator(), reporter, run)


def trained(stages: Pipeline) -> Trained:
    """Run all four stages."""
    evidence = stages.compare()
    targets = stages.targets(stages.mine(evidence), evidence)
    return stages.self_train(stages.train(evidence, targets, stages.split(targets)))


def changed(**parts: Any) -> list[bool]:
    """Which of the stages 2, 3 and 4 have another key with these parts of the configuration."""
    taxonomy, plain = read_taxonomy_folder(SAMPLE), TaxoClassConfig()
    other = attrs.evolve(plain, **parts)
    return [
        stage_key(stage, "texts", taxonomy, plain) != stage_key(stage, "texts", taxonomy, other)
        for stage in (2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"decode": DecodeConfig(zero_shot_weight=0.1)}, [False, False, False]),
        ({"decode": DecodeConfig(propagation=0.1)}, [True, True, True]),
        ({"mining": MiningConfig(rule="paper")}, [True, True, True]),
        ({"training": TrainingConfig(epochs=7)}, [False, True, True]),
        ({"self_training": SelfTrainingConfig(iterations=7)}, [False, False, True]),
        ({"transductive": True}, [True, True, True]),
    ],
)
def test_a_stage_is_made_anew_where_its_result_would_change(
    parts: dict[str, Any], expected: list[bool]
) -> None:
    """By what shapes stored results, of it or of a stage before it, and by nothing else."""
    assert changed(**parts) == expected


def test_a_model_is_kept_with_what_explains_it(tiny_encoder: Path, tmp_path: Path) -> None:
    """Train documents with their vectors and classes, and temperatures; only so many on request."""
    for count in (2000, 10):
        with pipeline(tmp_path, tiny_encoder, io.StringIO()) as stages:
            keep = KeepConfig(documents=count)
            place = attrs.evolve(stages.place, config=attrs.evolve(stages.config, keep=keep))
            after = trained(attrs.evolve(stages, place=place))
            attrs.evolve(stages, place=place).keep_model(after, {})
        with model_folder(str(stages.run.dir), ARTIFACT) as folder:
            kept = load(folder)
            classifier = Classifier(kept)
        assert kept.levels is not None
        assert torch.equal(kept.levels.temperatures, after.levels.temperatures)
        assert kept.documents is not None
        train = stages.data.train
        rows = [train.ids.index(identifier) for identifier in kept.documents.ids]
        assert len(rows) == min(count, len(train))
        assert after.evidence.train.vectors is not None
        assert kept.documents.untrained is not None
        assert torch.equal(kept.documents.untrained, after.evidence.train.vectors[rows].half())
        found = classifier.classify([train.texts[row] for row in rows])
        assert found.paths == list(kept.documents.paths)


def test_a_stage_that_is_found_again_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    """The first run makes all four; the second says of each where it is from."""
    shown = io.StringIO()
    with pipeline(tmp_path, tiny_encoder, shown) as stages:
        trained(stages)
    assert "from the cache" not in shown.getvalue()
    with pipeline(tmp_path, tiny_encoder, shown) as stages:
        trained(stages)
    assert shown.getvalue().count(f"from the cache: {tmp_path / 'cache'}\n") == 5


def test_the_corpus_is_classified_once_after_training(tiny_encoder: Path, tmp_path: Path) -> None:
    """The test documents and the saved model share one calibration, that of stage 4's model."""
    rows = 0

    def count(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _logits: Any) -> None:
        nonlocal rows
        rows += len(inputs[0])

    with pipeline(tmp_path, tiny_encoder, io.StringIO()) as stages:
        trained(stages)
    with pipeline(tmp_path, tiny_encoder, io.StringIO()) as stages:
        evidence = stages.compare()
        targets = stages.targets(stages.mine(evidence), evidence)
        before = stages.train(evidence, targets, stages.split(targets))
        before.model.matcher.register_forward_hook(count)
        after = stages.self_train(before)
        stages.classify(after)
        stages.keep_model(after, {})
    assert rows == 2 * len(after.corpus) + len(after.test)  # and once more, as kept documents
    assert not torch.equal(before.calibration.logits, after.calibration.logits)
