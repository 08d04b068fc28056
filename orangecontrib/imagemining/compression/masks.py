"""Which weights stay: the largest ones, of a layer or of several together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from orangecontrib.imagemining.compression.working import Working

__all__ = ["MOST", "Amounts", "largest", "masks_of"]

#: The largest share of zeros that is tried for a size.
MOST = 0.97


@dataclass(frozen=True)
class Amounts:
    """How many of the weights become 0.

    Attributes
    ----------
    shares : of single layers, 0–1, by name.
    together : names of layers whose smallest weights go, whichever layer they are of.
    share : of these weights, 0–1.
    fixed : shares of single layers that a search for a size leaves as they are.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    share: float = 0.0
    fixed: Mapping[str, float] = field(default_factory=dict)

    def times(self, factor: float) -> Amounts:
        """Return so much of these amounts."""
        return replace(
            self,
            shares={name: share * factor for name, share in self.shares.items()},
            share=self.share * factor,
            fixed={name: share * factor for name, share in self.fixed.items()},
        )

    def towards(self, place: float) -> Amounts:
        """Return less or more: nothing at 0, this at a half, `MOST` of all at 1."""

        def moved(share: float) -> float:
            if place <= 0.5:
                return share * 2 * place
            return share + max(MOST - share, 0.0) * (2 * place - 1)

        return replace(
            self,
            shares={name: moved(share) for name, share in self.shares.items()},
            share=moved(self.share),
        )


def largest(weights: Sequence[Tensor], share: float) -> list[Tensor]:
    """Return masks of the largest weights by absolute value.

    Parameters
    ----------
    weights
        Of any shapes, float32, on the processor; compared with each other.
    share
        Of them all that the masks leave out, 0–1, rounded to whole weights; of equal
        ones the first are left out. At least one is kept.

    Returns
    -------
    bool, in the shapes and orders of memory of the weights.
    """
    sizes = [weight.numel() for weight in weights]
    n = sum(sizes)
    n_out = min(round(share * n), n - 1)
    if n_out < 1:
        return [torch.ones_like(weight, dtype=torch.bool) for weight in weights]
    numbers = np.empty(n, np.float32)
    start = 0
    for weight, size in zip(weights, sizes, strict=True):
        np.abs(weight.contiguous().view(-1).numpy(), out=numbers[start : start + size])
        start += size
    limit = np.partition(numbers, n_out - 1)[n_out - 1]
    keep = numbers > limit
    n_equal = n - n_out - int(np.count_nonzero(keep))
    if n_equal:
        keep[np.flatnonzero(numbers == limit)[-n_equal:]] = True
    parts = np.split(keep, np.cumsum(sizes)[:-1])
    return [
        torch.empty_like(weight, dtype=torch.bool).copy_(
            torch.from_numpy(part).view(weight.shape)
        )
        for weight, part in zip(weights, parts, strict=True)
    ]


def masks_of(working: Working, amounts: Amounts) -> dict[str, Tensor]:
    """Return by layer what stays; what is pruned already is never left in.

    Of each layer at least the largest weight stays.

    Parameters
    ----------
    working
        Its weights are looked at.
    amounts
        Layers not named in it are not in the result.
    """
    masks = {}
    if amounts.together:
        weights = [working.weight(name) for name in amounts.together]
        found = largest(weights, amounts.share)
        for name, weight, mask in zip(amounts.together, weights, found, strict=True):
            masks[name] = mask if mask.any() else largest([weight], 1.0)[0]
    for name, share in {**amounts.shares, **amounts.fixed}.items():
        (masks[name],) = largest([working.weight(name)], share)
    for name, mask in masks.items():
        before = working.mask(name)
        if before is not None:
            mask &= before
    return masks
