"""SqueezeNet 1.1's weights as the package `ndf` carries them: pickled arrays."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.tensors import Tensors

__all__ = ["from_ndf", "read_arrays"]


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and the basic types; anything else in a pickle is refused."""

    # what an array is pickled as, under the names of numpy before 2.0
    _ADMITTED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ADMITTED:
            raise WeightsError(f"The file asks for {module}.{name}; it is not opened")
        if name == "_reconstruct":
            # where numpy keeps it since 2.0; the old place warns
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        return getattr(np, name)


def read_arrays(content: bytes) -> Any:
    """Unpickle numpy arrays, and nothing that could run code.

    Raises
    ------
    WeightsError
        If the pickle asks for anything else, or breaks off.
    """
    try:
        return _ArraysOnly(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError) as ex:
        raise WeightsError(f"The file is damaged ({ex})") from ex


def from_ndf(content: bytes) -> Tensors:
    """Convert SqueezeNet 1.1 of `ndf`: {layer: (kernel, bias)}, kernels HWIO."""
    # torchvision's positions of the fire modules among pooling layers
    positions = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, position in positions.items():
        for part, short in (
            ("squeeze1x1", "squeeze"),
            ("expand1x1", "expand1x1"),
            ("expand3x3", "expand3x3"),
        ):
            names[f"fire{fire}/{part}"] = f"features.{position}.{short}"
    tensors: Tensors = {}
    for layer, (kernel, bias) in read_arrays(content).items():
        # height, width, in, out -> torch's out, in, height, width
        tensors[f"{names[layer]}.weight"] = np.ascontiguousarray(
            np.transpose(kernel, (3, 2, 0, 1))
        )
        tensors[f"{names[layer]}.bias"] = np.ascontiguousarray(bias)
    return tensors
