"""The four stages of TaxoClass, each from what it is given to what is kept of it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import torch
from accelerate import Accelerator
from attrs import frozen
from torch import Tensor
from torch import nn
from transformers import AutoModel
from transformers import PreTrainedTokenizerBase

from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import Tensors
from toolkit_recipes.storage import content_key
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.classifier import centred
from toolkit_recipes.taxoclass.classifier import choose_trainable
from toolkit_recipes.taxoclass.core_classes import confidence
from toolkit_recipes.taxoclass.core_classes import find_core_classes
from toolkit_recipes.taxoclass.core_classes import find_core_classes_by_gap
from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.learner import Documents
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import Schedule
from toolkit_recipes.taxoclass.learner import StepOptions
from toolkit_recipes.taxoclass.learner import TokenDocuments
from toolkit_recipes.taxoclass.learner import VectorDocuments
from toolkit_recipes.taxoclass.learner import learned_weights
from toolkit_recipes.taxoclass.learner import predict
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import class_means
from toolkit_recipes.taxoclass.pair_scores import known_or_zero
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.pretrained import POOLER
from toolkit_recipes.taxoclass.pretrained import load_pretrained
from toolkit_recipes.taxoclass.self_training import SelfTraining
from toolkit_recipes.taxoclass.similarity import propagate
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.training import Journal
from toolkit_recipes.taxoclass.training import Progress
from toolkit_recipes.taxoclass.training import Split
from toolkit_recipes.taxoclass.training import Training
from toolkit_recipes.taxoclass.training import steps_of

STEP = "last_step"
"""Name of the global step among the tensors of a trained stage."""
PROBES = 4
"""Longest documents, and first ones, on which vectors of stage 1 are compared with own ones."""


@frozen
class Workplace:
    """What stages 3 and 4 work with, whatever they work on."""

    accelerator: Accelerator
    config: TaxoClassConfig
    journal: Journal
    checkpoints: Path | None

    def clear_checkpoints(self) -> None:
        """Remove all checkpoints, once what they led to is stored."""
        if self.checkpoints and self.accelerator.is_main_process:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def checkpoints_of(self, phase: str, key: str) -> Checkpoints:
        """Return the checkpoints of a phase of training."""
        folder = self.checkpoints / phase if self.checkpoints else None
        return Checkpoints(folder, content_key(phase, key), self.accelerator)


def mine_core_classes(
    similarity: Tensor, candidates: Tensor | None, taxonomy: Taxonomy, config: TaxoClassConfig
) -> Tensor:
    """Stage 2: return the core classes of each document, boolean [documents, classes].

    Args:
        similarity: [documents, classes] of stage 1, NaN where not scored.
        candidates: boolean [documents, classes], where stage 1 had to find them; None where all
            pairs have a similarity and they are found here.
        taxonomy: of the classes.
        config: which rule, and what the search walks on.
    """
    if config.mining.rule == "gap":
        scores = map(_zero_shot(similarity, taxonomy, config), torch.split(similarity, CHUNK))
        return find_core_classes_by_gap(scores, taxonomy, config.mining.share)
    if candidates is None:
        candidates = in_chunks(partial(_search, taxonomy=taxonomy, config=config), similarity)
    conf = in_chunks(partial(confidence, taxonomy=taxonomy), similarity)
    is_strict = config.mining.rule == "confidence"
    return find_core_classes(
        conf, candidates, config.mining.min_confidence if is_strict else -math.inf
    )


def mining_scores(similarity: Tensor, taxonomy: Taxonomy, config: TaxoClassConfig) -> Tensor:
    """Scores of the zero-shot classifier, centred per class over these documents.

    A pair without a similarity counts as 0, also in the mean of its class.
    """
    return in_chunks(_zero_shot(similarity, taxonomy, config), similarity)


def _zero_shot(
    similarity: Tensor, taxonomy: Taxonomy, config: TaxoClassConfig
) -> Callable[[Tensor], Tensor]:
    """Return what scores some of the documents, by the class means of all of them."""
    means = class_means(similarity)

    def classify(part: Tensor) -> Tensor:
        return zero_shot_scores(known_or_zero(part), means, taxonomy, config.decode.propagation)

    return classify


def _search(similarity: Tensor, taxonomy: Taxonomy, config: TaxoClassConfig) -> Tensor:
    is_raised = config.search.scores == "propagated"
    scores = propagate(similarity, taxonomy) if is_raised else similarity
    return find_candidates(DensePairs(scores), taxonomy)


def build_classifier(
    folder: Path, class_vectors: Tensor, taxonomy: Taxonomy, config: TaxoClassConfig
) -> tuple[TaxoClassifier, PreTrainedTokenizerBase]:
    """Make an untrained classifier on the encoder of a folder.

    Args:
        folder: a Hugging Face encoder with its tokenizer.
        class_vectors: [classes, width] of the class names.
        taxonomy: of the classes.
        config: which parts of the encoder learn, and how classes are encoded.

    Raises:
        UsageError: the folder can't be loaded, or doesn't allow what is to be trained.
    """
    encoder, tokenizer = load_pretrained(AutoModel, folder, "a classifier's encoder", unused=POOLER)
    choose_trainable(encoder, config.training.encoder)
    features = centred(class_vectors)
    torch.manual_seed(config.seed)
    model = TaxoClassifier(encoder, features, both_directions(taxonomy), config.classifier)
    return model, tokenizer


def put_back(model: nn.Module, stage: Tensors) -> int:
    """Load learned weights into a model; returns the stage's last step."""
    weights = {name: tensor for name, tensor in stage.items() if name != STEP}
    model.load_state_dict(weights, strict=False)
    return int(stage[STEP])


def train(
    place: Workplace,
    model: TaxoClassifier,
    tokens: TokenDocuments,
    known: Tensor | None,
    targets: Tensor,
    split: Split,
    key: str,
) -> Tensors:
    """Stage 3: train the head on frozen document vectors first, then all that is to learn.

    Args:
        place: what to work with.
        model: untrained.
        tokens: of the train documents.
        known: vectors of the same from stage 1, see :func:`document_vectors`.
        targets: [documents, classes] of 1, 0, -1.
        split: documents to learn from and to stop by.
        key: of all that the result depends on.
    """
    config = place.config.training
    progress = Progress()
    head_only = config.encoder == "frozen"
    if head_only or config.head_epochs:
        epochs = config.head_epochs + (config.epochs if head_only else 0)
        vectors = VectorDocuments(document_vectors(place, model, tokens, known))
        learner = _learner(place, model.matcher, vectors, epochs, split.train)
        progress = _training(place, learner, targets, split, epochs, "stage3-head", key).run()
    if not head_only and config.epochs:
        learner = _learner(place, model, tokens, config.epochs, split.train)
        phase = _training(place, learner, targets, split, config.epochs, "stage3", key)
        progress = attrs.evolve(phase, first=attrs.evolve(progress, is_over=False)).run()
    return learned_weights(model) | {STEP: torch.tensor(progress.step)}


def self_train(
    place: Workplace,
    model: TaxoClassifier,
    documents: Documents,
    taxonomy: Taxonomy,
    first_step: int,
    key: str,
) -> Tensors:
    """Stage 4: sharpen the classifier on documents without labels.

    Args:
        place: what to work with.
        model: of stage 3.
        documents: vectors where only the head learns, tokens otherwise.
        taxonomy: of the classes.
        first_step: global step at which stage 3 ended.
        key: of all that the result depends on.
    """
    config, whole = place.config.self_training, place.config.training
    module = model.matcher if isinstance(documents, VectorDocuments) else model
    schedule = Schedule(config.encoder_lr, config.head_lr, steps=1, falls=False)
    options = StepOptions(
        schedule, place.config.seed, whole.accumulation, whole.clip_norm, whole.weight_decay
    )
    progress = SelfTraining(
        learner=Learner.create(place.accelerator, module, documents, options),
        taxonomy=taxonomy,
        config=config,
        seed=place.config.seed,
        first_step=first_step,
        journal=place.journal,
        checkpoints=place.checkpoints_of("stage4", key),
    ).run()
    return learned_weights(model) | {STEP: torch.tensor(progress.step)}


def document_vectors(
    place: Workplace, model: TaxoClassifier, tokens: TokenDocuments, known: Tensor | None
) -> Tensor:
    """Return the classifier's own vector of each document [documents, width].

    Args:
        place: what to work with.
        model: with its encoder as it is now.
        tokens: of the documents.
        known: vectors of stage 1, where there are any; taken where the encoder pools in the same
            way and reads as far, which the longest documents and the first few show.
    """
    reader = EncoderOnly(model)
    if known is not None:
        few = _probes(tokens)
        found = predict(place.accelerator, reader, tokens, few)
        if found.shape[1] == known.shape[1] and torch.allclose(found, known[few], atol=0.01):
            return known
    return predict(place.accelerator, reader, tokens, range(len(tokens)))


def _probes(tokens: TokenDocuments) -> list[int]:
    """Return the documents that two ways of reading would differ on: the longest, and others."""
    rows = range(len(tokens))
    lengths = tokens.lengths(rows)
    longest = sorted(rows, key=lengths.__getitem__, reverse=True)[:PROBES]
    return sorted({*rows[:PROBES], *longest})


class EncoderOnly(nn.Module):
    """Reads documents without matching them."""

    def __init__(self, model: TaxoClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return document vectors [documents, width]."""
        return self.model.encode(input_ids, attention_mask)


def _learner(
    place: Workplace,
    module: nn.Module,
    documents: Documents,
    epochs: int,
    rows: Sequence[int],
) -> Learner:
    config = place.config.training
    steps = steps_of(rows, config.batch_size, epochs)
    schedule = Schedule(config.encoder_lr, config.head_lr, steps, round(config.warmup * steps))
    options = StepOptions(
        schedule, place.config.seed, config.accumulation, config.clip_norm, config.weight_decay
    )
    return Learner.create(place.accelerator, module, documents, options)


def _training(
    place: Workplace,
    learner: Learner,
    targets: Tensor,
    split: Split,
    epochs: int,
    phase: str,
    key: str,
) -> Training:
    config = place.config.training
    return Training(
        learner=learner,
        targets=targets,
        split=split,
        epochs=epochs,
        batch_size=config.batch_size,
        patience=config.patience,
        seed=place.config.seed,
        journal=place.journal,
        checkpoints=place.checkpoints_of(phase, key),
    )
