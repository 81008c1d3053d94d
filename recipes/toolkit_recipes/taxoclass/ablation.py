"""What each part of the method is worth: a configuration, and others that differ in one thing."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from types import MappingProxyType

from attrs import field
from attrs import frozen
from attrs import validators

from toolkit.errors import UsageError
from toolkit_recipes.config import changed
from toolkit_recipes.config import option
from toolkit_recipes.taxoclass.presets import PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import best
from toolkit_recipes.taxoclass.presets import check_together


@frozen
class Variant:
    """A configuration that differs from the one that it is compared with in one thing."""

    name: str
    settings: tuple[str, ...]
    """``key=value`` words."""


VARIANTS: Mapping[str, tuple[Variant, ...]] = MappingProxyType(
    {
        "mining": (
            Variant("paper's, raw walk", ("mining.rule=paper", "search.scores=similarity")),
            Variant("paper's, propagated walk", ("mining.rule=paper", "search.scores=propagated")),
            Variant(
                "confident, propagated walk",
                ("mining.rule=confidence", "search.scores=propagated"),
            ),
            Variant("gap, half of the documents", ("mining.rule=gap", "mining.share=0.5")),
            Variant("gap, all documents", ("mining.rule=gap", "mining.share=1.0")),
        ),
        "views": (
            Variant("name", ("similarity.template={name}",)),
            Variant("path", ("similarity.template={path}",)),
            Variant("name and parent", ("similarity.template={name} | {name}, {parent}",)),
        ),
        "gnn": (
            Variant("none", ("classifier.gnn_num_layers=0",)),
            Variant("GCN, two layers", ("classifier.gnn_num_layers=2",)),
            Variant("GAT", ("classifier.gnn=gat",)),
            Variant("SAGE", ("classifier.gnn=sage",)),
            Variant("GCN, not residual", ("classifier.residual=false",)),
        ),
        "self-training": (Variant("none", ("self_training.iterations=0",)),),
        "inner classes": (
            Variant("by their own score", ("decode.propagation=0.0",)),
            Variant("half by their best below", ("decode.propagation=0.5",)),
            Variant("by their best below", ("decode.propagation=1.0",)),
        ),
        "decoding": (Variant("classifier alone", ("decode.zero_shot_weight=0.0",)),),
    }
)
"""Variants by the part that they change.

How inner classes are scored counts in mining, in the terms and in decoding alike."""


@frozen
class AblationConfig:
    """Everything that ``recipes/taxoclass_ablation.py`` can be told."""

    parts: tuple[str, ...] = option(
        tuple(VARIANTS),
        "parts of the method to change",
        check=validators.deep_iterable(validators.in_(VARIANTS)),
    )
    unchanged: TaxoClassConfig = field(factory=best)


def _comparison(preset: Callable[[], TaxoClassConfig]) -> Callable[[], AblationConfig]:
    def make() -> AblationConfig:
        return AblationConfig(unchanged=preset())

    make.__doc__ = preset.__doc__
    return make


COMPARISONS: Mapping[str, Callable[[], AblationConfig]] = MappingProxyType(
    {name: _comparison(preset) for name, preset in PRESETS.items()}
)
"""What is compared with, by the name of its preset."""


def configurations(
    unchanged: TaxoClassConfig, parts: Sequence[str]
) -> list[tuple[str, TaxoClassConfig]]:
    """Return the names and configurations of what is to be compared, the unchanged one first.

    Raises:
        UsageError: a variant can't be had of this configuration.
    """
    found = []
    for variant in variants(parts):
        varied = changed(unchanged, variant.settings)
        try:
            check_together(varied)
        except UsageError as error:
            raise UsageError(
                f"variant {variant.name!r}: {error}; or leave it out, with parts=..."
            ) from None
        found.append((variant.name, varied))
    return found


def variants(parts: Sequence[str]) -> list[Variant]:
    """Return the unchanged configuration and the variants of some parts."""
    named = [
        Variant(f"{part}: {variant.name}", variant.settings)
        for part in parts
        for variant in VARIANTS[part]
    ]
    return [Variant("unchanged", ()), *named]
