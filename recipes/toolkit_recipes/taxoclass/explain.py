"""Why a document was put where it was: scores of its path, rivals, and documents like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.classify import Reading
from toolkit_recipes.taxoclass.kept_documents import KeptDocuments
from toolkit_recipes.taxoclass.level_calibration import best_through
from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

PLACES = 6
"""Decimals of scores."""


@frozen(eq=False)
class Explainer:
    """Explains what a classifier says.

    Args:
        classifier: whose answers are explained.
        rivals: classes beside the chosen one that are named on each level, at most.
        nearest: train documents that are named, at most.
    """

    classifier: Classifier
    rivals: int
    nearest: int

    def explain(self, reading: Reading, paths: Sequence[Classes]) -> list[dict[str, Any]]:
        """Return a JSON object for each document: ``{"zero_shot_weight", "levels", "nearest"}``.

        ``levels`` has one ``{"id", "name", "score", "trained", "zero_shot", "rivals"}`` for each
        class of the path, from the top level down: its score, and the two standardised parts whose
        mean the score is, ``zero_shot`` weighing ``zero_shot_weight`` and null where that is 0.
        ``rivals`` are the other classes below the same class, the closest first, ``{"id", "name",
        "score", "behind"}``; ``behind`` is by how much the best path through it has a lower mean
        score than the predicted one.

        ``nearest`` are the train documents most similar to the document, ``{"id", "excerpt",
        "cosine", "classes", "names"}``, the most similar first, with the classes that the model
        gave them when it had been trained; null where the model keeps none.

        Args:
            reading: what the classifier made of the documents.
            paths: predicted for each.
        """
        trained, zero_shot = self.classifier.parts(reading)
        best = best_through(reading.scores, self.classifier.taxonomy)
        near = self._nearest(reading.vectors)
        rows = [
            _Row(
                reading.scores[i], best[i], trained[i], None if zero_shot is None else zero_shot[i]
            )
            for i in range(len(paths))
        ]
        weight = self.classifier.model.config.decode.zero_shot_weight
        return [
            {
                "zero_shot_weight": weight,
                "levels": self._levels(row, path),
                "nearest": documents,
            }
            for row, path, documents in zip(rows, paths, near, strict=True)
        ]

    def _levels(self, row: _Row, path: Classes) -> list[dict[str, Any]]:
        taxonomy = self.classifier.taxonomy
        families = [taxonomy.roots, *(taxonomy.children[c] for c in path[:-1])]
        return [
            _named(c, taxonomy)
            | {
                "score": _number(row.scores[c]),
                "trained": _number(row.trained[c]),
                "zero_shot": None if row.zero_shot is None else _number(row.zero_shot[c]),
                "rivals": self._rivals(row, c, family),
            }
            for c, family in zip(path, families, strict=True)
        ]

    def _rivals(self, row: _Row, chosen: int, family: Classes) -> list[dict[str, Any]]:
        taxonomy, best = self.classifier.taxonomy, row.best
        others = [c for c in family if c != chosen]
        closest = sorted(others, key=lambda c: -best[c].item())[: self.rivals]
        return [
            _named(c, taxonomy)
            | {"score": _number(row.scores[c]), "behind": _number(best[chosen] - best[c])}
            for c in closest
        ]

    def _nearest(self, vectors: Tensor) -> list[list[dict[str, Any]] | None]:
        kept = self.classifier.model.documents
        if kept is None:
            return [None] * len(vectors)
        found = kept.nearest(vectors, self.nearest)
        return [[self._document(kept, i, cosine) for i, cosine in near] for near in found]

    def _document(self, kept: KeptDocuments, i: int, cosine: float) -> dict[str, Any]:
        taxonomy, path = self.classifier.taxonomy, kept.paths[i]
        return {
            "id": kept.ids[i],
            "excerpt": kept.excerpts[i],
            "cosine": round(cosine, PLACES),
            "classes": [taxonomy.ids[c] for c in path],
            "names": [taxonomy.names[c] for c in path],
        }


@frozen(eq=False)
class _Row:
    """The scores of one document, [classes] each."""

    scores: Tensor
    best: Tensor
    trained: Tensor
    zero_shot: Tensor | None


def _named(c: int, taxonomy: Taxonomy) -> dict[str, Any]:
    return {"id": taxonomy.ids[c], "name": taxonomy.names[c]}


def _number(value: Tensor) -> float:
    return round(value.item(), PLACES)
