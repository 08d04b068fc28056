"""The two steps that take a few lines: fine-tuning, and 16-bit numbers."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.forms import Form, Masked
from orangecontrib.imagemining.compression.plan import FineTune, Half
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.weights.coded import Coded

__all__ = ["HalfNumbers", "fine_tune", "half"]


def fine_tune(step: FineTune, working: Working, context: Context) -> None:
    """Train on as the network is, its forms included."""
    context.tune(working, step.epochs, "Fine-tuning")


def half(step: Half, working: Working, context: Context) -> None:
    """Keep weights as 16-bit numbers, and fine-tune them if the step has epochs.

    Layers whose values are shared, or of few bits, stay as they are; so do biases and
    normalisation, which have few numbers.
    """
    for name in working.layers:
        form = working.form(name)
        if form is None or isinstance(form, Masked):
            working.set_form(name, HalfNumbers(working.mask(name)))
    context.tune(working, step.epochs, "Fine-tuning")


class HalfNumbers(Form):
    """Weights as 16-bit floating-point numbers (IEEE 754 binary16).

    What is trained are 32-bit numbers; gradients pass the rounding as if it were not
    there. What is beyond the range, ±65,504, is brought to its ends.

    Parameters
    ----------
    mask
        Of the weight's shape, bool: what is not pruned, and stays 0; None: all.
    """

    def __init__(self, mask: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, original: Tensor) -> Tensor:
        """Return the rounded weights."""
        rounded: Tensor = _Rounded.apply(original)  # type: ignore[no-untyped-call]
        if self.mask is None:
            return rounded
        return torch.where(self.mask, rounded, 0.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weights as they are."""
        return weight

    def stored(self, original: Tensor) -> Coded | NDArray[Any] | None:
        """Return the rounded weights, float16."""
        rounded = _half(original)
        if self.mask is not None:
            rounded = torch.where(self.mask, rounded, 0.0)
        numbers: NDArray[Any] = rounded.cpu().contiguous().numpy().copy()
        return numbers

    @property
    def bits(self) -> int:
        """How many bits tell a weight: 16."""
        return 16


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        return _half(numbers).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _half(numbers: Tensor) -> Tensor:
    most = torch.finfo(torch.float16).max
    # adding 0 makes 0 of −0, a sign that would cost a bit
    return numbers.detach().clamp(-most, most).to(torch.float16) + 0.0
