"""A corpus of full size through stages 1 and 2 of TaxoClass, in a process of its own.

    python -m benchmarks.taxoclass_scale_worker prepare SHAPE DOCUMENTS WAY FOLDER
    python -m benchmarks.taxoclass_scale_worker measure SHAPE DOCUMENTS WAY FOLDER

``prepare`` puts generated vectors, or scores of pairs, into the recipe's cache; ``measure`` then
runs the recipe's stages on it and writes seconds and peaks of memory as JSON. Linux only: peaks are
read from /proc.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import attrs
import click
import torch
from accelerate import Accelerator
from attrs import frozen
from rich.console import Console
from torch import Tensor

import toolkit
from benchmarks.taxoclass_corpus import WIDTH
from benchmarks.taxoclass_corpus import Shape
from benchmarks.taxoclass_corpus import taxonomy_like
from benchmarks.taxoclass_cost import Size
from benchmarks.taxoclass_entailment import make_model
from toolkit_recipes.console import Reporter
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.storage import Tensors
from toolkit_recipes.taxoclass.candidates import complete_families
from toolkit_recipes.taxoclass.candidates import find_candidates
from toolkit_recipes.taxoclass.chunks import CHUNK
from toolkit_recipes.taxoclass.core_classes import mining_statistics
from toolkit_recipes.taxoclass.corpus import Corpus
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.evidence import Models
from toolkit_recipes.taxoclass.pair_cache import open_cache
from toolkit_recipes.taxoclass.pair_scores import DensePairs
from toolkit_recipes.taxoclass.pair_scores import PartialPairs
from toolkit_recipes.taxoclass.pipeline import Pipeline
from toolkit_recipes.taxoclass.presets import MiningConfig
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import paper
from toolkit_recipes.taxoclass.similarity import class_texts
from toolkit_recipes.taxoclass.similarity import cosine_similarity
from toolkit_recipes.taxoclass.similarity import similarity_statistics
from toolkit_recipes.taxoclass.taxonomy import Taxonomy

Way = Literal["gap", "paper", "entailment"]
"""Mining by gap or as in the paper, on cosines; or the paper's with entailment's scores cached."""
TRAIN_SHARE = 0.8
COMMON, BELONGING = 0.4, 1.2
"""Parts of a text's vector that all texts share, and that those of one class share."""
STEEPNESS, EVEN = 20.0, 0.35
"""How cosines become probabilities, and the cosine of an even one."""


@frozen
class Case:
    """A corpus, and what is done with it."""

    shape: Shape
    documents: int
    way: Way
    folder: Path

    def data(self) -> Dataset:
        """Short documents, each different, a fifth of them to test on."""
        taxonomy = taxonomy_like(self.shape)
        count = round(TRAIN_SHARE * self.documents)
        train, test = (_corpus(rows) for rows in (range(count), range(count, self.documents)))
        gold = torch.zeros(1, 1, dtype=torch.bool).expand(len(test), len(taxonomy))
        return Dataset(taxonomy, train, test, gold)

    def config(self) -> TaxoClassConfig:
        """The recipe's defaults or the paper's, with the test documents in stages 1 and 2."""
        config = paper() if self.way == "entailment" else TaxoClassConfig()
        if self.way == "paper":
            config = attrs.evolve(config, mining=MiningConfig(rule="paper"))
        return attrs.evolve(config, transductive=True, cache=str(self.folder / "cache"))

    def models(self) -> Models:
        """A model of the smallest size; it reads nothing but class names."""
        files = ModelFiles(self.folder / "model", "path")
        return Models(files, files if self.way == "entailment" else None)


@contextmanager
def stages_of(case: Case) -> Iterator[Pipeline]:
    """The recipe's stages, in a run that nobody is told of."""
    accelerator = Accelerator(mixed_precision="no")
    reporter = Reporter(Console(quiet=True))
    with toolkit.start_run(runs_dir=case.folder / "runs") as run:
        yield Pipeline.create(case.config(), case.data(), case.models(), accelerator, reporter, run)


def prepare(case: Case) -> None:
    """Fill the cache."""
    make_model(case.folder / "model", Size(layers=1, width=32))
    if case.way == "entailment":
        with stages_of(attrs.evolve(case, documents=10)) as small:
            small.compare()
        _write_pairs(case)
        return
    with stages_of(case) as stages:
        classes = class_vectors(len(stages.data.taxonomy))
        documents = partial(_documents, stages.data, classes)
        stages.cache.result(1, stages.documents_key, documents)
        names = {"classes": classes, "names": classes.clone()}
        stages.cache.result(1, stages.text_key, lambda: names)


def measure(case: Case) -> dict[str, float]:
    """Run stages 1 and 2; seconds, and megabytes beside those of the idle process."""
    with stages_of(case) as stages:
        peak_mb()
        idle, start = peak_mb(), time.perf_counter()
        evidence = stages.compare()
        statistics = similarity_statistics(evidence.similarity(evidence.corpus))
        stage1, between = peak_mb(), time.perf_counter()
        statistics |= mining_statistics(stages.mine(evidence))
        stage2, end = peak_mb(), time.perf_counter()
    return statistics | {
        "idle_mb": idle,
        "stage1_mb": stage1 - idle,
        "stage1_seconds": between - start,
        "stage2_mb": stage2 - idle,
        "stage2_seconds": end - between,
    }


def peak_mb() -> float:
    """Return the most memory of this process since the last call, and start again from now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return int(line.split()[1]) * 1024 / 1e6


def class_vectors(count: int) -> Tensor:
    """Vectors of class names: some of them near to all texts, as those of abstract names are."""
    generator = torch.Generator().manual_seed(1)
    hubs = torch.rand(count, 1, generator=generator) * 2 * COMMON
    return _unit(hubs * _common() + _noise(count, generator))


def document_vectors(rows: range, classes: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Vectors of some documents, each near to the classes of a path."""
    generator = torch.Generator().manual_seed(1000 + rows.start)
    leaves = torch.tensor(taxonomy.leaves)
    drawn = leaves[torch.randint(len(leaves), (len(rows),), generator=generator)].tolist()
    paths = [torch.tensor(taxonomy.paths_to(leaf)[0]) for leaf in drawn]
    own = torch.stack([classes[path].mean(dim=0) for path in paths])
    return _unit(COMMON * _common() + BELONGING * own + _noise(len(rows), generator))


def _documents(data: Dataset, classes: Tensor) -> Tensors:
    count = len(data.train)
    total = count + len(data.test)
    starts = range(0, total, CHUNK)
    parts = [range(start, min(start + CHUNK, total)) for start in starts]
    vectors = torch.cat([document_vectors(rows, classes, data.taxonomy) for rows in parts])
    return {
        "train.vectors": vectors[:count].clone(),
        "test.vectors": vectors[count:].clone(),
    }


def _write_pairs(case: Case) -> None:
    """Write the scores that the search will ask for to the file that the recipe reads them from."""
    data, config = case.data(), case.config()
    taxonomy = data.taxonomy
    (file,) = Path(str(config.cache)).glob("entailment-*.sqlite")
    texts = [*data.train.texts, *data.test.texts]
    hypotheses = class_texts(taxonomy.names, config.similarity.template, taxonomy.terms)
    classes = class_vectors(len(taxonomy))
    key = file.stem.removeprefix("entailment-")
    with open_cache(file.parent, key, texts, hypotheses, Accelerator()) as cache:
        for start in range(0, len(texts), CHUNK):
            rows = range(start, min(start + CHUNK, len(texts)))
            vectors = document_vectors(rows, classes, taxonomy)
            scores = ((cosine_similarity(vectors, classes) - EVEN) * STEEPNESS).sigmoid()
            asked = PartialPairs.none_of(DensePairs(scores), len(taxonomy))
            complete_families(asked, find_candidates(asked, taxonomy), taxonomy)
            documents, found = (~asked.matrix.isnan()).nonzero(as_tuple=True)
            cache.write(documents + start, found, scores[documents, found])


def _corpus(rows: range) -> Corpus:
    return Corpus(tuple(map(str, rows)), tuple(f"document {row} about something" for row in rows))


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def _noise(count: int, generator: torch.Generator) -> Tensor:
    return _unit(torch.randn(count, WIDTH, generator=generator))


def _common() -> Tensor:
    return _noise(1, torch.Generator().manual_seed(2))


@click.command()
@click.argument("task", type=click.Choice(["prepare", "measure"]))
@click.argument("shape", type=click.Choice(["amazon", "dbpedia"]))
@click.argument("documents", type=int)
@click.argument("way", type=click.Choice(["gap", "paper", "entailment"]))
@click.argument("folder", type=click.Path(path_type=Path))
def main(task: str, shape: Shape, documents: int, way: Way, folder: Path) -> None:
    """Prepare or measure."""
    case = Case(shape, documents, way, folder)
    if task == "prepare":
        prepare(case)
    else:
        print(json.dumps(measure(case)))


if __name__ == "__main__":
    main()
