"""What TaxoClass is measured with: a data folder, or a corpus generated in its likeness.

The shapes are those of the corpora of the papers: classes per level of Amazon-531 and of
DBPedia-298, with a few large families among many small ones. Words come from the sample that ships
with the recipe, common ones more often than rare ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer
from transformers import PreTrainedTokenizerBase

from toolkit_recipes.taxoclass.candidates import complete_families
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import PartialPairs
from toolkit_recipes.taxoclass.pair_tokens import PairTokens
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

TEMPLATE = "this document is about {name}"
LONGEST_PAIR = 512
"""Tokens of a document and a class."""
Shape = Literal["amazon", "dbpedia"]
WIDTH = 384
"""Of MiniLM's vectors."""
LEVELS: dict[Shape, tuple[int, ...]] = {"amazon": (6, 64, 461), "dbpedia": (9, 70, 219)}
"""Classes per level."""
SECOND_PARENTS = {"amazon": 25, "dbpedia": 0}
"""Classes with two parents."""
WORDS_PER_DOCUMENT, SPREAD, LONGEST = 120, 0.7, 800
"""Mean of the words of a document, the standard deviation of their logarithm, and the most."""


@frozen
class Texts:
    """Documents without labels, and where they belong."""

    name: str
    taxonomy: Taxonomy
    documents: Sequence[str]


def read_texts(folder: Path | None) -> Texts:
    """Read all documents of a data folder; without one, make 2,000 in Amazon-531's likeness."""
    if folder is None:
        return Texts("generated", taxonomy_like("amazon"), generated_documents(2000))
    data = read_dataset(folder)
    return Texts(folder.name, data.taxonomy, [*data.train.texts, *data.test.texts])


def taxonomy_like(shape: Shape) -> Taxonomy:
    """Make a taxonomy of that shape; the same one each time."""
    rng = np.random.default_rng(5)
    words = sample_words()
    levels = np.split(np.arange(sum(LEVELS[shape])), np.cumsum(LEVELS[shape])[:-1])
    edges = {
        (int(parent), int(child))
        for above, below in itertools.pairwise(levels)
        for parent, child in zip(_parents(len(below), above, rng), below, strict=True)
    }
    twice = rng.choice(levels[-1], SECOND_PARENTS[shape], replace=False)
    edges |= {(int(rng.choice(levels[-2])), int(child)) for child in twice}
    count = sum(LEVELS[shape])
    names = [f"{words[i % len(words)]}_{words[i * 7 % len(words)]}_{i}" for i in range(count)]
    return build([str(i) for i in range(count)], names, sorted(edges))


def _parents(count: int, above: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Each class of the level above has a child, and some have many."""
    weights = rng.pareto(1.5, len(above)) + 0.2
    others = rng.choice(above, count - len(above), p=weights / weights.sum())
    return np.concatenate([above, others])


def generated_documents(count: int) -> list[str]:
    """Make documents with lengths as widely spread as those of reviews; the same each time."""
    rng = np.random.default_rng(6)
    words = np.array(sample_words())
    shares = 1 / np.arange(2, len(words) + 2)
    mean = np.log(WORDS_PER_DOCUMENT) - SPREAD**2 / 2
    lengths = rng.lognormal(mean, SPREAD, count).clip(5, LONGEST).astype(int)
    drawn = rng.choice(words, lengths.sum(), p=shares / shares.sum())
    return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def sample_words() -> list[str]:
    """The words of the sample's documents, most frequent first."""
    written = " ".join(read_dataset(SAMPLE).train.texts).lower().split()
    words, counts = np.unique([word for word in written if word.isalpha()], return_counts=True)
    return [str(word) for word in words[np.argsort(-counts, kind="stable")]]


def asked_pairs(texts: Texts) -> Tensor:
    """Which pairs the search and the mining of the paper ask for: boolean [documents, classes].

    Words that a document and a class name have in common, and some noise, stand for scores of a
    language inference model. How many pairs are asked for depends on the taxonomy far more than on
    the scores.
    """
    names = [frozenset(name.lower().split("_")) for name in texts.taxonomy.names]
    written = [frozenset(text.lower().split()) for text in texts.documents]
    found = torch.tensor([[len(n & words) / len(n) for n in names] for words in written])
    noise = torch.rand(found.shape, generator=torch.Generator().manual_seed(0))
    asked = PartialPairs.none_of(DensePairs((found + noise) / 2), len(names))
    candidates = find_candidates(asked, texts.taxonomy)
    complete_families(asked, candidates, texts.taxonomy)
    return ~asked.matrix.isnan()


def pair_lengths(
    documents: Sequence[str], hypotheses: Sequence[str], pairs: tuple[Tensor, ...]
) -> Tensor:
    """Return how many of MiniLM's tokens each pair has [pairs]."""
    tokens = PairTokens.read(documents, hypotheses, minilm_tokenizer(), LONGEST_PAIR, padding=0)
    return tokens.lengths(*pairs)


def minilm_tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of the recipe's encoder, set to read long texts."""
    folder = find_encoder("all-MiniLM-L6-v2").folder
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, model_max_length=LONGEST_PAIR
    )
    return tokenizer
