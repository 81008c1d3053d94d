"""Optimizer steps of the network, spread over all processes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from typing import Any
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from attrs import field
from attrs import frozen
from torch import Tensor
from torch import nn
from torch.optim.swa_utils import AveragedModel

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.dataset import TrainingBatch
from toolkit_recipes.dbnet.dataset import normalised
from toolkit_recipes.dbnet.losses import BatchTargets
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.losses import Losses
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.presets import TrainingConfig
from toolkit_recipes.dbnet.schedule import Schedule
from toolkit_recipes.storage import Tensors

MOMENTUM = 0.9
AVERAGED = "averaged."
"""Prefix of the running mean's weights among those of a checkpoint."""


@frozen(eq=False)
class Trainer:
    """A network, its optimizer and the running mean of its weights; build it with :meth:`create`.

    Every process holds a copy of the network, and their gradients are averaged at each step.
    """

    accelerator: Accelerator
    network: DBNet
    """The bare network, which shares its weights with the one that is trained."""
    loss: DBLoss
    schedule: Schedule
    clip_norm: float
    layout: torch.memory_format
    """Of images in memory."""
    seed: int
    _trained: nn.Module = field(repr=False)
    _optimizer: Any = field(repr=False)
    _mean: AveragedModel | None = field(repr=False)

    @classmethod
    def create(
        cls,
        accelerator: Accelerator,
        network: DBNet,
        loss: DBLoss,
        config: TrainingConfig,
        steps: int,
        seed: int,
    ) -> Trainer:
        """Put the network where it is to learn and make its optimizer.

        Args:
            accelerator: knows device, processes and number format.
            network: as it is to start.
            loss: what is minimised.
            config: of the optimizer.
            steps: of the whole training.
            seed: of what backbones draw at random.
        """
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        network.to(accelerator.device, memory_format=layout)  # type: ignore[call-overload]
        optimizer = _optimizer(network, config)
        mean = None
        if config.ema:
            mean = AveragedModel(network, multi_avg_fn=_rising_mean(config.ema), use_buffers=True)
        compiled = torch.compile(network) if config.compile else network
        trained, prepared = accelerator.prepare(compiled, optimizer)
        schedule = Schedule(config.lr, steps, round(config.warmup * steps), config.schedule)
        return cls(
            accelerator,
            network,
            loss,
            schedule,
            config.clip_norm,
            layout,
            seed,
            trained,
            prepared,
            mean,
        )

    @property
    def best_guess(self) -> DBNet:
        """The network to be used: the running mean where there is one."""
        return self.network if self._mean is None else cast(DBNet, self._mean.module)

    def step(self, number: int, parts: Sequence[TrainingBatch]) -> Losses:
        """Learn from the parts that this process has of a batch.

        Args:
            number: of the step, from 0.
            parts: equally large; their gradients are averaged.

        Returns:
            The losses, averaged over parts and processes, on the CPU.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(number)
        # Some backbones leave out layers at random; a resumed run must leave out the same.
        torch.manual_seed(self._seed_of(number))
        self._trained.train()
        sums = torch.zeros(len(Losses._fields), device=self.accelerator.device)
        for place, part in enumerate(parts):
            with self._synchronising(is_last=place == len(parts) - 1):
                losses = self._losses(part)
                self.accelerator.backward(losses.total / len(parts))
            sums += torch.stack(losses).detach()
        self._learn(number)
        means = self.accelerator.reduce(sums / len(parts), "mean").cpu()
        return Losses(*means)

    def settle(self) -> None:
        """Give every process the main one's batch statistics; each has seen other pages."""
        if self.accelerator.num_processes > 1:
            modules = [self.network] if self._mean is None else [self.network, self._mean]
            for buffer in itertools.chain(*(module.buffers() for module in modules)):
                broadcast(buffer)

    def weights(self) -> Tensors:
        """Copy all weights and statistics, those of the running mean included."""
        found = _copied(self.network)
        if self._mean is not None:
            found |= {AVERAGED + name: value for name, value in _copied(self._mean).items()}
        return found

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of the optimizer and of fp16's loss scaling, for a checkpoint."""
        state: dict[str, Any] = {"optimizer": self._optimizer.state_dict()}
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return state

    def restore(self, weights: Tensors, optimizer: dict[str, Any]) -> None:
        """Go back to what :meth:`weights` and :meth:`optimizer_state` returned.

        Raises:
            UsageError: it is of a training without fp16, and this one is in fp16.
        """
        if self.accelerator.scaler is not None and "scaler" not in optimizer:
            raise UsageError(
                "mixed_precision=fp16: what is gone on from wasn't trained in fp16; give "
                "mixed_precision=bf16 or no, or begin a training with its weights (model.weights)"
            )
        own = {name: value for name, value in weights.items() if not name.startswith(AVERAGED)}
        self.network.load_state_dict(own)
        if self._mean is not None:
            self._mean.load_state_dict(
                {n.removeprefix(AVERAGED): v for n, v in weights.items() if n.startswith(AVERAGED)}
            )
        self._optimizer.load_state_dict(optimizer["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(optimizer["scaler"])

    def _learn(self, number: int) -> None:
        """Change the weights by the gradients, unless these aren't finite.

        fp16 meets such gradients now and then, and its loss scaling passes over them by itself.
        """
        learned = [p for p in self.network.parameters() if p.grad is not None]
        norm = self.accelerator.clip_grad_norm_(learned, self.clip_norm or math.inf)
        if self.accelerator.scaler is None and norm is not None and not norm.isfinite():
            raise UsageError(
                f"step {number}: the gradients are infinite or no numbers; give a lower "
                "training.lr, a longer training.warmup, or mixed_precision=no"
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._mean is not None:
            self._mean.update_parameters(self.network)

    def _seed_of(self, number: int) -> int:
        world: int = self.accelerator.num_processes
        rank: int = self.accelerator.process_index
        return (self.seed * 1_000_003 + number) * world + rank

    def _losses(self, batch: TrainingBatch) -> Losses:
        device = self.accelerator.device
        images = normalised(batch.images.to(device, non_blocking=True))
        with self.accelerator.autocast():
            maps = self._trained(images.contiguous(memory_format=self.layout))
        targets = BatchTargets(*(t.to(device, non_blocking=True) for t in batch.targets))
        return self.loss(maps, targets)

    def _synchronising(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Gradients of the processes are averaged once per step, with those of the last part."""
        return nullcontext() if is_last else self.accelerator.no_sync(self._trained)


def _rising_mean(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Return the average of a running mean whose decay rises from 0.1 to ``decay``.

    So a short training isn't remembered by the weights that it began with.
    """

    def average(means: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        done = float(count)
        share = 1 - min(decay, (1 + done) / (10 + done))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return torch.no_grad()(average)


def _optimizer(network: DBNet, config: TrainingConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay
        )
    return torch.optim.Adam(network.parameters(), config.lr, weight_decay=config.weight_decay)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
