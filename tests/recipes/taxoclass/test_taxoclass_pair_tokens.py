"""Rules of putting pairs together from the tokens of their texts."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from tests.recipes.taxoclass.nli import tokenizer_of
from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.pair_tokens import PairTokens

LONGEST = 24
CPU = torch.device("cpu")
WORDS = ["bread", "tea", "kayak", "a", "the", "of", "rolled", "board", "pool", "why?", "I'm", "é"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40), min_size=1, max_size=5)
BERT, ROBERTA = tokenizer_of("bert"), tokenizer_of("roberta")


def _with_layout(single: str, pair: str) -> PreTrainedTokenizerFast:
    """A tokenizer with special tokens somewhere else."""
    tokenizer = tokenizer_of("bert")
    special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=special
    )
    return tokenizer


TOKENIZERS = {
    "bert": BERT,
    "roberta": ROBERTA,
    "at the end": _with_layout("$A:0 [SEP]:0 [CLS]:2", "$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2"),
    "none": _with_layout("$A:0", "$A:0 $B:0"),
}


@pytest.mark.parametrize("family", TOKENIZERS)
@settings(max_examples=40)
@given(documents=TEXTS, classes=TEXTS)
def test_pairs_are_those_of_the_tokenizer(
    family: str, documents: list[list[str]], classes: list[list[str]]
) -> None:
    """Ids, token types and mask, padded to the longest, are what tokenising each pair gives."""
    tokenizer = TOKENIZERS[family]
    first = [" ".join(words) for words in documents]
    second = [" ".join(words[:5]) for words in classes]
    pairs = list(product(range(len(first)), range(len(second))))
    expected = tokenizer(
        [first[d] for d, _ in pairs],
        [second[c] for _, c in pairs],
        truncation="only_first",
        max_length=LONGEST,
        padding=True,
        return_tensors="pt",
    )
    tokens = PairTokens.read(first, second, tokenizer, LONGEST, tokenizer.pad_token_id)
    rows, columns = torch.tensor(pairs).T
    found = tokens.inputs(rows, columns, CPU)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
    assert torch.equal(tokens.lengths(rows, columns), expected["attention_mask"].sum(dim=1))


def test_a_class_text_without_room_for_a_document_is_refused() -> None:
    """The message names the text and both ways out."""
    names = ["tea", "bread " * 30]
    with pytest.raises(UsageError, match=r"max_length=24 leaves no room .* 'bread bread .*raise"):
        PairTokens.read(["tea"], names, BERT, LONGEST, 0)
