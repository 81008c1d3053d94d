"""The head: a probability map and a threshold map at the page's own size."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

PROB_PRIOR = 0.1
"""What the untrained probability map says everywhere, about the share of text on a page."""
THRESH_PRIOR = 0.3
"""What the untrained threshold map says everywhere, as it is to do away from text."""
_FINAL_DEVIATION = 0.01


class Maps(NamedTuple):
    """What the network says about pages, before the sigmoid."""

    prob_logits: Tensor
    """[B, H, W]: whether a pixel lies in the kernel of a text."""
    thresh_logits: Tensor
    """[B, H, W]: the probability from which it is to count as text."""


class Branch(nn.Module):
    """One map: a 3 x 3 convolution, then two transposed ones that double height and width.

    Args:
        channels: of the features; a quarter of them is used inside.
        prior: the value, between 0 and 1, of the untrained map's sigmoid.
    """

    def __init__(self, channels: int, prior: float) -> None:
        super().__init__()
        inner = channels // 4
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner, inner, 2, stride=2, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )
        self.final = nn.ConvTranspose2d(inner, 1, 2, stride=2)
        self._initialise(prior)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [B, H, W] from features [B, channels, H / 4, W / 4]."""
        logits: Tensor = self.final(self.layers(features)).squeeze(1)
        return logits

    def _initialise(self, prior: float) -> None:
        """Keep the signal's size through the layers, and start the map near its prior."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.ConvTranspose2d):
                # With kernel = stride each output sees each channel once.
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_channels))
        nn.init.normal_(self.final.weight, std=_FINAL_DEVIATION)
        self.final.bias = nn.Parameter(torch.full((1,), math.log(prior / (1 - prior))))


class DBHead(nn.Module):
    """The two branches of DBNet (section 3).

    Args:
        channels: of the features; a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prob = Branch(channels, PROB_PRIOR)
        self.thresh = Branch(channels, THRESH_PRIOR)

    def forward(self, features: Tensor) -> Maps:
        """Return both maps at four times the size of the features [B, channels, H / 4, W / 4]."""
        return Maps(self.prob(features), self.thresh(features))
