"""The neck: one map of features at 1/4 of the page from the four of the backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

LEVELS = 4


class FeaturePyramid(nn.Module):
    """Feature pyramid of DBNet (section 3): each level is a quarter of the channels.

    A 1 x 1 convolution brings the backbone's features to ``channels``; from the coarsest on, each
    level is doubled (nearest pixel) and added to the next finer one; a 3 x 3 convolution leaves a
    quarter of the channels, and all levels are brought to the finest one's size.

    Args:
        inputs: channels of the backbone's features, the finest first.
        channels: of the result; a multiple of 4.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        part = channels // LEVELS
        self.lateral = nn.ModuleList(nn.Conv2d(n, channels, 1, bias=False) for n in inputs)
        self.smooth = nn.ModuleList(
            nn.Conv2d(channels, part, 3, padding=1, bias=False) for _ in inputs
        )
        for layer in (*self.lateral, *self.smooth):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the levels [B, channels / 4, H / 4, W / 4], from the coarsest features first.

        Args:
            features: [B, inputs[i], H / stride, W / stride] at strides 4, 8, 16 and 32.
        """
        levels = [layer(x) for layer, x in zip(self.lateral, features, strict=True)]
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = levels[fine] + functional.interpolate(levels[fine + 1], scale_factor=2.0)
        parts = [
            _enlarged(layer(x), 2**i)
            for i, (layer, x) in enumerate(zip(self.smooth, levels, strict=True))
        ]
        return tuple(reversed(parts))


class Concatenation(nn.Module):
    """Puts the levels one after the other, as DBNet does."""

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [B, channels, H / 4, W / 4]."""
        return torch.cat(tuple(levels), dim=1)


class ScaleFusion(nn.Module):
    """Adaptive scale fusion of DBNet++: each level is weighed at each place.

    From all levels together a 3 x 3 convolution makes a quarter of the channels, which get
    attention to channels, then to places; from the sum comes one weight between 0 and 1 per
    level and place. This is the form of the released checkpoints (channels and places).

    Args:
        channels: of all levels together; a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // LEVELS
        squeezed = max(1, part // 4)
        self.reduce = nn.Conv2d(channels, part, 3, padding=1)
        self.channel = nn.Sequential(
            nn.Conv2d(part, squeezed, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(squeezed, part, 1, bias=False),
            nn.Sigmoid(),
        )
        self.place = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(1, 1, 1, bias=False),
            nn.Sigmoid(),
        )
        self.weigh = nn.Sequential(nn.Conv2d(part, LEVELS, 1, bias=False), nn.Sigmoid())

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the weighed levels one after the other: [B, channels, H / 4, W / 4]."""
        x = self.reduce(torch.cat(tuple(levels), dim=1))
        x = x + self.channel(x.mean(dim=(2, 3), keepdim=True))
        x = x + self.place(x.mean(dim=1, keepdim=True))
        weights = self.weigh(x).chunk(LEVELS, dim=1)
        return torch.cat([w * level for w, level in zip(weights, levels, strict=True)], dim=1)


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return x if factor == 1 else functional.interpolate(x, scale_factor=float(factor))
