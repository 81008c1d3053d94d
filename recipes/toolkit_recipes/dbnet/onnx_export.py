"""The network as an ONNX file, for use without PyTorch."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch import nn

from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.dbnet.dataset import DEVIATION
from toolkit_recipes.dbnet.dataset import MEAN
from toolkit_recipes.dbnet.network import SIDE_MULTIPLE
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.presets import DbnetConfig

INPUT = "images"
OUTPUT = "probability"
NEEDED = ("onnx", "onnxscript")
OPSET = 18
"""Version of ONNX's operators; runtimes of 2023 and later know it."""


class _Probability(nn.Module):
    """The part of the network that prediction needs."""

    def __init__(self, network: DBNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.probability(images)


def export_onnx(network: DBNet, file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the network as an ONNX file that gives the probability map.

    Its input ``images`` is float32 [B, 3, H, W], normalised as for the network; B, H and W are up
    to the caller, H and W multiples of 32. Its output ``probability`` is float32 [B, H, W].

    Args:
        network: the bare one; it is left in the mode that it was in.
        file: to write; weights are within it.
        metadata: kept in the file, such as how to normalise.

    Raises:
        UsageError: packages are missing, or the folder to write into, or the file can't be
            written.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"ONNX export needs {' and '.join(missing)}: pip install 'toolkit-tracker[onnx]'"
        )
    if os.path.isdir(file):
        raise UsageError(f"{file}: a folder; give the file to write")
    if not os.path.isdir(file.parent):
        raise UsageError(f"{file}: no such folder to write into; make it first")
    was_training = network.training
    network.eval()
    try:
        _export(network, file, dict(metadata or {}))
    finally:
        network.train(was_training)


def export_metadata(config: DbnetConfig) -> dict[str, str]:
    """Return what finding the same texts with the file needs, each value as JSON.

    ``mean`` and ``std``: of red, green and blue, of 1, that images are normalised with;
    ``long_side``: of a page in the network, in pixels; ``multiple``: that height and width are
    padded to; ``shrink_ratio``: of the kernels; the rest: the keys of ``postprocess``.
    """
    values = {
        "mean": MEAN,
        "std": DEVIATION,
        "long_side": config.evaluation.long_side,
        "multiple": SIDE_MULTIPLE,
        "shrink_ratio": config.targets.shrink_ratio,
        **as_dict(config.postprocess),
    }
    return {name: json.dumps(value) for name, value in values.items()}


def _export(network: DBNet, file: Path, metadata: dict[str, str]) -> None:
    height, width = (SIDE_MULTIPLE * torch.export.Dim(name, min=1) for name in ("rows", "columns"))
    device = next(network.parameters()).device
    # Sides and batch differ from each other and from 1, so that none is taken for a constant.
    example = torch.zeros(2, 3, 3 * SIDE_MULTIPLE, 4 * SIDE_MULTIPLE, device=device)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Probability(network),
            (example,),
            dynamo=True,
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1), 2: height, 3: width}},
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    program.model.metadata_props.update(metadata)
    try:
        program.save(file, include_initializers=True, external_data=False)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{file}: can't be written ({reason})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about its own workings from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
