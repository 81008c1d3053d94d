"""Optimizer steps and predictions, spread over all processes.

A step learns from an effective batch of documents that all processes agree on. Each of them takes
its share, in ``accumulation`` parts, and the gradients add up to that of the loss of the whole
batch: the sum over classes (eq. 8), averaged over documents. So the loss depends neither on the
number of processes nor on accumulation. The random numbers of a step follow from the seed and the
number of the step, so that a resumed run draws what the first one would have drawn. On document
vectors every part draws the same, so that dropout doesn't depend on the parts either; where the
encoder learns, each part has random numbers of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any
from typing import Protocol

import torch
from accelerate import Accelerator
from attrs import field
from attrs import frozen
from torch import Tensor
from torch import nn
from transformers import PretrainedConfig
from transformers import PreTrainedTokenizerBase

from toolkit_recipes.loop import gather_rows
from toolkit_recipes.storage import Tensors
from toolkit_recipes.taxoclass.pretrained import readable_length
from toolkit_recipes.taxoclass.targets import IGNORED

PREDICTION_BATCH = 64


class Documents(Protocol):
    """Documents in the form that a model reads."""

    def __len__(self) -> int: ...

    def lengths(self, rows: Sequence[int]) -> list[int]:
        """Return how much there is to read in each of the documents."""
        ...

    def inputs(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return the model's arguments for these documents."""
        ...


@frozen
class VectorDocuments:
    """Documents that are vectors already, for a model without its encoder."""

    vectors: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def lengths(self, rows: Sequence[int]) -> list[int]:
        """All are alike."""
        return [1] * len(rows)

    def inputs(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return vectors [documents, width]."""
        return (self.vectors[list(rows)].to(device),)


@frozen
class TokenDocuments:
    """Documents as token ids, each only as long as it is."""

    ids: list[list[int]]
    padding: int

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self, rows: Sequence[int]) -> list[int]:
        """Tokens of each document."""
        return [len(self.ids[row]) for row in rows]

    def inputs(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return token ids and attention mask [documents, longest of them]."""
        longest = max(self.lengths(rows))
        ids = torch.full((len(rows), longest), self.padding)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(self.ids[row])] = torch.tensor(self.ids[row])
            mask[place, : len(self.ids[row])] = 1
        return ids.to(device), mask.to(device)


def tokenise(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    encoder: PretrainedConfig,
    max_length: int,
) -> TokenDocuments:
    """Turn texts into token ids, cut at ``max_length`` or what the encoder can read, if less."""
    longest = min(max_length, readable_length(tokenizer, encoder))
    encoded = tokenizer(list(texts), truncation=True, max_length=longest)
    return TokenDocuments(encoded["input_ids"], tokenizer.pad_token_id or 0)


def joined(first: Documents, second: Documents) -> Documents:
    """Put documents of one kind one after the other."""
    if isinstance(first, VectorDocuments) and isinstance(second, VectorDocuments):
        return VectorDocuments(torch.cat([first.vectors, second.vectors]))
    if isinstance(first, TokenDocuments) and isinstance(second, TokenDocuments):
        return TokenDocuments(first.ids + second.ids, first.padding)
    raise TypeError("vectors can't be joined with tokens")


@frozen
class Schedule:
    """Learning rates: a rise over the first steps, then a straight fall to zero."""

    encoder_lr: float
    head_lr: float
    steps: int
    warmup_steps: int = 0
    falls: bool = True

    def factor(self, step: int) -> float:
        """Share of the highest rate at a step, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if not self.falls:
            return 1.0
        return max(0.0, (self.steps - step) / max(1, self.steps - self.warmup_steps))


@frozen
class StepOptions:
    """How steps are taken."""

    schedule: Schedule
    seed: int
    accumulation: int = 1
    clip_norm: float = 1.0
    weight_decay: float = 0.01


@frozen(eq=False)
class Learner:
    """A model, its optimizer and the documents it reads; build it with :meth:`create`.

    The processes hold equal copies of the model and add up their gradients once per step.
    """

    accelerator: Accelerator
    module: nn.Module
    documents: Documents
    options: StepOptions
    _optimizer: Any = field(repr=False)

    @classmethod
    def create(
        cls,
        accelerator: Accelerator,
        module: nn.Module,
        documents: Documents,
        options: StepOptions,
    ) -> Learner:
        """Put the model where it is to learn, and make its optimizer."""
        module.to(accelerator.device)
        groups = _parameter_groups(module, options)
        optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        prepared = accelerator.prepare_optimizer(optimizer)
        return cls(accelerator, module, documents, options, prepared)

    def step(self, number: int, rows: Sequence[int], targets: Tensor) -> float:
        """Learn from an effective batch; returns its loss.

        Args:
            number: of the step, from 0; sets learning rates and random numbers.
            rows: documents of the batch, the same on every process.
            targets: [batch, classes] in [0, 1]; -1 counts for nothing.
        """
        self._set_rates(number)
        self.module.train()
        total = torch.zeros((), device=self.accelerator.device)
        for place, part in enumerate(self._parts(rows)):
            torch.manual_seed(self._seed_of(number, place))
            loss = self._loss(rows, part, targets)
            self.accelerator.backward(loss)
            total += loss.detach()
        learned = [p for p in self.module.parameters() if p.grad is not None]
        self._add_up_gradients(learned)
        self.accelerator.unscale_gradients(self._optimizer)
        nn.utils.clip_grad_norm_(learned, self.options.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(self.accelerator.reduce(total, "sum"))

    def predict(self, rows: Sequence[int]) -> Tensor:
        """Return logits [rows, classes] on every process, in the order of ``rows``, on the CPU."""
        return predict(self.accelerator, self.module, self.documents, rows)

    def weights(self) -> Tensors:
        """Copy the weights that learn."""
        return learned_weights(self.module)

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of the optimizer and of fp16's loss scaling, for a checkpoint."""
        state: dict[str, Any] = {"optimizer": self._optimizer.state_dict()}
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return state

    def restore(self, weights: Tensors, optimizer: dict[str, Any] | None = None) -> None:
        """Go back to earlier weights and, with it, an earlier state of the optimizer."""
        self.module.load_state_dict(weights, strict=False)
        if optimizer is not None:
            self._optimizer.load_state_dict(optimizer["optimizer"])
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(optimizer["scaler"])

    def learning_rate(self, step: int) -> float:
        """The head's learning rate at a step."""
        return self.options.schedule.head_lr * self.options.schedule.factor(step)

    def _loss(self, rows: Sequence[int], part: Sequence[int], targets: Tensor) -> Tensor:
        """This part's share of the loss of the batch; a part without documents has none."""
        places = part or [0]
        inputs = self.documents.inputs([rows[i] for i in places], self.accelerator.device)
        with self.accelerator.autocast():
            logits = self.module(*inputs)
        wanted = targets[places].to(logits.device, torch.float32)
        share = 1 / len(rows) if part else 0.0
        return masked_bce(logits.float(), wanted).sum() * share

    def _parts(self, rows: Sequence[int]) -> list[list[int]]:
        """Places in the batch for each part of this process; documents alike in length together."""
        lengths = self.documents.lengths(rows)
        places = sorted(range(len(rows)), key=lengths.__getitem__)
        count = self.options.accumulation * self.accelerator.num_processes
        bounds = [round(i * len(places) / count) for i in range(count + 1)]
        parts = [places[a:b] for a, b in itertools.pairwise(bounds)]
        return parts[self.accelerator.process_index :: self.accelerator.num_processes]

    def _add_up_gradients(self, learned: Sequence[nn.Parameter]) -> None:
        if self.accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in learned if p.grad is not None]
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "sum")
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _seed_of(self, step: int, place: int) -> int:
        """Seed of the step, or of one of the parts of it that this process has."""
        seed = self.options.seed * 1_000_003 + step
        if isinstance(self.documents, VectorDocuments):
            return seed
        part: int = place * self.accelerator.num_processes + self.accelerator.process_index
        return seed * 1_009 + part

    def _set_rates(self, step: int) -> None:
        factor = self.options.schedule.factor(step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest_lr"] * factor


def predict(
    accelerator: Accelerator, module: nn.Module, documents: Documents, rows: Sequence[int]
) -> Tensor:
    """Return what a module says about documents, on every process, in the order of ``rows``.

    Documents are sorted by length, so that a batch holds little padding, and dealt to the
    processes in turn.

    Returns:
        [rows, width] on the CPU, in single precision.
    """
    module.eval()
    lengths = documents.lengths(rows)
    places = sorted(range(len(rows)), key=lengths.__getitem__, reverse=True)
    mine = places[accelerator.process_index :: accelerator.num_processes] or places[:1]
    found = []
    with torch.no_grad(), accelerator.autocast():
        for start in range(0, len(mine), PREDICTION_BATCH):
            batch = [rows[place] for place in mine[start : start + PREDICTION_BATCH]]
            found.append(module(*documents.inputs(batch, accelerator.device)).float())
    positions = torch.tensor(mine, device=accelerator.device)
    return gather_rows(accelerator, positions, torch.cat(found), len(rows)).cpu()


def masked_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of every entry, 0 where the target is -1; targets may be soft."""
    counts = targets != IGNORED
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, targets.clamp(min=0), reduction="none"
    )
    return losses * counts


def learned_weights(module: nn.Module) -> Tensors:
    """Return copies on the CPU of the weights that training changes."""
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def shuffled_batches(rows: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Deal documents into batches in an order that follows from seed and epoch alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(rows), generator=generator).tolist()
    return [[rows[i] for i in order[k : k + size]] for k in range(0, len(order), size)]


def _parameter_groups(module: nn.Module, options: StepOptions) -> list[dict[str, Any]]:
    encoder: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (encoder if name.startswith("encoder.") else head).append(parameter)
    rates = ((encoder, options.schedule.encoder_lr), (head, options.schedule.head_lr))
    return [{"params": p, "lr": rate, "highest_lr": rate} for p, rate in rates if p]
