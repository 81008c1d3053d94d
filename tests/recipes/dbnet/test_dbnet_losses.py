"""Rules of the losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from toolkit_recipes.dbnet.head import Maps
from toolkit_recipes.dbnet.losses import TEXT_FREE_SHARE
from toolkit_recipes.dbnet.losses import BatchTargets
from toolkit_recipes.dbnet.losses import DBLoss
from toolkit_recipes.dbnet.losses import Losses
from toolkit_recipes.dbnet.losses import balanced_cross_entropy
from toolkit_recipes.dbnet.losses import dice_loss
from toolkit_recipes.dbnet.losses import kth_largest
from toolkit_recipes.dbnet.losses import masked_l1
from toolkit_recipes.dbnet.presets import LossConfig

K = 50.0
PROB_ONLY = LossConfig(thresh_weight=0.0, binary_weight=0.0)
HALF_FORMATS = (torch.float16, torch.bfloat16)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Maps, BatchTargets]:
    """Up to three pages of up to 5 x 6 pixels, with any share of text and of unknown pixels."""
    shape = tuple(draw(st.integers(1, most)) for most in (3, 5, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = [draw(st.sampled_from([0.0, 0.2, 0.7, 1.0])) for _ in range(3)]
    size = draw(st.sampled_from([0.1, 3.0, 60.0]))
    prob, prob_mask, thresh_mask = (rng.random(shape) < share for share in shares)
    logits = [torch.from_numpy(rng.normal(0, size, shape).astype(np.float32)) for _ in range(2)]
    if draw(st.booleans()):
        logits = [values.round() for values in logits]  # many pixels are equally hard
    targets = BatchTargets(
        torch.from_numpy(prob.astype(np.uint8)),
        torch.from_numpy(prob_mask.astype(np.uint8)),
        torch.from_numpy(rng.uniform(0.3, 0.7, shape).astype(np.float32)),
        torch.from_numpy(thresh_mask.astype(np.uint8)),
    )
    return Maps(*logits), targets


def slow_losses(maps: Maps, targets: BatchTargets, config: LossConfig) -> list[float]:
    """The losses written out pixel by pixel in double precision."""
    positives: list[float] = []
    negatives: list[float] = []
    asked = 0.0
    for page in range(len(maps.prob_logits)):
        text: list[float] = []
        other: list[float] = []
        for logit, is_text, known in zip(
            *(t[page].flatten().tolist() for t in (maps.prob_logits, *targets[:2])), strict=True
        ):
            sign = -logit if is_text else logit
            if known:
                (text if is_text else other).append(max(sign, 0) + math.log1p(math.exp(-abs(sign))))
        positives += text
        negatives += other
        asked += config.negative_ratio * len(text) if text else TEXT_FREE_SHARE * len(other)
    # Shares are taken in single precision there, so 0.3000001 pixels must not count as one more.
    hardest = sorted(negatives, reverse=True)[: math.ceil(asked - 1e-4)]
    taken = positives + hardest
    prob = sum(taken) / len(taken) if taken else 0.0

    p, t = (1 / (1 + np.exp(-x.double().numpy())) for x in maps)
    known, mask = targets.prob_mask.numpy() == 1, targets.thresh_mask.numpy() == 1
    text_map = (targets.prob.numpy() == 1) & known
    errors = np.abs(t - targets.thresh.numpy())[mask]
    thresh = errors.mean() if mask.any() else 0.0

    binary_map = (1 / (1 + np.exp(-K * (p - t)))) * known
    union = binary_map.sum() + text_map.sum()
    binary = 1 - 2 * binary_map[text_map].sum() / union if text_map.any() else 0.0
    weights = (config.prob_weight, config.thresh_weight, config.binary_weight)
    parts = [prob, float(thresh), float(binary)]
    return [sum(w * x for w, x in zip(weights, parts, strict=True)), *parts]


def gradients(
    maps: Maps, targets: BatchTargets, config: LossConfig | None = None
) -> tuple[Losses, Tensor, Tensor]:
    """The losses, and the gradients of their sum."""
    leaves = Maps(*(logits.detach().clone().requires_grad_() for logits in maps))
    losses = DBLoss(config or LossConfig(), K)(leaves, targets)
    first, second = torch.autograd.grad(losses.total, leaves)
    return Losses(*(loss.detach() for loss in losses)), first, second


def page(text: Tensor, known: Tensor | None = None) -> BatchTargets:
    """Targets with text where it is said; everything else is known, the threshold 0.5."""
    known = torch.ones_like(text) if known is None else known
    return BatchTargets(text, known, torch.full(text.shape, 0.5), text * known)


@settings(max_examples=150, deadline=None)
@given(batches(), st.sampled_from([0.5, 1.0, 3.0]))
def test_losses_equal_their_definition(batch: tuple[Maps, BatchTargets], ratio: float) -> None:
    """All four are what a loop over pixels gives, with text or without, known or not."""
    config = LossConfig(prob_weight=2.0, negative_ratio=ratio)
    found = [float(loss) for loss in DBLoss(config, K)(*batch)]
    assert found == pytest.approx(slow_losses(*batch, config), rel=1e-4, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(batches(), st.sampled_from([1.0, 50.0, 65504.0]), st.sampled_from(HALF_FORMATS))
def test_extreme_logits_leave_losses_and_gradients_finite(
    batch: tuple[Maps, BatchTargets], size: float, form: torch.dtype
) -> None:
    """As far as half precision reaches nothing overflows, forward or backward."""
    maps, targets = batch
    extreme = Maps(*((logits * size).clamp(-65504, 65504).to(form) for logits in maps))
    losses, *slopes = gradients(extreme, targets)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses)
    assert all(slope.isfinite().all() and slope.dtype == form for slope in slopes)


@settings(max_examples=30, deadline=None)
@given(batches(), st.sampled_from(HALF_FORMATS))
def test_autocast_does_not_change_the_losses(
    batch: tuple[Maps, BatchTargets], form: torch.dtype
) -> None:
    """Inside autocast the losses are computed in single precision all the same."""
    maps, targets = batch
    loss = DBLoss(LossConfig(), K)
    with torch.autocast("cpu", form):
        inside = loss(maps, targets)
    assert [float(x) for x in inside] == [float(x) for x in loss(maps, targets)]


def test_the_weights_are_those_of_the_official_code() -> None:
    """By default 5 for the probability map, 10 for the threshold map and 1 for the binary map."""
    torch.manual_seed(0)
    targets = page((torch.rand(2, 8, 8) < 0.3).byte())
    losses = DBLoss(LossConfig(), K)(Maps(torch.randn(2, 8, 8), torch.randn(2, 8, 8)), targets)
    assert losses.total == pytest.approx(5 * losses.prob + 10 * losses.thresh + losses.binary)


def test_only_the_hardest_negatives_count() -> None:
    """One pixel of text asks for three others, and the easiest of the four gets no gradient."""
    logits = torch.tensor([[[0.0, 2.0, -3.0, 1.0, 0.5]]], requires_grad=True)
    text = torch.tensor([[[1, 0, 0, 0, 0]]]).bool()
    loss = balanced_cross_entropy(logits, text, torch.ones_like(text), 3.0)
    (slope,) = torch.autograd.grad(loss, logits)
    expected = [math.log(2), *(math.log1p(math.exp(x)) for x in (2.0, 1.0, 0.5))]
    assert loss.item() == pytest.approx(sum(expected) / 4)
    assert (slope[0, 0] != 0).tolist() == [True, True, False, True, True]


def test_equally_hard_pixels_share_their_weight() -> None:
    """Which pixels learn doesn't depend on their order."""
    logits = torch.zeros(1, 1, 7, requires_grad=True)
    text = torch.tensor([[[1, 0, 0, 0, 0, 0, 0]]]).bool()
    loss = balanced_cross_entropy(logits, text, torch.ones_like(text), 3.0)
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(math.log(2))
    torch.testing.assert_close(slope[0, 0, 1:], torch.full((6,), 0.5 * 0.5 / 4))


def test_the_hardest_negatives_are_sought_in_the_whole_batch() -> None:
    """A page with little text gives way to one that is confused more easily."""
    logits = torch.tensor([[[0.0, -4.0, -4.0]], [[0.0, 3.0, 2.0]]])
    text = torch.tensor([[[1, 0, 0]], [[1, 0, 0]]]).bool()
    loss = balanced_cross_entropy(logits, text, torch.ones_like(text), 1.0)
    expected = [math.log(2), math.log(2), math.log1p(math.exp(3)), math.log1p(math.exp(2))]
    assert loss.item() == pytest.approx(sum(expected) / 4)


def test_a_text_free_page_trains_the_probability_map_alone() -> None:
    """The hardest tenth of its pixels is pushed down; the threshold map is left alone."""
    torch.manual_seed(0)
    maps = Maps(torch.randn(1, 10, 10), torch.randn(1, 10, 10))
    losses, prob, thresh = gradients(maps, page(torch.zeros(1, 10, 10, dtype=torch.uint8)))
    pushed = prob > 0
    assert pushed.sum() == 10
    assert maps.prob_logits[pushed].min() > maps.prob_logits[~pushed].max()
    assert [float(losses.thresh), float(losses.binary)] == [0, 0]
    assert not thresh.any()


def test_a_text_free_page_adds_negatives_to_a_batch_with_text() -> None:
    """Its tenth comes on top of what the pixels of text ask for."""
    text = torch.zeros(2, 10, 10, dtype=torch.uint8)
    text[0, 0, :4] = 1
    torch.manual_seed(0)
    maps = Maps(torch.randn(2, 10, 10), torch.randn(2, 10, 10))
    _, prob, _ = gradients(maps, page(text), PROB_ONLY)
    assert (prob > 0).sum() == 3 * 4 + 10


def test_a_batch_in_which_nothing_counts_has_no_loss() -> None:
    """All losses are 0 and so are all gradients; nothing is NaN."""
    nothing = torch.zeros(2, 4, 4, dtype=torch.uint8)
    maps = Maps(torch.randn(2, 4, 4), torch.randn(2, 4, 4))
    losses, *slopes = gradients(maps, page(nothing, known=nothing))
    assert [float(loss) for loss in losses] == [0, 0, 0, 0]
    assert not any(slope.any() for slope in slopes)


def test_unknown_pixels_teach_nothing() -> None:
    """Whatever the maps say where the mask is 0, losses and gradients there don't change."""
    torch.manual_seed(0)
    text = (torch.rand(2, 6, 6) < 0.4).byte()
    known = (torch.rand(2, 6, 6) < 0.6).byte()
    maps = Maps(torch.randn(2, 6, 6), torch.randn(2, 6, 6))
    other = Maps(*(torch.where(known == 1, x, torch.full_like(x, 9.0)) for x in maps))
    first, *slopes = gradients(maps, page(text, known))
    second, *_ = gradients(other, page(text, known))
    assert first == second
    assert not any(slope[known == 0].any() for slope in slopes)


def test_perfect_maps_cost_nothing() -> None:
    """Sure and right everywhere: cross-entropy, L1 and dice are 0."""
    text = torch.zeros(1, 8, 8, dtype=torch.uint8)
    text[0, 2:6, 1:7] = 1
    targets = page(text)
    maps = Maps(torch.where(text == 1, 40.0, -40.0), torch.zeros(1, 8, 8))
    losses = DBLoss(LossConfig(), K)(maps, targets)
    assert [float(loss) for loss in losses] == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_dice_of_halves() -> None:
    """A map that covers half of the text and nothing else costs 1 - 2 * 2 / (2 + 4)."""
    prediction = torch.tensor([[[1.0, 1.0, 0.0, 0.0, 0.0]]])
    text = torch.tensor([[[1, 1, 1, 1, 0]]]).bool()
    assert dice_loss(prediction, text, torch.ones_like(text)).item() == pytest.approx(1 / 3)


def test_l1_is_the_mean_within_the_mask() -> None:
    """Pixels outside the dilated polygons neither add nor divide."""
    prediction, target = torch.tensor([[[0.5, 0.9, 0.1]]]), torch.tensor([[[0.3, 0.3, 0.3]]])
    mask = torch.tensor([[[1, 1, 0]]], dtype=torch.uint8)
    assert masked_l1(prediction, target, mask).item() == pytest.approx(0.4)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30), st.data())
def test_both_ways_to_the_kth_largest_agree(values: list[int], data: st.DataObject) -> None:
    """What a GPU is asked and what a CPU is asked have one answer."""
    k = data.draw(st.integers(1, len(values)))
    numbers = torch.tensor(values, dtype=torch.float32)
    expected = sorted(values, reverse=True)[k - 1]
    assert kth_largest(numbers, k, in_parallel=True) == expected
    assert kth_largest(numbers, k, in_parallel=False) == expected


def test_the_ratio_of_negatives_is_configurable() -> None:
    """A ratio of 1 takes as many pixels without text as with it."""
    torch.manual_seed(0)
    text = torch.zeros(1, 10, 10, dtype=torch.uint8)
    text[0, 0, :5] = 1
    maps = Maps(torch.randn(1, 10, 10), torch.randn(1, 10, 10))
    _, prob, _ = gradients(maps, page(text), evolve(PROB_ONLY, negative_ratio=1.0))
    assert [int((prob > 0).sum()), int((prob < 0).sum())] == [5, 5]
