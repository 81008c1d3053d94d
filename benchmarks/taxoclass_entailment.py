"""TaxoClass's scores by a language inference model beside transformers' zero-shot pipeline.

    python -m benchmarks.taxoclass_entailment [--data FOLDER] [--model 6x384] [--threads 1]

Both read the same pairs, those that the candidate search asks for, with the same model in the same
process, in turns; the scores must agree to 1e-4. The pipeline is used as its documentation shows:
a call per document, with the names of its classes as candidate labels, each judged by itself, and
the batch size as it comes, which is 1. It reads no padding then, so that all that can be saved is
what a call costs beside the model's arithmetic, and small matrices beside large ones. Tokenising is
part of both times; loading isn't.

The last figure is what no exact way can pass: the model's arithmetic at the rate of its largest
matrix product. Weights are random, spread widely enough for the scores to differ. With one thread
time is CPU time of the process, with several or on a GPU it is wall-clock; medians are shown.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click
import torch
from accelerate import Accelerator
from attrs import frozen
from rich.console import Console
from torch import Tensor
from transformers import BertConfig
from transformers import BertForSequenceClassification
from transformers import pipeline

from benchmarks.taxoclass_corpus import LONGEST_PAIR
from benchmarks.taxoclass_corpus import TEMPLATE
from benchmarks.taxoclass_corpus import Texts
from benchmarks.taxoclass_corpus import asked_pairs
from benchmarks.taxoclass_corpus import minilm_tokenizer
from benchmarks.taxoclass_corpus import pair_lengths
from benchmarks.taxoclass_corpus import read_texts
from benchmarks.taxoclass_cost import Size
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import computes_in_bf16
from toolkit_recipes.taxoclass.entailment import EntailmentModel
from toolkit_recipes.taxoclass.entailment import EntailmentPairs
from toolkit_recipes.taxoclass.pair_cache import open_cache
from toolkit_recipes.taxoclass.presets import SimilarityConfig
from toolkit_recipes.taxoclass.similarity import class_texts

LABELS = {0: "entailment", 1: "not_entailment"}
HEAD = 32
"""Width of an attention head, as in MiniLM."""
AGREEMENT = 1e-4
PRODUCT_TOKENS, PRODUCT_OPERATIONS = 1024, 2e10
"""How many tokens are multiplied at once to find the fastest rate, and how much in a round."""


@frozen(eq=False)
class Work:
    """Pairs to be read, and with what."""

    folder: Path
    size: Size
    accelerator: Accelerator
    documents: Sequence[str]
    hypotheses: list[str]
    names: list[str]
    pairs: tuple[Tensor, Tensor]
    """Positions of documents and classes."""


def make_model(folder: Path, size: Size) -> None:
    """Save a model with random weights and MiniLM's tokenizer."""
    tokenizer = minilm_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // HEAD,
        intermediate_size=4 * size.width,
        max_position_embeddings=LONGEST_PAIR,
        initializer_range=0.1,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)


def usual(work: Work, zero_shot: Any) -> Tensor:
    """Score with the pipeline, a call per document."""
    documents, classes = work.pairs
    place = {name: c for c, name in enumerate(work.names)}
    scores = torch.full((len(work.documents), len(work.names)), torch.nan)
    template = TEMPLATE.replace("{name}", "{}")
    for d, text in enumerate(work.documents):
        labels = [work.names[c] for c in classes[documents == d].tolist()]
        answer = zero_shot(text, labels, hypothesis_template=template, multi_label=True)
        columns = [place[label] for label in answer["labels"]]
        scores[d, columns] = torch.tensor(answer["scores"])
    return scores[work.pairs]


def ours(work: Work, model: EntailmentModel) -> Tensor:
    """Score as the recipe does, with an empty cache."""
    texts = work.documents, work.hypotheses
    config = SimilarityConfig(max_length=LONGEST_PAIR)
    reporter = Reporter(Console(quiet=True))
    with open_cache(None, "benchmark", *texts, work.accelerator) as cache:
        scorer = EntailmentPairs.create(model, *texts, config, cache, work.accelerator, reporter)
        return scorer.score(*work.pairs)


def in_turns(
    ways: Mapping[str, Callable[[], Tensor]], rounds: int, clock: Callable[[], float]
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Return the median seconds of each way, and what it found, after a round to warm up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Tensor] = {}
    for name in list(ways) * (rounds + 1):
        start = clock()
        found[name] = ways[name]()
        took[name].append(clock() - start)
    return {name: statistics.median(times[1:]) for name, times in took.items()}, found


def sample(texts: Texts, count: int) -> Texts:
    """Choose documents whose lengths are spread as those of all are."""
    by_length = sorted(texts.documents, key=len)
    places = (int((i + 0.5) * len(by_length) / count) for i in range(count))
    return attrs.evolve(texts, documents=[by_length[place] for place in places])


def make_work(texts: Texts, size: Size, folder: Path) -> Work:
    """Make a model to read all pairs with that are asked for."""
    make_model(folder, size)
    documents, classes = asked_pairs(texts).nonzero(as_tuple=True)
    names = texts.taxonomy.names
    return Work(
        folder=folder,
        size=size,
        accelerator=Accelerator(mixed_precision="no"),
        documents=texts.documents,
        hypotheses=class_texts(names, TEMPLATE),
        names=class_texts(names, "{name}"),
        pairs=(documents, classes),
    )


def compare(work: Work, rounds: int, *, clock: Callable[[], float]) -> None:
    """Measure both ways and print them side by side."""
    device = work.accelerator.device
    zero_shot = pipeline("zero-shot-classification", str(work.folder), device=device)
    model = EntailmentModel.load(work.folder)
    ways = {"usual": partial(usual, work, zero_shot), "ours": partial(ours, work, model)}
    took, found = in_turns(ways, rounds, clock)
    apart = (found["usual"] - found["ours"]).abs().max().item()
    if not apart < AGREEMENT:
        raise AssertionError(f"the scores are up to {apart:.2g} apart")
    lengths = pair_lengths(work.documents, work.hypotheses, work.pairs)
    pairs, operations = len(lengths), work.size.operations(lengths)
    print(
        f"{work.size.layers} layers of {work.size.width}, {len(work.documents)} documents, {pairs} "
        f"pairs of {lengths.double().mean():.0f} tokens, scores {found['ours'].min():.2f} to "
        f"{found['ours'].max():.2f}, at most {apart:.0e} apart:"
    )
    for name, title in (("usual", "zero-shot pipeline"), ("ours", "ours")):
        rate = operations / took[name] / 1e9
        print(f"  {title}: {pairs / took[name]:.1f} pairs/s, {rate:.0f} GFLOP/s")
    fastest = product_rate(work.size.width, device, clock)
    most = fastest * took["usual"] / operations
    print(
        f"  {took['usual'] / took['ours']:.2f} times as fast; matrix products alone: "
        f"{fastest / 1e9:.0f} GFLOP/s, so at most {most:.1f} times"
    )


def product_rate(width: int, device: torch.device, clock: Callable[[], float]) -> float:
    """Return the floating-point operations per second of the widest product of a layer."""
    tokens = torch.ones(PRODUCT_TOKENS, width, device=device)
    weights = torch.ones(width, 4 * width, device=device)
    count = max(1, round(PRODUCT_OPERATIONS / (2 * tokens.numel() * 4 * width)))
    took = []
    for _ in range(3):
        start = clock()
        for _ in range(count):
            product = tokens @ weights
        product[0, 0].item()  # waits for a GPU
        took.append(clock() - start)
    return 2 * tokens.numel() * 4 * width * count / statistics.median(took)


def compare_formats(work: Work, rounds: int, *, clock: Callable[[], float]) -> None:
    """Measure ours in bf16 beside full precision, where the hardware computes in it."""
    model = EntailmentModel.load(work.folder)

    def half() -> Tensor:
        with torch.autocast(work.accelerator.device.type, torch.bfloat16):
            return ours(work, model)

    ways: dict[str, Callable[[], Tensor]] = {"full": partial(ours, work, model), "half": half}
    took, found = in_turns(ways, rounds, clock)
    apart = (found["full"] - found["half"]).abs().max().item()
    print(f"  in bf16 {took['full'] / took['half']:.2f} times that, up to {apart:.3f} apart")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model", "models", multiple=True, default=("2x32", "2x128", "6x384"), help="LAYERSxWIDTH"
)
@click.option("--documents", default=8, help="Documents whose pairs are read.")
@click.option("--rounds", default=3, help="Rounds that are measured.")
@click.option("--threads", default=1, help="Threads of the process.")
def main(
    data: Path | None, models: tuple[str, ...], documents: int, rounds: int, threads: int
) -> None:
    """Compare, and print."""
    torch.set_num_threads(threads)
    texts = sample(read_texts(data), documents)
    on_gpu = torch.cuda.is_available()
    clock = time.process_time if threads == 1 and not on_gpu else time.perf_counter
    for written in models:
        with tempfile.TemporaryDirectory() as folder:
            work = make_work(texts, Size.read(written), Path(folder))
            compare(work, rounds, clock=clock)
            if computes_in_bf16():
                compare_formats(work, rounds, clock=clock)


if __name__ == "__main__":
    main()
