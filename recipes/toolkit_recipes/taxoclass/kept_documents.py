"""Some of the training documents, kept with a model to explain its answers and to extend it.

::

    FOLDER/
      documents.safetensors     their vectors, in half precision
      documents.jsonl           a line {"id", "excerpt", "classes"} each, in the same order
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.corpus import Corpus
from toolkit_recipes.taxoclass.rows import read_lines
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

VECTORS_FILE = "documents.safetensors"
TEXTS_FILE = "documents.jsonl"
_TRAINED, _UNTRAINED = "vectors", "untrained_vectors"


@frozen(eq=False)
class KeptDocuments:
    """Training documents, as far as they are kept."""

    ids: tuple[str, ...]
    excerpts: tuple[str, ...]
    """How each begins."""
    paths: tuple[Classes, ...]
    """What the trained model said of each, from the top level down."""
    vectors: Tensor
    """[documents, width], half precision, from the model's own encoder."""
    untrained: Tensor | None
    """The same from the untrained encoder, by which classes are compared; None where stage 1 had no
    vectors."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        rows: Sequence[int],
        paths: Sequence[Classes],
        vectors: Tensor,
        untrained: Tensor | None,
        characters: int,
    ) -> KeptDocuments:
        """Take some documents of a corpus.

        Args:
            corpus: of the train documents.
            rows: of the documents to keep.
            paths: what the model says of each of them.
            vectors: of the same, from the model's encoder, [documents, width].
            untrained: of the same, from the untrained encoder.
            characters: how much of each text is kept.
        """
        return cls(
            tuple(corpus.ids[row] for row in rows),
            tuple(excerpt(corpus.texts[row], characters) for row in rows),
            tuple(paths),
            vectors.half(),
            None if untrained is None else untrained.half(),
        )

    def nearest(self, vectors: Tensor, count: int) -> list[list[tuple[int, float]]]:
        """Return the documents nearest to each vector with their cosines, the nearest first.

        Args:
            vectors: [texts, width], from the model's own encoder.
            count: documents for each, as far as there are so many.
        """
        best = cosine_similarity(vectors, self.vectors).topk(min(count, len(self)), dim=1)
        return [
            list(zip(rows, cosines, strict=True))
            for rows, cosines in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def chosen_rows(count: int, most: int, seed: int) -> list[int]:
    """Draw at most so many of ``count`` documents at random; they stay in their order."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(count, generator=generator)[:most].tolist())


def excerpt(text: str, characters: int) -> str:
    """Return the beginning of a text, which ends in an ellipsis where it was cut."""
    return text if len(text) <= characters else text[: max(characters - 1, 0)] + "…"[:characters]


def write_kept(folder: Path, kept: KeptDocuments, taxonomy: Taxonomy) -> None:
    """Write the two files; classes are written by their ids."""
    tensors = {_TRAINED: kept.vectors}
    if kept.untrained is not None:
        tensors[_UNTRAINED] = kept.untrained
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / VECTORS_FILE)
    rows = zip(kept.ids, kept.excerpts, kept.paths, strict=True)
    lines = [
        {"id": identifier, "excerpt": text, "classes": [taxonomy.ids[c] for c in path]}
        for identifier, text, path in rows
    ]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / TEXTS_FILE).write_text(content, encoding="utf-8", newline="")


def read_kept(folder: Path, taxonomy: Taxonomy) -> KeptDocuments | None:
    """Read what :func:`write_kept` wrote; None where there is nothing, as in older models.

    Raises:
        UsageError: a file is missing or damaged, or doesn't fit the other or the taxonomy.
    """
    present = [(folder / name).is_file() for name in (VECTORS_FILE, TEXTS_FILE)]
    if not any(present):
        return None
    if not all(present):
        raise UsageError(
            f"{folder}: of {VECTORS_FILE} and {TEXTS_FILE} one is missing; give the whole folder, "
            "or remove the other to do without explanations"
        )
    lines = [
        _Line.read(folder / TEXTS_FILE, number, text, taxonomy)
        for number, text in read_lines(folder / TEXTS_FILE)
    ]
    tensors = _read_tensors(folder / VECTORS_FILE, len(lines))
    return KeptDocuments(
        tuple(line.id for line in lines),
        tuple(line.excerpt for line in lines),
        tuple(line.path for line in lines),
        tensors[_TRAINED],
        tensors.get(_UNTRAINED),
    )


@frozen
class _Line:
    """A line of ``documents.jsonl``."""

    id: str
    excerpt: str
    path: Classes

    @classmethod
    def read(cls, file: Path, number: int, text: str, taxonomy: Taxonomy) -> _Line:
        try:
            entry = json.loads(text)
            path = tuple(taxonomy.positions[c] for c in entry["classes"])
            return cls(str(entry["id"]), str(entry["excerpt"]), path)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{file}, line {number}: not what a model of this taxonomy keeps of a document "
                f"({type(error).__name__}: {error}); put the model's own file back"
            ) from None


def _read_tensors(file: Path, count: int) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{file}: can't be read ({error})") from None
    if _TRAINED not in tensors or any(len(t) != count for t in tensors.values()):
        raise UsageError(
            f"{file}: doesn't have a vector for each of the {count} lines of {TEXTS_FILE}; put the "
            "model's own files back"
        )
    return tensors
