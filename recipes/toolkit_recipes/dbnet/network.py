"""The whole network: backbone, neck and head (Liao et al. 2020, section 3)."""

from __future__ import annotations

from torch import Tensor
from torch import nn

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.backbone import STRIDES
from toolkit_recipes.dbnet.backbone import Backbone
from toolkit_recipes.dbnet.backbone import build_backbone
from toolkit_recipes.dbnet.head import DBHead
from toolkit_recipes.dbnet.head import Maps
from toolkit_recipes.dbnet.neck import LEVELS
from toolkit_recipes.dbnet.neck import Concatenation
from toolkit_recipes.dbnet.neck import FeaturePyramid
from toolkit_recipes.dbnet.neck import ScaleFusion
from toolkit_recipes.dbnet.presets import ModelConfig

SIDE_MULTIPLE = STRIDES[-1]
"""Height and width of a page in the network are multiples of this."""


class DBNet(nn.Module):
    """Finds text on pages.

    Args:
        backbone: gives the features.
        config: the width of the neck, and whether it weighs the levels.

    Raises:
        UsageError: the neck's channels can't be shared among four levels.
    """

    def __init__(self, backbone: Backbone, config: ModelConfig) -> None:
        super().__init__()
        channels = config.neck_channels
        if channels % LEVELS:
            raise UsageError(f"model.neck_channels={channels}: give a multiple of {LEVELS}")
        self.backbone = backbone
        self.pyramid = FeaturePyramid(backbone.channels, channels)
        self.fusion = ScaleFusion(channels) if config.scale_fusion else Concatenation()
        self.head = DBHead(channels)

    def forward(self, images: Tensor) -> Maps:
        """Return both maps, before the sigmoid, at the size of the pages.

        Args:
            images: [B, 3, H, W], normalised; H and W are multiples of 32.

        Raises:
            ValueError: another size.
        """
        maps: Maps = self.head(self._features(images))
        return maps

    def probability(self, images: Tensor) -> Tensor:
        """Return the probability map [B, H, W], in single precision, for prediction.

        Leaves out the threshold map, which only training needs. Arguments and errors as of
        :meth:`forward`.
        """
        logits: Tensor = self.head.prob(self._features(images))
        return logits.float().sigmoid()

    def _features(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise ValueError(
                f"a page of {height} x {width} pixels; pad it to multiples of {SIDE_MULTIPLE}"
            )
        features: Tensor = self.fusion(self.pyramid(self.backbone(images)))
        return features


def build_network(config: ModelConfig) -> tuple[DBNet, str]:
    """Build the network, in training mode; random weights are drawn from torch's generator.

    Returns:
        The network, and in words where the weights of its backbone are from.

    Raises:
        UsageError: the backbone can't be had or doesn't fit; the message says what to do.
    """
    backbone, origin = build_backbone(config)
    return DBNet(backbone, config).train(), origin
