"""Networks that were compressed before: what was pruned or shared in them stays so."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.compression.forms import Form, Masked
from orangecontrib.imagemining.compression.plainsteps import HalfNumbers
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    FineTune,
    Half,
    Share,
)
from orangecontrib.imagemining.compression.sharing import Shared
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.weights.coded import Coded

__all__ = ["adopt"]

_PRUNED = 0.05  # share of zeros from which on they are there on purpose
_TOLD = 2**8

#: Steps that go on with values as they are held; others need plain numbers.
_GOING_ON = (Share, Half, FineTune)


def adopt(working: Working, plan: CompressionPlan) -> None:
    """Hold the weights of a network as its file does, as far as a plan goes on so.

    These are shared and 16-bit numbers. Those of few bits with a scale a filter become
    plain ones when they are trained. Zeros are taken for pruned weights in any case,
    where there are many.

    Parameters
    ----------
    working
        As it was given; its numbers stay the same.
    plan
        Where its steps choose other values or shapes, values are not held.
    """
    goes_on = all(isinstance(step, _GOING_ON) for step in plan.steps)
    for layer in working.layers:
        weight = working.weight(layer)
        zeros = 1 - int(weight.count_nonzero()) / max(weight.numel(), 1)
        mask = weight != 0 if zeros >= _PRUNED else None
        form: Form | None = None
        if goes_on:
            form = _form(working.given.stored.get(f"{layer}.weight"), weight, mask)
        if form is not None:
            working.set_form(layer, form)
            if working.weight(layer).equal(weight):
                continue
            # held in a way that this form cannot tell exactly
            working.set_form(layer, None)
            with torch.no_grad():
                plain: Any = working.layers[layer].weight
                plain.copy_(weight)
        if mask is not None:
            working.set_form(layer, Masked(mask))


def _form(
    stored: Coded | NDArray[Any] | None, weight: Tensor, mask: Tensor | None
) -> Form | None:
    if stored is None:
        return None
    if not isinstance(stored, Coded):
        return HalfNumbers(mask) if stored.dtype == np.float16 else None
    if stored.scales is not None or len(stored.values) > _TOLD:
        return None
    values, codes = np.unique(stored.values, return_inverse=True)
    zero = np.flatnonzero(values == 0)
    order = np.arange(len(values))
    if len(zero):
        # pruned weights have code 0
        order[: zero[0]] += 1
        order[zero[0]] = 0
    told = order[codes][stored.codes].astype(np.uint8)
    held = torch.empty_like(weight, dtype=torch.uint8)
    held.copy_(torch.from_numpy(told))
    bits = max((len(values) - 1).bit_length(), 1)
    return Shared(held, bool(len(zero)), bits)
