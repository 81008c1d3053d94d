"""How the values of tensors are distributed, counted on the device that they lie on.

However many tensors there are, what was found comes over in one transfer, so that a GPU is waited
for once and not once for each tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from math import inf
from math import nan
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 21
"""Values counted at a time: what counting needs beside them stays below 100 MB."""
_CPU_PIECE = 1 << 16
"""The same where a processor's cache is the limit."""
_SMALL = 1 << 12
"""Values up to which a tensor is counted together with others."""


def ranges(tensors: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
    """The least and the greatest finite value of each; (inf, -inf) where there is none.

    Args:
        tensors: one-dimensional, of real numbers, not empty, all on one device. They are read
            there, and what was found comes over in one transfer.
    """
    import torch

    batches = _batches(tensors)
    if not batches:
        return {}
    found = []
    for batch in batches:
        least, greatest = [], []
        for piece in batch.pieces():
            least.append(piece.nan_to_num(nan=inf, posinf=inf, neginf=inf).amin(1))
            greatest.append(piece.nan_to_num(nan=-inf, posinf=-inf, neginf=-inf).amax(1))
        both = torch.stack(least).amin(0), torch.stack(greatest).amax(0)
        found.append(torch.stack(both, 1).double())
    pairs = torch.cat(found).tolist()
    return {key: (low, high) for key, (low, high) in zip(_keys(batches), pairs, strict=True)}


def counts(
    tensors: Mapping[str, Tensor], edges: Mapping[str, tuple[float, ...]]
) -> dict[str, tuple[int, ...]]:
    """How many values of each lie in each bin; those that are NaN or infinite lie in none.

    Args:
        tensors: one-dimensional, of real numbers, all on one device. They are counted there, and
            the counts come over in one transfer.
        edges: of the bins of each, rising, equally far apart, as many for each, and around all its
            finite values.
    """
    import torch

    batches = _batches(tensors)
    if not batches:
        return {}
    keys = _keys(batches)
    table = torch.tensor([edges[key] for key in keys], dtype=torch.float64)
    sizes = [len(batch.keys) for batch in batches]
    parts = torch.split(table.to(batches[0].rows.device), sizes)
    found = [
        torch.stack([_count(piece, part) for piece in batch.pieces()]).sum(0)
        for batch, part in zip(batches, parts, strict=True)
    ]
    rows = torch.cat(found).tolist()
    return {key: tuple(row) for key, row in zip(keys, rows, strict=True)}


def _count(rows: Tensor, edges: Tensor) -> Tensor:
    """How many values of each row lie between its edges, found without waiting for the device.

    Args:
        rows: R x N.
        edges: R x bins + 1.

    Returns:
        R x bins.
    """
    import torch

    bins = edges.shape[1] - 1
    values = rows.double().nan_to_num(nan=inf, posinf=inf, neginf=inf)
    lowest, width = edges[:, :1], edges[:, -1:] - edges[:, :1]
    place = values.sub(lowest).div_(width).mul_(bins)
    # Division rounds, so half a bin less is in the right bin or the one before: the edges decide.
    place = place.sub_(0.5).clamp_(0, bins - 0.5).long()
    upper = edges[:, 1:].clone()
    upper[:, -1] = inf
    place += values >= upper.gather(1, place)
    # Infinity has a bin beyond the last. bincount would wait, to know how many bins there are.
    place += torch.arange(len(edges), device=edges.device)[:, None] * (bins + 1)
    flat = place.new_zeros(len(edges) * (bins + 1))
    flat.index_add_(0, place.view(-1), place.new_ones(1).expand(place.numel()))
    return flat.view(-1, bins + 1)[:, :bins]


@frozen
class _Batch:
    """Values that are worked on together: a large tensor, or small ones of about one size.

    Each operation costs a device some microseconds, more than the values of a small tensor do.
    """

    keys: tuple[str, ...]
    rows: Tensor
    """One for each key, filled up with NaN."""

    def pieces(self) -> tuple[Tensor, ...]:
        """The rows, cut into parts that are not too large to work on."""
        import torch

        size = _CPU_PIECE if self.rows.device.type == "cpu" else _PIECE
        return torch.split(self.rows, max(1, size // len(self.keys)), dim=1)


def _batches(tensors: Mapping[str, Tensor]) -> list[_Batch]:
    groups: dict[object, list[str]] = {}
    for key, tensor in tensors.items():
        size = tensor.numel()
        alike = (tensor.dtype, size.bit_length()) if size <= _SMALL else key
        groups.setdefault(alike, []).append(key)
    return [
        _Batch(tuple(keys), _side_by_side([tensors[key] for key in keys]))
        for keys in groups.values()
    ]


def _side_by_side(tensors: list[Tensor]) -> Tensor:
    from torch.nn.utils.rnn import pad_sequence

    if len(tensors) == 1:  # perhaps too large to copy
        return tensors[0][None]
    return pad_sequence(tensors, batch_first=True, padding_value=nan)


def _keys(batches: Iterable[_Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]
