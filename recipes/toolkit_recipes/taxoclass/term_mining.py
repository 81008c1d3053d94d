"""Key terms of classes, mined from documents that seem to belong to them.

A term tells a class from the others where more of its documents have it than documents have
elsewhere. It scores P(t | c) log(P(t | c) / P(t)), its part in the Kullback-Leibler divergence of
the words of the class from those of the corpus: rare terms count little, and so do common ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor

from toolkit_recipes.taxoclass.key_terms import Terms

MOST_DOCUMENTS = 20_000
"""Documents looked at; more would change the terms little, and take gigabytes."""
FEWEST_DOCUMENTS = 3
"""Documents of the corpus that must have a term."""
MOST_COMMON = 0.5
"""Share of the documents above which a term says nothing."""
SMOOTHING = 0.5
"""Documents that each class is thought to have more, worded as the corpus is."""
WORDS = r"(?u)\b[^\W\d_]{3,}\b"
"""A word: three letters or more, of any script, without digits."""


def mine_terms(texts: Sequence[str], members: Tensor, count: int) -> list[Terms]:
    """Return the terms, of one or two words, that tell each class from the others.

    Args:
        texts: of the documents.
        members: boolean [documents, classes], what each document seems to belong to.
        count: most terms of a class; there are fewer where fewer tell it apart.

    Returns:
        The best terms first, for each class.
    """
    step = -(-len(texts) // MOST_DOCUMENTS)
    counted = _count(texts[::step])
    if counted is None:
        return [()] * members.shape[1]
    present, terms = counted
    owners = members[::step].numpy().astype(np.float32)
    together = np.asarray((present.T @ owners).T)
    scores = _scores(together, owners.sum(axis=0), np.asarray(present.mean(axis=0)).ravel())
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return [
        tuple(str(terms[t]) for t in of_class if row[t] > 0)
        for of_class, row in zip(best, scores, strict=True)
    ]


def _count(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.str_]] | None:
    """Return which documents have which terms; None where no term is common to a few."""
    counter = CountVectorizer(
        min_df=FEWEST_DOCUMENTS,
        max_df=MOST_COMMON,
        ngram_range=(1, 2),
        token_pattern=WORDS,
        binary=True,
        dtype=np.float32,
    )
    try:
        present = counter.fit_transform(texts)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None
    return present, counter.get_feature_names_out()


def _scores(
    together: NDArray[np.float32], sizes: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Score each class and term, 0 where fewer than two documents of the class have the term."""
    within = (together + SMOOTHING * share) / (sizes[:, None] + SMOOTHING)
    scores: NDArray[np.float32] = within * np.log(within / share)
    scores[together < 2] = 0
    return scores
