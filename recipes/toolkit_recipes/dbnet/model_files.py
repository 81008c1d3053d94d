"""A trained network on disk: everything that prediction needs, in one folder.

::

    FOLDER/
      model.safetensors    weights of the whole network
      dbnet.json           configuration of the recipe, the backbone's form, metrics
      state/               what training goes on from, where a run kept it

Tensors are safetensors and all else is JSON: loading runs no code from the folder, and needs
neither the network nor the folder that the backbone came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file

from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.dbnet.backbone import restore_backbone
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.saved_settings import read_settings

FORMAT = 1
"""Raised when older versions can't read what is written any more."""
ARTIFACTS = "model-epoch-*"
"""What a run calls the networks that it trained."""
WEIGHTS = "model.safetensors"
SETTINGS = "dbnet.json"
STATE = "state"


@frozen(eq=False)
class SavedNetwork:
    """A network that was read from a folder.

    Args:
        network: in evaluation mode, on the CPU.
        config: how it was made; folders of that machine's data are left out.
        metrics: results that were saved with it.
    """

    network: DBNet
    config: DbnetConfig
    metrics: Mapping[str, float]


@frozen
class _Settings:
    """The content of ``dbnet.json``."""

    format: int
    config: DbnetConfig
    backbone: dict[str, Any]
    metrics: dict[str, float] = field(factory=dict)


def save_network(
    folder: Path,
    network: DBNet,
    config: DbnetConfig,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write a network into a new or empty folder.

    Args:
        folder: is made where it isn't there.
        network: the bare one, not wrapped for training.
        config: what it was trained with.
        metrics: results to keep beside it.

    Raises:
        UsageError: there is something in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already there; give a new or empty folder for the network")
    folder.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, folder / WEIGHTS)
    data = attrs.evolve(config.data, train=None, val=None, test=None)
    model = attrs.evolve(config.model, weights=None)
    training = attrs.evolve(config.training, start_from=None)
    settings = {
        "format": FORMAT,
        "config": as_dict(attrs.evolve(config, data=data, model=model, training=training)),
        "backbone": network.backbone.settings(),
        "metrics": dict(metrics or {}),
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    (folder / SETTINGS).write_text(text, encoding="utf-8", newline="")


def load_network(folder: Path | str) -> SavedNetwork:
    """Read a network that :func:`save_network` wrote.

    Raises:
        UsageError: the folder isn't such a network; the message says what is missing or wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    missing = [name for name in (WEIGHTS, SETTINGS) if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{folder}: not a saved DBNet network, for it has no {', no '.join(missing)}; give the "
            "whole folder, or the run that trained the network"
        )
    settings = read_settings(folder / SETTINGS, _Settings, FORMAT)
    try:
        network = DBNet(restore_backbone(settings.backbone), settings.config.model)
    except UsageError as error:
        raise UsageError(f"{folder / SETTINGS}: {error}") from error
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{folder / WEIGHTS}: can't be read ({error})") from None
    except RuntimeError as error:
        raise UsageError(f"{folder / WEIGHTS}: doesn't fit {SETTINGS}: {error}") from None
    return SavedNetwork(network.eval(), settings.config, settings.metrics)
