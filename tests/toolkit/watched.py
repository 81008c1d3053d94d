"""Models that are watched while they train, and what was recorded of them."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.events import Event
from toolkit.events import Histogram

torch = pytest.importorskip("torch", reason="watching a model needs PyTorch")

NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]
"""The parameters of `network`."""


def network(seed: int = 0) -> Any:
    """Two layers, with batch normalization between."""
    torch.manual_seed(seed)
    nn = torch.nn
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def backward(model: Any, seed: int = 0) -> None:
    """One pass there and back, over random inputs."""
    generator = torch.Generator().manual_seed(seed)
    model(torch.randn(4, 3, generator=generator)).square().mean().backward()


def train(model: Any, optimizer: Any, steps: int) -> None:
    """So many steps, each with its own inputs."""
    for step in range(steps):
        backward(model, step)
        optimizer.step()
        optimizer.zero_grad()


def sgd(model: Any) -> Any:
    """An optimizer of all the model's parameters."""
    return torch.optim.SGD(model.parameters(), lr=0.1)


def weight(values: Any) -> Any:
    """A model of one parameter ``w`` that has these values."""
    model = torch.nn.Module()
    model.w = torch.nn.Parameter(torch.as_tensor(values))
    return model


def histograms(events: list[Event]) -> list[Histogram]:
    """The histograms among the events."""
    return [event for event in events if isinstance(event, Histogram)]


def steps_of(events: list[Event], key: str) -> list[int | None]:
    """At which steps the series of this key has a histogram."""
    return [event.step for event in histograms(events) if event.key == key]


def untimed(event: Histogram) -> tuple[Any, ...]:
    """What a histogram says, but for its time and name."""
    return event.edges, event.counts, event.not_finite
