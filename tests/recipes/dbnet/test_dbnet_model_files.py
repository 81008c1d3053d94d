"""Rules of a saved network's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from attrs import evolve
from transformers import ResNetConfig

from tests.recipes.dbnet.drawn_pages import SMALL
from tests.recipes.dbnet.drawn_pages import drawn_page
from tests.recipes.dbnet.drawn_pages import small_network
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.model_files import save_network
from toolkit_recipes.dbnet.presets import DataConfig
from toolkit_recipes.dbnet.presets import DbnetConfig

CONFIG = DbnetConfig(model=SMALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved network."""
    save_network(tmp_path / "saved", small_network(), CONFIG)
    return tmp_path / "saved"


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    """Maps, configuration and metrics are the same; the network is ready to predict."""
    config = evolve(CONFIG, model=evolve(SMALL, scale_fusion=True))
    network, (image, _) = small_network(config=config.model), drawn_page()
    network(image)  # moves the running statistics
    save_network(tmp_path / "saved", network, config, {"hmean": 0.5})
    loaded = load_network(str(tmp_path / "saved"))
    assert not loaded.network.training
    assert (loaded.config, loaded.metrics) == (config, {"hmean": 0.5})
    with torch.no_grad():
        expected = network.eval().probability(image)
        assert torch.equal(loaded.network.probability(image), expected)


def test_the_backbones_own_folder_is_not_needed(tmp_path: Path) -> None:
    """A network with a backbone of its own form loads where that form's folder is gone."""
    form = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic"
    )
    form.save_pretrained(tmp_path / "form")
    config = evolve(CONFIG, model=evolve(SMALL, backbone=str(tmp_path / "form"), width=1.0))
    save_network(tmp_path / "saved", small_network(config=config.model), config)
    (tmp_path / "form" / "config.json").unlink()
    assert load_network(tmp_path / "saved").network.backbone.channels == (8, 8, 16, 16)


def test_folders_of_the_data_are_left_out(tmp_path: Path) -> None:
    """What is shared tells nothing about the machine that it was made on."""
    config = evolve(CONFIG, data=DataConfig(train="/home/a", val="/home/b", test="/home/c"))
    save_network(tmp_path / "saved", small_network(), config)
    assert "/home" not in (tmp_path / "saved" / "dbnet.json").read_text()
    assert load_network(tmp_path / "saved").config == CONFIG


def test_a_folder_with_something_in_it_is_not_written_to(folder: Path) -> None:
    """Nothing is overwritten."""
    with pytest.raises(UsageError, match="already there; give a new or empty folder"):
        save_network(folder, small_network(), CONFIG)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message holds the path."""
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        load_network(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.safetensors", "dbnet.json"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    """A folder without one of the two isn't a saved network."""
    (folder / name).unlink()
    with pytest.raises(UsageError, match=f"not a saved DBNet network, for it has no {name}"):
        load_network(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is newer than 1"),
        ({"format": None}, "no whole number 'format'"),
        ({"config": {"seed": "x"}}, "not a configuration of this version: .*config.seed"),
        ({"backbone": {}}, "dbnet.json: not the configuration of a backbone"),
        ({"backbone": {"model_type": "resnet", "depths": [1]}}, "isn't a backbone of 4 stages"),
        ({"backbone": {"model_type": "resnet"}}, r"model.safetensors: doesn't fit dbnet.json"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    folder: Path, change: dict[str, object], message: str
) -> None:
    """Whatever was changed in the text, the message says where and what."""
    file = folder / "dbnet.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UsageError, match=message):
        load_network(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_settings_that_are_not_json_are_named(folder: Path, text: str) -> None:
    """Nor is a list taken for settings."""
    (folder / "dbnet.json").write_text(text)
    with pytest.raises(UsageError, match=r"dbnet.json: (not JSON|no whole number)"):
        load_network(folder)


def test_broken_weights_are_named(folder: Path) -> None:
    """A file that isn't safetensors is reported, not run."""
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UsageError, match=r"model.safetensors: can't be read"):
        load_network(folder)
