"""The losses of DBNet (section 3.5 of the paper; weights and dice loss as in the official code).

All are computed in single precision from logits, so that neither ``exp`` nor ``log`` can overflow,
whatever number format the network computes in:

- ``prob``: binary cross-entropy of the probability map over all pixels of text and the hardest of
  the others (three for one of text), over the whole batch.
- ``thresh``: mean absolute error of the threshold map inside the dilated polygons.
- ``binary``: dice loss of the approximate binary map ``sigmoid(k * (P - T))`` (eq. 2).

A page without text has no pixels that would ask for negatives, so it asks for a share of its own.
A batch without any text trains the probability map alone: its other two losses are 0. A batch in
which no pixel counts has losses and gradients of 0, not NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional

from toolkit_recipes.dbnet.head import Maps
from toolkit_recipes.dbnet.presets import LossConfig

TEXT_FREE_SHARE = 0.1
"""Share of a text-free page's pixels that are learned from, the hardest ones."""


class BatchTargets(NamedTuple):
    """What the maps of a batch should be; each [B, H, W]."""

    prob: Tensor
    """1 in the kernels of texts, else 0."""
    prob_mask: Tensor
    """0 where nothing is known, else 1; for the probability and the binary map."""
    thresh: Tensor
    """The threshold map."""
    thresh_mask: Tensor
    """1 where the threshold map counts, else 0."""


class Losses(NamedTuple):
    """The losses of a batch, scalars in single precision; the parts are not weighted yet."""

    total: Tensor
    prob: Tensor
    thresh: Tensor
    binary: Tensor


@frozen
class DBLoss:
    """The weighted sum of the three losses.

    Args:
        config: the weights, and the number of negatives for each pixel of text.
        k: steepness of the differentiable binarization.
    """

    config: LossConfig
    k: float

    def __call__(self, maps: Maps, targets: BatchTargets) -> Losses:
        """Return the losses of a batch; only ``total`` is meant to be differentiated."""
        with torch.autocast(maps.prob_logits.device.type, enabled=False):
            prob_logits, thresh_logits = maps.prob_logits.float(), maps.thresh_logits.float()
            counted = targets.prob_mask.bool()
            text = targets.prob.bool() & counted
            thresh_map = thresh_logits.sigmoid()
            prob = balanced_cross_entropy(prob_logits, text, counted, self.config.negative_ratio)
            thresh = masked_l1(thresh_map, targets.thresh, targets.thresh_mask)
            binary_map = (self.k * (prob_logits.sigmoid() - thresh_map)).sigmoid()
            binary = dice_loss(binary_map, text, counted)
            total = (
                self.config.prob_weight * prob
                + self.config.thresh_weight * thresh
                + self.config.binary_weight * binary
            )
        return Losses(total, prob, thresh, binary)


def balanced_cross_entropy(
    logits: Tensor, text: Tensor, counted: Tensor, negative_ratio: float
) -> Tensor:
    """Binary cross-entropy over the pixels of text and the hardest of the others.

    Args:
        logits: [B, H, W], single precision.
        text: [B, H, W] bool; pixels of text, among the counted ones.
        counted: [B, H, W] bool; pixels that count at all.
        negative_ratio: pixels without text for each pixel of text. Each page without text adds
            :data:`TEXT_FREE_SHARE` of its pixels.

    Returns:
        The mean over these pixels; 0 if there are none.
    """
    others = counted & ~text
    weights = text + _hardest(logits.detach(), others, _wanted(text, others, negative_ratio))
    total = functional.binary_cross_entropy_with_logits(
        logits, text.to(logits.dtype), weight=weights, reduction="sum"
    )
    return total / weights.sum().clamp(min=1)


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error where the mask isn't 0; 0 if it is 0 everywhere."""
    weights = mask.to(prediction.dtype)
    return ((prediction - target).abs() * weights).sum() / weights.sum().clamp(min=1)


def dice_loss(prediction: Tensor, text: Tensor, counted: Tensor) -> Tensor:
    """One minus the overlap of a map with the text, over the whole batch.

    Args:
        prediction: [B, H, W], from 0 to 1.
        text: [B, H, W] bool; pixels of text, among the counted ones.
        counted: [B, H, W] bool; pixels that count at all.

    Returns:
        ``1 - 2 * sum(prediction * text) / (sum(prediction) + sum(text))``; 0 without text, where
        there is nothing to overlap.
    """
    share, pixels = prediction * counted, text.sum()
    overlap = 2 * (share * text).sum() / (share.sum() + pixels).clamp(min=1)
    return (1 - overlap) * (pixels > 0)


def _wanted(text: Tensor, others: Tensor, negative_ratio: float) -> int:
    """Count the pixels without text that are to be learned from."""
    positives, negatives = text.sum(dim=(1, 2)), others.sum(dim=(1, 2))
    text_free = negatives.where(positives == 0, 0).sum()
    wanted = negative_ratio * positives.sum() + TEXT_FREE_SHARE * text_free
    return int(wanted.ceil().clamp(max=negatives.sum()))


def _hardest(logits: Tensor, others: Tensor, count: int) -> Tensor:
    """Weigh with 1 those ``count`` of the ``others`` that look most like text, with 0 the rest.

    Pixels that are equally hard share what is left for them, so that the order of the pixels
    doesn't matter.
    """
    if count == 0:
        return torch.zeros_like(logits)
    ranked = logits.masked_fill(~others, -torch.inf)
    bound = kth_largest(ranked.flatten(), count, in_parallel=logits.is_cuda)
    above, equal = ranked > bound, (ranked == bound) & others
    share = (count - above.sum()) / equal.sum().clamp(min=1)
    return above + equal * share


def kth_largest(values: Tensor, k: int, *, in_parallel: bool) -> Tensor:
    """Return the k-th largest of values [n], k >= 1.

    Args:
        values: of any order.
        k: 1 asks for the largest.
        in_parallel: the way that keeps all of a GPU busy; the other one is quick on a CPU.
    """
    if in_parallel:
        return values.topk(k, sorted=False).values.min()
    return values.kthvalue(len(values) - k + 1).values
