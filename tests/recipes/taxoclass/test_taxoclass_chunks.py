"""Rules of working on some documents at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.chunks import in_chunks
from toolkit_recipes.taxoclass.core_classes import find_core_classes_by_gap
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import class_means
from toolkit_recipes.taxoclass.pair_scores import known_or_zero
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

ROWS = 2 * CHUNK + 3


def scores(rows: int = ROWS) -> Tensor:
    """Random scores of six classes."""
    return torch.rand(rows, 6, generator=torch.Generator().manual_seed(0))


def taxonomy() -> Taxonomy:
    """Two roots with two children each."""
    return build("abcdef", "abcdef", [(0, 2), (0, 3), (1, 4), (1, 5)])


@pytest.mark.parametrize("rows", [0, 1, CHUNK, CHUNK + 1, ROWS])
def test_what_is_made_in_chunks_is_what_is_made_at_once(rows: int) -> None:
    """Each row from its own row, in their order, and never more than a chunk of them together."""
    seen = []

    def doubled(part: Tensor) -> Tensor:
        seen.append(len(part))
        return (part * 2 > 1)[:, :3]

    found = in_chunks(doubled, scores(rows))
    assert torch.equal(found, doubled(scores(rows)))
    assert max(seen[:-1]) <= CHUNK
    assert sum(seen[:-1]) == rows


def test_the_search_treats_every_document_alike() -> None:
    """A document has the same candidates wherever it stands among others."""
    values, order = scores(), torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    found = find_candidates(DensePairs(values), taxonomy())
    assert torch.equal(find_candidates(DensePairs(values[order]), taxonomy()), found[order])


@pytest.mark.parametrize("size", [1, 100, ROWS])
def test_mining_by_gap_takes_some_documents_after_the_others(size: int) -> None:
    """In parts of any size the same core classes are found as in the whole matrix."""
    whole = find_core_classes_by_gap(scores(300), taxonomy(), 0.5)
    parts = iter(torch.split(scores(300), size))
    assert torch.equal(find_core_classes_by_gap(parts, taxonomy(), 0.5), whole)


def test_class_means_are_over_all_documents() -> None:
    """A pair without a score counts as 0, and the sums of many documents are exact."""
    values = scores()
    values[values > 0.9] = torch.nan
    expected = known_or_zero(values).double().mean(dim=0).float()
    assert torch.equal(class_means(values), expected)
    assert class_means(values).dtype == torch.float32
