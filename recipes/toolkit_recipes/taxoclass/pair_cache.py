"""Scores of pairs of texts on disk, found again by what the texts are.

A document or class that was changed has other scores; those of all others are still there. One
file, an sqlite database, holds the scores of one model at one length and number format; its name
says which. Scores are written a portion at a time, each whole or not at all, so that a killed run
has lost one portion at most. About 20 bytes per pair on disk; in memory only what is asked for.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from attrs import frozen
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.storage import from_main_process

SECONDS_FOR_OTHERS = 60.0
"""How long to wait for another run that writes to the same file."""
TEMPORARY = ""
"""Sqlite's name for a database on disk that goes with its connection."""
_TABLES = """
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS pairs (
    document INTEGER NOT NULL, class INTEGER NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (document, class)
) WITHOUT ROWID;
"""


@frozen(eq=False)
class PairCache:
    """Scores of documents and classes, by position in two lists of texts; see :func:`open_cache`.

    Only the main process has the database; the others are told what is in it.
    """

    accelerator: Accelerator
    database: _Database | None

    def read(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return the scores of pairs on every process [pairs], NaN where there is none.

        Args:
            documents: positions of documents, int64 [pairs].
            classes: positions of classes, int64 [pairs].

        Raises:
            UsageError: the file is damaged.
        """
        found = torch.full((len(documents),), torch.nan)
        with self._told_to_all():
            if self.database is not None:
                found = self.database.read(documents, classes)
        if self.accelerator.num_processes == 1:
            return found
        told: Tensor = broadcast(found.to(self.accelerator.device))
        return told.cpu()

    def write(self, documents: Tensor, classes: Tensor, scores: Tensor) -> None:
        """Keep the scores of pairs; all of them or, killed meanwhile, none.

        Raises:
            UsageError: the file is damaged, or can't be written.
        """
        with self._told_to_all():
            if self.database is not None:
                self.database.write(documents, classes, scores)

    @contextmanager
    def _told_to_all(self) -> Iterator[None]:
        """Raise what goes wrong on the main process on every one, so that none waits for it."""
        problem = None
        try:
            yield
        except sqlite3.Error as error:
            problem = _problem(self.database.name if self.database else TEMPORARY, error)
        _heed(from_main_process(self.accelerator, problem))


@frozen(eq=False)
class _Database:
    name: str
    connection: sqlite3.Connection
    documents: list[int]
    """What each document is called in the database."""
    classes: list[int]

    def read(self, documents: Tensor, classes: Tensor) -> Tensor:
        pairs = self._named(documents, classes)
        query = "SELECT class, score FROM pairs WHERE document = ?"
        known = {
            (document, class_): score
            for document in {document for document, _ in pairs}
            for class_, score in self.connection.execute(query, (document,))
        }
        return torch.tensor([known.get(pair, torch.nan) for pair in pairs])

    def write(self, documents: Tensor, classes: Tensor, scores: Tensor) -> None:
        pairs = zip(self._named(documents, classes), scores.tolist(), strict=True)
        rows = [(document, class_, score) for (document, class_), score in pairs]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", rows)

    def _named(self, documents: Tensor, classes: Tensor) -> list[tuple[int, int]]:
        pairs = zip(documents.tolist(), classes.tolist(), strict=True)
        return [(self.documents[d], self.classes[c]) for d, c in pairs]


@contextmanager
def open_cache(
    folder: Path | None,
    key: str,
    documents: Sequence[str],
    classes: Sequence[str],
    accelerator: Accelerator,
) -> Iterator[PairCache]:
    """Open the scores of one model.

    Args:
        folder: where the file is or will be; None keeps the scores until the end only.
        key: :func:`toolkit_recipes.storage.content_key` of all but the texts that a score depends
            on.
        documents: texts of the documents.
        classes: texts of the classes.
        accelerator: knows the processes.

    Raises:
        UsageError: the file is damaged, or can't be written.
    """
    name = TEMPORARY if folder is None else str(folder / f"entailment-{key[:24]}.sqlite")
    if not accelerator.is_main_process:
        _heed(from_main_process(accelerator, None))
        yield PairCache(accelerator, None)
        return
    try:
        connection = _connect(name)
        ids = _ids_of([*documents, *classes], connection)
    except (OSError, sqlite3.Error) as error:
        _heed(from_main_process(accelerator, _problem(name, error)))
        raise
    _heed(from_main_process(accelerator, None))
    try:
        found = _Database(name, connection, ids[: len(documents)], ids[len(documents) :])
        yield PairCache(accelerator, found)
    finally:
        connection.close()


def _problem(name: str, error: Exception) -> str:
    """Say what is wrong with the scores and what to do."""
    if name == TEMPORARY:
        return f"scores of pairs in the folder for temporary files: {error}; make room there"
    return f"{name}: {error}; make room if the disk is full, else remove it to make it anew"


def _heed(problem: str | None) -> None:
    """Raise on every process what the main one has met."""
    if problem is not None:
        raise UsageError(problem)


def _connect(name: str) -> sqlite3.Connection:
    if name:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(name, timeout=SECONDS_FOR_OTHERS)
    connection.executescript(_TABLES)
    return connection


def _ids_of(texts: Sequence[str], connection: sqlite3.Connection) -> list[int]:
    """Return what each text is called in the database; a new text is given a number."""
    digests = [hashlib.sha256(text.encode("utf-8")).digest() for text in texts]
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO texts (sha256) VALUES (?)", ((d,) for d in digests)
        )
    query = "SELECT id FROM texts WHERE sha256 = ?"
    return [connection.execute(query, (d,)).fetchone()[0] for d in digests]
