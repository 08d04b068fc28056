"""Reads SqueezeNet 1.0 as its authors compressed it.

By the method of Han et al. 2015, arXiv:1510.00149: two thirds of the weights are left
out, the others are one of 256 values a layer. The file is ``compressed_SqueezeNet.net``
of songhan/SqueezeNet-Deep-Compression.
"""

from __future__ import annotations

import math

import numpy as np

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.tensors import Shapes, Tensors

__all__ = ["read_compressed"]

_VALUES = 256


def read_compressed(content: bytes | bytearray, shapes: Shapes) -> Tensors:
    """Return the weights under torch's names.

    First come the numbers of codes of all layers, as uint32; then for each layer 256
    values, the biases (float32), the codes (a byte each) and, in half bytes, the lower
    first, how many places each code skips. A code that lies more than 16 places from
    the last one is reached by codes for zero.

    Parameters
    ----------
    content
        The file.
    shapes
        The parameters of SqueezeNet 1.0, in the order of its layers.

    Raises
    ------
    WeightsError
        If it is cut short, or something else.
    """
    modules = [name.removesuffix(".weight") for name in shapes if name[-6:] == "weight"]
    data = memoryview(content)
    place = 4 * len(modules)
    if len(data) < place:
        raise WeightsError("The file is cut short")
    counts = np.frombuffer(data[:place], "<u4").tolist()
    biases = [shapes[f"{module}.bias"][0] for module in modules]
    lengths = [
        4 * _VALUES + 4 * n_biases + count + (count + 1) // 2
        for count, n_biases in zip(counts, biases, strict=True)
    ]
    if place + sum(lengths) != len(data):
        raise WeightsError(
            "The file is not SqueezeNet 1.0 as its authors compressed it, or is cut"
            f" short: {len(data):,} bytes, where its beginning promises"
            f" {place + sum(lengths):,}"
        )
    tensors: Tensors = {}
    for module, count, n_biases in zip(modules, counts, biases, strict=True):
        shape = shapes[f"{module}.weight"]
        values = np.frombuffer(data, "<f4", _VALUES, place)
        place += values.nbytes
        bias = np.frombuffer(data, "<f4", n_biases, place)
        place += bias.nbytes
        codes = np.frombuffer(data, np.uint8, count, place)
        place += count
        halves = np.frombuffer(data, np.uint8, (count + 1) // 2, place)
        place += halves.nbytes
        gaps = np.stack([halves & 15, halves >> 4], axis=1).ravel()[:count]
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if count and positions[-1] >= math.prod(shape):
            raise WeightsError(f"The file is damaged: '{module}' has too many weights")
        dense = np.zeros(math.prod(shape), np.float32)
        dense[positions] = values[codes]
        tensors[f"{module}.weight"] = dense.reshape(shape)
        tensors[f"{module}.bias"] = bias.astype(np.float32)
    return tensors
