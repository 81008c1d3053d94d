"""Pairs of two texts as a language inference model reads them, put together from token ids.

A document is in some seventy pairs and a class in thousands. Each text is tokenised once, and the
ids of a pair are those of its texts between the special tokens of the tokenizer. Where these stand
is learned from the tokenizer's own encoding of a pair, so that it holds for every family: ``[CLS] a
[SEP] b [SEP]`` with token types, ``<s> a </s></s> b </s>`` without, or none at all.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from attrs import field
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from toolkit.errors import UsageError

Ids = NDArray[np.int32]

TOKENISED_AT_ONCE = 1024
PROBE = ("The first text is this one.", "And here stands another.")


@frozen
class TokenisedTexts:
    """Token ids of texts, one after the other: 4 bytes per token."""

    ids: Ids
    starts: NDArray[np.int64]
    """[texts + 1]: where each text begins, and where the last one ends."""

    @classmethod
    def read(
        cls, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, longest: int
    ) -> TokenisedTexts:
        """Tokenise texts without special tokens, and cut each at ``longest``."""
        ids, lengths = array("i"), array("q", [0])
        for start in range(0, len(texts), TOKENISED_AT_ONCE):
            chunk = list(texts[start : start + TOKENISED_AT_ONCE])
            encoded = _tokenise(tokenizer, chunk, truncation=True, max_length=longest)
            for text in encoded["input_ids"]:
                ids.extend(text)
                lengths.append(len(text))
        return cls(np.asarray(ids), np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Ids:
        """Return the token ids of a text."""
        return self.ids[self.starts[row] : self.starts[row + 1]]

    def lengths(self) -> Tensor:
        """Return how many tokens each text has [texts]."""
        return torch.from_numpy(np.diff(self.starts))


@frozen
class PairLayout:
    """The special tokens around the texts of a pair, and the token types; see :meth:`of`."""

    before: Ids
    between: Ids
    after: Ids
    types: tuple[Ids, int, Ids, int, Ids] | None
    """Token types of ``before``, the first text, ``between``, the second and ``after``; None for a
    model that has no token types."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> PairLayout:
        """Learn the layout from a pair that the tokenizer puts together itself.

        Raises:
            UsageError: the texts of a pair aren't tokenised as they are alone.
        """
        encoded = tokenizer(*PROBE)
        whole: list[int] = encoded["input_ids"]
        first, second = (ids for ids in _tokenise(tokenizer, list(PROBE))["input_ids"])
        a = _find(first, whole, 0)
        b = _find(second, whole, a + len(first))
        if min(a, b) < 0:
            raise UsageError(
                f"{type(tokenizer).__name__} of {tokenizer.name_or_path} tokenises the texts of a "
                "pair differently than alone; use another similarity.model"
            )
        bounds = [0, a, a + len(first), b, b + len(second), len(whole)]
        before, _, between, _, after = _cut(whole, bounds)
        types = encoded.get("token_type_ids")
        if types is None:
            return cls(before, between, after, None)
        t0, t1, t2, t3, t4 = _cut(types, bounds)
        return cls(before, between, after, (t0, int(t1[0]), t2, int(t3[0]), t4))

    @property
    def specials(self) -> int:
        """Special tokens of a pair."""
        return len(self.before) + len(self.between) + len(self.after)

    def types_of(self, first: int, second: int) -> Ids:
        """Return the token types of a pair whose texts have so many tokens."""
        if self.types is None:
            raise ValueError("this layout has no token types")
        before, of_first, between, of_second, after = self.types
        texts = [np.full(first, of_first, np.int32), np.full(second, of_second, np.int32)]
        return np.concatenate([before, texts[0], between, texts[1], after])


@frozen(eq=False)
class PairTokens:
    """Documents and classes, tokenised, of which any pair can be put together; see :meth:`read`.

    A pair that is too long loses the end of its document, never anything of its class.
    """

    documents: TokenisedTexts
    classes: TokenisedTexts
    layout: PairLayout
    padding: int
    longest: int
    """Tokens of a pair, special ones included."""
    _document_lengths: Tensor = field(repr=False)
    _class_lengths: Tensor = field(repr=False)

    @classmethod
    def read(
        cls,
        documents: Sequence[str],
        classes: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        longest: int,
        padding: int,
    ) -> PairTokens:
        """Tokenise all texts.

        Args:
            documents: first texts of pairs.
            classes: second texts.
            tokenizer: of the model.
            longest: tokens of a pair.
            padding: id that fills up shorter pairs.

        Raises:
            UsageError: a class text leaves no room for a document.
        """
        layout = PairLayout.of(tokenizer)
        first = TokenisedTexts.read(documents, tokenizer, longest)
        second = TokenisedTexts.read(classes, tokenizer, longest)
        lengths = second.lengths()
        most = int(lengths.argmax())
        if int(lengths[most]) + layout.specials >= longest:
            raise UsageError(
                f"similarity.max_length={longest} leaves no room for a document beside the class "
                f"text {classes[most]!r}; raise it, or shorten similarity.template or the name"
            )
        return cls(first, second, layout, padding, longest, first.lengths(), lengths)

    def lengths(self, documents: Tensor, classes: Tensor) -> Tensor:
        """Return how many tokens each pair has [pairs]."""
        whole = self._document_lengths[documents] + self._class_lengths[classes]
        return (whole + self.layout.specials).clamp(max=self.longest)

    def inputs(self, documents: Tensor, classes: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return the model's arguments for pairs, padded at the end to the longest of them.

        Returns:
            ``input_ids`` and ``attention_mask``, and ``token_type_ids`` where the model has them,
            each int64 [pairs, longest].
        """
        layout, lengths = self.layout, self.lengths(documents, classes)
        shape = (len(documents), int(lengths.max()))
        ids = np.full(shape, self.padding, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64) if layout.types else None
        pairs = zip(documents.tolist(), classes.tolist(), lengths.tolist(), strict=True)
        for place, (document, class_, length) in enumerate(pairs):
            second = self.classes[class_]
            first = self.documents[document][: length - len(second) - layout.specials]
            ids[place, :length] = np.concatenate(
                [layout.before, first, layout.between, second, layout.after]
            )
            if types is not None:
                types[place, :length] = layout.types_of(len(first), len(second))
        found = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": (torch.arange(shape[1]) < lengths[:, None]).long(),
        }
        if types is not None:
            found["token_type_ids"] = torch.from_numpy(types)
        return {name: tensor.to(device) for name, tensor in found.items()}


def _tokenise(tokenizer: PreTrainedTokenizerBase, texts: list[str], **options: Any) -> Any:
    return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, **options)


def _find(part: Sequence[int], whole: Sequence[int], start: int) -> int:
    """Return where a part begins in the whole, at or after ``start``; -1 if it isn't there."""
    places = range(start, len(whole) - len(part) + 1)
    return next((i for i in places if list(whole[i : i + len(part)]) == list(part)), -1)


def _cut(values: Sequence[int], bounds: Sequence[int]) -> list[Ids]:
    return [np.array(values[a:b], dtype=np.int32) for a, b in itertools.pairwise(bounds)]
