"""Random taxonomies and scores for property tests."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build


@st.composite
def taxonomies(draw: st.DrawFn, max_classes: int = 12) -> Taxonomy:
    """Draw an acyclic graph whose positions say nothing about the levels."""
    count = draw(st.integers(1, max_classes))
    place = draw(st.permutations(range(count)))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    edges = [(place[a], place[b]) for a, b in chosen]
    return build([f"id{c}" for c in range(count)], [f"class {c}" for c in range(count)], edges)


@st.composite
def scored_taxonomies(draw: st.DrawFn, max_documents: int = 5) -> tuple[Taxonomy, torch.Tensor]:
    """Draw a taxonomy and scores [documents, classes] in [-1, 1], all different."""
    taxonomy = draw(taxonomies())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(1, max_documents)), len(taxonomy))
    return taxonomy, torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
