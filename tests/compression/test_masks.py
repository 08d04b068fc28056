"""Which weights stay."""

from __future__ import annotations

import pytest
import torch
from small_context import RESNET, trained
from torch import Tensor

from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.masks import (
    MOST,
    Amounts,
    largest,
    masks_of,
)
from orangecontrib.imagemining.compression.working import Working


def sizes(weights: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return absolute values of what stays and of what goes."""
    every = torch.cat([weight.abs().flatten() for weight in weights])
    kept = torch.cat([mask.flatten() for mask in masks])
    return every[kept], every[~kept]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_exactly_the_largest_stay(share):
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(6, 5, 3, 3, generator=generator),
        0.1 * torch.randn(7, 11, generator=generator),
    ]
    weights[0] = weights[0].contiguous(memory_format=torch.channels_last)
    kept, gone = sizes(weights, largest(weights, share))
    assert len(gone) == round(share * 347)
    assert kept.min() > gone.max()
    for weight in weights:
        (mask,) = largest([weight], share)
        kept, gone = sizes([weight], [mask])
        assert len(gone) == round(share * weight.numel())
        assert kept.min() > gone.max()
        assert mask.stride() == weight.stride()


def test_of_equal_weights_as_many_go_as_were_asked_for():
    weight = torch.tensor([2.0, -1.0, 1.0, 1.0, -3.0, 1.0])
    (mask,) = largest([weight], 0.5)
    assert mask.tolist() == [True, False, False, False, True, True]
    assert largest([torch.zeros(5)], 1.0)[0].sum() == 1


def test_layers_alone_or_together():
    working = Working(trained(*RESNET))
    names = tuple(working.layers)
    alone = masks_of(working, Amounts(dict.fromkeys(names, 0.5)))
    together = masks_of(working, Amounts({}, names[1:], 0.5, {names[0]: 0.25}))
    for name in names:
        assert int((~alone[name]).sum()) == round(0.5 * alone[name].numel())
    shares = [float((~together[name]).float().mean()) for name in names]
    assert shares[0] == pytest.approx(0.25, abs=0.01)
    assert max(shares[1:]) > 0.55 > 0.45 > min(shares[1:])
    gone = sum(int((~together[name]).sum()) for name in names[1:])
    assert gone == round(0.5 * sum(together[name].numel() for name in names[1:]))


def test_a_layer_keeps_its_largest_weight_and_what_is_pruned_stays_so():
    working = Working(trained(*RESNET))
    names = tuple(working.layers)
    with torch.no_grad():
        working.weight(names[0]).mul_(1e-6)
    masks = masks_of(working, Amounts({}, names, 0.5))
    assert int(masks[names[0]].sum()) == 1
    (before,) = largest([working.weight(names[1])], 0.8)
    working.set_form(names[1], Masked(before))
    masks = masks_of(working, Amounts({names[1]: 0.3}))
    assert torch.equal(masks[names[1]], before)


def test_amounts_between_nothing_and_most():
    amounts = Amounts({"a": 0.4}, ("b",), 0.6, {"c": 0.2})
    half = amounts.times(0.5)
    assert (half.shares["a"], half.share, half.fixed["c"]) == (0.2, 0.3, 0.1)
    assert amounts.towards(0.0).shares["a"] == 0
    assert amounts.towards(0.5) == amounts
    assert amounts.towards(0.25).share == 0.3
    most = amounts.towards(1.0)
    assert (most.shares["a"], most.share, most.fixed["c"]) == (MOST, MOST, 0.2)
