"""Rules of the ONNX export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ResNetConfig

from tests.recipes.dbnet.drawn_pages import BARS
from tests.recipes.dbnet.drawn_pages import SHRINK_RATIO
from tests.recipes.dbnet.drawn_pages import SIDE
from tests.recipes.dbnet.drawn_pages import drawn_page
from tests.recipes.dbnet.drawn_pages import learn_page
from tests.recipes.dbnet.drawn_pages import small_network
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.onnx_export import export_metadata
from toolkit_recipes.dbnet.onnx_export import export_onnx
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.presets import ModelConfig
from toolkit_recipes.dbnet.presets import PostprocessConfig

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnxscript", reason="needs the extra 'onnx'")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> DBNet:
    """A network that knows one page; as few layers as possible, for exporting takes long."""
    form = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], layer_type="basic"
    )
    folder = tmp_path_factory.mktemp("form")
    form.save_pretrained(folder)
    config = ModelConfig(backbone=str(folder), pretrained=False, width=1.0, neck_channels=32)
    network = small_network(config=config)
    learn_page(network, 80)
    return network


@pytest.fixture(scope="module")
def exported(learned: DBNet, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session with the network's file alone."""
    file = tmp_path_factory.mktemp("onnx") / "network.onnx"
    learned.train()
    export_onnx(learned, file, {"shrink_ratio": str(SHRINK_RATIO)})
    assert learned.training
    assert [path.name for path in file.parent.iterdir()] == ["network.onnx"]
    return onnxruntime.InferenceSession(file.read_bytes())


def both_maps(network: DBNet, session: Any, images: torch.Tensor) -> tuple[Any, Any]:
    """The probability maps of PyTorch and of onnxruntime."""
    with torch.no_grad():
        own = network.eval().probability(images).numpy()
    (other,) = session.run(None, {"images": images.numpy()})
    return own, other


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 3, 64, 160), (2, 3, 96, 96)])
def test_the_map_is_the_same_at_any_size(
    learned: DBNet, exported: Any, shape: tuple[int, ...]
) -> None:
    """Batch, height and width are up to the caller; the map differs by rounding alone."""
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    own, other = both_maps(learned, exported, images)
    assert own.shape == other.shape
    np.testing.assert_allclose(other, own, atol=1e-4, rtol=0)


def test_the_texts_are_the_same(learned: DBNet, exported: Any) -> None:
    """Post-processing finds every text of a learned page in both maps, at the same place."""
    own, other = both_maps(learned, exported, drawn_page()[0])
    first, second = (
        find_texts(prob[0], PostprocessConfig(), SHRINK_RATIO, (SIDE, SIDE))
        for prob in (own, other)
    )
    assert len(first) == len(second) == len(BARS)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(two.polygon, one.polygon, atol=1e-3)
        assert two.score == pytest.approx(one.score, abs=1e-4)


def test_the_file_says_what_it_was_told(exported: Any) -> None:
    """Names, free dimensions and metadata are there for whoever runs it."""
    (image,), (prob,) = exported.get_inputs(), exported.get_outputs()
    assert (image.name, prob.name) == ("images", "probability")
    assert image.shape[1] == 3
    assert all(isinstance(side, str) for side in (image.shape[0], *image.shape[2:], *prob.shape))
    assert exported.get_modelmeta().custom_metadata_map == {"shrink_ratio": str(SHRINK_RATIO)}


def test_metadata_say_how_to_find_the_same_texts() -> None:
    """All numbers from the image to the outlines, as JSON."""
    config = DbnetConfig(postprocess=PostprocessConfig(thresh=0.25, unclip=1.5))
    values = {name: json.loads(text) for name, text in export_metadata(config).items()}
    assert values.pop("mean") == [0.485, 0.456, 0.406]
    assert values.pop("std") == [0.229, 0.224, 0.225]
    assert values == {
        "long_side": config.evaluation.long_side,
        "multiple": 32,
        "shrink_ratio": config.targets.shrink_ratio,
        "thresh": 0.25,
        "box_thresh": config.postprocess.box_thresh,
        "unclip": 1.5,
        "min_size": config.postprocess.min_size,
        "max_candidates": config.postprocess.max_candidates,
        "shape": "quad",
    }


def test_a_file_that_cant_be_written_is_named(learned: DBNet, tmp_path: Path) -> None:
    """A name that is too long shows only when it is written."""
    with pytest.raises(UsageError, match=r"nnn\.onnx: can't be written"):
        export_onnx(learned, tmp_path / f"{'n' * 300}.onnx")


def test_a_folder_is_no_file_to_write(learned: DBNet, tmp_path: Path) -> None:
    """It is found out before the export."""
    with pytest.raises(UsageError, match="a folder; give the file to write"):
        export_onnx(learned, tmp_path)


def test_a_missing_folder_is_named(learned: DBNet, tmp_path: Path) -> None:
    """It is found out before the export, which takes long."""
    with pytest.raises(UsageError, match=r"network.onnx: no such folder to write into"):
        export_onnx(learned, tmp_path / "nowhere" / "network.onnx")
