"""Rules of the corpus reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import Corpus
from toolkit_recipes.taxoclass.corpus import read_corpus
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.rows import read_rows
from toolkit_recipes.taxoclass.taxonomy import build

TAXONOMY = build(["10", "20", "x"], ["animal", "bird", "cat"], [(0, 1), (0, 2)])
TEXTS = "d1\tA text.\nd2\tWith\ta tab.\n"
GOLD = "d2\t10,20\nd1\t10, x\n"


def read(folder: Path, texts: str = TEXTS, gold: str | None = GOLD) -> Corpus:
    """Write a corpus and read it."""
    (folder / "corpus.txt").write_text(texts, encoding="utf-8")
    if gold is not None:
        (folder / "doc2labels.txt").write_text(gold, encoding="utf-8")
    return read_corpus(folder, TAXONOMY)


def test_gold_classes_follow_the_document_id(tmp_path: Path) -> None:
    """Labels belong to a document by its id, whatever the order of the two files."""
    corpus = read(tmp_path)
    assert corpus.ids == ("d1", "d2")
    assert corpus.texts == ("A text.", "With\ta tab.")
    assert corpus.gold == (frozenset({0, 2}), frozenset({0, 1}))


def test_a_corpus_needs_no_labels(tmp_path: Path) -> None:
    """Without doc2labels.txt there are no gold classes."""
    assert read(tmp_path, gold=None).gold is None


@pytest.mark.parametrize(
    ("texts", "gold", "message"),
    [
        (TEXTS + "d1\tAgain.\n", GOLD, r"corpus.txt, line 3: document id 'd1' comes twice"),
        (TEXTS + "d3\t\n", GOLD, r"corpus.txt, line 3: document 'd3' is empty"),
        (TEXTS + "d3 text\n", GOLD, r"corpus.txt, line 3: no tab in 'd3 text'"),
        ("\n", "", r"corpus.txt: no documents"),
        (TEXTS, GOLD + "d3\t10\n", r"doc2labels.txt, line 3: document id 'd3' is not in"),
        (TEXTS, GOLD + "d1\t10\n", r"doc2labels.txt, line 3: document id 'd1' comes twice"),
        (TEXTS, "d1\t10\nd2\t99\n", r"doc2labels.txt, line 2: class id '99' is not in labels.txt"),
        (TEXTS, "d1\t10\nd2\t,\n", r"doc2labels.txt, line 2: document 'd2' has no classes"),
        (TEXTS, "d1\t10\n", r"doc2labels.txt: document 'd2' has no classes"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, texts: str, gold: str, message: str) -> None:
    """Every mistake in a corpus is refused with file, line and reason."""
    with pytest.raises(UsageError, match=message):
        read(tmp_path, texts, gold)


def test_a_missing_folder_says_what_belongs_in_it(tmp_path: Path) -> None:
    """The message lists the files of a data folder."""
    with pytest.raises(UsageError, match=r"nowhere: no such folder; .*label_hierarchy.txt"):
        read_dataset(tmp_path / "nowhere")


def test_test_documents_need_gold_classes(tmp_path: Path) -> None:
    """There is nothing to judge by without test/doc2labels.txt."""
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "corpus.txt").write_text("d\ttext\n")
    (tmp_path / "labels.txt").write_text("a\tanimal\n")
    (tmp_path / "label_hierarchy.txt").write_text("")
    with pytest.raises(UsageError, match=r"test/doc2labels.txt: no such file"):
        read_dataset(tmp_path)


def test_the_sample_is_whole() -> None:
    """The shipped corpus has 3 levels and at least 240 documents of 30 to 80 words."""
    data = read_dataset(SAMPLE)
    texts = data.train.texts + data.test.texts
    assert data.summary()["levels"] == 3
    assert len(texts) >= 240
    assert all(30 <= len(text.split()) <= 80 for text in texts)


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")).map(str.strip)
KEYS = VALUES.filter(lambda key: bool(key) and "\t" not in key and not key.startswith("\ufeff"))


@given(st.lists(st.tuples(KEYS, VALUES)))
def test_rows_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Any text without a line feed comes back, except for white space around it."""
    file = tmp_path_factory.mktemp("rows") / "rows.txt"
    file.write_text("".join(f"{k}\t{v}\n" for k, v in rows), encoding="utf-8", newline="")
    assert [(row.key, row.value) for row in read_rows(file, "key TAB value")] == rows
