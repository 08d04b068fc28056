"""Weights, and files of them, that the tests make themselves."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.weights.tensors import Tensors, shapes_of

NETWORK = "squeezenet1_0"


def tensors_of(network: str = NETWORK, seed: int = 0) -> Tensors:
    """Return made-up weights that fit a network."""
    rng = np.random.default_rng(seed)
    return {
        name: np.array(rng.random(shape, np.float32), np.float32)
        for name, shape in shapes_of(network).items()
    }


def state_of(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}


def save_torch(path: Path, tensors: Tensors, **options: bool) -> Path:
    """Write a .pth file; with ``_use_new_zipfile_serialization=False`` an older one."""
    torch.save(state_of(tensors), path, **options)
    return path


def card(url: str = "", sha256: str = "", network: str = NETWORK) -> Weights:
    """Return the card of weights that are fetched from a server of the test's own."""
    url = url or "https://weights.example/made-up.pth"
    return replace(
        WEIGHTS[network], name="made-up", url=url, sha256=sha256, file_size=None
    )


# Caffe's files ----------------------------------------------------------------


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """Write a field of a message: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, style: str = "shape") -> bytes:
    data = np.ascontiguousarray(array, "<f4")
    if style == "single":  # each number by itself, as the oldest files have them
        values = b"".join(
            varint(5 << 3 | 5) + struct.pack("<f", number) for number in data.ravel()
        )
    else:
        values = field(5, data.tobytes())
    if style == "shape":
        return field(7, field(1, b"".join(map(varint, data.shape)))) + values
    sizes = (1,) * (4 - data.ndim) + data.shape
    return b"".join(field(i, n) for i, n in enumerate(sizes, start=1)) + values


def caffemodel(
    layers: dict[str, Sequence[np.ndarray]], version: int = 2, style: str = "shape"
) -> bytes:
    """Write a .caffemodel: layers by name with their blobs."""
    name_field, blobs_field, layer_field = (1, 7, 100) if version == 2 else (4, 6, 2)
    content = field(1, "made up")
    for name, arrays in layers.items():
        layer = field(name_field, name)
        layer += b"".join(field(blobs_field, blob(array, style)) for array in arrays)
        content += field(layer_field, layer)
    # a layer without weights, as those of pooling are
    return content + field(layer_field, field(name_field, "pool10"))


# Deep Compression -------------------------------------------------------------


def compressed(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Write weights of 255 values at most as their authors compress them."""
    counts, content = [], b""
    for weight, bias in layers:
        values = np.zeros(256, "<f4")
        found = np.unique(weight[weight != 0])
        values[1 : len(found) + 1] = found
        codes, gaps = [], []
        last = -1
        flat = weight.ravel()
        for position in np.flatnonzero(flat):
            while position - last > 16:
                codes.append(0)
                gaps.append(15)
                last += 16
            codes.append(1 + int(np.searchsorted(found, flat[position])))
            gaps.append(int(position) - last - 1)
            last = int(position)
        counts.append(len(codes))
        padded = [*gaps, 0] if len(gaps) % 2 else gaps
        halves = bytes(
            low | high << 4 for low, high in zip(padded[::2], padded[1::2], strict=True)
        )
        content += values.tobytes() + bias.astype("<f4").tobytes()
        content += bytes(codes) + halves
    return np.array(counts, "<u4").tobytes() + content
