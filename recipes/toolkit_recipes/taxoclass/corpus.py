"""Documents and their gold classes, read from a data folder and checked.

A data folder holds ``labels.txt`` and ``label_hierarchy.txt`` (the taxonomy), maybe
``key_terms.txt`` (a line ``class: term,term`` per class), and for ``train`` and
``test`` a folder with ``corpus.txt``, a line ``document id TAB text`` per document, and
``doc2labels.txt``, a line ``document id TAB class id,class id`` per document. Only test documents
need gold classes; those of the train documents are never used to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.rows import Row
from toolkit_recipes.taxoclass.rows import read_rows
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder

DOCUMENT_LINE = "`document id TAB text`"
GOLD_LINE = "`document id TAB class id,class id,...`"
SAMPLE = Path(__file__).parent / "sample"
"""The data folder that comes with the recipe."""


@frozen
class Corpus:
    """Documents in the order of their file."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    gold: tuple[frozenset[int], ...] | None = None
    """True classes of each document, or None where the corpus has no ``doc2labels.txt``."""

    def __len__(self) -> int:
        return len(self.ids)


@frozen
class Dataset:
    """A taxonomy with the documents to learn from and the documents to be judged on."""

    taxonomy: Taxonomy
    train: Corpus
    test: Corpus
    test_gold: torch.Tensor
    """True classes of the test documents, boolean [documents, classes]."""

    def summary(self) -> dict[str, str | float]:
        """Return how much there is of everything."""
        return {
            "classes": len(self.taxonomy),
            "levels": max(self.taxonomy.levels) + 1,
            "train_documents": len(self.train),
            "test_documents": len(self.test),
        }


def read_dataset(folder: Path) -> Dataset:
    """Read and check a data folder.

    Raises:
        UsageError: the folder or a file is missing or wrong; the message says where.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder; data=FOLDER holds labels.txt, label_hierarchy.txt, "
            "train/corpus.txt, test/corpus.txt and test/doc2labels.txt"
        )
    taxonomy = read_taxonomy_folder(folder)
    train = read_corpus(folder / "train", taxonomy)
    test = read_corpus(folder / "test", taxonomy)
    if test.gold is None:
        raise UsageError(
            f"{folder / 'test' / 'doc2labels.txt'}: no such file; the true classes of the test "
            f"documents are needed to judge the result, each line is {GOLD_LINE}"
        )
    return Dataset(taxonomy, train, test, gold_matrix(test.gold, len(taxonomy)))


def read_corpus(folder: Path, taxonomy: Taxonomy) -> Corpus:
    """Read ``corpus.txt`` of a folder and, where there is one, ``doc2labels.txt``.

    Raises:
        UsageError: no documents; an empty one; an id that comes twice; gold classes for an unknown
            document, of an unknown class, or none for a document when others have them.
    """
    texts = _read_texts(folder / "corpus.txt")
    file = folder / "doc2labels.txt"
    gold = _read_gold(file, texts, taxonomy) if file.exists() else None
    return Corpus(tuple(texts), tuple(texts.values()), gold)


def _read_texts(file: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for row in read_rows(file, DOCUMENT_LINE):
        if row.key in texts:
            raise row.error(f"document id {row.key!r} comes twice; give each document its own")
        if not row.value:
            raise row.error(f"document {row.key!r} is empty; give it a text or remove the line")
        texts[row.key] = row.value
    if not texts:
        raise UsageError(f"{file}: no documents; each line is {DOCUMENT_LINE}")
    return texts


def _read_gold(
    file: Path, texts: Mapping[str, str], taxonomy: Taxonomy
) -> tuple[frozenset[int], ...]:
    gold: dict[str, frozenset[int]] = {}
    for row in read_rows(file, GOLD_LINE):
        if row.key not in texts:
            raise row.error(f"document id {row.key!r} is not in {file.parent / 'corpus.txt'}")
        if row.key in gold:
            raise row.error(f"document id {row.key!r} comes twice; put all its classes in one line")
        gold[row.key] = _classes(row, taxonomy)
    for identifier in texts:
        if identifier not in gold:
            raise UsageError(f"{file}: document {identifier!r} has no classes; add {GOLD_LINE}")
    return tuple(gold[identifier] for identifier in texts)


def _classes(row: Row, taxonomy: Taxonomy) -> frozenset[int]:
    found = set()
    for identifier in filter(None, map(str.strip, row.value.split(","))):
        if identifier not in taxonomy.positions:
            raise row.error(f"class id {identifier!r} is not in labels.txt; add it there or fix it")
        found.add(taxonomy.positions[identifier])
    if not found:
        raise row.error(f"document {row.key!r} has no classes; each line is {GOLD_LINE}")
    return frozenset(found)


def gold_matrix(gold: tuple[frozenset[int], ...], num_classes: int) -> torch.Tensor:
    """Return true classes as a boolean [documents, classes]."""
    matrix = torch.zeros(len(gold), num_classes, dtype=torch.bool)
    for row, classes in enumerate(gold):
        matrix[row, list(classes)] = True
    return matrix
