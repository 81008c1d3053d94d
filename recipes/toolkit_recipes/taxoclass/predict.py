"""From documents to lines of JSON, a window at a time, in the order of the input."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any
from typing import Literal
from typing import TextIO

from attrs import frozen
from attrs import validators
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.config import option
from toolkit_recipes.paths import given_path
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.documents import Document
from toolkit_recipes.taxoclass.documents import Source
from toolkit_recipes.taxoclass.explain import PLACES
from toolkit_recipes.taxoclass.explain import Explainer
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

STANDARD_STREAM = "-"
WINDOW_BATCHES = 32
"""Batches in a window: within it documents are sorted by length, and it bounds the memory."""
EMPTY = "empty document"
PATH_SEPARATOR = " > "
BROKEN_PIPE_EXIT_CODE = 141
"""What a shell reports for a program that ended by SIGPIPE."""
LINES_NAMED = 5
"""Lines with empty documents that the summary names."""

Answer = dict[str, Any]
"""A JSON object."""


@frozen
class PredictConfig:
    """Everything that ``recipes/taxoclass_predict.py`` can be told."""

    model: str | None = option(
        None, "folder of a saved model, or folder or id of the run that trained it; must be given"
    )
    input: str = option("-", "file with documents; -: standard input")
    output: str = option(
        "-", "file for JSON lines, written whole or not at all; -: standard output"
    )
    format: Literal["auto", "txt", "csv", "jsonl", "corpus"] = option(
        "auto",
        "txt: a document a line; csv; jsonl: a JSON object a line; corpus: lines `id TAB text`; "
        "auto: by the ending of the input's name, else txt",
    )
    text: str = option("text", "csv and jsonl: column or key of the text")
    id: str | None = option(
        None, "csv and jsonl: column or key of the id; none: documents are numbered from 1"
    )
    batch_size: int = option(32, "documents classified at once", check=validators.gt(0))
    top_k: int = option(5, "classes in the ranking of each document", check=validators.ge(0))
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the encoder; auto: bf16 where the hardware computes in it"
    )
    explain: bool = option(False, "whether to say of each document why it was put where it was")
    rivals: int = option(
        3, "explain: other classes that are named on each level", check=validators.ge(0)
    )
    nearest: int = option(3, "explain: train documents that are named", check=validators.ge(0))
    add: tuple[str, ...] = option(
        (), "classes to add to the model, each NAME:PARENT; the parent by name or id"
    )
    add_from: str | None = option(
        None, "file with classes to add, lines `name TAB parent`, maybe with TAB and an id"
    )
    encoder: str | None = option(
        None,
        "add: folder or Hugging Face name of the untrained encoder, where the model is without it",
    )


@frozen
class Summary:
    """How many documents there were."""

    classified: int
    empty_lines: list[int]
    """The lines of the documents without text."""

    def __str__(self) -> str:
        """One sentence for the user."""
        text = f"{self.classified} documents classified"
        if not self.empty_lines:
            return text
        named = ", ".join(map(str, self.empty_lines[:LINES_NAMED]))
        more = ", ..." if len(self.empty_lines) > LINES_NAMED else ""
        return (
            f"{text}, {len(self.empty_lines)} without text (lines {named}{more}): these have "
            '"error" in place of classes'
        )


def predict(
    documents: Iterable[Document], answer: Callable[[list[str]], list[Answer]], *, window: int
) -> Iterator[Answer]:
    """Yield a JSON object per document, in their order.

    A document without text gets ``{"id", "line", "error"}``; every other one its id and its answer.

    Args:
        documents: are read as they are needed.
        answer: returns what is to be written about each text.
        window: documents that are held and answered at once.
    """
    waiting = iter(documents)
    while held := list(itertools.islice(waiting, window)):
        texts = [document.text for document in held if document.text]
        found = iter(answer(texts) if texts else [])
        for document in held:
            if document.text:
                yield {"id": document.id} | next(found)
            else:
                yield {"id": document.id, "line": document.line, "error": EMPTY}


@frozen(eq=False)
class Answers:
    """What is written about each text.

    Args:
        classifier: at work.
        top_k: length of the rankings.
        explainer: of the same classifier, where answers are explained.
    """

    classifier: Classifier
    top_k: int
    explainer: Explainer | None = None

    def __call__(self, texts: list[str]) -> list[Answer]:
        """Return the predictions for texts, of which there must be some, see :func:`predictions`.

        With an explainer each has ``explanation`` as well.
        """
        reading, taxonomy = self.classifier.read(texts), self.classifier.taxonomy
        decoded = decode(reading.scores, taxonomy)
        levels = self.classifier.model.levels
        found = predictions(reading.scores, decoded, taxonomy, levels, self.top_k)
        if self.explainer is None:
            return found
        explained = self.explainer.explain(reading, decoded.paths)
        return [a | {"explanation": e} for a, e in zip(found, explained, strict=True)]


def predictions(
    scores: Tensor,
    decoded: Decoded,
    taxonomy: Taxonomy,
    levels: LevelCalibration | None,
    top_k: int,
) -> list[Answer]:
    """Return ``{"classes", "names", "path", "score", "probability", "ranking"}`` for each document.

    Ids and names of the predicted path from the top level down, the names as one text, the mean
    score of the path, the probability of each of its classes (null where there is nothing to tell
    it by), and the best classes with their scores, the path first.

    Args:
        scores: [documents, classes].
        decoded: the same, decoded.
        taxonomy: of the classes.
        levels: turns scores into probabilities.
        top_k: length of the rankings.
    """
    ranking = decoded.ranking[:, :top_k]
    ranked = zip(ranking.tolist(), scores.gather(1, ranking).tolist(), strict=True)
    rows = zip(
        decoded.paths,
        decoded.path_scores.tolist(),
        _probabilities(scores, decoded, taxonomy, levels),
        ranked,
        strict=True,
    )
    return [
        {
            "classes": [taxonomy.ids[c] for c in path],
            "names": [taxonomy.names[c] for c in path],
            "path": PATH_SEPARATOR.join(taxonomy.names[c] for c in path),
            "score": round(score, PLACES),
            "probability": probability,
            "ranking": [
                {"id": taxonomy.ids[c], "name": taxonomy.names[c], "score": round(value, PLACES)}
                for c, value in zip(classes, values, strict=True)
            ],
        }
        for path, score, probability, (classes, values) in rows
    ]


@contextmanager
def open_source(config: PredictConfig) -> Iterator[Source]:
    """Open the input.

    Raises:
        UsageError: it can't be opened.
    """
    if config.input == STANDARD_STREAM:
        yield Source(sys.stdin.buffer, "standard input", config.text, config.id)
        return
    try:
        stream = given_path(config.input).open("rb")
    except OSError as error:
        raise UsageError(f"input={config.input}: can't be read ({error.strerror})") from None
    with stream:
        yield Source(stream, config.input, config.text, config.id)


@contextmanager
def open_target(name: str) -> Iterator[TextIO]:
    """Open the output; a file takes its name when all is written, and until then ends in .partial.

    Raises:
        UsageError: it can't be written.
    """
    if name == STANDARD_STREAM:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdout
        sys.stdout.flush()
        return
    path = given_path(name)
    partial = path.with_name(path.name + ".partial")
    if path.is_dir():
        raise UsageError(f"output={name}: this is a folder; give a file in it")
    try:
        stream = partial.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"output={name}: can't be written ({error.strerror})") from None
    with stream:
        yield stream
    partial.replace(path)


def write(rows: Iterable[dict[str, Any]], target: TextIO) -> Summary:
    """Write JSON lines and return what there was."""
    classified = 0
    empty: list[int] = []
    for row in rows:
        target.write(json.dumps(row, ensure_ascii=False) + "\n")
        if "error" in row:
            empty.append(row["line"])
        else:
            classified += 1
    return Summary(classified, empty)


@contextmanager
def quiet_when_nobody_reads() -> Iterator[None]:
    """End the program without a word when what reads its output has left, such as ``head``."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE_EXIT_CODE)


def _probabilities(
    scores: Tensor, decoded: Decoded, taxonomy: Taxonomy, levels: LevelCalibration | None
) -> Sequence[list[float] | None]:
    if levels is None:
        return [None] * len(scores)
    found = levels.probabilities(scores, decoded.paths, taxonomy)
    return [[round(value, PLACES) for value in row] for row in found]
