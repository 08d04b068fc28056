"""Numbers that share few values: each is told by the number of its value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coded"]


@dataclass(frozen=True, eq=False)
class Coded:
    """A tensor whose entries are out of few values.

    Attributes
    ----------
    values : (k,) float32, the codebook.
    codes : of the tensor's shape, uint8 or uint16: which of the values.
    scales : (first axis,) float32 that the values of each filter are multiplied with;
        None for values as they are.
    """

    values: NDArray[np.float32]
    codes: NDArray[np.uint8] | NDArray[np.uint16]
    scales: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.codes.shape

    @property
    def decoded(self) -> NDArray[np.float32]:
        """The tensor, float32."""
        tensor = np.asarray(self.values[self.codes])  # also without axes
        if self.scales is None:
            return tensor
        shape = (-1,) + (1,) * (tensor.ndim - 1)
        return tensor * self.scales.reshape(shape)
