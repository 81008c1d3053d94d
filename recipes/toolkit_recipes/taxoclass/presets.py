"""The configuration of the TaxoClass recipe and its presets."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Literal

import attrs
from attrs import Attribute
from attrs import field
from attrs import frozen
from attrs import validators

from toolkit.errors import UsageError
from toolkit_recipes.config import SEEDS
from toolkit_recipes.config import option
from toolkit_recipes.tracking import TrackingConfig

_PART = validators.and_(validators.ge(0), validators.le(1))
_SHARE = validators.and_(validators.gt(0), validators.le(1))
_BELOW_ONE = validators.and_(validators.ge(0), validators.lt(1))
_POSITIVE = validators.gt(0)
_AT_LEAST_ONE = validators.ge(1)
_STAGES = range(1, 5)
SEPARATOR = "|"
"""Between the texts that stand for one class."""
BEST_VIEWS = (
    "{name} | {path} | {name}, {parent} | {name}: {children} | this example is {name} | "
    "this product is about {name} | a text about {name} | what is {name}?"
)
_LAST_LAYERS = re.compile(r"last_layers=([1-9][0-9]{0,8})")


def last_layers(trained: str) -> int | None:
    """Return N of ``last_layers=N``, a whole number from 1, and None for anything else."""
    found = _LAST_LAYERS.fullmatch(trained)
    return None if found is None else int(found[1])


def _is_trained_part(_instance: object, attribute: Attribute[Any], value: str) -> None:
    if value not in {"full", "frozen"} and last_layers(value) is None:
        raise ValueError(
            f"'{attribute.name}' must be full, frozen or last_layers=N, N a whole number from 1"
        )


def _has_name(_instance: object, attribute: Attribute[Any], value: str) -> None:
    if not all("{name}" in text or "{path}" in text for text in value.split(SEPARATOR)):
        raise ValueError(
            f"'{attribute.name}' must contain {{name}}, where the class name goes, or {{path}}"
        )


@frozen
class EncoderConfig:
    """The encoder of documents and class names."""

    model: str = option(
        "sentence-transformers/all-MiniLM-L6-v2",
        "folder or Hugging Face name of the text encoder",
        aliases=("model",),
    )
    max_length: int = option(128, "word pieces read of each document", check=validators.ge(8))
    batch_size: int = option(16, "documents encoded at once", check=validators.gt(0))


@frozen
class SimilarityConfig:
    """Stage 1."""

    backend: Literal["embedding", "entailment"] = option(
        "embedding",
        "how documents and classes are compared: cosine of their vectors; or probability, by a "
        "language inference model, that the document entails the class text (the paper)",
    )
    template: str = option(
        "{name}",
        "text that stands for a class, with {name}, {path}, {parent}, {children}; embedding: "
        "several, separated by |, whose vectors are averaged",
        check=_has_name,
    )
    mined_terms: int = option(
        0,
        "terms that are mined for each class from the documents nearest to it, and put beside its "
        "name; 0: none",
        check=validators.ge(0),
    )
    terms_weight: float = option(
        0.33, "part of the name with mined terms in the vector of a class", check=_PART
    )
    model: str = option(
        "FacebookAI/roberta-large-mnli",
        "entailment: folder or Hugging Face name of the language inference model",
    )
    max_length: int = option(
        256, "entailment: word pieces read of a document and a class", check=validators.ge(8)
    )
    batch_size: int = option(
        32,
        "entailment: pairs of max_length word pieces read at once, more of shorter ones",
        check=validators.gt(0),
    )


@frozen
class SearchConfig:
    """Stage 2."""

    scores: Literal["propagated", "similarity"] = option(
        "propagated",
        "what the candidate search walks on: cosines raised to the best descendant's, also where "
        "entailment then scores what was found; or similarities as they are (the paper)",
    )


@frozen
class MiningConfig:
    """Stage 2: core classes."""

    rule: Literal["paper", "confidence", "gap"] = option(
        "gap",
        "paper: candidates above the median confidence of their class; confidence: those of them "
        "above a minimum as well; gap: the last class of the best path, of the documents where "
        "that path is furthest ahead",
    )
    min_confidence: float = option(
        0.0, "confidence: how much more similar than its family a class must be at least"
    )
    share: float = option(
        0.75,
        "gap: share of the documents that get a core class, the most certain ones",
        check=_SHARE,
    )
    closure: Literal["ancestors", "path"] = option(
        "path", "classes above a core class that are positive: all, or those on its best path"
    )


@frozen
class DecodeConfig:
    """From scores to paths."""

    propagation: float = option(
        0.5,
        "zero-shot score of an inner class: 0 its own, 1 its best descendant's, between them in "
        "between",
        check=_PART,
    )
    zero_shot_weight: float = option(
        0.5,
        "part of the zero-shot score in the score of a trained classifier, both standardised",
        check=_PART,
    )


@frozen
class ClassifierConfig:
    """The classifier of stage 3."""

    pooling: Literal["mean", "cls"] = option(
        "mean", "document vector: mean of the token vectors at length 1, or the first token's"
    )
    gnn: Literal["gcn", "gat", "sage"] = option("gcn", "kind of graph network over the classes")
    gnn_num_layers: int = option(
        1,
        "layers of the graph network; 0: none",
        check=validators.in_(range(9)),
        aliases=("gnn.layers",),
    )
    gnn_hidden_dim: int = option(
        0, "width of the graph network; 0: that of the class features", check=validators.ge(0)
    )
    gnn_heads: int = option(4, "gat: attention heads", check=validators.gt(0))
    gnn_scope: Literal["graph", "ego"] = option(
        "graph", "what it reads: the whole taxonomy at once, or each class with its neighbours"
    )
    residual: bool = option(True, "whether each layer of the graph network adds to its input")
    dropout: float = option(0.3, "share of values left out in training", check=_BELOW_ONE)
    initial_scale: float = option(
        10.0, "start of the bilinear form, times the identity", check=validators.gt(0)
    )
    initial_bias: float = option(-5.0, "start of the logits' common bias")


@frozen
class TrainingConfig:
    """Stage 3."""

    encoder: str = option(
        "frozen",
        "part of the document encoder that learns: full, frozen or last_layers=N",
        check=_is_trained_part,
    )
    head_epochs: int = option(
        10, "epochs on frozen document vectors, before the encoder learns", check=validators.ge(0)
    )
    epochs: int = option(
        2,
        "most further epochs, in which the encoder learns too unless it is frozen",
        check=validators.ge(0),
    )
    batch_size: int = option(32, "documents of one optimizer step", check=validators.gt(0))
    accumulation: int = option(
        1, "parts in which a process computes its share of a step", check=validators.gt(0)
    )
    encoder_lr: float = option(
        5e-5,
        "highest learning rate of the encoder, where it learns",
        check=_POSITIVE,
        aliases=("learning_rate", "lr"),
    )
    head_lr: float = option(1e-3, "highest learning rate of all else", check=_POSITIVE)
    weight_decay: float = option(0.01, "AdamW's weight decay", check=validators.ge(0))
    warmup: float = option(0.1, "share of the steps in which the rate rises", check=_BELOW_ONE)
    clip_norm: float = option(1.0, "longest gradient", check=_POSITIVE)
    val_share: float = option(
        0.1, "share of the documents with core classes held out to stop by", check=_BELOW_ONE
    )
    patience: int = option(
        2, "epochs without a lower validation loss before stopping", check=validators.gt(0)
    )


@frozen
class SelfTrainingConfig:
    """Stage 4."""

    iterations: int = option(
        20, "most refreshes of the target distribution; 0: no stage 4", check=validators.ge(0)
    )
    refresh_every: int = option(
        25, "optimizer steps between refreshes of the targets", check=validators.gt(0)
    )
    batch_size: int = option(32, "documents of one optimizer step", check=validators.gt(0))
    encoder_lr: float = option(1e-6, "learning rate of the encoder", check=_POSITIVE)
    head_lr: float = option(1e-4, "learning rate of all else", check=_POSITIVE)
    confident: float = option(
        0.5,
        "probability from which the best leaf of a document counts as confident",
        check=_PART,
        aliases=("self_train_threshold",),
    )
    tolerance: float = option(
        0.002, "stop when a smaller share of a window changes its path", check=_PART
    )
    agreement: float = option(
        0.95, "stop, and go back one window, below this agreement with stage 3", check=_PART
    )


@frozen
class KeepConfig:
    """What a saved model keeps of the train documents."""

    documents: int = option(
        2000,
        "train documents, drawn at random, of which a saved model keeps vectors and the beginning "
        "of the text, to explain its answers and to add classes; 0: none",
        check=validators.ge(0),
    )
    characters: int = option(
        200, "characters kept of the text of each; 0: none", check=validators.ge(0)
    )


@frozen
class TaxoClassConfig:
    """Everything that ``recipes/taxoclass.py`` can be told."""

    data: str | None = option(None, "folder with taxonomy and documents; none: the shipped sample")
    seed: int = option(42, "seed of all random numbers", check=SEEDS)
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the encoder; auto: bf16 where the hardware computes in it"
    )
    transductive: bool = option(
        False, "whether the texts of the test documents take part in stages 1, 2 and 4"
    )
    start_from: int = option(
        1, "stage to start from; earlier ones must be in the cache", check=validators.in_(_STAGES)
    )
    cache: str | None = option(None, "folder for results of stages; none: in the run's folder")
    threads: int = option(
        0, "threads of each process on a CPU; 0: share its cores", check=validators.ge(0)
    )
    log_interval: int = option(10, "optimizer steps between points of a curve", check=_AT_LEAST_ONE)
    checkpoint_every: int = option(
        100, "optimizer steps between checkpoints; one more after every epoch", check=_AT_LEAST_ONE
    )
    encoder: EncoderConfig = field(factory=EncoderConfig)
    similarity: SimilarityConfig = field(factory=SimilarityConfig)
    search: SearchConfig = field(factory=SearchConfig)
    mining: MiningConfig = field(factory=MiningConfig)
    classifier: ClassifierConfig = field(factory=ClassifierConfig)
    training: TrainingConfig = field(factory=TrainingConfig)
    self_training: SelfTrainingConfig = field(factory=SelfTrainingConfig)
    decode: DecodeConfig = field(factory=DecodeConfig)
    keep: KeepConfig = field(factory=KeepConfig)
    tracking: TrackingConfig = field(factory=TrackingConfig)


def quick() -> TaxoClassConfig:
    """MiniLM and short texts: minutes on two cores. The default."""
    return TaxoClassConfig()


def best() -> TaxoClassConfig:
    """As quick, with several views of each class and mined terms: best on both corpora together."""
    return TaxoClassConfig(
        similarity=SimilarityConfig(template=BEST_VIEWS, mined_terms=10),
        decode=DecodeConfig(propagation=0.75),
    )


def thorough() -> TaxoClassConfig:
    """As quick, with longer texts and an encoder that learns: hours without a GPU."""
    return TaxoClassConfig(
        encoder=EncoderConfig(max_length=256), training=TrainingConfig(encoder="full")
    )


def paper() -> TaxoClassConfig:
    """The paper's models, search, mining rule and settings."""
    return TaxoClassConfig(
        encoder=EncoderConfig(model="google-bert/bert-base-uncased", max_length=512),
        similarity=SimilarityConfig(
            backend="entailment", template="this document is about {name}", max_length=512
        ),
        search=SearchConfig(scores="similarity"),
        mining=MiningConfig(rule="paper", closure="ancestors"),
        classifier=ClassifierConfig(pooling="cls", gnn_num_layers=2, gnn_scope="ego"),
        training=TrainingConfig(
            encoder="full",
            head_epochs=0,
            epochs=10,
            batch_size=64,
            encoder_lr=5e-5,
            head_lr=4e-3,
        ),
        self_training=SelfTrainingConfig(batch_size=64, encoder_lr=1e-6, head_lr=5e-4),
        decode=DecodeConfig(zero_shot_weight=0.0),
    )


def original() -> TaxoClassConfig:
    """The original project's settings; head rate, normalisation and self-training as mended."""
    return attrs.evolve(
        paper(),
        similarity=SimilarityConfig(
            backend="entailment", template="This document is about {name}", max_length=128
        ),
        classifier=ClassifierConfig(pooling="cls", gnn_num_layers=3, gnn_hidden_dim=512),
        training=TrainingConfig(
            encoder="full",
            head_epochs=0,
            epochs=15,
            batch_size=64,
            accumulation=4,
            encoder_lr=1e-5,
            head_lr=4e-3,
        ),
    )


def check_together(config: TaxoClassConfig) -> None:
    """Refuse values that are right alone but not together.

    A saved model would have to carry the language inference model and to walk the taxonomy with
    it, some seventy passes for each document, to mix what it says with a classifier's scores.

    Raises:
        UsageError: entailment is to be mixed with the scores of a trained classifier, or asked
            about several texts per class; or terms are to be mined without document vectors.
    """
    if (
        config.similarity.backend == "entailment"
        and config.similarity.mined_terms
        and config.search.scores != "propagated"
    ):
        raise UsageError(
            f"similarity.mined_terms={config.similarity.mined_terms}: terms are mined by the "
            "vectors of documents, and this walks on entailment alone; set search.scores=propagated"
        )
    weight, template = config.decode.zero_shot_weight, config.similarity.template
    if config.similarity.backend == "entailment" and SEPARATOR in template:
        raise UsageError(
            f"similarity.backend=entailment with similarity.template={template!r}: a document may "
            "entail one text per class, and these are several; give one"
        )
    if config.similarity.backend == "entailment" and weight > 0:
        raise UsageError(
            f"similarity.backend=entailment with decode.zero_shot_weight={weight}: entailment "
            "finds core classes but isn't mixed with a trained classifier's scores; set "
            "decode.zero_shot_weight=0, or similarity.backend=embedding"
        )


PRESETS: Mapping[str, Callable[[], TaxoClassConfig]] = {
    "quick": quick,
    "best": best,
    "thorough": thorough,
    "paper": paper,
    "original": original,
}
