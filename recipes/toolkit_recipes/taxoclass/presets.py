"""The configuration of the TaxoClass recipe and its presets."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Literal

from attrs import Attribute
from attrs import field
from attrs import frozen
from attrs import validators

from toolkit_recipes.config import option


def _has_name(_instance: object, attribute: Attribute[Any], value: str) -> None:
    if "{name}" not in value:
        raise ValueError(f"'{attribute.name}' must contain {{name}}, where the class name goes")


@frozen
class EncoderConfig:
    """The encoder of documents and class names."""

    model: str = option(
        "sentence-transformers/all-MiniLM-L6-v2", "folder or Hugging Face name of the text encoder"
    )
    max_length: int = option(128, "word pieces read of each document", check=validators.ge(8))
    batch_size: int = option(16, "documents encoded at once", check=validators.gt(0))


@frozen
class SimilarityConfig:
    """Stage 1."""

    template: str = option("{name}", "text that stands for a class", check=_has_name)


@frozen
class SearchConfig:
    """Stage 2."""

    scores: Literal["propagated", "similarity"] = option(
        "propagated",
        "what the candidate search walks on: similarities raised to the best descendant's, or as "
        "they are (the paper)",
    )


@frozen
class DecodeConfig:
    """The zero-shot classifier."""

    propagation: float = option(
        0.5,
        "score of an inner class: 0 its own, 1 its best descendant's, between them in between",
        check=validators.and_(validators.ge(0), validators.le(1)),
    )


@frozen
class TaxoClassConfig:
    """Everything that ``recipes/taxoclass.py`` can be told."""

    data: str | None = option(None, "folder with taxonomy and documents; none: the shipped sample")
    seed: int = option(42, "seed of all random numbers", check=validators.ge(0))
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the encoder; auto: bf16 where the hardware computes in it"
    )
    encoder: EncoderConfig = field(factory=EncoderConfig)
    similarity: SimilarityConfig = field(factory=SimilarityConfig)
    search: SearchConfig = field(factory=SearchConfig)
    decode: DecodeConfig = field(factory=DecodeConfig)


def quick() -> TaxoClassConfig:
    """MiniLM and short texts: minutes on two cores. The default."""
    return TaxoClassConfig()


def thorough() -> TaxoClassConfig:
    """MiniLM reading texts to the length it was trained for."""
    return TaxoClassConfig(encoder=EncoderConfig(max_length=256))


PRESETS: Mapping[str, Callable[[], TaxoClassConfig]] = {"quick": quick, "thorough": thorough}
