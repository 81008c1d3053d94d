"""What TaxoClass's first stage costs with a large language inference model on one GPU.

    python -m benchmarks.taxoclass_cost [--data FOLDER]

Counted: how many pairs of a document and a class the candidate search asks for, and how many tokens
each has. From these and the sizes of a model follow the floating-point operations; from them and
what a GPU does in practice, the hours. Tokens are MiniLM's.
"""

from __future__ import annotations

from pathlib import Path

import click
from attrs import frozen
from torch import Tensor

from benchmarks.taxoclass_corpus import TEMPLATE
from benchmarks.taxoclass_corpus import asked_pairs
from benchmarks.taxoclass_corpus import pair_lengths
from benchmarks.taxoclass_corpus import read_texts
from toolkit_recipes.taxoclass.similarity import class_texts

MOST_PAIRS = 75
"""Pairs per document of Amazon-531, the search's budget."""
WHOLE_CORPUS = 49_145
"""Documents of Amazon-531, train and test, in the paper."""


@frozen
class Size:
    """How large a model is."""

    layers: int
    width: int

    @classmethod
    def read(cls, written: str) -> Size:
        """Read ``LAYERSxWIDTH``."""
        layers, width = written.split("x")
        return cls(int(layers), int(width))

    def operations(self, tokens: Tensor) -> float:
        """Floating-point operations of reading texts of so many tokens each, all together.

        Per layer and token 24 width**2 in the projections, and 4 width for each token that it
        attends to.
        """
        lengths = tokens.double()
        per_layer = 24 * self.width**2 * lengths + 4 * self.width * lengths**2
        return self.layers * float(per_layer.sum())


@frozen
class Gpu:
    """What a GPU does: its makers' figure for dense matrices, and the share that comes of it."""

    name: str
    teraflops: float
    share: float

    @property
    def per_second(self) -> float:
        """Floating-point operations per second in practice."""
        return self.teraflops * 1e12 * self.share


MODELS = {"roberta-base": Size(12, 768), "roberta-large": Size(24, 1024)}
GPUS = (Gpu("H100, bf16", 989, 0.4), Gpu("A6000, bf16", 155, 0.45), Gpu("L4, fp16", 121, 0.45))


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(data: Path | None) -> None:
    """Count, estimate, and print."""
    texts = read_texts(data)
    asked = asked_pairs(texts)
    count = len(texts.documents)
    mean = asked.sum().item() / count
    if mean > MOST_PAIRS:
        raise AssertionError(f"{mean:.1f} pairs per document, more than {MOST_PAIRS}")
    hypotheses = class_texts(texts.taxonomy.names, TEMPLATE)
    lengths = pair_lengths(texts.documents, hypotheses, asked.nonzero(as_tuple=True))
    print(
        f"{texts.name}: {count} documents, {mean:.1f} of {len(hypotheses)} classes asked for, "
        f"{lengths.double().mean():.0f} tokens per pair"
    )
    for name, size in MODELS.items():
        each = size.operations(lengths) / len(lengths)
        whole = each * mean * WHOLE_CORPUS
        hours = (f"{gpu.name} {whole / gpu.per_second / 3600:.2f} h" for gpu in GPUS)
        print(
            f"{name}: {each / 1e9:.1f} GFLOP per pair, {whole / 1e18:.3f} EFLOP for "
            f"{WHOLE_CORPUS} documents: {', '.join(hours)}"
        )


if __name__ == "__main__":
    main()
