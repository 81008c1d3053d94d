"""Rules of the network: its parts, how it starts, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from attrs import evolve
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tests.recipes.dbnet.drawn_pages import SMALL
from tests.recipes.dbnet.drawn_pages import drawn_page
from tests.recipes.dbnet.drawn_pages import learn_page
from tests.recipes.dbnet.drawn_pages import small_network
from toolkit.errors import UsageError
from toolkit_recipes.dbnet.head import PROB_PRIOR
from toolkit_recipes.dbnet.head import THRESH_PRIOR
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.neck import FeaturePyramid
from toolkit_recipes.dbnet.neck import ScaleFusion
from toolkit_recipes.dbnet.network import build_network
from toolkit_recipes.dbnet.presets import LossConfig
from toolkit_recipes.dbnet.presets import ModelConfig

FULL = ModelConfig(width=1.0, neck_channels=256, pretrained=False)
FUSED = evolve(SMALL, scale_fusion=True)


@pytest.mark.parametrize(
    ("config", "parameters", "training", "prediction"),
    [
        (FULL, 12.34, 58.1, 49.7),
        (evolve(FULL, scale_fusion=True), 12.49, 65.7, 57.2),
        (evolve(FULL, backbone="resnet50"), 25.41, 99.9, 91.5),
    ],
    ids=["DBNet-18", "DBNet++-18", "DBNet-50"],
)
def test_size_and_work_are_those_of_the_published_networks(
    config: ModelConfig, parameters: float, training: float, prediction: float
) -> None:
    """Millions of weights and GFLOPs at 640 x 640 are what the authors' and MMOCR's have."""
    network = build_network(config)[0].to("meta").eval()
    pages = torch.zeros(1, 3, 640, 640, device="meta")
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.01)
    for run, work in ((network, training), (network.probability, prediction)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run(pages)
        assert counter.get_total_flops() / 1e9 == pytest.approx(work, abs=0.06)


@pytest.mark.parametrize("config", [SMALL, FUSED], ids=["concatenated", "fused"])
def test_maps_have_the_size_of_the_pages(config: ModelConfig) -> None:
    """Both maps give a logit per pixel, and the probability map is the first one's sigmoid."""
    network = small_network(config=config).eval()
    pages = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, probability = network(pages), network.probability(pages)
    assert maps.prob_logits.shape == maps.thresh_logits.shape == (2, 64, 96)
    torch.testing.assert_close(probability, maps.prob_logits.sigmoid())


@pytest.mark.parametrize("size", [(64, 48), (100, 64)])
def test_sizes_that_are_no_multiple_of_32_are_refused(size: tuple[int, int]) -> None:
    """Such a page would come back at another size."""
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels; pad it to multiples"):
        small_network()(torch.zeros(1, 3, *size))


def test_neck_channels_must_be_shared_among_four_levels() -> None:
    """A number that four levels can't share is refused by its key."""
    with pytest.raises(UsageError, match=r"model.neck_channels=30: give a multiple of 4"):
        build_network(evolve(SMALL, neck_channels=30))


def test_the_pyramid_adds_from_coarse_to_fine() -> None:
    """Each level is its own features plus all coarser ones, each pixel repeated."""
    torch.manual_seed(0)
    neck = FeaturePyramid((8, 16, 24, 32), 12)
    sizes = ((8, 16), (16, 8), (24, 4), (32, 2))
    features = [torch.randn(2, channels, side, side + side) for channels, side in sizes]
    found = neck(features)
    coarser = None
    for level in range(3, -1, -1):
        own = functional.conv2d(features[level], neck.lateral[level].weight)  # type: ignore[arg-type]
        if coarser is not None:
            own = own + coarser.repeat_interleave(2, 2).repeat_interleave(2, 3)
        coarser = own
        smooth = functional.conv2d(own, neck.smooth[level].weight, padding=1)  # type: ignore[arg-type]
        enlarged = smooth.repeat_interleave(2**level, 2).repeat_interleave(2**level, 3)
        torch.testing.assert_close(found[3 - level], enlarged)


def test_scale_fusion_weighs_each_level_at_each_place() -> None:
    """All channels of a level are multiplied by one number from 0 to 1 per place."""
    torch.manual_seed(0)
    levels = [torch.randn(2, 4, 6, 5) + 3 for _ in range(4)]
    fused = ScaleFusion(16)(levels)
    ratios = (fused / torch.cat(levels, dim=1)).unflatten(1, (4, 4))
    assert ((ratios > 0) & (ratios < 1)).all()
    torch.testing.assert_close(ratios, ratios[:, :, :1].expand_as(ratios))
    assert ratios.std(dim=1).min() > 0


def test_an_untrained_network_says_the_priors() -> None:
    """Before the first step both maps are near their priors, so that the first loss is small."""
    image, targets = drawn_page()
    with torch.no_grad():
        maps = small_network()(image)
        losses = DBLoss(LossConfig(), 50.0)(maps, targets)
    assert (maps.prob_logits.sigmoid() - PROB_PRIOR).abs().max() < 0.05
    assert (maps.thresh_logits.sigmoid() - THRESH_PRIOR).abs().max() < 0.1
    # A quarter of what is learned from is text.
    prior = -(0.25 * math.log(PROB_PRIOR) + 0.75 * math.log(1 - PROB_PRIOR))
    assert losses.prob.item() == pytest.approx(prior, abs=0.05)


@pytest.mark.parametrize("config", [SMALL, FUSED], ids=["concatenated", "fused"])
def test_every_weight_learns(config: ModelConfig) -> None:
    """Each parameter has a part in the loss, as training in several processes needs."""
    image, targets = drawn_page()
    network = small_network(config=config)
    total = DBLoss(LossConfig(), 50.0)(network(image), targets).total
    total.backward()  # type: ignore[no-untyped-call]
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


@pytest.mark.parametrize("config", [SMALL, FUSED], ids=["concatenated", "fused"])
def test_a_page_is_learned_by_heart(config: ModelConfig) -> None:
    """Forty steps on one page bring the loss from near 6 to below 3."""
    losses = learn_page(small_network(config=config), 40)
    assert losses[0] < 6.5
    assert losses[-1] < 3.0


def test_weights_follow_from_the_seed() -> None:
    """Equal seeds give equal networks, other seeds others."""
    first, same, other = (small_network(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_memory_layout_does_not_change_the_maps() -> None:
    """Channels last is a matter of speed alone."""
    network, (image, _) = small_network().eval(), drawn_page()
    with torch.no_grad():
        expected = network.probability(image)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = network.probability(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_bf16_agrees_with_full_precision() -> None:
    """Under autocast the map is near the full one, and comes back in single precision."""
    network, (image, _) = small_network().eval(), drawn_page()
    nn.init.normal_(network.head.prob.final.weight, std=0.1)
    with torch.no_grad():
        expected = network.probability(image)
        with torch.autocast("cpu", torch.bfloat16):
            found = network.probability(image)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
