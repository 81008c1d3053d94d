"""Stage 4: let the classifier sharpen what it already says (section 4.4).

Every few steps the classifier is asked about the documents of the next window, and learns from its
own answers made sharper (eq. 10). The loss is the Kullback-Leibler divergence of two yes-no
distributions per class; the paper's eq. 9 leaves out the "no" part and is then least where every
class has probability 1.

Sharpening raises rare classes, so probabilities lose their meaning as such: afterwards a path is
decoded by comparing scores, never by a fixed threshold. It also helps for a while only, and there
are no labels to see when. It stops when fewer documents than ``tolerance`` change their path, or
when the paths agree with those before stage 4 less than ``agreement``; then the last window is
undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from toolkit_recipes.storage import Checkpoint
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import Tensors
from toolkit_recipes.taxoclass.decode import path_ends
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import shuffled_batches
from toolkit_recipes.taxoclass.presets import SelfTrainingConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.training import Journal

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1 before they are divided or their log is taken."""


def target_distribution(probabilities: Tensor, frequency: Tensor) -> Tensor:
    """Return the sharpened probabilities Q of eq. 10.

    q = (p^2 / f) / (p^2 / f + (1 - p)^2 / (1 - f)). A class that is rare over the corpus is raised:
    q is above one half from odds of sqrt(f / (1 - f)).

    Args:
        probabilities: p [documents, classes].
        frequency: f [classes], mean probability of each class over the corpus.
    """
    p = probabilities.clamp(SMALLEST, 1 - SMALLEST)
    f = frequency.clamp(SMALLEST, 1 - SMALLEST)
    yes, no = p.square() / f, (1 - p).square() / (1 - f)
    return yes / (yes + no)


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy in nats of a yes-no distribution for each probability."""
    p = probabilities.clamp(SMALLEST, 1 - SMALLEST)
    return -(p * p.log() + (1 - p) * (1 - p).log())


def divergence(cross_entropy: float, targets: Tensor) -> float:
    """Return the mean over documents of KL(q || p), summed over the classes, in nats.

    Args:
        cross_entropy: of q and p, summed over the classes, mean over documents: what a step
            minimises, since the entropy of q is what it is.
        targets: q in [0, 1], [documents, classes].
    """
    return cross_entropy - entropy(targets).sum(dim=1).mean().item()


@frozen
class Progress:
    """Where self-training stands; survives in a checkpoint with the tensors beside it."""

    step: int = 0
    iteration: int = 0
    """Windows whose targets were made."""
    in_window: int = 0
    """Steps of the present window that are over."""
    is_over: bool = False

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Progress:
        """Read what a checkpoint saved."""
        return cls(**saved)


@frozen
class Memory:
    """What self-training remembers about the corpus; tensors of a checkpoint."""

    frequency: Tensor
    """[classes]: running mean probability."""
    ends: Tensor
    """[documents]: last class of the path when the document was last looked at."""
    first_ends: Tensor
    """[documents]: the same before stage 4."""
    targets: Tensor
    """[distinct documents of the window, in their order; classes]: Q of the present window."""
    before_window: Tensors
    """Weights before the present window."""

    def saved(self) -> Tensors:
        """Return all tensors by name."""
        own = {name: getattr(self, name) for name in ("frequency", "ends", "first_ends", "targets")}
        return own | {f"weights/{name}": tensor for name, tensor in self.before_window.items()}

    @classmethod
    def restored(cls, saved: Tensors) -> Memory:
        """Read what :meth:`saved` returned."""
        weights = {n.removeprefix("weights/"): t for n, t in saved.items() if "weights/" in n}
        own = {n: t for n, t in saved.items() if "weights/" not in n}
        return cls(**own, before_window=weights)


@frozen(eq=False)
class SelfTraining:
    """Stage 4.

    Args:
        learner: takes the steps; knows the documents.
        taxonomy: of the classes.
        config: of the stage.
        seed: of the order of the documents.
        first_step: global step at which the curves begin.
        journal: is told.
        checkpoints: of this stage.
    """

    learner: Learner
    taxonomy: Taxonomy
    config: SelfTrainingConfig
    seed: int
    first_step: int
    journal: Journal
    checkpoints: Checkpoints

    def run(self) -> Progress:
        """Train until it stops by itself or after ``iterations`` windows; 0 do nothing at all."""
        if self.config.iterations == 0:
            return Progress(self.first_step, is_over=True)
        progress, memory = self._start()
        while not progress.is_over:
            window = self._window(progress.iteration)
            if progress.in_window == 0:
                progress, memory = self._refresh(progress, memory, window)
            if not progress.is_over:
                progress = self._learn(progress, memory, window)
        return progress

    def _start(self) -> tuple[Progress, Memory]:
        if checkpoint := self.checkpoints.load():
            progress = Progress.restored(checkpoint.progress)
            self.learner.restore(checkpoint.weights, checkpoint.optimizer)
            self.journal.reporter.say(f"  going on at step {progress.step}")
            return progress, Memory.restored(checkpoint.best)
        self.checkpoints.refuse_others()
        logits = self.learner.predict(range(len(self.learner.documents)))
        ends = self._ends(logits)
        memory = Memory(
            frequency=logits.sigmoid().mean(dim=0),
            ends=ends,
            first_ends=ends,
            targets=torch.empty(0, logits.shape[1]),
            before_window=self.learner.weights(),
        )
        return Progress(self.first_step), memory

    def _refresh(
        self, progress: Progress, memory: Memory, window: list[list[int]]
    ) -> tuple[Progress, Memory]:
        """Make the targets of the next window, unless it is time to stop."""
        rows = _distinct(window)
        logits = self.learner.predict(rows)
        probabilities, ends = logits.sigmoid(), self._ends(logits)
        settled = False
        if progress.iteration > 0:
            agreement = _agreement(ends, memory.first_ends[rows])
            changed = 1 - _agreement(ends, memory.ends[rows])
            self._say(progress, changed, agreement)
            if agreement < self.config.agreement:
                self.learner.restore(memory.before_window)
                return attrs.evolve(progress, is_over=True), memory
            settled = changed < self.config.tolerance
        share = len(rows) / len(self.learner.documents)
        frequency = torch.lerp(memory.frequency, probabilities.mean(dim=0), share)
        targets = target_distribution(probabilities, frequency)
        self._log_window(progress, probabilities, targets, ends)
        if settled or progress.iteration == self.config.iterations:
            return attrs.evolve(progress, is_over=True), memory
        known = memory.ends.clone()
        known[rows] = ends
        memory = Memory(frequency, known, memory.first_ends, targets, self.learner.weights())
        return progress, memory

    def _learn(self, progress: Progress, memory: Memory, window: list[list[int]]) -> Progress:
        places = {row: place for place, row in enumerate(_distinct(window))}
        for number in range(progress.in_window, len(window)):
            targets = memory.targets[[places[row] for row in window[number]]]
            step = progress.step - self.first_step
            loss = self.learner.step(step, window[number], targets)
            self._log_step(progress, divergence(loss, targets))
            progress = attrs.evolve(progress, step=progress.step + 1, in_window=number + 1)
            if progress.in_window == len(window):
                progress = attrs.evolve(progress, iteration=progress.iteration + 1, in_window=0)
            if (progress.step - self.first_step) % self.journal.checkpoint_every == 0:
                self._save(progress, memory)
        return progress

    def _window(self, iteration: int) -> list[list[int]]:
        """Batches of a window: the documents in ever new orders, cut into windows."""
        first = iteration * self.config.refresh_every
        batches = self._batches()
        for _ in range(first):
            next(batches)
        return [next(batches) for _ in range(self.config.refresh_every)]

    def _batches(self) -> Iterator[list[int]]:
        rows, size, epoch = range(len(self.learner.documents)), self.config.batch_size, 0
        while True:
            full = [b for b in shuffled_batches(rows, size, self.seed, epoch) if len(b) == size]
            yield from full or shuffled_batches(rows, size, self.seed, epoch)
            epoch += 1

    def _ends(self, logits: Tensor) -> Tensor:
        return path_ends(logits, self.taxonomy)

    def _say(self, progress: Progress, changed: float, agreement: float) -> None:
        undone = "; undone" if agreement < self.config.agreement else ""
        self.journal.reporter.say(
            f"  iteration {progress.iteration}: {changed:.1%} of the window changed, "
            f"{agreement:.1%} as before self-training{undone}"
        )

    def _log_window(
        self, progress: Progress, probabilities: Tensor, targets: Tensor, ends: Tensor
    ) -> None:
        """Log what the weights say about documents: iteration 0 is before self-training."""
        confident = probabilities.gather(1, ends[:, None])[:, 0] >= self.config.confident
        values = {
            "stage4/iteration": progress.iteration,
            "stage4/confident_predictions": int(confident.sum()),
            "stage4/confidence_ratio": confident.double().mean().item(),
            "stage4/avg_max_prediction": probabilities.amax(dim=1).mean().item(),
            "stage4/avg_target_entropy": entropy(targets).mean().item(),
        }
        self.journal.run.log_metrics(values, step=progress.step)

    def _log_step(self, progress: Progress, loss: float) -> None:
        done = progress.step - self.first_step
        if done % self.journal.log_interval == 0:
            epoch = done * self.config.batch_size / len(self.learner.documents)
            values = {"stage4/self_train_loss": loss, "stage4/epoch": epoch}
            self.journal.run.log_metrics(values, step=progress.step)

    def _save(self, progress: Progress, memory: Memory) -> None:
        self.checkpoints.save(
            Checkpoint(
                self.learner.weights(),
                memory.saved(),
                self.learner.optimizer_state(),
                attrs.asdict(progress),
            )
        )


def _distinct(window: list[list[int]]) -> list[int]:
    """Documents of a window, each once; a window longer than the corpus draws some again."""
    return sorted({row for batch in window for row in batch})


def _agreement(ends: Tensor, others: Tensor) -> float:
    return (ends == others).double().mean().item()
