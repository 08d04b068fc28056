"""Small networks as ONNX files, of all the kinds that people may bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

Axes = Sequence[int | str | None] | None

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
STRING, BOOL, INT64 = TensorProto.STRING, TensorProto.BOOL, TensorProto.INT64


def port(name: str, axes: Axes, kind: int = FLOAT):
    """Return an input or output."""
    return helper.make_tensor_value_info(name, kind, axes)


def save(
    path: Path, nodes, inputs, outputs, numbers=None, opsets=(), **options
) -> Path:
    """Write a network."""
    graph = helper.make_graph(
        nodes,
        "network",
        inputs,
        outputs,
        [numpy_helper.from_array(v, k) for k, v in (numbers or {}).items()],
    )
    ids = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in opsets)]
    model = helper.make_model(graph, opset_imports=ids, ir_version=8)
    save_model(model, path, **options)
    return path


def kernel(n_channels: int = 3, size: int = 4) -> np.ndarray:
    """Return numbers of a 1 × 1 convolution."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(size, n_channels, 1, 1)).astype(np.float32)


def conv(
    path: Path,
    axes: Axes = ("n", 3, 6, 8),
    kind: int = FLOAT,
    n_channels: int = 3,
    out_axes: Axes = ("n", 4, None, None),
    **options,
) -> Path:
    """One convolution with output "map", channels first, and its means "vector"."""
    numbers = kernel(n_channels)
    numbers = numbers.astype(np.float16) if kind == HALF else numbers
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["vector"]),
    ]
    outputs = [port("map", out_axes, kind), port("vector", (None, 4), kind)]
    return save(
        path,
        nodes,
        [port("image", axes, kind)],
        outputs,
        {"kernel": numbers},
        **options,
    )


def pixelwise(pixels: np.ndarray, n_channels: int = 3) -> np.ndarray:
    """Return what `conv` makes of fed images (n, h, w, channels), position by position.

    Means over positions are its vector.
    """
    return pixels @ kernel(n_channels)[:, :, 0, 0].T
