"""Rules of key terms: their file, the taxonomy that holds them, and the texts of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipes.taxoclass.strategies import taxonomies
from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy_folder
from toolkit_recipes.taxoclass.taxonomy import write_taxonomy_folder

LABELS = "ex:a\tanimal\nex:b\tbird\nbird\tplane\n"
EDGES = "ex:a\tex:b\n"


def read(folder: Path, terms: str | None) -> Taxonomy:
    """Write a data folder's taxonomy and read it."""
    (folder / "labels.txt").write_text(LABELS, encoding="utf-8")
    (folder / "label_hierarchy.txt").write_text(EDGES, encoding="utf-8")
    if terms is not None:
        (folder / "key_terms.txt").write_text(terms, encoding="utf-8")
    return read_taxonomy_folder(folder)


def test_a_class_is_named_by_id_or_name(tmp_path: Path) -> None:
    """Ids may hold colons; an id goes before an equal name; a repeated term counts once."""
    taxonomy = read(tmp_path, "\ufeffex:b: wing, beak ,wing,\r\n\nanimal:creature\nbird: jet\n")
    assert taxonomy.terms == (("creature",), ("wing", "beak"), ("jet",))


def test_without_the_file_there_are_no_terms(tmp_path: Path) -> None:
    """Key terms may come along; nothing else changes without them."""
    assert read(tmp_path, None).terms == ((), (), ())
    assert read(tmp_path, None) == read(tmp_path, "\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wing, beak", r"line 2: no colon in 'wing, beak'; each line is `class: term,term`"),
        ("animals: paw", r"line 2: there is no class 'animals' \(did you mean 'animal'"),
        ("animal: ratio 1:2", r"line 2: there is no class 'animal: ratio 1'"),
        ("xyz: paw", r"line 2: there is no class 'xyz' in labels.txt"),
        ("animal: , ", r"line 2: class 'animal' has no terms"),
        ("ex:b: feather", r"line 2: class 'ex:b' already has its terms in line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    """Every mistake is refused with file, line and reason."""
    with pytest.raises(UsageError, match=r"key_terms.txt, " + message):
        read(tmp_path, f"ex:b: wing\n{line}\n")


def test_class_texts_without_terms_are_as_ever() -> None:
    """Names with underscores as spaces, in the template."""
    assert class_texts(["hot_drinks"], "about {name}.") == ["about hot drinks."]


def test_terms_follow_the_name_in_the_template() -> None:
    """A class without terms has the text it would have had."""
    texts = class_texts(["hot_drinks", "tea"], "about {name}.", [("coffee", "milk_tea"), ()])
    assert texts == ["about hot drinks, coffee, milk tea.", "about tea."]


TERM = st.text(st.characters(codec="utf-8", exclude_characters=",:\n\r"), min_size=1).filter(
    lambda text: text == text.strip() and not text.startswith("\ufeff")
)


@given(taxonomies(), st.data())
def test_a_written_taxonomy_reads_back(
    tmp_path_factory: pytest.TempPathFactory, shape: Taxonomy, data: st.DataObject
) -> None:
    """Ids, names, edges and terms of any kind survive being written as a data folder."""
    size = len(shape)
    id_ = TERM.filter(lambda text: "\t" not in text)
    ids = data.draw(st.lists(id_, min_size=size, max_size=size, unique=True))
    names = data.draw(st.lists(TERM, min_size=size, max_size=size, unique=True))
    own = st.lists(TERM, unique=True, max_size=3).map(tuple)
    terms = data.draw(st.lists(own, min_size=size, max_size=size))
    edges = [(p, c) for p in range(size) for c in shape.children[p]]
    taxonomy = build(ids, names, edges, terms=terms)
    folder = tmp_path_factory.mktemp("taxonomy")
    write_taxonomy_folder(folder, taxonomy)
    assert read_taxonomy_folder(folder) == taxonomy
