"""The smallest Lightning module and trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import TensorDataset

from toolkit.bridges.lightning import ToolkitLogger

QUIET = [
    # Lightning advises what a tiny module has no use for, and asks torch an old question.
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


class Line(pl.LightningModule):
    """Fits a line, and keeps every loss as its own list."""

    def __init__(self, lr: float = 0.1, breaks_at: int | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(2, 1)
        self.losses: list[tuple[int, float]] = []
        self._lr = lr
        self._breaks_at = breaks_at

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The squared error, logged as ``loss``; beside it ``left``, which falls step by step."""
        if self.global_step == self._breaks_at:
            raise ArithmeticError("this step can't be done")
        loss = self._error(batch)
        self.losses.append((self.global_step, loss.item()))
        self.log_dict({"loss": loss, "left": float(-self.global_step)})
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """The same, as ``val/loss``."""
        self.log("val/loss", self._error(batch))

    def test_step(self, batch: list[Tensor], index: int) -> None:
        """The same, as ``test/loss``."""
        self.log("test/loss", self._error(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=self._lr)

    def _error(self, batch: list[Tensor]) -> Tensor:
        (points,) = batch
        error: Tensor = ((self.layer(points)[:, 0] - points[:, 0]) ** 2).mean()
        return error


def points(count: int = 32) -> DataLoader[Any]:
    """Batches of eight random points, the same ones each time."""
    generator = torch.Generator().manual_seed(1)
    return DataLoader(TensorDataset(torch.rand(count, 2, generator=generator)), batch_size=8)


def trainer(folder: Path, logger: ToolkitLogger, steps: int, **given: Any) -> pl.Trainer:
    """A Trainer that logs every step, and saves nothing."""
    arguments: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_steps": steps,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": str(folder),
    }
    return pl.Trainer(logger=logger, **(arguments | given))
