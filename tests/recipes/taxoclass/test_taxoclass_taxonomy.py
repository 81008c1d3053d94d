"""Rules of the taxonomy and its reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from tests.recipes.taxoclass.strategies import taxonomies
from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build
from toolkit_recipes.taxoclass.taxonomy import read_taxonomy

LABELS = "a\tanimal\nb\tbird\nc\tcat\np\tplant\n"
EDGES = "a\tb\na\tc\n"


def read(folder: Path, labels: str = LABELS, edges: str = EDGES) -> Taxonomy:
    """Write both files and read them."""
    (folder / "labels.txt").write_text(labels, encoding="utf-8", newline="")
    (folder / "label_hierarchy.txt").write_text(edges, encoding="utf-8", newline="")
    return read_taxonomy(folder / "labels.txt", folder / "label_hierarchy.txt")


def test_classes_keep_the_order_of_their_file(tmp_path: Path) -> None:
    """Classes are numbered as labels.txt has them, with ids of any kind."""
    taxonomy = read(tmp_path)
    assert taxonomy.ids == ("a", "b", "c", "p")
    assert taxonomy.names == ("animal", "bird", "cat", "plant")
    assert taxonomy.children == ((1, 2), (), (), ())
    assert taxonomy.roots == (0, 3)


def test_bom_crlf_and_blank_lines_are_accepted(tmp_path: Path) -> None:
    """A file saved by a Windows editor reads the same."""
    labels = "\ufeff" + LABELS.replace("\n", "\r\n") + "\r\n"
    assert read(tmp_path, labels, EDGES.replace("\n", "\r\n")) == read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "edges", "message"),
    [
        (LABELS + "a\tape\n", EDGES, r"labels.txt, line 5: class id 'a' is already .* line 1"),
        (LABELS + "x\tcat\n", EDGES, r"labels.txt, line 5: class name 'cat' is already .* line 3"),
        (LABELS + "no tab\n", EDGES, r"labels.txt, line 5: no tab in 'no tab'"),
        (LABELS + "x\t \n", EDGES, r"labels.txt, line 5: class 'x' has no name"),
        (LABELS + "\tname\n", EDGES, r"labels.txt, line 5: nothing before the tab"),
        (LABELS + "x,y\tname\n", EDGES, r"labels.txt, line 5: class id 'x,y' has a comma"),
        ("\n", "", r"labels.txt: no classes"),
        (LABELS, EDGES + "a\tz\n", r"label_hierarchy.txt, line 3: class id 'z' is not in .*labels"),
        (LABELS, EDGES + "z\ta\n", r"label_hierarchy.txt, line 3: class id 'z' is not in .*labels"),
        (LABELS, EDGES + "a\tb\n", r"label_hierarchy.txt, line 3: .* already in line 1"),
        (LABELS, EDGES + "a b\n", r"label_hierarchy.txt, line 3: no tab"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, labels: str, edges: str, message: str) -> None:
    """Every mistake in the two files is refused with file, line and reason."""
    with pytest.raises(UsageError, match=message):
        read(tmp_path, labels, edges)


def test_a_cycle_is_printed(tmp_path: Path) -> None:
    """A cycle is shown class by class, from parent to child, also when a root lies above it."""
    with pytest.raises(UsageError, match=r"cycle: bird \(b\) > cat \(c\) > bird \(b\)"):
        read(tmp_path, edges="a\tb\nb\tc\nc\tb\nc\tp\n")


def test_a_class_above_itself_is_a_cycle(tmp_path: Path) -> None:
    """The shortest cycle is an edge from a class to itself."""
    with pytest.raises(UsageError, match=r"cycle: bird \(b\) > bird \(b\)"):
        read(tmp_path, edges="b\tb\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says which file isn't there."""
    with pytest.raises(UsageError, match=r"labels.txt: no such file"):
        read_taxonomy(tmp_path / "labels.txt", tmp_path / "label_hierarchy.txt")


def test_a_byte_that_is_not_utf8_is_located(tmp_path: Path) -> None:
    """The message names the line with the first wrong byte."""
    (tmp_path / "labels.txt").write_bytes(b"a\tanimal\nb\tcaf\xe9\n")
    with pytest.raises(UsageError, match=r"labels.txt, line 2: not UTF-8 \(byte 0xe9\)"):
        read_taxonomy(tmp_path / "labels.txt", tmp_path / "label_hierarchy.txt")


def test_level_is_the_shortest_way_from_a_root() -> None:
    """In a graph, a class that hangs on level 0 and on level 1 is on level 1."""
    taxonomy = build("abc", "abc", [(0, 1), (1, 2), (0, 2)])
    assert taxonomy.levels == (0, 1, 1)


def test_siblings_come_from_all_parents() -> None:
    """A class with two parents has the other children of both; a root has the other roots."""
    taxonomy = build("abcdef", "abcdef", [(0, 2), (0, 3), (1, 3), (1, 4)])
    assert taxonomy.siblings[3] == (2, 4)
    assert taxonomy.siblings[2] == (3,)
    assert taxonomy.siblings[0] == (1, 5)


@given(taxonomies())
def test_relations_agree_with_all_paths(taxonomy: Taxonomy) -> None:
    """Levels, ancestors and descendants are those of all paths from the roots."""
    for c in range(len(taxonomy)):
        paths = taxonomy.paths_to(c)
        above = set().union(*paths) - {c}
        assert len(set(paths)) == len(paths)
        assert all(path[0] in taxonomy.roots and path[-1] == c for path in paths)
        assert taxonomy.ancestors[c] == above
        assert taxonomy.levels[c] == min(map(len, paths)) - 1
        assert all(c in taxonomy.descendants[a] for a in above)
        assert sum(map(len, taxonomy.ancestors)) == sum(map(len, taxonomy.descendants))


@given(taxonomies())
def test_parents_come_first_in_order(taxonomy: Taxonomy) -> None:
    """The order has every class once and every parent before its children."""
    place = {c: i for i, c in enumerate(taxonomy.order)}
    assert sorted(place) == list(range(len(taxonomy)))
    assert all(place[p] < place[c] for c in place for p in taxonomy.parents[c])
