"""The configuration of the DBNet recipe and its presets."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping
from typing import Literal

from attrs import Attribute
from attrs import field
from attrs import frozen
from attrs import validators

from toolkit_recipes.config import SEEDS
from toolkit_recipes.config import option
from toolkit_recipes.tracking import TrackingConfig

_PART = validators.and_(validators.ge(0), validators.le(1))
_BELOW_ONE = validators.and_(validators.ge(0), validators.lt(1))
_SHRINK = validators.and_(validators.gt(0), validators.lt(1))
_POSITIVE = validators.gt(0)
_NOT_NEGATIVE = validators.ge(0)
_AT_LEAST_ONE = validators.ge(1)
_FINITE = validators.and_(validators.gt(0.0), validators.lt(math.inf))
_COARSEST = 32
"""Pixels of a page that become one in the deepest layer of the network."""


def _is_a_side(_config: object, attribute: Attribute[int], value: int) -> None:
    if value < 2 * _COARSEST or value % _COARSEST:
        raise ValueError(
            f"'{attribute.name}' must be a multiple of {_COARSEST}, and {2 * _COARSEST} at least: "
            f"{value}"
        )


@frozen
class DataConfig:
    """Pages to learn from and to be measured on."""

    train: str | None = option(None, "folder of pages to learn from; none: synthetic receipts")
    val: str | None = option(
        None, "folder of pages to be measured on; none: synthetic, or part of data.train"
    )
    test: str | None = option(None, "folder of pages that the best network is tested on at the end")
    val_share: float = option(
        0.1, "share of data.train held out when data.val is none", check=_BELOW_ONE
    )
    format: Literal["auto", "icdar", "sroie", "ufo", "totaltext", "ctw"] = option(
        "auto", "how the pages are annotated; auto: see what lies in the folder"
    )
    exif: bool = option(
        True, "turn photographs as their EXIF says, as most annotation tools show them"
    )
    workers: int = option(2, "processes that read and prepare pages", check=_NOT_NEGATIVE)


@frozen
class SyntheticConfig:
    """Generated receipts."""

    train_pages: int = option(400, "pages to learn from", check=_AT_LEAST_ONE)
    val_pages: int = option(40, "pages to be measured on", check=_AT_LEAST_ONE)
    height: int = option(640, "height of a page in pixels", check=validators.ge(64))
    curvature: float = option(
        0.3, "share of the pages that are bent, so that lines are polygons", check=_PART
    )


@frozen
class AugmentationConfig:
    """What is done to a page before each time that it is learned from."""

    crop: int = option(
        320, "side of the square that is learned from, a multiple of 32 pixels", check=_is_a_side
    )
    scale: float = option(1.0, "size of the page against evaluation.long_side", check=_POSITIVE)
    scale_jitter: float = option(
        0.1, "most that the scale is multiplied or divided by, minus 1", check=_NOT_NEGATIVE
    )
    rotation: float = option(0.0, "most degrees that a page is turned", check=_NOT_NEGATIVE)
    flip: float = option(0.0, "chance of a page being mirrored left to right", check=_PART)
    colour: float = option(0.2, "strength of changes of brightness and contrast", check=_PART)
    blur: float = option(0.0, "chance of a page being blurred", check=_PART)


@frozen
class TargetConfig:
    """The maps that the network learns (section 3.4)."""

    shrink_ratio: float = option(0.6, "r: how much a text is shrunk to its kernel", check=_SHRINK)
    min_text_size: float = option(
        3.0, "texts of a smaller short side, in pixels, count for nothing", check=_NOT_NEGATIVE
    )
    thresh_min: float = option(0.3, "threshold map away from the borders of texts", check=_PART)
    thresh_max: float = option(0.7, "threshold map on the borders of texts", check=_PART)


@frozen
class ModelConfig:
    """The network."""

    backbone: str = option(
        "resnet18", "resnet18, resnet50, or folder or Hugging Face name of a backbone"
    )
    pretrained: bool = option(
        False, "start the backbone from pretrained weights if they can be had"
    )
    weights: str | None = option(
        None, "kept model to learn from, from step 0 on: folder, or folder or id of its run"
    )
    width: float = option(0.5, "resnet18/50: channels, times the usual", check=_POSITIVE)
    neck_channels: int = option(64, "channels of the feature pyramid", check=validators.ge(4))
    scale_fusion: bool = option(False, "fuse the pyramid by learned attention (DBNet++)")
    k: float = option(50.0, "steepness of the differentiable binarization", check=_POSITIVE)


@frozen
class LossConfig:
    """Weights of the losses; defaults of the official code, which differ from the paper's."""

    prob_weight: float = option(5.0, "of the probability map's loss", check=_NOT_NEGATIVE)
    thresh_weight: float = option(10.0, "of the threshold map's loss", check=_NOT_NEGATIVE)
    binary_weight: float = option(1.0, "of the binary map's loss", check=_NOT_NEGATIVE)
    negative_ratio: float = option(
        3.0, "hardest text-free pixels learned from, for each pixel of text", check=_POSITIVE
    )


@frozen
class TrainingConfig:
    """How the network learns."""

    epochs: int = option(6, "most epochs", check=_AT_LEAST_ONE)
    batch_size: int = option(4, "pages of one optimizer step", check=_AT_LEAST_ONE)
    accumulation: int = option(
        1, "parts in which a process computes its share of a step", check=_AT_LEAST_ONE
    )
    optimizer: Literal["adam", "sgd"] = option("adam", "adam or sgd with momentum 0.9")
    schedule: Literal["cosine", "poly"] = option("cosine", "how the learning rate falls to zero")
    lr: float = option(1e-3, "highest learning rate", check=_FINITE, aliases=("learning_rate",))
    weight_decay: float = option(1e-4, "pull of the weights towards zero", check=_NOT_NEGATIVE)
    warmup: float = option(0.05, "share of the steps in which the rate rises", check=_BELOW_ONE)
    clip_norm: float = option(5.0, "longest gradient; 0: any length", check=_NOT_NEGATIVE)
    ema: float = option(
        0.99, "decay of the running mean of the weights that is kept; 0: none", check=_BELOW_ONE
    )
    patience: int = option(
        5, "epochs without a higher val/hmean before stopping", check=_AT_LEAST_ONE
    )
    keep: int = option(
        3,
        "an epoch's model is kept if it is among so many best ones until then",
        check=_AT_LEAST_ONE,
    )
    start_from: str | None = option(
        None, "kept model to go on from after its epoch: folder, or folder or id of its run"
    )
    channels_last: bool = option(True, "memory layout that convolutions prefer")
    compile: bool = option(False, "compile the network with torch.compile")


@frozen
class PostprocessConfig:
    """From maps to texts (section 3.5)."""

    thresh: float = option(0.5, "probability from which a pixel belongs to a text", check=_PART)
    box_thresh: float = option(0.6, "mean probability from which a text is kept", check=_PART)
    unclip: float = option(
        0.0,
        "growth of a kernel, times its area over its length; 0: exactly undo the shrinking",
        check=_NOT_NEGATIVE,
    )
    min_size: float = option(
        2.0, "texts of a smaller short side, in pixels of the map, are dropped", check=_NOT_NEGATIVE
    )
    max_candidates: int = option(1000, "texts kept per page, best first", check=_AT_LEAST_ONE)
    shape: Literal["quad", "polygon"] = option("quad", "outline of a found text")


@frozen
class EvaluationConfig:
    """How a network is measured."""

    long_side: int = option(640, "longest side of a page in the network", check=validators.ge(32))
    iou: float = option(0.5, "overlap above which a text counts as found", check=_PART)
    drawn_pages: int = option(4, "pages drawn per epoch", check=_NOT_NEGATIVE)


@frozen
class DbnetConfig:
    """Everything that ``recipes/dbnet.py`` can be told."""

    seed: int = option(42, "seed of all random numbers", check=SEEDS)
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the network; auto: bf16 where the hardware computes in it"
    )
    threads: int = option(
        0, "threads of each process on a CPU; 0: share its cores", check=_NOT_NEGATIVE
    )
    log_interval: int = option(10, "optimizer steps between points of a curve", check=_AT_LEAST_ONE)
    data: DataConfig = field(factory=DataConfig)
    synthetic: SyntheticConfig = field(factory=SyntheticConfig)
    augmentation: AugmentationConfig = field(factory=AugmentationConfig)
    targets: TargetConfig = field(factory=TargetConfig)
    model: ModelConfig = field(factory=ModelConfig)
    loss: LossConfig = field(factory=LossConfig)
    training: TrainingConfig = field(factory=TrainingConfig)
    postprocess: PostprocessConfig = field(factory=PostprocessConfig)
    evaluation: EvaluationConfig = field(factory=EvaluationConfig)
    tracking: TrackingConfig = field(factory=TrackingConfig)


def quick() -> DbnetConfig:
    """A narrow network on small crops of generated receipts: minutes on two cores. The default."""
    return DbnetConfig()


def receipts() -> DbnetConfig:
    """Adam, 10 epochs, pretrained ResNet-18, 640 px crops of pages of 960 px: for a GPU."""
    return DbnetConfig(
        data=DataConfig(workers=8),
        synthetic=SyntheticConfig(train_pages=3200, val_pages=200, height=960),
        augmentation=AugmentationConfig(
            crop=640, scale_jitter=0.3, rotation=5.0, colour=0.5, blur=0.1
        ),
        model=ModelConfig(width=1.0, neck_channels=256, pretrained=True),
        training=TrainingConfig(epochs=10, batch_size=16, lr=1e-3, ema=0.999),
        evaluation=EvaluationConfig(long_side=960),
    )


def paper() -> DbnetConfig:
    """The paper's ResNet-50, targets, SGD and 1200 epochs; weights of losses as in its code."""
    return DbnetConfig(
        data=DataConfig(workers=8),
        synthetic=SyntheticConfig(train_pages=3200, val_pages=200, height=960),
        augmentation=AugmentationConfig(
            crop=640, scale_jitter=2.0, rotation=10.0, flip=0.5, colour=0.0
        ),
        targets=TargetConfig(shrink_ratio=0.4, min_text_size=8.0),
        model=ModelConfig(backbone="resnet50", width=1.0, neck_channels=256, pretrained=True),
        training=TrainingConfig(
            epochs=1200,
            batch_size=16,
            optimizer="sgd",
            schedule="poly",
            lr=0.007,
            weight_decay=1e-4,
            warmup=0.0,
            clip_norm=0.0,
            ema=0.0,
            patience=1200,
        ),
        postprocess=PostprocessConfig(thresh=0.2, box_thresh=0.7, unclip=1.5, min_size=5.0),
        evaluation=EvaluationConfig(long_side=1280),
    )


PRESETS: Mapping[str, Callable[[], DbnetConfig]] = {
    "quick": quick,
    "receipts": receipts,
    "paper": paper,
}
