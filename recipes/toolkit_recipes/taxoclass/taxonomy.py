"""The taxonomy: classes in a directed acyclic graph, read from two files and checked.

``labels.txt`` has a line ``id TAB name`` per class, ``label_hierarchy.txt`` a line
``parent id TAB child id`` per edge. Ids may be any text; inside the program a class is its
position in ``labels.txt``. The Root of the paper is not a class here: the classes without a parent
are its children. ``key_terms.txt`` may add words that are typical of a class, see
:mod:`toolkit_recipes.taxoclass.key_terms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from attrs import frozen

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.key_terms import Terms
from toolkit_recipes.taxoclass.key_terms import read_key_terms
from toolkit_recipes.taxoclass.rows import Row
from toolkit_recipes.taxoclass.rows import read_rows

LABELS_FILE = "labels.txt"
HIERARCHY_FILE = "label_hierarchy.txt"
KEY_TERMS_FILE = "key_terms.txt"
CLASS_LINE = "`class id TAB class name`"
EDGE_LINE = "`parent id TAB child id`"

Classes = tuple[int, ...]
"""Classes by position, in ascending order unless said otherwise."""


@frozen
class Taxonomy:
    """An acyclic graph of named classes; build it with :func:`read_taxonomy` or :func:`build`."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    parents: tuple[Classes, ...]
    children: tuple[Classes, ...]
    order: Classes
    """All classes, every parent before its children."""
    terms: tuple[Terms, ...]
    """Key terms of each class; none where nothing was given."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of each class by its id."""
        return {identifier: position for position, identifier in enumerate(self.ids)}

    @cached_property
    def roots(self) -> Classes:
        """The classes without a parent: the children of the paper's Root."""
        return tuple(c for c in range(len(self)) if not self.parents[c])

    @cached_property
    def leaves(self) -> Classes:
        """The classes without children."""
        return tuple(c for c in range(len(self)) if not self.children[c])

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Level of each class: the edges on the shortest way to it from a root, which has 0."""
        levels = [0] * len(self)
        for c in self.order:
            levels[c] = min((levels[p] + 1 for p in self.parents[c]), default=0)
        return tuple(levels)

    @cached_property
    def siblings(self) -> tuple[Classes, ...]:
        """The other children of all parents of each class; for a root, the other roots."""
        return tuple(self._siblings(c) for c in range(len(self)))

    @cached_property
    def ancestors(self) -> tuple[frozenset[int], ...]:
        """All classes above each class, without itself."""
        above: list[frozenset[int]] = [frozenset()] * len(self)
        for c in self.order:
            above[c] = frozenset(self.parents[c]).union(*(above[p] for p in self.parents[c]))
        return tuple(above)

    @cached_property
    def descendants(self) -> tuple[frozenset[int], ...]:
        """All classes below each class, without itself."""
        below: list[frozenset[int]] = [frozenset()] * len(self)
        for c in reversed(self.order):
            below[c] = frozenset(self.children[c]).union(*(below[k] for k in self.children[c]))
        return tuple(below)

    def paths_to(self, target: int) -> list[Classes]:
        """Return every path from a root down to ``target``, both ends included."""
        if not self.parents[target]:
            return [(target,)]
        return [(*path, target) for p in self.parents[target] for path in self.paths_to(p)]

    def _siblings(self, c: int) -> Classes:
        families = [self.children[p] for p in self.parents[c]] or [self.roots]
        return tuple(sorted(set().union(*families) - {c}))


def read_taxonomy(labels: Path, hierarchy: Path, key_terms: Path | None = None) -> Taxonomy:
    """Read and check a taxonomy.

    Args:
        labels: the classes.
        hierarchy: the edges.
        key_terms: terms of classes; there need not be such a file.

    Raises:
        UsageError: a line is malformed; an id, a name or an edge comes twice; an edge names an
            unknown id; the classes form a cycle, which is printed; or a line of key terms is wrong.
    """
    rows = list(read_rows(labels, CLASS_LINE))
    if not rows:
        raise UsageError(f"{labels}: no classes; each line is {CLASS_LINE}")
    _check_unique(rows)
    positions = {row.key: position for position, row in enumerate(rows)}
    edges = _read_edges(hierarchy, positions, labels)
    names = {row.value: position for position, row in enumerate(rows)}
    terms: list[Terms] = [()] * len(rows)
    if key_terms is not None and key_terms.exists():
        for position, found in read_key_terms(key_terms, positions, names).items():
            terms[position] = found
    return build(
        [r.key for r in rows], [r.value for r in rows], edges, source=str(hierarchy), terms=terms
    )


def read_taxonomy_folder(folder: Path) -> Taxonomy:
    """Read ``labels.txt``, ``label_hierarchy.txt`` and, where there is one, ``key_terms.txt``.

    Raises:
        UsageError: as :func:`read_taxonomy`.
    """
    return read_taxonomy(folder / LABELS_FILE, folder / HIERARCHY_FILE, folder / KEY_TERMS_FILE)


def write_taxonomy_folder(folder: Path, taxonomy: Taxonomy) -> None:
    """Write the files that :func:`read_taxonomy_folder` reads back to an equal taxonomy."""
    ids = taxonomy.ids
    labels = [f"{i}\t{name}\n" for i, name in zip(ids, taxonomy.names, strict=True)]
    edges = [f"{ids[p]}\t{ids[c]}\n" for p in range(len(ids)) for c in taxonomy.children[p]]
    terms = [f"{i}: {', '.join(t)}\n" for i, t in zip(ids, taxonomy.terms, strict=True) if t]
    _write(folder / LABELS_FILE, labels)
    _write(folder / HIERARCHY_FILE, edges)
    if terms:
        _write(folder / KEY_TERMS_FILE, terms)


def build(
    ids: Sequence[str],
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
    source: str = "taxonomy",
    terms: Sequence[Terms] | None = None,
) -> Taxonomy:
    """Make a taxonomy from ``(parent, child)`` positions.

    Raises:
        UsageError: the edges form a cycle; ``source`` says in the message where they came from.
    """
    parents: list[list[int]] = [[] for _ in ids]
    children: list[list[int]] = [[] for _ in ids]
    for parent, child in sorted(edges):
        parents[child].append(parent)
        children[parent].append(child)
    order = _parents_first(parents, children)
    if len(order) < len(ids):
        cycle = " > ".join(f"{names[c]} ({ids[c]})" for c in _find_cycle(parents, order))
        raise UsageError(f"{source}: the classes form a cycle: {cycle}; remove one of its lines")
    return Taxonomy(
        tuple(ids),
        tuple(names),
        tuple(map(tuple, parents)),
        tuple(map(tuple, children)),
        order,
        tuple(terms or [()] * len(ids)),
    )


def _write(file: Path, lines: list[str]) -> None:
    file.write_text("".join(lines), encoding="utf-8", newline="")


def _check_unique(rows: Sequence[Row]) -> None:
    ids: dict[str, Row] = {}
    names: dict[str, Row] = {}
    for row in rows:
        if not row.value:
            raise row.error(f"class {row.key!r} has no name; each line is {CLASS_LINE}")
        if "," in row.key:
            raise row.error(f"class id {row.key!r} has a comma, which separates ids elsewhere")
        if (first := ids.setdefault(row.key, row)) is not row:
            raise row.error(f"class id {row.key!r} is already taken in line {first.line}")
        if (first := names.setdefault(row.value, row)) is not row:
            raise row.error(
                f"class name {row.value!r} is already taken in line {first.line} (id {first.key}); "
                "a name is all that is known of a class, so write each one differently"
            )


def _read_edges(hierarchy: Path, positions: dict[str, int], labels: Path) -> list[tuple[int, int]]:
    lines: dict[tuple[int, int], Row] = {}
    for row in read_rows(hierarchy, EDGE_LINE):
        for identifier in (row.key, row.value):
            if identifier not in positions:
                raise row.error(f"class id {identifier!r} is not in {labels}; add it or the line")
        edge = (positions[row.key], positions[row.value])
        if (first := lines.setdefault(edge, row)) is not row:
            raise row.error(f"the same edge is already in line {first.line}; remove one of them")
    return list(lines)


def _parents_first(parents: list[list[int]], children: list[list[int]]) -> Classes:
    """Order the classes so that parents come first; classes on or below a cycle are left out."""
    waiting = [len(above) for above in parents]
    order = [c for c, count in enumerate(waiting) if count == 0]
    for c in order:
        for child in children[c]:
            waiting[child] -= 1
            if waiting[child] == 0:
                order.append(child)
    return tuple(order)


def _find_cycle(parents: list[list[int]], order: Classes) -> list[int]:
    """Return a cycle, first class repeated at the end, among the classes not in ``order``."""
    left = set(range(len(parents))) - set(order)
    walk = [min(left)]
    while walk[-1] not in walk[:-1]:
        walk.append(next(p for p in parents[walk[-1]] if p in left))
    start = walk.index(walk[-1])
    return walk[start:][::-1]
