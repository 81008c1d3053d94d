"""Stage 1 as a whole: what is known of documents and classes before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.config import as_dict
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.storage import Tensors
from toolkit_recipes.storage import content_key
from toolkit_recipes.taxoclass.candidates import complete_families
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.class_views import mean_vectors
from toolkit_recipes.taxoclass.class_views import view_texts
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.entailment import EntailmentModel
from toolkit_recipes.taxoclass.entailment import EntailmentPairs
from toolkit_recipes.taxoclass.entailment import find_entailment_model
from toolkit_recipes.taxoclass.key_terms import Terms
from toolkit_recipes.taxoclass.pair_cache import open_cache
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import PartialPairs
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.similarity import propagate
from toolkit_recipes.taxoclass.stages import Workplace
from toolkit_recipes.taxoclass.stages import mine_core_classes
from toolkit_recipes.taxoclass.stages import mining_scores
from toolkit_recipes.taxoclass.targets import POSITIVE
from toolkit_recipes.taxoclass.targets import build_targets
from toolkit_recipes.taxoclass.term_mining import mine_terms

PARTS = ("train", "test")
KINDS = ("vectors", "scores", "candidates")
VERSION = 2
"""Raised when what a stage computes changes, so that older results aren't taken for it."""
TERMS = "terms"
"""Name of the mined terms, as bytes of JSON, among the tensors of :func:`compare`."""
NAME_ALONE = "{name}"
"""Template of a class text without any other words."""


@frozen
class Models:
    """Where the pretrained models of a run were found."""

    encoder: ModelFiles
    entailment: ModelFiles | None = None
    """Where similarity is entailment."""

    def sources(self) -> dict[str, str]:
        """Return what kind of place each was found in, as params of the run."""
        found: dict[str, str] = {"encoder_source": self.encoder.source}
        if self.entailment is not None:
            found["similarity_source"] = self.entailment.source
        return found


def find_models(config: TaxoClassConfig) -> Models:
    """Find the models that a configuration names.

    Raises:
        UsageError: one is found nowhere, or can't tell entailment.
    """
    encoder = find_encoder(config.encoder.model)
    if config.similarity.backend == "embedding":
        return Models(encoder)
    return Models(encoder, find_entailment_model(config.similarity.model))


@frozen(eq=False)
class Part:
    """What stage 1 found out about some of the documents.

    With the embedding backend there are vectors alone. With entailment there are scores and
    candidates, and vectors only where the candidate search walks on them.
    """

    vectors: Tensor | None
    """[documents, width], from the untrained encoder."""
    scores: Tensor | None
    """P(entailment) [documents, classes], NaN for the pairs that were never scored."""
    candidates: Tensor | None
    """Boolean [documents, classes]."""

    @classmethod
    def of(cls, found: Mapping[str, Tensor], name: str) -> Part:
        """Take a part out of the tensors of both halves of stage 1."""
        return cls(*(found.get(f"{name}.{kind}") for kind in KINDS))

    def joined(self, other: Part) -> Part:
        """Put further documents after these."""
        return Part(
            _joined(self.vectors, other.vectors),
            _joined(self.scores, other.scores),
            _joined(self.candidates, other.candidates),
        )

    def rows(self, chosen: slice) -> Part:
        """Return a view of some of the documents."""
        parts = (self.vectors, self.scores, self.candidates)
        return Part(*(None if part is None else part[chosen] for part in parts))


@frozen(eq=False)
class Evidence:
    """Result of stage 1."""

    classes: Tensor
    """Vectors of the class texts [classes, width], from the untrained encoder."""
    names: Tensor
    """Vectors of the class names with their key terms, without the words of the template; the
    same shape. The class encoder of stage 3 starts from them (section 4.3)."""
    train: Part
    test: Part
    corpus: Part
    """Of the documents that stages 2 and 4 look at: train, and test where that is allowed."""

    @classmethod
    def of(cls, found: Mapping[str, Tensor], *, transductive: bool) -> Evidence:
        """Take the tensors of :func:`encode_documents` and :func:`compare` apart."""
        train, test = (Part.of(found, name) for name in PARTS)
        corpus = train
        if transductive:
            # Views of the whole, as both may take hundreds of megabytes.
            count = next(len(found[f"train.{name}"]) for name in KINDS if f"train.{name}" in found)
            corpus = train.joined(test)
            train, test = corpus.rows(slice(count)), corpus.rows(slice(count, None))
        # What is read from a file keeps all of the file in memory; these are small.
        return cls(found["classes"].clone(), found["names"].clone(), train, test, corpus)

    def similarity(self, part: Part) -> Tensor:
        """Return the similarity of documents and classes [documents, classes].

        Cosines of all pairs, or P(entailment) of those that were scored and NaN elsewhere.
        """
        if part.scores is not None:
            return part.scores
        if part.vectors is None:
            raise ValueError("a part has neither scores nor vectors")
        return cosine_similarity(part.vectors, self.classes)


def documents_key(
    models: Models, data: Dataset, config: TaxoClassConfig, mixed_precision: str
) -> str:
    """Return the key of all that the vectors of the documents depend on."""
    read = [config.encoder.max_length, mixed_precision]
    texts = [data.train.texts, data.test.texts]
    return content_key("documents", VERSION, models.encoder.fingerprint(), read, texts)


def evidence_key(
    documents: str, models: Models, data: Dataset, config: TaxoClassConfig, mixed_precision: str
) -> str:
    """Return the key of all that the result of stage 1 depends on.

    Args:
        documents: :func:`documents_key`.
        models: found for this configuration.
        data: taxonomy and documents.
        config: of the run.
        mixed_precision: number format of the models.
    """
    parts: list[object] = [
        documents,
        view_texts(data.taxonomy, config.similarity.template),
        _class_names(data),
    ]
    if config.similarity.mined_terms:
        terms = (config.similarity.mined_terms, config.similarity.terms_weight)
        parts += [terms, as_dict(config)["mining"], config.decode.propagation, config.search.scores]
        parts += [data.taxonomy.ids, data.taxonomy.parents, config.transductive]
    if models.entailment is not None:
        parts += [_model_key(models.entailment, config, mixed_precision)]
        parts += [config.search.scores, data.taxonomy.parents]
    return content_key(*parts)


def needs_vectors(config: TaxoClassConfig) -> bool:
    """Whether anything is compared with the vectors of documents."""
    return config.similarity.backend == "embedding" or config.search.scores == "propagated"


def encode_documents(place: Workplace, data: Dataset, models: Models) -> Tensors:
    """Return ``train.vectors`` and ``test.vectors``, from the untrained encoder."""
    encoder = _encoder(place, models)
    return {
        "train.vectors": encoder.encode(data.train.texts, "train documents"),
        "test.vectors": encoder.encode(data.test.texts, "test documents"),
    }


def compare(
    place: Workplace, data: Dataset, models: Models, documents: Tensors, cache: Path | None
) -> Tensors:
    """Encode the classes, and with the entailment backend score what the search meets.

    Args:
        place: what to work with.
        data: taxonomy and documents.
        models: found for this configuration.
        documents: of :func:`encode_documents`, empty where they aren't needed.
        cache: folder for scores of pairs; None keeps none.

    Returns:
        ``classes``, ``names``, the :data:`TERMS` where some are mined, and with entailment
        ``train.scores``, ``train.candidates`` and those of ``test``.
    """
    config = place.config
    encoder = _encoder(place, models)
    found = _encode_classes(encoder, data, config)
    if config.similarity.mined_terms:
        terms = _mined_terms(documents, found["classes"], data, config)
        found[TERMS] = _packed(terms)
        found["classes"] = _beside_terms(found["classes"], encoder, data, terms, config)
    if models.entailment is None:
        return found
    is_walked = config.search.scores == "propagated"
    walked = torch.cat([documents[f"{name}.vectors"] for name in PARTS]) if is_walked else None
    scores, candidates = _entail(place, data, models.entailment, cache, walked, found["classes"])
    count = len(data.train)
    for name, rows in zip(PARTS, (slice(count), slice(count, None)), strict=True):
        found |= {f"{name}.scores": scores[rows], f"{name}.candidates": candidates[rows]}
    return found


def terms_of(found: Mapping[str, Tensor], ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the mined terms among the tensors of :func:`compare` by class id; none is empty."""
    if TERMS not in found:
        return {}
    return dict(zip(ids, json.loads(found[TERMS].numpy().tobytes()), strict=True))


def _encoder(place: Workplace, models: Models) -> TextEncoder:
    return TextEncoder(
        models.encoder, place.config.encoder, place.accelerator, place.journal.reporter
    )


def _encode_classes(encoder: TextEncoder, data: Dataset, config: TaxoClassConfig) -> Tensors:
    names = encoder.encode(_class_names(data), "class names")
    if config.similarity.template == NAME_ALONE:
        return {"names": names, "classes": names.clone()}
    views = view_texts(data.taxonomy, config.similarity.template)
    classes = mean_vectors(partial(encoder.encode, description="class texts"), views)
    return {"names": names, "classes": classes}


def _packed(terms: Sequence[Terms]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(terms).encode()), dtype=torch.uint8)


def _mined_terms(
    documents: Tensors, classes: Tensor, data: Dataset, config: TaxoClassConfig
) -> list[Terms]:
    """Mine terms from the documents that stage 2 would give core classes as things stand."""
    parts = PARTS if config.transductive else PARTS[:1]
    vectors = torch.cat([documents[f"{part}.vectors"] for part in parts])
    texts = [text for part in parts for text in getattr(data, part).texts]
    similarity, taxonomy = cosine_similarity(vectors, classes), data.taxonomy
    core = mine_core_classes(similarity, None, taxonomy, config)
    scores = mining_scores(similarity, taxonomy, config)
    targets = build_targets(core, taxonomy, config.mining.closure, scores)
    return mine_terms(texts, targets == POSITIVE, config.similarity.mined_terms)


def _beside_terms(
    classes: Tensor,
    encoder: TextEncoder,
    data: Dataset,
    terms: Sequence[Terms],
    config: TaxoClassConfig,
) -> Tensor:
    """Return class vectors moved towards those of the names with their mined terms."""
    texts = class_texts(data.taxonomy.names, NAME_ALONE, terms)
    vectors = encoder.encode(texts, "class names with mined terms")
    mixed = torch.lerp(classes, vectors, config.similarity.terms_weight)
    return torch.nn.functional.normalize(mixed, dim=1)


def _entail(
    place: Workplace,
    data: Dataset,
    files: ModelFiles,
    folder: Path | None,
    vectors: Tensor | None,
    classes: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return scores, NaN where none was needed, and candidates of the train and test documents.

    The search walks on the scores themselves, or where there are ``vectors`` on their cosines with
    ``classes``, each raised to its best descendant's.
    """
    accelerator, config, taxonomy = place.accelerator, place.config, data.taxonomy
    documents = [*data.train.texts, *data.test.texts]
    (texts,) = view_texts(taxonomy, config.similarity.template)
    key = _model_key(files, config, accelerator.mixed_precision)
    with open_cache(folder, key, documents, texts, accelerator) as cache:
        model, reporter = EntailmentModel.load(files.folder), place.journal.reporter
        pairs = EntailmentPairs.create(
            model, documents, texts, config.similarity, cache, accelerator, reporter
        )
        scores = PartialPairs.none_of(pairs, len(taxonomy))
        if vectors is None:
            candidates = find_candidates(scores, taxonomy)
        else:
            raised = propagate(cosine_similarity(vectors, classes), taxonomy)
            candidates = find_candidates(DensePairs(raised), taxonomy)
        complete_families(scores, candidates, taxonomy)
    return scores.matrix, candidates


def _model_key(files: ModelFiles, config: TaxoClassConfig, mixed_precision: str) -> str:
    """Key of all but the texts that P(entailment) of a pair depends on."""
    return content_key(files.fingerprint(), config.similarity.max_length, mixed_precision)


def _class_names(data: Dataset) -> list[str]:
    return class_texts(data.taxonomy.names, NAME_ALONE, data.taxonomy.terms)


def _joined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])
