"""Ways to hold a layer's weights in few bits, as parametrizations that can be trained.

A form computes the weights from what is trained, so that gradients find their way, and
tells how the weights are kept in a file. Each kind of step that changes how weights are
held has its form: here is what they have in common, and the mask of pruning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.weights.coded import Coded

__all__ = ["Form", "Masked"]


class Form(nn.Module, ABC):
    """How a weight is computed from what is trained; see `torch.nn.utils.parametrize`.

    Attributes
    ----------
    mask : of the weight's shape, bool: what is not pruned; None if all is there.
    """

    mask: Tensor | None

    @abstractmethod
    def forward(self, original: Tensor) -> Tensor:
        """Return the weight, float32, of what is trained."""

    @abstractmethod
    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return what is to be trained so that `forward` gives about this weight."""

    @abstractmethod
    def stored(self, original: Tensor) -> Coded | NDArray[Any] | None:
        """Return how the weight is kept, exactly; None: as it is."""

    @property
    def bits(self) -> int:
        """How many bits tell a weight, before coding."""
        return 32


class Masked(Form):
    """Pruned weights: 0 wherever the mask is not set, and they stay 0.

    Parameters
    ----------
    mask
        Of the weight's shape, bool.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, original: Tensor) -> Tensor:
        """Return the weights with zeros."""
        assert self.mask is not None
        # a product would leave −0 of what was negative, a sign that costs a bit
        return torch.where(self.mask, original, 0.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weights as they are."""
        return weight

    def stored(self, original: Tensor) -> Coded | NDArray[Any] | None:
        """Return None: what is left are numbers as before."""
        return None
