"""Rules of finding, loading and building backbones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from attrs import evolve
from transformers import BertConfig
from transformers import ConvNextConfig
from transformers import ConvNextForImageClassification
from transformers import Dinov2Config
from transformers import PreTrainedModel
from transformers import ResNetConfig
from transformers import ResNetForImageClassification
from transformers import SwinConfig
from transformers import SwinForImageClassification

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.backbone import build_backbone
from toolkit_recipes.dbnet.presets import ModelConfig

TINY_RESNET = ResNetConfig(
    embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic"
)
REVISION = "0123456789abcdef0123456789abcdef01234567"
RESNET18 = ModelConfig(width=1.0, pretrained=True)


@pytest.fixture
def tiny_resnet(tmp_path: Path) -> Path:
    """A classifier with random weights, as a hub holds them."""
    return saved(ResNetForImageClassification(TINY_RESNET), tmp_path / "tiny_resnet")


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """Write a model with weights that no fresh one has."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
    model.save_pretrained(folder)
    return folder


def named(folder: Path, *, pretrained: bool = True) -> ModelConfig:
    """Ask for the backbone in a folder."""
    return evolve(RESNET18, backbone=str(folder), pretrained=pretrained)


def test_features_lie_at_the_four_strides() -> None:
    """A page gives features at 1/4, 1/8, 1/16 and 1/32 with the announced channels."""
    backbone, words = build_backbone(evolve(RESNET18, width=0.5, pretrained=False))
    features = backbone(torch.zeros(2, 3, 64, 96))
    assert words == "random weights"
    assert backbone.channels == (32, 64, 128, 256)
    assert [tuple(f.shape) for f in features] == [
        (2, 32, 16, 24),
        (2, 64, 8, 12),
        (2, 128, 4, 6),
        (2, 256, 2, 3),
    ]


@pytest.mark.parametrize(
    ("width", "channels"),
    [(0.25, (16, 32, 64, 128)), (0.3, (16, 40, 80, 152)), (0.01, (8, 8, 8, 8))],
)
def test_width_scales_channels_to_multiples_of_8(width: float, channels: tuple[int, ...]) -> None:
    """Processors like such numbers, and no stage vanishes."""
    config = evolve(RESNET18, width=width, pretrained=False)
    assert build_backbone(config)[0].channels == channels


@pytest.mark.usefixtures("hub_cache")
def test_without_network_a_resnet_starts_at_random_and_says_so() -> None:
    """The words name the weights that couldn't be had and where they were looked for, in a line."""
    _, words = build_backbone(RESNET18)
    assert words.startswith("random weights; microsoft/resnet-18 found nowhere (cache: not there")
    assert "hub: " in words
    assert "\n" not in words


def test_a_scaled_resnet_says_that_no_weights_exist() -> None:
    """Nothing is looked for, since nobody published weights of another width."""
    _, words = build_backbone(evolve(RESNET18, width=0.25))
    assert words == "random weights; none are published for model.width=0.25"


def test_a_folder_gives_its_weights(tiny_resnet: Path) -> None:
    """A classifier's weights are used without its last layer."""
    backbone, words = build_backbone(named(tiny_resnet))
    classifier = ResNetForImageClassification.from_pretrained(tiny_resnet)
    expected = classifier.resnet.state_dict()
    assert words == f"pretrained: {tiny_resnet}"
    assert backbone.channels == (8, 16, 24, 32)
    for name, weight in backbone.model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_a_folder_can_give_its_form_alone(tiny_resnet: Path) -> None:
    """With pretrained=false the weights are drawn, and needn't be there."""
    (tiny_resnet / "model.safetensors").unlink()
    backbone, words = build_backbone(named(tiny_resnet, pretrained=False))
    assert words == "random weights"
    assert backbone.channels == (8, 16, 24, 32)


def test_the_cache_is_used_without_asking_the_hub(hub_cache: Path, tiny_resnet: Path) -> None:
    """What was fetched before is found by its name, and the words tell its revision."""
    repository = hub_cache / "models--microsoft--resnet-18"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    shutil.copytree(tiny_resnet, repository / "snapshots" / REVISION)
    backbone, words = build_backbone(RESNET18)
    assert words == "pretrained: microsoft/resnet-18 at 0123456789ab, Hugging Face cache"
    assert backbone.channels == (8, 16, 24, 32)


def test_other_hierarchical_backbones_fit(tmp_path: Path) -> None:
    """Tensors that only the backbone's form has start at random, and the words count them."""
    config = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])
    folder = saved(ConvNextForImageClassification(config), tmp_path / "convnext")
    backbone, words = build_backbone(named(folder))
    assert backbone.channels == (8, 8, 16, 16)
    assert words.startswith(f"pretrained: {folder}; 8 of ")
    assert words.endswith(" tensors start at random")


def test_weights_of_another_network_are_refused(tiny_resnet: Path, tmp_path: Path) -> None:
    """A file without most of the weights isn't taken for one with them."""
    config = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])
    folder = saved(ConvNextForImageClassification(config), tmp_path / "mixed")
    shutil.copy(tiny_resnet / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"mixed: \d+ of its \d+ tensors aren't in"):
        build_backbone(named(folder))


def test_plain_vision_transformers_are_refused(tmp_path: Path) -> None:
    """Features at one stride alone can't make a pyramid; the message says which would."""
    Dinov2Config(hidden_size=16, num_hidden_layers=4, num_attention_heads=2).save_pretrained(
        tmp_path
    )
    with pytest.raises(UsageError, match=r"strides .* DBNet needs \(4, 8, 16, 32\); choose"):
        build_backbone(named(tmp_path, pretrained=False))


def test_models_that_are_no_backbones_are_refused(tmp_path: Path) -> None:
    """A text encoder's folder is named with what it is."""
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="bert isn't a backbone of 4 stages"):
        build_backbone(named(tmp_path, pretrained=False))


def test_weights_must_be_safetensors(tiny_resnet: Path) -> None:
    """A folder with pickled weights only is refused."""
    (tiny_resnet / "model.safetensors").rename(tiny_resnet / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"tiny_resnet: the folder has no \*.safetensors"):
        build_backbone(named(tiny_resnet))


def test_broken_weights_are_named(tiny_resnet: Path) -> None:
    """A file that isn't what its name says is reported with its folder."""
    (tiny_resnet / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UsageError, match=r"tiny_resnet: can't be used as a backbone"):
        build_backbone(named(tiny_resnet))


def test_a_missing_folder_is_not_looked_for_elsewhere() -> None:
    """What is written as a path is a path."""
    with pytest.raises(UsageError, match=r"model.backbone=./nowhere: no such folder"):
        build_backbone(evolve(RESNET18, backbone="./nowhere"))


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("name", ["nobody/nothing", "not a name"])
def test_an_unknown_name_says_what_to_do(name: str) -> None:
    """Where another backbone can't be had there is no fallback."""
    with pytest.raises(UsageError, match="network, or use one that needs no files: resnet18"):
        build_backbone(evolve(RESNET18, backbone=name))


def test_width_is_refused_with_other_backbones(tiny_resnet: Path) -> None:
    """Only networks that are built here can be scaled."""
    with pytest.raises(UsageError, match=r"model.width=0.5 scales resnet18 and resnet50 only"):
        build_backbone(evolve(named(tiny_resnet), width=0.5))


def test_weights_that_features_dont_depend_on_are_frozen(tmp_path: Path) -> None:
    """Several processes would wait for their gradients; all others learn."""
    config = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4)
    backbone, _ = build_backbone(named(saved(SwinForImageClassification(config), tmp_path / "s")))
    total = torch.stack([f.sum() for f in backbone(torch.ones(1, 3, 128, 128))]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    weights = dict(backbone.named_parameters())
    frozen = {name for name, weight in weights.items() if not weight.requires_grad}
    assert frozen
    assert frozen == {name for name, weight in weights.items() if weight.grad is None}
