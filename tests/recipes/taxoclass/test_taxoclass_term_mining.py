"""Rules of terms that are mined from documents."""

from __future__ import annotations

import torch

from toolkit_recipes.taxoclass.term_mining import mine_terms

FILLER = ["lorem", "ipsum", "dolor", "amet", "consectetur", "adipiscing", "elit", "tempor"]
TOPICS = {
    "baking": "sourdough starter rises in the oven",
    "sailing": "the skipper trims the mainsail",
    "chess": "white castles and wins the bishop pair",
}
TEXTS = [
    f"{TOPICS[topic]} {FILLER[i % len(FILLER)]} {FILLER[(3 * i) % len(FILLER)]}"
    for i in range(60)
    for topic in TOPICS
]
MEMBERS = torch.eye(3, dtype=torch.bool).repeat(60, 1)


def test_terms_are_those_that_tell_a_class_from_the_others() -> None:
    """Words of one class alone, before words of two and never a word that all have."""
    with_more = TEXTS + [f"{word} alone" for word in FILLER for _ in range(30)]
    members = torch.cat([MEMBERS, torch.zeros(len(with_more) - len(TEXTS), 3, dtype=torch.bool)])
    for found, text in zip(mine_terms(with_more, members, 4), TOPICS.values(), strict=True):
        assert len(found) == 4
        assert all(word in text.split() for term in found for word in term.split())
        assert "the" not in found


def test_classes_without_documents_have_no_terms() -> None:
    """Nothing is known of them, and the prior isn't theirs."""
    members = torch.cat([MEMBERS[:, :2], torch.zeros(len(TEXTS), 1, dtype=torch.bool)], dim=1)
    assert mine_terms([*TEXTS, *["something else entirely"] * 400], _longer(members), 5)[2] == ()


def test_a_term_that_one_document_has_is_no_term() -> None:
    """At least two documents of the class must have it, however telling it looks."""
    texts = [*TEXTS, "zugzwang alone", *["something else entirely"] * 400]
    members = torch.zeros(len(texts), 3, dtype=torch.bool)
    members[: len(TEXTS)] = MEMBERS
    members[len(TEXTS), 2] = True
    assert all("zugzwang" not in term for term in mine_terms(texts, members, 50)[2])


def test_documents_without_any_common_word_give_no_terms() -> None:
    """Not an error: some corpora are that small."""
    assert mine_terms(["one", "two", "three"], torch.ones(3, 2, dtype=torch.bool), 5) == [(), ()]


def test_the_same_documents_give_the_same_terms() -> None:
    """Also where scores are equal: the order of the vocabulary decides."""
    assert mine_terms(TEXTS, MEMBERS, 10) == mine_terms(TEXTS, MEMBERS, 10)


def _longer(members: torch.Tensor) -> torch.Tensor:
    return torch.cat([members, torch.zeros(400, 3, dtype=torch.bool)])
