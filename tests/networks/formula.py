"""Weights and images that depend on nothing but names and shapes.

The vectors in tests/data/reference were made with them (see its README.md).
"""

from __future__ import annotations

import functools
import math
import zlib

import numpy as np
import torch


def formula_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Return a state dictionary: fills every entry of these names and shapes."""
    return {name: _tensor(name, tuple(shape)) for name, shape in shapes.items()}


def formula_images(size: int) -> torch.Tensor:
    """Return two made-up images as they enter a network, (2, 3, size, size)."""
    values = np.random.RandomState(size).standard_normal((2, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


def _tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    # networks of one family share their largest matrices, which take seconds to draw
    if math.prod(shape) > 10_000_000:
        return _shared(name, shape)
    return _drawn(name, shape)


def _drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    u = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    if name.endswith("running_var"):
        u = 1 + 0.5 * np.abs(u)
    elif name.endswith("running_mean"):
        u *= 0.1
    elif len(shape) == 1:
        u = 1 + 0.1 * u if name.endswith("weight") else 0.1 * u
    else:
        u *= math.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(u, np.float32))


_shared = functools.lru_cache(maxsize=3)(_drawn)


def forget() -> None:
    """Give the memory of the shared matrices back."""
    _shared.cache_clear()
