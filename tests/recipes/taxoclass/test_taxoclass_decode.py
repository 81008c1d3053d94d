"""Rules of the zero-shot classifier."""

from __future__ import annotations

import json

import torch
from hypothesis import given

from tests.recipes.taxoclass.strategies import scored_taxonomies
from toolkit_recipes.taxoclass.corpus import Corpus
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.decode import predictions_as_jsonl
from toolkit_recipes.taxoclass.decode import zero_shot_scores
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

TREE = build("abcd", ["animal", "plant", "bird", "cat"], [(0, 2), (0, 3)])


@given(scored_taxonomies())
def test_path_has_the_highest_mean_of_all(case: tuple[Taxonomy, torch.Tensor]) -> None:
    """Of all paths from a root to a leaf, listed one by one, the one with the best mean wins."""
    taxonomy, scores = case
    decoded = decode(scores, taxonomy)
    paths = [path for leaf in taxonomy.leaves for path in taxonomy.paths_to(leaf)]
    for row, values in enumerate(scores.tolist()):
        means = {path: sum(values[c] for c in path) / len(path) for path in paths}
        assert abs(means[decoded.paths[row]] - max(means.values())) < 1e-12
        assert abs(decoded.path_scores[row].item() - max(means.values())) < 1e-12


@given(scored_taxonomies())
def test_ranking_is_the_path_and_then_the_rest_by_score(
    case: tuple[Taxonomy, torch.Tensor],
) -> None:
    """Every class is ranked once: the path from its root down, then falling scores."""
    taxonomy, scores = case
    decoded = decode(scores, taxonomy)
    for row, ranking in enumerate(decoded.ranking.tolist()):
        path = decoded.paths[row]
        rest = sorted(set(range(len(taxonomy))) - set(path), key=lambda c: -scores[row, c])
        assert ranking == [*path, *rest]
        assert decoded.matrix()[row].nonzero().flatten().tolist() == sorted(path)


def test_more_documents_than_a_chunk_are_decoded_alike() -> None:
    """Documents don't influence each other, however many are decoded at once."""
    scores = torch.rand(3000, 4, generator=torch.Generator().manual_seed(0))
    decoded = decode(scores, TREE)
    assert decoded.paths[2500:] == decode(scores[2500:], TREE).paths


def test_scores_are_centred_and_partly_propagated() -> None:
    """A class loses its mean; an inner one is then between itself and its best descendant."""
    similarity = torch.tensor([[0.5, 0.25, 0.875, 0.125]])
    means = torch.tensor([0.25, 0.25, 0.125, 0.125])
    scores = zero_shot_scores(similarity, means, TREE, propagation=0.5)
    assert scores.tolist() == [[0.5, 0.0, 0.75, 0.0]]


def test_predictions_are_written_by_name() -> None:
    """A line per document has its id, the path, its score and the true classes from the top."""
    corpus = Corpus(("d",), ("text",), (frozenset({2, 0}),))
    decoded = decode(torch.tensor([[0.5, 0.0, 0.1, 0.75]]), TREE)
    line = json.loads(predictions_as_jsonl(decoded, corpus, TREE))
    expected = {"id": "d", "path": ["animal", "cat"], "score": 0.625, "true": ["animal", "bird"]}
    assert line == expected
