"""Rules of similarity by a language inference model."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from transformers import AutoModelForSequenceClassification
from transformers import BertConfig
from transformers import pipeline

from tests.recipes.taxoclass.nli import FILLERS
from tests.recipes.taxoclass.nli import LABELS
from tests.recipes.taxoclass.nli import SUBJECTS
from tests.recipes.taxoclass.nli import TEMPLATE
from tests.recipes.taxoclass.nli import SmallModel
from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.entailment import EntailmentModel
from toolkit_recipes.taxoclass.entailment import EntailmentPairs
from toolkit_recipes.taxoclass.entailment import batch_sizes
from toolkit_recipes.taxoclass.entailment import entailment_label
from toolkit_recipes.taxoclass.entailment import find_entailment_model
from toolkit_recipes.taxoclass.pair_cache import open_cache
from toolkit_recipes.taxoclass.presets import SimilarityConfig

SUBJECT_NAMES = sorted(SUBJECTS)
CLASSES = [TEMPLATE.replace("{name}", subject) for subject in SUBJECT_NAMES]
DOCUMENTS = [
    *(" ".join([*words, *FILLERS[:i]]) for i, words in enumerate(SUBJECTS.values())),
    " ".join(FILLERS),
    " ".join(SUBJECTS["sleep"] * 20),
]
ALL_PAIRS = tuple(
    torch.tensor(list(itertools.product(range(len(DOCUMENTS)), range(len(CLASSES))))).T
)
ORDERS = [
    *itertools.permutations(LABELS),
    *itertools.permutations(["entailment", "contradiction"]),
]


@contextmanager
def entailment(
    folder: Path,
    cache: Path | None = None,
    documents: list[str] = DOCUMENTS,
    classes: list[str] = CLASSES,
    batch_size: int = 4,
) -> Iterator[EntailmentPairs]:
    """A model at work on one process, without a word."""
    accelerator = Accelerator()
    config = SimilarityConfig(max_length=64, batch_size=batch_size)
    reporter = Reporter(Console(quiet=True))
    with open_cache(cache, "key", documents, classes, accelerator) as opened:
        model = EntailmentModel.load(folder)
        yield EntailmentPairs.create(
            model, documents, classes, config, opened, accelerator, reporter
        )


def scores(
    folder: Path,
    cache: Path | None = None,
    documents: list[str] = DOCUMENTS,
    classes: list[str] = CLASSES,
    batch_size: int = 4,
) -> torch.Tensor:
    """P(entailment) of all documents with all classes."""
    pairs = list(itertools.product(range(len(documents)), range(len(classes))))
    with entailment(folder, cache, documents, classes, batch_size) as model:
        return model.score(*torch.tensor(pairs).T).reshape(len(documents), len(classes))


@pytest.fixture(scope="module")
def folder(roberta_nli: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    return roberta_nli.save(tmp_path_factory.mktemp("nli"))


@pytest.mark.parametrize("labels", ORDERS, ids=" ".join)
def test_scores_are_those_of_the_zero_shot_pipeline(
    bert_nli: SmallModel, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    """In all orders of three labels and of two, to 1e-4.

    The pipeline leaves the neutral label out of its softmax; with three labels its logits are
    compared, with two its scores.
    """
    folder = bert_nli.save(tmp_path / "model", labels)
    found = scores(folder)
    zero_shot = pipeline("zero-shot-classification", str(folder))
    if len(labels) == 2:
        answers = zero_shot(
            DOCUMENTS, SUBJECT_NAMES, hypothesis_template=TEMPLATE[:-6] + "{}", multi_label=True
        )
        by_name = [dict(zip(a["labels"], a["scores"], strict=True)) for a in answers]
        expected = torch.tensor([[a[name] for name in SUBJECT_NAMES] for a in by_name])
    else:
        pairs = [(d, c) for d in DOCUMENTS for c in CLASSES]
        inputs = zero_shot._parse_and_tokenize(pairs)  # type: ignore[no-untyped-call]
        logits = zero_shot.model(**inputs).logits.detach()
        position = zero_shot.entailment_id
        expected = logits.softmax(dim=1)[:, position].reshape(found.shape)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    own = [SUBJECT_NAMES.index(subject) for subject in SUBJECTS]
    assert found[: len(own)].argmax(dim=1).tolist() == own
    assert found[range(len(own)), own].min() > 0.5


def test_a_model_without_token_types_is_read_as_its_tokenizer_says(
    roberta_nli: SmallModel, folder: Path
) -> None:
    """The same to 1e-4 as tokenising and reading each pair by itself."""
    found = scores(folder)
    for i, document in enumerate(DOCUMENTS):
        for j, text in enumerate(CLASSES):
            inputs = roberta_nli.tokenizer(
                document, text, truncation="only_first", return_tensors="pt"
            )
            expected = roberta_nli.model(**inputs).logits.softmax(dim=1)[0, 0]
            assert abs(found[i, j] - expected) < 1e-4


def test_batches_leave_no_trace(folder: Path) -> None:
    """Sorting by length and batching change nothing but rounding."""
    torch.testing.assert_close(
        scores(folder, batch_size=1), scores(folder, batch_size=7), atol=1e-5, rtol=0
    )


@given(st.lists(st.integers(1, 512), max_size=60), st.integers(1, 2048))
def test_a_batch_is_as_large_as_its_longest_pair_allows(lengths: list[int], most: int) -> None:
    """All pairs in their order, as many at once as fit with padding; a longer one by itself."""
    longest_first = sorted(lengths, reverse=True)
    left = longest_first
    for size in batch_sizes(longest_first, most):
        assert size == 1 or size * left[0] <= most
        assert size == len(left) or (size + 1) * left[0] > most
        left = left[size:]
    assert not left


def test_bf16_agrees_with_full_precision(folder: Path) -> None:
    """Under autocast the probabilities stay near, and come back in single precision."""
    full = scores(folder)
    with torch.autocast("cpu", torch.bfloat16):
        half = scores(folder)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], 2),
        (["entailment", "not_entailment"], 0),
        (["not_entailment", "Entailment"], 1),
        (["refutes", "entails", "unknown"], 1),
    ],
)
def test_the_label_is_found_by_its_name(labels: list[str], expected: int) -> None:
    """Whatever its case and place."""
    assert entailment_label(_config(labels), Path("model")) == expected


def test_names_may_stand_in_label2id_alone() -> None:
    """A model whose id2label is generic is read by the other table."""
    config = _config(["LABEL_0", "LABEL_1"])
    config.label2id = {"entailment": 1, "contradiction": 0}
    assert entailment_label(config, Path("model")) == 1


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], r"none of its labels is called entailment"),
        (["negative", "positive"], r"labels: negative, positive"),
        (["entailment_weak", "entailment_strong"], r"several of its labels are"),
    ],
)
def test_a_model_that_cannot_tell_entailment_is_refused(
    bert_nli: SmallModel, tmp_path: Path, labels: list[str], problem: str
) -> None:
    """Before anything is read with it; the message lists the labels."""
    folder = bert_nli.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "id2label": dict(enumerate(labels)),
        "label2id": {x: i for i, x in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=problem):
        find_entailment_model(str(folder))


def test_a_model_without_a_trained_head_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    """An encoder whose configuration names the labels still can't tell them."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    names = {"id2label": {0: "entailment", 1: "other"}, "label2id": {"entailment": 0, "other": 1}}
    (folder / "config.json").write_text(json.dumps(config | names))
    with pytest.raises(
        UsageError,
        match=r"weights are missing for .*: .*classifier.*; similarity.model must",
    ):
        EntailmentModel.load(folder)


def test_a_missing_model_is_named_by_its_key() -> None:
    """The message names the key of the configuration."""
    with pytest.raises(UsageError, match=r"similarity.model=./nowhere: no such folder"):
        find_entailment_model("./nowhere")


def mark(cache: Path) -> None:
    """Replace all kept scores by -1."""
    (file,) = cache.glob("*.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE pairs SET score = -1")
    connection.close()


def test_what_is_known_is_not_computed_again(folder: Path, tmp_path: Path) -> None:
    """All pairs are taken from the cache, bit for bit."""
    first = scores(folder, tmp_path)
    assert torch.equal(scores(folder, tmp_path), first)
    mark(tmp_path)
    assert (scores(folder, tmp_path) == -1).all()


def test_a_change_computes_only_what_changed(folder: Path, tmp_path: Path) -> None:
    """Texts may move, vanish and come: a new document costs its row, a new class its column."""
    scores(folder, tmp_path)
    mark(tmp_path)
    documents = ["a new text about bread", *reversed(DOCUMENTS)]
    classes = [*CLASSES[1:], "this document is about tea"]
    found = scores(folder, tmp_path, documents=documents, classes=classes)
    is_new = torch.zeros_like(found, dtype=torch.bool)
    is_new[0], is_new[:, -1] = True, True
    assert torch.equal(found >= 0, is_new)
    torch.testing.assert_close(
        found[is_new], scores(folder, documents=documents, classes=classes)[is_new]
    )


def test_without_a_folder_nothing_is_kept(folder: Path) -> None:
    """The cache lives until its end, and within it nothing is computed twice."""
    with entailment(folder) as model:
        first = model.score(*ALL_PAIRS)
        database = model.cache.database
        assert database
        with database.connection:
            database.connection.execute("UPDATE pairs SET score = -1")
        assert (model.score(*ALL_PAIRS) == -1).all()
    assert (first >= 0).all()


def test_a_damaged_cache_is_named(folder: Path, tmp_path: Path) -> None:
    """The message has the file and what to do."""
    scores(folder, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(b"not a database, but long enough to be taken for something" * 100)
    with pytest.raises(UsageError, match=r"entailment-key.sqlite: .*remove it"):
        scores(folder, tmp_path)


def _config(labels: list[str]) -> BertConfig:
    ids = {label: i for i, label in enumerate(labels)}
    return BertConfig(id2label=dict(enumerate(labels)), label2id=ids)


def test_a_page_that_was_damaged_is_named_when_it_is_met(folder: Path, tmp_path: Path) -> None:
    """The file opens, for only some of it is damaged; it is reported like one that doesn't."""
    scores(folder, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        ((size,),) = connection.execute("PRAGMA page_size")
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'pairs'"
        ((page,),) = connection.execute(query)
    with file.open("r+b") as content:
        content.seek((page - 1) * size)
        content.write(b"\xff" * size)
    with pytest.raises(UsageError, match=r"entailment-key.sqlite: .*remove it"):
        scores(folder, tmp_path)


def test_a_full_disk_is_named(folder: Path, tmp_path: Path) -> None:
    """Scores that can't be written end the run with what to do, and those before them stay."""
    classes = [f"{text} {i}" for i in range(200) for text in CLASSES]
    documents = DOCUMENTS[:1]
    rows = torch.zeros(len(classes), dtype=torch.long), torch.arange(len(classes))
    with open_cache(tmp_path, "key", documents, classes, Accelerator()) as cache:
        assert cache.database
        connection = cache.database.connection
        ((pages,),) = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count = {pages}")
        cache.write(rows[0][:1], rows[1][:1], torch.tensor([0.5]))
        with pytest.raises(UsageError, match=r"entailment-key.sqlite: .*full; make room"):
            cache.write(*rows, torch.rand(len(classes)))
        assert cache.read(*rows).nan_to_num(-1).tolist() == [0.5] + [-1] * (len(classes) - 1)


def test_weights_in_half_precision_are_read_in_single(
    roberta_nli: SmallModel, tmp_path: Path
) -> None:
    """A model that was stored in half computes in single precision."""
    folder = roberta_nli.save(tmp_path / "model")
    stored = AutoModelForSequenceClassification.from_pretrained(folder)
    stored.half().save_pretrained(folder)
    classifier = EntailmentModel.load(folder).classifier
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}
