"""Corpora of full size through stages 1 and 2 of TaxoClass: time and memory, and how both grow.

    python -m benchmarks.taxoclass_scale [--way gap] [--part 4]

The corpora have the classes of Amazon-531 and DBPedia-298 and as many documents, a quarter and a
half of them too. Vectors of documents, or scores of pairs, are generated beforehand and put into
the recipe's cache, so that the figures are those of everything but the models. Each corpus has a
process of its own; memory is the peak beside what the process had before the first stage.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.taxoclass_corpus import LEVELS
from benchmarks.taxoclass_corpus import WIDTH
from benchmarks.taxoclass_corpus import Shape

DOCUMENTS: dict[Shape, int] = {"amazon": 49_145, "dbpedia": 245_832}
"""Train and test documents of the whole corpora, as the papers have them."""
WAYS = {
    "gap": "cosines, by gap",
    "paper": "cosines, the paper's mining",
    "entailment": "entailment, the paper's mining",
}
PARTS = (4, 2, 1)
LIMIT_SECONDS = 20 * 60
OTHER_MB = 150
"""Memory for all but the vectors, twice, and matrices of all pairs, two and two boolean ones."""
ROOT = Path(__file__).resolve().parents[1]


def measure(shape: Shape, documents: int, way: str) -> dict[str, float]:
    """Prepare a corpus and measure it, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [shape, str(documents), way, folder]
        _work("prepare", arguments)
        found: dict[str, float] = json.loads(_work("measure", arguments).splitlines()[-1])
    return found


def _work(task: str, arguments: Sequence[str]) -> str:
    command = [sys.executable, "-m", "benchmarks.taxoclass_scale_worker", task, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def show(shape: Shape, documents: int, way: str) -> None:
    """Measure a corpus, and print a line."""
    classes = sum(LEVELS[shape])
    found: dict[str, Any] = measure(shape, documents, way)
    seconds = found["stage1_seconds"] + found["stage2_seconds"]
    if seconds > LIMIT_SECONDS:
        raise AssertionError(f"{seconds:.0f} s, more than {LIMIT_SECONDS}")
    matrix, peak = documents * classes * 4 / 1e6, max(found["stage1_mb"], found["stage2_mb"])
    vectors = documents * WIDTH * 4 / 1e6
    if peak > 2 * vectors + 2.5 * matrix + OTHER_MB:
        raise AssertionError(f"{peak:.0f} MB for matrices of {matrix:.0f} MB")
    print(
        f"{documents} x {classes}, {WAYS[way]}, {matrix:.0f} MB a matrix: "
        f"stage 1 {found['stage1_seconds']:.1f} s, {found['stage1_mb']:.0f} MB; "
        f"stage 2 {found['stage2_seconds']:.1f} s, {found['stage2_mb']:.0f} MB; "
        f"{found['stage2/total_docs_with_core']} documents with a core class",
        flush=True,
    )


@click.command()
@click.option("--way", "ways", type=click.Choice(list(WAYS)), multiple=True, default=list(WAYS))
@click.option("--part", "parts", multiple=True, default=PARTS, help="Divisor of the documents.")
def main(ways: Sequence[str], parts: Sequence[int]) -> None:
    """Measure, and print."""
    for shape, whole in DOCUMENTS.items():
        for way in ways:
            for part in parts:
                show(shape, whole // part, way)


if __name__ == "__main__":
    main()
