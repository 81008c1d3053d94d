"""Stage 3: train the classifier on the targets that core classes give (section 4.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.run import Run
from toolkit_recipes.console import Reporter
from toolkit_recipes.storage import Checkpoint
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import Tensors
from toolkit_recipes.taxoclass.learner import Learner
from toolkit_recipes.taxoclass.learner import masked_bce
from toolkit_recipes.taxoclass.learner import shuffled_batches
from toolkit_recipes.taxoclass.targets import has_target


@frozen
class Split:
    """Documents with a core class: those learned from and those held out to stop by."""

    train: list[int]
    val: list[int]


@frozen
class Journal:
    """Where training says how it goes."""

    run: Run
    reporter: Reporter
    log_interval: int
    checkpoint_every: int


@frozen
class Progress:
    """Where training stands; survives in a checkpoint."""

    step: int = 0
    epoch: int = 0
    """Epochs that are over."""
    in_epoch: int = 0
    """Steps of the present epoch that are over."""
    epoch_loss: float = 0.0
    """Sum of the losses of the documents of the present epoch."""
    best_val_loss: float = math.inf
    best_epoch: int = 0
    is_over: bool = False

    def saved(self) -> dict[str, Any]:
        """Return JSON values; infinity, which JSON hasn't, as None."""
        best = None if math.isinf(self.best_val_loss) else self.best_val_loss
        return attrs.asdict(self) | {"best_val_loss": best}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Progress:
        """Read what :meth:`saved` wrote."""
        best = saved["best_val_loss"]
        return cls(**dict(saved) | {"best_val_loss": math.inf if best is None else best})


def split_documents(targets: Tensor, val_share: float, seed: int) -> Split:
    """Hold out a random share of the documents that have a core class, at least one to learn.

    Args:
        targets: [documents, classes] of 1, 0, -1.
        val_share: share of the documents that are held out, below 1.
        seed: of which they are.

    Raises:
        UsageError: no document has a core class, so there is nothing to learn.
    """
    rows = has_target(targets).nonzero().flatten().tolist()
    if not rows:
        raise UsageError(
            "stage 2 found no core class in any train document, so stage 3 has nothing to learn "
            "from; set mining.rule=gap with a larger mining.share, lower mining.min_confidence "
            "where the rule is confidence, or check that the classes are about these documents"
        )
    generator = torch.Generator().manual_seed(seed)
    order = [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
    held_out = min(round(val_share * len(rows)), len(rows) - 1)
    return Split(train=sorted(order[held_out:]), val=sorted(order[:held_out]))


@frozen(eq=False)
class Training:
    """One phase of stage 3: epochs with early stopping on the validation loss.

    Without held-out documents the last epoch is the best. An epoch that diverged never is.

    Args:
        learner: takes the steps.
        targets: [documents, classes] of 1, 0, -1.
        split: which documents.
        epochs: most epochs.
        batch_size: documents of one step, over all processes.
        patience: epochs without a lower validation loss before stopping.
        seed: of the order of the documents.
        first: global step and epoch of the curves at which this phase begins.
        journal: is told.
        checkpoints: of this phase.
    """

    learner: Learner
    targets: Tensor
    split: Split
    epochs: int
    batch_size: int
    patience: int
    seed: int
    journal: Journal
    checkpoints: Checkpoints
    first: Progress = Progress()

    def run(self) -> Progress:
        """Train to the end, from the last checkpoint if there is one; the best weights are in.

        Raises:
            UsageError: no epoch, of an earlier phase neither, had a finite loss.
        """
        progress, best = self.first, Tensors()
        if self.first.best_epoch:
            best = self.learner.weights()
        if checkpoint := self.checkpoints.load():
            progress, best = Progress.restored(checkpoint.progress), checkpoint.best
            self.learner.restore(checkpoint.weights, checkpoint.optimizer)
            self.journal.reporter.say(f"  going on at step {progress.step}")
        else:
            self.checkpoints.refuse_others()
        last_epoch = self.first.epoch + self.epochs
        while progress.epoch < last_epoch and not progress.is_over:
            progress, best = self._epoch(progress, best)
        if self.epochs and not progress.best_epoch:
            raise UsageError(
                f"stage 3 diverged: in none of {progress.epoch} epochs was the loss a finite "
                "number; lower training.head_lr (and training.encoder_lr where the encoder "
                "learns), or set mixed_precision=no"
            )
        if best:
            self.learner.restore(best)
        return progress

    def _epoch(self, progress: Progress, best: Tensors) -> tuple[Progress, Tensors]:
        batches = shuffled_batches(self.split.train, self.batch_size, self.seed, progress.epoch)
        for batch in batches[progress.in_epoch :]:
            loss = self.learner.step(progress.step - self.first.step, batch, self.targets[batch])
            self._log_step(progress, loss)
            progress = attrs.evolve(
                progress,
                step=progress.step + 1,
                in_epoch=progress.in_epoch + 1,
                epoch_loss=progress.epoch_loss + loss * len(batch),
            )
            is_last = progress.in_epoch == len(batches)
            if not is_last and progress.in_epoch % self.journal.checkpoint_every == 0:
                self._save(progress, best)
        progress, best = self._end_epoch(progress, best)
        self._save(progress, best)
        return progress, best

    def _end_epoch(self, progress: Progress, best: Tensors) -> tuple[Progress, Tensors]:
        epoch = progress.epoch + 1
        train_loss = progress.epoch_loss / len(self.split.train)
        val_loss = self.validation_loss()
        if self._is_best(train_loss, val_loss, progress.best_val_loss):
            best_val_loss = val_loss if self.split.val else math.inf
            progress = attrs.evolve(progress, best_val_loss=best_val_loss, best_epoch=epoch)
            best = self.learner.weights()
        stops = epoch - max(progress.best_epoch, self.first.epoch) >= self.patience
        progress = attrs.evolve(progress, epoch=epoch, in_epoch=0, epoch_loss=0.0, is_over=stops)
        self._log_epoch(progress, train_loss, val_loss)
        return progress, best

    def _is_best(self, train_loss: float, val_loss: float, best_val_loss: float) -> bool:
        """Whether an epoch is better than all before it; one that diverged is not."""
        return val_loss < best_val_loss if self.split.val else math.isfinite(train_loss)

    def validation_loss(self) -> float:
        """Mean loss of the held-out documents; NaN where there are none."""
        rows = self.split.val
        if not rows:
            return math.nan
        losses = masked_bce(self.learner.predict(rows), self.targets[rows].float())
        return losses.sum(dim=1).double().mean().item()

    def _log_step(self, progress: Progress, loss: float) -> None:
        if progress.step % self.journal.log_interval == 0:
            rate = self.learner.learning_rate(progress.step - self.first.step)
            epoch = progress.epoch + progress.in_epoch * self.batch_size / len(self.split.train)
            values = {"stage3/train_loss": loss, "stage3/learning_rate": rate}
            self.journal.run.log_metrics(values | {"stage3/epoch": epoch}, step=progress.step)

    def _log_epoch(self, progress: Progress, train_loss: float, val_loss: float) -> None:
        values = {"stage3/epoch_train_loss": train_loss, "stage3/best_epoch": progress.best_epoch}
        if self.split.val:
            values["stage3/epoch_val_loss"] = val_loss
        if math.isfinite(progress.best_val_loss):
            values["stage3/best_val_loss"] = progress.best_val_loss
        self.journal.run.log_metrics(values, step=progress.step)
        self.journal.reporter.say(
            f"  epoch {progress.epoch}: train loss {train_loss:.4f}, validation loss {val_loss:.4f}"
        )

    def _save(self, progress: Progress, best: Tensors) -> None:
        self.checkpoints.save(
            Checkpoint(
                self.learner.weights(), best, self.learner.optimizer_state(), progress.saved()
            )
        )


def steps_of(documents: Sequence[int], batch_size: int, epochs: int) -> int:
    """Return how many steps so many epochs take."""
    return epochs * math.ceil(len(documents) / batch_size)
