"""The smallest things that the training libraries train: one of each, on the CPU, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import BertConfig
from transformers import BertForSequenceClassification
from transformers import Trainer
from transformers import TrainingArguments

CONFIG = BertConfig(
    vocab_size=32,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
    num_labels=3,  # type: ignore[call-arg]
)


class Texts(Dataset[dict[str, Tensor]]):
    """Random words whose label is the first one's remainder by three."""

    def __init__(self, count: int = 32) -> None:
        generator = torch.Generator().manual_seed(0)
        self._ids = torch.randint(0, 32, (count, 4), generator=generator)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"input_ids": self._ids[place], "labels": self._ids[place, 0] % 3}


def model() -> BertForSequenceClassification:
    """A classifier with random weights, the same ones each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertForSequenceClassification(CONFIG)


def trainer(
    output: Path,
    *,
    steps: int,
    callbacks: Any = (),
    network: torch.nn.Module | None = None,
    evaluates: bool = False,
    **given: Any,
) -> Trainer:
    """A Trainer that logs every step, and saves nothing."""
    arguments: dict[str, Any] = {
        "output_dir": str(output),
        "use_cpu": True,
        "max_steps": steps,
        "logging_steps": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "disable_tqdm": True,
        "save_strategy": "no",
        "report_to": "none",
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }
    return Trainer(
        model=network or model(),
        args=TrainingArguments(**(arguments | given)),
        train_dataset=Texts(),
        eval_dataset=Texts(8) if evaluates else None,
        callbacks=list(callbacks),
    )


class BreakingModel(BertForSequenceClassification):  # type: ignore[no-untyped-call]
    """Raises in one of its training steps."""

    def __init__(self, config: BertConfig, breaks_at: int) -> None:
        super().__init__(config)
        self._left = breaks_at

    def forward(self, **given: Any) -> Any:
        """Count down, and break."""
        self._left -= 1
        if self._left < 0:
            raise ArithmeticError("this step can't be done")
        return super().forward(**given)


def batches(count: int) -> Iterator[Tensor]:
    """Random points whose first coordinate is to be found."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.rand(4, 2, generator=generator)
