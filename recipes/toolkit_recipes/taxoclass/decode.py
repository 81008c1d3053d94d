"""The zero-shot classifier: the best path from a root to a leaf, on scores propagated upward."""

from __future__ import annotations

import json

import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.corpus import Corpus
from toolkit_recipes.taxoclass.similarity import propagate
from toolkit_recipes.taxoclass.taxonomy import Classes
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

CHUNK = 1024
"""Documents decoded at once; bounds the memory."""


@frozen
class Decoded:
    """What a classifier says about each document."""

    paths: list[Classes]
    """The predicted classes from a root to a leaf."""
    path_scores: Tensor
    """[documents]: mean score of the classes on the path."""
    ranking: Tensor
    """[documents, classes]: all classes, the best first; the predicted path leads."""

    def matrix(self) -> Tensor:
        """Return the predicted classes as a boolean [documents, classes]."""
        matrix = torch.zeros_like(self.ranking, dtype=torch.bool)
        for row, path in enumerate(self.paths):
            matrix[row, list(path)] = True
        return matrix


def zero_shot_scores(
    similarity: Tensor, class_means: Tensor, taxonomy: Taxonomy, propagation: float
) -> Tensor:
    """Return the score of each class for each document from similarities alone.

    A class that is similar to every document says little about any: its mean over the corpus is
    taken off first. An inner class then scores between itself and its best descendant.

    Args:
        similarity: [documents, classes].
        class_means: [classes], mean similarity of each class over a corpus without labels.
        taxonomy: says which classes are below which.
        propagation: 0 keeps every class at its own score, 1 raises it to its best descendant's.

    Returns:
        [documents, classes].
    """

    def classify(part: Tensor) -> Tensor:
        own = part - class_means
        return torch.lerp(own, propagate(own, taxonomy), propagation)

    return in_chunks(classify, similarity)


def decode(scores: Tensor, taxonomy: Taxonomy) -> Decoded:
    """Choose for each document the path from a root to a leaf with the highest mean score.

    The ranking has the path first, from its root down, then all other classes by score.

    Args:
        scores: [documents, classes].
        taxonomy: in a graph every path to a leaf competes; equal paths go to the first leaf.
    """
    paths: list[Classes] = []
    best, ranking = [], []
    for chunk in torch.split(scores, CHUNK):
        chunk_paths, chunk_best = _best_paths(chunk, taxonomy)
        paths += chunk_paths
        best.append(chunk_best)
        ranking.append(_rank(chunk, chunk_paths))
    return Decoded(paths, torch.cat(best), torch.cat(ranking))


def path_ends(scores: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return the leaf of the path that :func:`decode` would choose: [documents]."""
    chunks = (_best_paths(chunk, taxonomy)[0] for chunk in torch.split(scores, CHUNK))
    return torch.tensor([path[-1] for paths in chunks for path in paths])


def predictions_as_jsonl(decoded: Decoded, corpus: Corpus, taxonomy: Taxonomy) -> str:
    """Write a JSON line per document: id, predicted path, its score, and the true classes.

    Classes are written by name, a path from its root down.
    """
    gold = corpus.gold or [frozenset[int]()] * len(corpus)
    rows = zip(corpus.ids, decoded.paths, decoded.path_scores.tolist(), gold, strict=True)
    return "".join(
        json.dumps(
            {
                "id": identifier,
                "path": [taxonomy.names[c] for c in path],
                "score": round(score, 6),
                "true": [taxonomy.names[c] for c in sorted(true, key=taxonomy.levels.__getitem__)],
            },
            ensure_ascii=False,
        )
        + "\n"
        for identifier, path, score, true in rows
    )


def _best_paths(scores: Tensor, taxonomy: Taxonomy) -> tuple[list[Classes], Tensor]:
    """Find the best paths by dynamic programming over their length."""
    parents = _padded_parents(taxonomy).to(scores.device)
    leaves = torch.tensor(taxonomy.leaves, device=scores.device)
    sums = torch.full_like(scores, -torch.inf)
    sums[:, list(taxonomy.roots)] = scores[:, list(taxonomy.roots)]
    means, came_from = [sums[:, leaves]], [torch.full_like(sums, -1, dtype=torch.long)]
    while True:
        before = torch.nn.functional.pad(sums, (0, 1), value=-torch.inf)[:, parents]
        highest = before.max(dim=2)
        sums = highest.values + scores
        if not (sums > -torch.inf).any():
            break
        came_from.append(parents.expand_as(before).gather(2, highest.indices[..., None])[..., 0])
        means.append(sums[:, leaves] / len(came_from))
    best = torch.stack(means, dim=1).flatten(1).max(dim=1)
    lengths, ends = best.indices // len(leaves) + 1, leaves[best.indices % len(leaves)]
    steps = torch.stack(came_from)
    rows = zip(range(len(scores)), lengths.tolist(), ends.tolist(), strict=True)
    return [_trace(steps[:, row], length, end) for row, length, end in rows], best.values


def _trace(came_from: Tensor, length: int, end: int) -> Classes:
    """Walk back from ``end``; ``came_from`` [length, classes] is the parent by path length."""
    path = [end]
    for step in range(length - 1, 0, -1):
        path.append(int(came_from[step, path[-1]]))
    return tuple(reversed(path))


def _padded_parents(taxonomy: Taxonomy) -> Tensor:
    """Parents of each class [classes, most parents], filled up with the number of classes."""
    width = max(1, *map(len, taxonomy.parents))
    fill = len(taxonomy)
    return torch.tensor([[*above, *[fill] * (width - len(above))] for above in taxonomy.parents])


def _rank(scores: Tensor, paths: list[Classes]) -> Tensor:
    """Order all classes: the path from its root down, then the others by score."""
    bonus = torch.zeros_like(scores)
    for row, path in enumerate(paths):
        places = torch.arange(len(path), 0, -1, dtype=scores.dtype, device=scores.device)
        bonus[row, list(path)] = places
    by_score = scores.argsort(dim=1, descending=True, stable=True)
    path_first = bonus.gather(1, by_score).argsort(dim=1, descending=True, stable=True)
    return by_score.gather(1, path_first)
