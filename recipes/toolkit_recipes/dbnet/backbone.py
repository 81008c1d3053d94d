"""Backbones: what turns a page into features at 1/4, 1/8, 1/16 and 1/32 of its size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from typing import Literal

import torch
import transformers
from attrs import frozen
from safetensors import SafetensorError
from torch import Tensor
from torch import nn
from transformers import MODEL_FOR_BACKBONE_MAPPING
from transformers import AutoBackbone
from transformers import AutoConfig
from transformers import PretrainedConfig
from transformers import PreTrainedModel
from transformers import ResNetConfig

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.presets import ModelConfig
from toolkit_recipes.model_hub import SETTINGS
from toolkit_recipes.model_hub import WEIGHTS
from toolkit_recipes.model_hub import ModelFiles
from toolkit_recipes.model_hub import ModelNotFoundError
from toolkit_recipes.model_hub import find_model

STRIDES = (4, 8, 16, 32)
"""Pixels of the page per pixel of each feature map."""

_OPTION = "model.backbone"
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    ImportError,  # a backbone that needs a package of its own
    SafetensorError,
)

LayerType = Literal["basic", "bottleneck"]


@frozen
class ResNetForm:
    """A residual network that is built without any file."""

    repository: str
    """Where its pretrained weights are on the Hugging Face hub."""
    layer_type: LayerType
    hidden_sizes: tuple[int, ...]
    depths: tuple[int, ...]


RESNETS: Mapping[str, ResNetForm] = MappingProxyType(
    {
        "resnet18": ResNetForm("microsoft/resnet-18", "basic", (64, 128, 256, 512), (2, 2, 2, 2)),
        "resnet50": ResNetForm(
            "microsoft/resnet-50", "bottleneck", (256, 512, 1024, 2048), (3, 4, 6, 3)
        ),
    }
)
STEM_CHANNELS = 64


class Backbone(nn.Module):
    """A Hugging Face backbone that gives features at the four strides.

    Args:
        model: anything that AutoBackbone makes, set to give its last four stages.

    Raises:
        UsageError: its features don't lie at 1/4, 1/8, 1/16 and 1/32, as a plain vision
            transformer's don't.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.channels = _channels(model)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return features [B, channels, H / stride, W / stride], the finest first.

        Args:
            images: [B, 3, H, W], normalised.
        """
        return tuple(self.model(images).feature_maps)

    def settings(self) -> dict[str, Any]:
        """Return what :func:`restore_backbone` needs, as plain JSON values."""
        settings: dict[str, Any] = json.loads(self.model.config.to_json_string(use_diff=False))
        settings.pop("_name_or_path", None)  # a folder of this machine
        return settings


def build_backbone(config: ModelConfig) -> tuple[Backbone, str]:
    """Build a backbone, pretrained where that is asked for and can be had.

    ``resnet18`` and ``resnet50`` need no files: where their weights can't be had, or don't exist
    because ``model.width`` isn't 1, they start at random. Any other backbone is a folder or a name
    on the Hugging Face hub, whose ``config.json`` is needed in any case.

    Returns:
        The backbone, and in words where its weights are from.

    Raises:
        UsageError: the backbone isn't found, can't be loaded or doesn't fit; the message says what
            to do.
    """
    form = RESNETS.get(config.backbone)
    if form is not None:
        return _build_resnet(form, config)
    if config.width != 1:
        raise UsageError(
            f"model.width={config.width:g} scales {' and '.join(RESNETS)} only; leave it at 1 with "
            f"model.backbone={config.backbone}"
        )
    return _build_named(config.backbone, pretrained=config.pretrained)


def restore_backbone(settings: Mapping[str, Any]) -> Backbone:
    """Build a backbone as its Hugging Face configuration says, without weights and files.

    Raises:
        UsageError: the configuration isn't one of a backbone.
    """
    try:
        kind, rest = settings["model_type"], dict(settings)
        del rest["model_type"]
        return Backbone(_untrained(AutoConfig.for_model(kind, **rest)))
    except _UNREADABLE as error:
        raise UsageError(f"not the configuration of a backbone: {_reason(error)}") from error


def _build_resnet(form: ResNetForm, config: ModelConfig) -> tuple[Backbone, str]:
    untrained = Backbone(_untrained(_resnet_config(form, config.width)))
    if not config.pretrained:
        return untrained, "random weights"
    if config.width != 1:
        return untrained, f"random weights; none are published for model.width={config.width:g}"
    try:
        files = find_model(_OPTION, form.repository)
    except ModelNotFoundError as error:
        return untrained, f"random weights; {form.repository} {error.reason}"
    return _load(files, form.repository)


def _build_named(name: str, *, pretrained: bool) -> tuple[Backbone, str]:
    advice = f", or use one that needs no files: {', '.join(RESNETS)}"
    needed = (SETTINGS, WEIGHTS) if pretrained else (SETTINGS,)
    files = find_model(_OPTION, name, advice, needed)
    if pretrained:
        return _load(files, name)
    try:
        return Backbone(_untrained(_read_config(files.folder))), "random weights"
    except _UNREADABLE as error:
        raise UsageError(_unfit(name, error)) from error


def _resnet_config(form: ResNetForm, width: float) -> ResNetConfig:
    return ResNetConfig(
        embedding_size=_scaled(STEM_CHANNELS, width),
        hidden_sizes=[_scaled(size, width) for size in form.hidden_sizes],
        depths=list(form.depths),
        layer_type=form.layer_type,
    )


def _scaled(channels: int, width: float) -> int:
    """Scale a number of channels, keeping it a multiple of 8, which processors like."""
    return max(8, 8 * round(channels * width / 8))


def _untrained(config: PretrainedConfig) -> PreTrainedModel:
    config.out_features = _last_stages(config)
    model: PreTrainedModel = AutoBackbone.from_config(  # type: ignore[no-untyped-call]
        config, trust_remote_code=False
    )
    return model


def _load(files: ModelFiles, name: str) -> tuple[Backbone, str]:
    """Load a backbone with its weights; the words say how many the file doesn't have."""
    try:
        config = _read_config(files.folder)
        config.out_features = _last_stages(config)
        with _quiet():
            model, report = _class_of(config).from_pretrained(
                files.folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                use_safetensors=True,
            )
        backbone = Backbone(model)
    except _UNREADABLE as error:
        raise UsageError(_unfit(name, error)) from error
    missing, total = len(report["missing_keys"]), len(model.state_dict())
    if 2 * missing > total:
        raise UsageError(
            f"{_OPTION}={name}: {missing} of its {total} tensors aren't in {files.folder}; "
            "give a folder with the weights of this backbone, or set model.pretrained=false"
        )
    added = f"; {missing} of {total} tensors start at random" if missing else ""
    return backbone, _origin(files, name) + added


def _class_of(config: PretrainedConfig) -> Any:
    """Return the class that AutoBackbone would take; that asks the hub even about a folder."""
    return MODEL_FOR_BACKBONE_MAPPING[type(config)]


def _read_config(folder: Path) -> PretrainedConfig:
    config: PretrainedConfig = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return config


def _last_stages(config: PretrainedConfig) -> list[str]:
    """Name the stages whose features are used.

    Raises:
        ValueError: this isn't a backbone, or one of fewer stages.
    """
    names = list(getattr(config, "stage_names", None) or ())
    if len(names) < len(STRIDES):
        raise ValueError(f"{config.model_type} isn't a backbone of {len(STRIDES)} stages")
    return names[-len(STRIDES) :]


def _channels(model: PreTrainedModel) -> tuple[int, ...]:
    """Send a blank page through a model to see what it gives.

    Weights that its features don't depend on are frozen: several processes would wait for their
    gradients.

    Raises:
        UsageError: features at other strides than DBNet needs.
    """
    side = 4 * STRIDES[-1]
    model.train(mode=False)
    with torch.enable_grad():
        maps = model(torch.zeros(1, 3, side, side)).feature_maps
        total = torch.stack([features.sum() for features in maps]).sum()
        total.backward()  # type: ignore[no-untyped-call]
    for weight in model.parameters():
        weight.requires_grad_(weight.grad is not None)
        weight.grad = None
    model.train()
    strides = tuple(side // features.shape[-1] for features in maps)
    if strides != STRIDES:
        raise UsageError(
            f"{type(model).__name__} gives features at strides {strides}, but DBNet needs "
            f"{STRIDES}; choose a convolutional or hierarchical backbone such as resnet18"
        )
    return tuple(features.shape[1] for features in maps)


def _origin(files: ModelFiles, name: str) -> str:
    """Say in words where weights are from, with the revision if the hub gave them."""
    if files.source in ("cache", "hub"):
        return f"pretrained: {name} at {files.folder.name[:12]}, Hugging Face {files.source}"
    return f"pretrained: {name}"


def _unfit(name: str, error: Exception) -> str:
    return f"{_OPTION}={name}: can't be used as a backbone: {_reason(error)}"


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing what it loads: what matters is in the words returned."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)
