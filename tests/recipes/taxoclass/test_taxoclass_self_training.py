"""Rules of self-training."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from attrs import field
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

import toolkit
from toolkit.events import Metrics
from toolkit.journal import events_of
from toolkit.run import Run
from toolkit.rundir import RunDir
from toolkit_recipes.console import Reporter
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import Tensors
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.classifier import ClassMatcher
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import Schedule
from toolkit_recipes.taxoclass.learner import StepOptions
from toolkit_recipes.taxoclass.learner import VectorDocuments
from toolkit_recipes.taxoclass.learner import masked_bce
from toolkit_recipes.taxoclass.learner import shuffled_batches
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.presets import SelfTrainingConfig
from toolkit_recipes.taxoclass.self_training import Progress
from toolkit_recipes.taxoclass.self_training import SelfTraining
from toolkit_recipes.taxoclass.self_training import divergence
from toolkit_recipes.taxoclass.self_training import entropy
from toolkit_recipes.taxoclass.self_training import target_distribution
from toolkit_recipes.taxoclass.taxonomy import build
from toolkit_recipes.taxoclass.training import Journal

PROBABILITIES = st.floats(0.001, 0.999)
TREE = build("abcdefgh", "abcdefgh", [(0, 1), (0, 2), (3, 4), (3, 5), (3, 6)])
FIRST_STEP = 100
SILENT = Run("none", None, lambda status: None)


@given(st.lists(st.tuples(PROBABILITIES, PROBABILITIES), min_size=1, max_size=6))
def test_targets_are_squared_probabilities_over_class_frequency(
    pairs: list[tuple[float, float]],
) -> None:
    """Eq. 10, entry by entry: the "yes" part of both parts, each squared and divided."""
    p, f = (torch.tensor(values, dtype=torch.float64) for values in zip(*pairs, strict=True))
    found = target_distribution(p[None], f)[0].tolist()
    for q, (probability, frequency) in zip(found, pairs, strict=True):
        yes = probability**2 / frequency
        no = (1 - probability) ** 2 / (1 - frequency)
        assert math.isclose(q, yes / (yes + no), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("frequency", "turning_point"), [(0.002, 0.043), (0.01, 0.091), (0.25, 0.366)]
)
def test_rare_classes_are_raised(frequency: float, turning_point: float) -> None:
    """Q is one half where the odds of p are the root of the odds of f."""
    q = target_distribution(torch.tensor([[turning_point]]), torch.tensor([frequency]))
    assert abs(q.item() - 0.5) < 0.01


@given(st.lists(st.tuples(PROBABILITIES, PROBABILITIES), min_size=1, max_size=6))
def test_divergence_is_over_yes_and_no(pairs: list[tuple[float, float]]) -> None:
    """KL(q || p) = q log(q/p) + (1-q) log((1-q)/(1-p)), summed over classes, never below zero."""
    q, p = (torch.tensor([values], dtype=torch.float64) for values in zip(*pairs, strict=True))
    found = divergence(masked_bce(torch.logit(p), q).sum().item(), q)
    terms = [a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in pairs]
    assert math.isclose(found, sum(terms), rel_tol=1e-6, abs_tol=1e-8)
    assert found > -1e-8


@pytest.mark.parametrize("function", [entropy, lambda p: target_distribution(p, p)])
def test_certainty_gives_no_nan(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Probabilities of exactly 0 and 1 have finite results."""
    assert function(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


@frozen
class Watched(VectorDocuments):
    """Documents that remember which of them were read, call by call."""

    read: list[list[int]] = field(factory=list)

    def inputs(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return vectors [documents, width]."""
        self.read.append(list(rows))
        return VectorDocuments.inputs(self, rows, device)


def _self_training(
    rate: float,
    run: Run = SILENT,
    folder: Path | None = None,
    documents: int = 10,
    **config: float,
) -> SelfTraining:
    """A small classifier, the same one each time, that is about to teach itself."""
    torch.manual_seed(0)
    features, vectors = torch.randn(8, 8), torch.randn(documents, 8)
    scales = ClassifierConfig(dropout=0.0, initial_scale=1.0, initial_bias=-1.0)
    matcher = ClassMatcher(8, features, both_directions(TREE), scales)
    options = StepOptions(Schedule(rate, rate, steps=1, falls=False), seed=1)
    settings = {"batch_size": 4, "tolerance": 0.0, "agreement": 0.0} | config
    return SelfTraining(
        learner=Learner.create(Accelerator(), matcher, Watched(vectors), options),
        taxonomy=TREE,
        config=SelfTrainingConfig(**settings),  # type: ignore[arg-type]
        seed=3,
        first_step=FIRST_STEP,
        journal=Journal(run, Reporter(Console(quiet=True)), log_interval=1, checkpoint_every=1),
        checkpoints=Checkpoints(folder, "k", Accelerator()),
    )


def _read(stage: SelfTraining) -> list[list[int]]:
    documents = stage.learner.documents
    assert isinstance(documents, Watched)
    return documents.read


def _everything(stage: SelfTraining) -> Tensor:
    """What the classifier says of all documents: logits."""
    return stage.learner.predict(range(len(stage.learner.documents)))


def _ends(logits: Tensor) -> list[int]:
    return [path[-1] for path in decode(logits, TREE).paths]


def _points(run: Run, name: str) -> list[tuple[int | None, float]]:
    assert run.dir
    logged = [event for _, event in events_of(RunDir(run.dir).journal, Metrics)]
    events = [event for event in logged if isinstance(event, Metrics)]
    key = f"stage4/{name}"
    return [(event.step, event.values[key]) for event in events if key in event.values]


def _same(one: Tensors, other: Tensors) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_without_iterations_nothing_happens(tmp_path: Path) -> None:
    """No document is read, nothing logged, no weight changed."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        stage = _self_training(0.1, run, iterations=0)
        before = stage.learner.weights()
        assert stage.run() == Progress(FIRST_STEP, is_over=True)
        assert _points(run, "iteration") == []
    assert _read(stage) == []
    assert _same(stage.learner.weights(), before)


def test_targets_are_refreshed_every_so_many_steps(tmp_path: Path) -> None:
    """Figures stand before the first step and after each window, numbered from 0 up."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        stage = _self_training(0.01, run, iterations=3, refresh_every=2)
        assert stage.run() == Progress(FIRST_STEP + 6, iteration=3, is_over=True)
        steps = [FIRST_STEP, FIRST_STEP + 2, FIRST_STEP + 4, FIRST_STEP + 6]
        assert _points(run, "iteration") == list(zip(steps, range(4), strict=True))
        assert [step for step, _ in _points(run, "self_train_loss")] == list(range(100, 106))


def test_a_window_longer_than_the_corpus_counts_each_document_once(tmp_path: Path) -> None:
    """Twenty draws from ten documents: each is asked once, in order, and counts once."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        stage = _self_training(1e-12, run, iterations=1, refresh_every=5, confident=0.0)
        stage.run()
        drawn = sorted({row for batch in _read(stage)[2:7] for row in batch})
        assert _read(stage)[1] == drawn
        counts = [value for _, value in _points(run, "confident_predictions")]
        highest = [value for _, value in _points(run, "avg_max_prediction")]
    assert counts == [len(drawn), len(drawn)]
    expected = _everything(stage)[drawn].sigmoid().max(dim=1).values.mean().item()
    assert highest == pytest.approx([expected, expected], abs=1e-6)


def test_a_confident_document_has_a_confident_leaf(tmp_path: Path) -> None:
    """The share of documents whose path ends in a class of such a probability."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        stage = _self_training(
            1e-12, run, documents=12, iterations=1, refresh_every=3, confident=0.5
        )
        probabilities, ends = _everything(stage).sigmoid(), _ends(_everything(stage))
        stage.run()
        ratio = _points(run, "confidence_ratio")[0][1]
    expected = [probabilities[row, end].item() >= 0.5 for row, end in enumerate(ends)]
    assert 0 < sum(expected) < len(expected)
    assert ratio == pytest.approx(sum(expected) / len(expected))


def test_every_step_learns_the_targets_of_its_own_documents(tmp_path: Path) -> None:
    """Batches smaller than asked for, since the corpus is: all documents each step, one loss."""
    with toolkit.start_run(runs_dir=tmp_path) as run:
        _self_training(1e-12, run, documents=5, batch_size=8, iterations=1, refresh_every=4).run()
        losses = [value for _, value in _points(run, "self_train_loss")]
    assert len(losses) == 4
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)


def test_the_frequency_follows_the_windows(tmp_path: Path) -> None:
    """The mean over the corpus at first; then each window moves it by its share of the corpus."""
    stage = _self_training(0.05, folder=tmp_path, iterations=2, refresh_every=1)
    first = _everything(stage).sigmoid()
    stage.run()
    checkpoint = stage.checkpoints.load()
    assert checkpoint
    one, two = shuffled_batches(range(10), 4, seed=3, epoch=0)[:2]
    stage.learner.restore(
        {n.removeprefix("weights/"): t for n, t in checkpoint.best.items() if "weights/" in n}
    )
    second = _everything(stage).sigmoid()
    assert not torch.allclose(first, second, atol=1e-3)
    frequency = 0.6 * first.mean(dim=0) + 0.4 * first[one].mean(dim=0)
    frequency = 0.6 * frequency + 0.4 * second[two].mean(dim=0)
    assert torch.allclose(checkpoint.best["frequency"], frequency, atol=1e-6)
    expected = target_distribution(second[sorted(two)], frequency)
    assert torch.allclose(checkpoint.best["targets"], expected, atol=1e-5)


@pytest.mark.parametrize(("tolerance", "windows"), [(0.0, 4), (0.001, 1)])
def test_it_stops_once_hardly_any_path_changes(tolerance: float, windows: int) -> None:
    """Steps too small to change a path: over after the first window, unless none is too few."""
    stage = _self_training(1e-12, iterations=4, refresh_every=2, tolerance=tolerance)
    progress = stage.run()
    assert (progress.iteration, progress.step) == (windows, FIRST_STEP + 2 * windows)


def _after(windows: int) -> tuple[Tensors, float]:
    """Weights after so many windows over all documents, and the share of paths as at first."""
    stage = _self_training(0.2, documents=12, iterations=windows, refresh_every=3)
    before = _ends(_everything(stage))
    stage.run()
    after = _ends(_everything(stage))
    equal = [a == b for a, b in zip(before, after, strict=True)]
    return stage.learner.weights(), sum(equal) / len(equal)


def test_a_window_that_leads_astray_is_undone(tmp_path: Path) -> None:
    """Paths agree less with the first ones than they may: the weights before that window stay.

    So do their figures: those of the weights that are dropped aren't logged.
    """
    results = {windows: _after(windows) for windows in range(6)}
    bad = next(n for n in range(1, 6) if results[n][1] < min(results[m][1] for m in range(n)))
    limit = (results[bad][1] + min(results[m][1] for m in range(bad))) / 2
    with toolkit.start_run(runs_dir=tmp_path) as run:
        stage = _self_training(
            0.2, run, documents=12, iterations=9, refresh_every=3, agreement=limit
        )
        progress = stage.run()
        logged = [value for _, value in _points(run, "iteration")]
        highest = _points(run, "avg_max_prediction")[-1][1]
    assert progress == Progress(FIRST_STEP + 3 * bad, iteration=bad, is_over=True)
    assert _same(stage.learner.weights(), results[bad - 1][0])
    assert logged == list(range(bad))
    kept = _everything(stage).sigmoid().max(dim=1).values.mean().item()
    assert highest == pytest.approx(kept, abs=1e-6)
