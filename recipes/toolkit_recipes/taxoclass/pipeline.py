"""The stages of one run, with their results kept by content so that none is computed twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from functools import reduce
from operator import getitem
from pathlib import Path

import attrs
from accelerate import Accelerator
from attrs import frozen
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from toolkit.run import Run
from toolkit_recipes.config import as_dict
from toolkit_recipes.console import Reporter
from toolkit_recipes.paths import given_path
from toolkit_recipes.storage import StageCache
from toolkit_recipes.storage import Tensors
from toolkit_recipes.storage import content_key
from toolkit_recipes.storage import from_main_process
from toolkit_recipes.taxoclass.calibration import Calibration
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.core_classes import mining_quality
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.corpus import gold_matrix
from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.evidence import Evidence
from toolkit_recipes.taxoclass.evidence import Models
from toolkit_recipes.taxoclass.evidence import compare
from toolkit_recipes.taxoclass.evidence import documents_key
from toolkit_recipes.taxoclass.evidence import encode_documents
from toolkit_recipes.taxoclass.evidence import evidence_key
from toolkit_recipes.taxoclass.evidence import needs_vectors
from toolkit_recipes.taxoclass.evidence import terms_of
from toolkit_recipes.taxoclass.kept_documents import KeptDocuments
from toolkit_recipes.taxoclass.kept_documents import chosen_rows
from toolkit_recipes.taxoclass.learner import Documents
from toolkit_recipes.taxoclass.learner import VectorDocuments
from toolkit_recipes.taxoclass.learner import joined
from toolkit_recipes.taxoclass.learner import predict
from toolkit_recipes.taxoclass.learner import tokenise
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import ZeroShot
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.pair_scores import class_means
from toolkit_recipes.taxoclass.pair_scores import known_or_zero
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.stages import EncoderOnly
from toolkit_recipes.taxoclass.stages import Workplace
from toolkit_recipes.taxoclass.stages import build_classifier
from toolkit_recipes.taxoclass.stages import document_vectors
from toolkit_recipes.taxoclass.stages import mine_core_classes
from toolkit_recipes.taxoclass.stages import mining_scores
from toolkit_recipes.taxoclass.stages import put_back
from toolkit_recipes.taxoclass.stages import self_train
from toolkit_recipes.taxoclass.stages import train
from toolkit_recipes.taxoclass.targets import build_targets
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.training import Journal
from toolkit_recipes.taxoclass.training import Split
from toolkit_recipes.taxoclass.training import split_documents

SHAPED_BY = (
    ("search", "mining", "decode.propagation"),
    ("classifier", "training", "seed"),
    ("self_training",),
)
"""Parts of the configuration that shape the results of stages 2, 3 and 4, by their keys.

How a trained classifier is decoded shapes no stored result."""


@frozen(eq=False)
class Trained:
    """Result of stages 3 and 4."""

    model: TaxoClassifier
    tokenizer: PreTrainedTokenizerBase
    evidence: Evidence
    corpus: Documents
    """The documents of :attr:`Evidence.corpus`."""
    test: Documents
    step: int
    """The global step at which training ended."""
    calibration: Calibration
    """Of the model as it was at that step."""
    levels: LevelCalibration
    """Of the same."""
    vectors: Tensor
    """Of the corpus, from the classifier's encoder [documents, width]."""


@frozen(eq=False)
class Pipeline:
    """The stages of one run; build it with :meth:`create`."""

    data: Dataset
    models: Models
    run: Run
    place: Workplace
    cache: StageCache
    documents_key: str
    """Of everything that the vectors of the documents depend on."""
    text_key: str
    """Of everything that stage 1 depends on."""

    @classmethod
    def create(
        cls,
        config: TaxoClassConfig,
        data: Dataset,
        models: Models,
        accelerator: Accelerator,
        reporter: Reporter,
        run: Run,
    ) -> Pipeline:
        """Find where results and checkpoints are kept, the same place on every process."""
        folder = from_main_process(accelerator, str(run.dir) if run.dir else None)
        home = Path(folder) if folder else None
        kept = given_path(config.cache) if config.cache else home and home / "cache"
        journal = Journal(run, reporter, config.log_interval, config.checkpoint_every)
        place = Workplace(accelerator, config, journal, home and home / "checkpoints")
        cache = StageCache(kept, accelerator, config.start_from)
        documents = documents_key(models, data, config, accelerator.mixed_precision)
        key = evidence_key(documents, models, data, config, accelerator.mixed_precision)
        return cls(data, models, run, place, cache, documents, key)

    @property
    def config(self) -> TaxoClassConfig:
        """The configuration of the run."""
        return self.place.config

    def compare(self) -> Evidence:
        """Stage 1: compare documents and classes.

        The vectors of the documents are kept by themselves: other class texts leave them as they
        are.
        """
        given = self.place, self.data, self.models
        documents = Tensors()
        if needs_vectors(self.config):
            make = partial(encode_documents, *given)
            documents = self._result(1, self.documents_key, make, "document vectors ")
        make = partial(compare, *given, documents, self.cache.folder)
        found = self._result(1, self.text_key, make)
        if terms := terms_of(found, self.data.taxonomy.ids):
            self.run.log_dict(terms, "mined_terms.json")
        return Evidence.of(documents | found, transductive=self.config.transductive)

    def mine(self, evidence: Evidence) -> Tensor:
        """Stage 2: return the core classes of the corpus, boolean [documents, classes]."""

        def make() -> Tensors:
            similarity, known = evidence.similarity(evidence.corpus), evidence.corpus.candidates
            return {"core": mine_core_classes(similarity, known, self.data.taxonomy, self.config)}

        return self._result(2, self._key(2), make)["core"]

    def core_quality(self, core: Tensor) -> dict[str, float]:
        """Compare with the gold classes of the train documents; nothing where there are none."""
        gold = self.data.train.gold
        if gold is None:
            return {}
        return mining_quality(core[: len(gold)], gold_matrix(gold, len(self.data.taxonomy)))

    def zero_shot(self, evidence: Evidence) -> Decoded:
        """Classify the test documents untrained; a pair without a similarity counts as 0."""
        similarity = known_or_zero(evidence.similarity(evidence.test))
        means = class_means(evidence.similarity(evidence.corpus))
        taxonomy = self.data.taxonomy
        found = zero_shot_scores(similarity, means, taxonomy, self.config.decode.propagation)
        return decode(found, taxonomy)

    def targets(self, core: Tensor, evidence: Evidence) -> Tensor:
        """Return what the train documents teach: 1, 0, -1 [documents, classes]."""
        count = len(self.data.train)
        similarity = evidence.similarity(evidence.corpus)
        found = mining_scores(similarity, self.data.taxonomy, self.config)[:count]
        return build_targets(core[:count], self.data.taxonomy, self.config.mining.closure, found)

    def split(self, targets: Tensor) -> Split:
        """Hold out some of the documents that have targets."""
        return split_documents(targets, self.config.training.val_share, self.config.seed)

    def train(self, evidence: Evidence, targets: Tensor, split: Split) -> Trained:
        """Stage 3."""
        config, place = self.config, self.place
        model, tokenizer = build_classifier(
            self.models.encoder.folder, evidence.names, self.data.taxonomy, config
        )
        model.to(place.accelerator.device)
        length = config.encoder.max_length
        texts = [self.data.train.texts, self.data.test.texts]
        read, unread = (tokenise(part, tokenizer, model.encoder.config, length) for part in texts)
        key = self._key(3)

        def make() -> Tensors:
            return train(place, model, read, evidence.train.vectors, targets, split, key)

        step = put_back(model, self._result(3, key, make))
        documents: list[Documents] = [read, unread]
        if config.training.encoder == "frozen":
            parts = ((read, evidence.train), (unread, evidence.test))
            documents = [
                VectorDocuments(document_vectors(place, model, tokens, part.vectors))
                for tokens, part in parts
            ]
        corpus = joined(*documents) if config.transductive else documents[0]
        found = self._calibration(model, corpus, evidence)
        return Trained(model, tokenizer, evidence, corpus, documents[1], step, *found)

    def self_train(self, trained: Trained) -> Trained:
        """Stage 4."""
        key = self._key(4)

        def make() -> Tensors:
            return self_train(
                self.place, trained.model, trained.corpus, self.data.taxonomy, trained.step, key
            )

        step = put_back(trained.model, self._result(4, key, make))
        self.place.clear_checkpoints()
        calibration, levels, vectors = self._calibration(
            trained.model, trained.corpus, trained.evidence
        )
        return attrs.evolve(
            trained, step=step, calibration=calibration, levels=levels, vectors=vectors
        )

    def scores(self, trained: Trained) -> Tensor:
        """Score the test documents with the classifier as it is now: [documents, classes]."""
        logits = self._logits(trained.model, trained.test)
        similarity = known_or_zero(trained.evidence.similarity(trained.evidence.test))
        return trained.calibration.scores(
            logits, similarity, self.data.taxonomy, self.config.decode
        )

    def classify(self, trained: Trained) -> Decoded:
        """Classify the test documents with the classifier as it is now."""
        return decode(self.scores(trained), self.data.taxonomy)

    def keep_model(self, trained: Trained, quality: dict[str, float]) -> None:
        """Keep the classifier with the run as artifact ``taxo_model``."""
        kept = self._kept_documents(trained)
        if not self.place.accelerator.is_main_process:
            return
        model = SavedModel(
            classifier=trained.model.cpu().eval(),
            tokenizer=trained.tokenizer,
            taxonomy=self.data.taxonomy,
            config=self.config,
            calibration=trained.calibration,
            zero_shot=ZeroShot(self.models.encoder.folder, trained.evidence.classes),
            metrics=quality,
            levels=trained.levels,
            documents=kept,
        )
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder) / ARTIFACT, model)
            self.run.log_artifacts(
                Path(folder) / ARTIFACT,
                ARTIFACT,
                name=ARTIFACT,
                type="model",
                aliases=["best"],
                move=True,
            )

    def _kept_documents(self, trained: Trained) -> KeptDocuments | None:
        """Draw train documents to keep with the model, and say what it makes of them now."""
        config = self.config
        rows = chosen_rows(len(self.data.train), config.keep.documents, config.seed)
        if not rows:
            return None
        vectors = trained.vectors[rows]
        logits = self._logits(trained.model, VectorDocuments(vectors))
        part = trained.evidence.train
        similarity = known_or_zero(trained.evidence.similarity(part)[rows])
        scores = trained.calibration.scores(logits, similarity, self.data.taxonomy, config.decode)
        paths = decode(scores, self.data.taxonomy).paths
        untrained = None if part.vectors is None else part.vectors[rows]
        return KeptDocuments.of(
            self.data.train, rows, paths, vectors, untrained, config.keep.characters
        )

    def _calibration(
        self, model: TaxoClassifier, corpus: Documents, evidence: Evidence
    ) -> tuple[Calibration, LevelCalibration, Tensor]:
        vectors = self._vectors(model, corpus)
        logits = self._logits(model, VectorDocuments(vectors))
        similarity = known_or_zero(evidence.similarity(evidence.corpus))
        taxonomy, config = self.data.taxonomy, self.config.decode
        calibration = Calibration.fit(logits, similarity, taxonomy, config)

        def score(rows: Tensor) -> Tensor:
            return calibration.scores(logits[rows], similarity[rows], taxonomy, config)

        return calibration, LevelCalibration.fit(score, vectors, taxonomy), vectors

    def _vectors(self, model: TaxoClassifier, documents: Documents) -> Tensor:
        """Return document vectors [documents, width] from the classifier's encoder as it is now."""
        if isinstance(documents, VectorDocuments):
            return documents.vectors
        rows = range(len(documents))
        return predict(self.place.accelerator, EncoderOnly(model), documents, rows)

    def _logits(self, model: TaxoClassifier, documents: Documents) -> Tensor:
        is_read = isinstance(documents, VectorDocuments)
        module = model.matcher if is_read else model
        return predict(self.place.accelerator, module, documents, range(len(documents)))

    def _result(self, stage: int, key: str, make: Callable[[], Tensors], what: str = "") -> Tensors:
        """Return the stored result of a stage and say so, or make it."""
        is_made = False

        def noted() -> Tensors:
            nonlocal is_made
            is_made = True
            return make()

        found = self.cache.result(stage, key, noted)
        if not is_made:
            self.place.journal.reporter.say(f"  {what}from the cache: {self.cache.folder}")
        return found

    def _key(self, stage: int) -> str:
        processes = self.place.accelerator.num_processes
        return stage_key(stage, self.text_key, self.data.taxonomy, self.config, processes)


def stage_key(
    stage: int, text_key: str, taxonomy: Taxonomy, config: TaxoClassConfig, processes: int = 1
) -> str:
    """Return the key of all that the result of a stage depends on, earlier stages included.

    Args:
        stage: 2, 3 or 4.
        text_key: of stage 1, see :func:`evidence_key`.
        taxonomy: of the classes.
        config: only what shapes a stored result counts.
        processes: that share the work; an encoder that learns drops out other parts in each.
    """
    parts: list[object] = [text_key, taxonomy.parents, config.transductive]
    if stage > 2 and config.training.encoder != "frozen":
        parts.append(processes)
    values = as_dict(config)
    for keys in SHAPED_BY[: stage - 1]:
        parts += [reduce(getitem, key.split("."), values) for key in keys]
    return content_key(stage, *parts)
