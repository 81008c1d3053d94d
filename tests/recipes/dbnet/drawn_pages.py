"""Small pages with texts that are textured bars, as tensors, and a small network for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.losses import BatchTargets
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.network import build_network
from toolkit_recipes.dbnet.presets import LossConfig
from toolkit_recipes.dbnet.presets import ModelConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import make_targets

SMALL = ModelConfig(width=0.25, neck_channels=32, pretrained=False)
SHRINK_RATIO = 0.6
BARS = ((10, 8, 60, 20), (20, 30, 86, 44), (8, 54, 50, 64), (30, 72, 88, 88))
"""Left, top, right and bottom of each text on a page of 96 pixels square."""
SIDE = 96


def drawn_page(seed: int = 0) -> tuple[Tensor, BatchTargets]:
    """A batch of one page: image [1, 3, 96, 96], already normalised, and its maps."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.ones(1, 3, SIDE, SIDE)
    regions = []
    for left, top, right, bottom in BARS:
        ink = torch.rand(bottom - top, right - left, generator=generator) > 0.5
        image[:, :, top:bottom, left:right] = torch.where(ink, -1.5, 1.0)
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        regions.append(TextRegion(np.array(corners, dtype=np.float64)))
    maps = make_targets(regions, (SIDE, SIDE), TargetConfig(shrink_ratio=SHRINK_RATIO))
    arrays = (maps.prob, maps.prob_mask, maps.thresh, maps.thresh_mask)
    return image, BatchTargets(*(torch.from_numpy(array)[None] for array in arrays))


def small_network(seed: int = 0, config: ModelConfig = SMALL) -> DBNet:
    """An untrained network whose weights follow from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network, _ = build_network(config)
    return network


def learn_page(network: DBNet, steps: int) -> list[float]:
    """Learn the page by heart; returns the loss of each step."""
    image, targets = drawn_page()
    loss = DBLoss(LossConfig(), k=50.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    totals = []
    for _ in range(steps):
        total = loss(network(image), targets).total
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        totals.append(total.item())
    return totals
