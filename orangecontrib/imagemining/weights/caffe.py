"""Reads the weights that SqueezeNet's and VGG's authors published, which are Caffe's.

A .caffemodel is a message of Google's protocol buffers, of which this reads the few
fields that hold weights; names and numbers of the fields are those of Caffe's
``caffe.proto``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.tensors import Shapes, Tensors

__all__ = ["caffe_names", "from_caffe", "read_caffemodel"]

_MAX_LAYERS = 4096
_MAX_BLOBS = 16

# fields of the messages
_NET_V1_LAYERS, _NET_LAYERS = 2, 100
_V1_NAME, _V1_BLOBS = 4, 6
_NAME, _BLOBS = 1, 7
_SIZES = (1, 2, 3, 4)  # num, channels, height, width, of before there were shapes
_DATA, _SHAPE, _DOUBLES = 5, 7, 8
_DIM = 1

_VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_FIRE = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:
            raise ValueError("a number without an end")
        if place >= len(data):
            raise ValueError("the file breaks off")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield number, kind and value of a message's fields."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            number, place = _varint(data, place)
            yield key >> 3, kind, number
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        if length > len(data) - place:
            raise ValueError("the file breaks off")
        yield key >> 3, kind, data[place : place + length]
        place += length


def _blob(data: memoryview) -> NDArray[np.float32]:
    sizes = dict.fromkeys(_SIZES, 1)
    shape: list[int] | None = None
    packed: list[memoryview] = []
    single = bytearray()  # numbers written one by one, as old versions did
    for number, kind, value in _fields(data):
        if number in sizes and isinstance(value, int):
            sizes[number] = value
        elif number == _SHAPE and isinstance(value, memoryview):
            shape = _dimensions(value)
        elif number == _DATA and kind == _BYTES and isinstance(value, memoryview):
            packed.append(value)
        elif number == _DATA and kind == _FIXED32 and isinstance(value, memoryview):
            single += value
        elif number == _DOUBLES:
            raise ValueError("numbers of double precision")
    if shape is None:
        shape = list(sizes.values())
    if single:
        packed.append(memoryview(single))
    size = sum(map(len, packed))
    # before anything is made of that shape: it may be anything
    if len(shape) > 8 or 4 * math.prod(shape) != size:
        raise ValueError(f"{size // 4} numbers for a shape of {shape}")
    return np.frombuffer(bytearray().join(packed), "<f4").reshape(shape)


def _dimensions(data: memoryview) -> list[int]:
    shape: list[int] = []
    for number, kind, value in _fields(data):
        if number != _DIM:
            continue
        if isinstance(value, int):
            shape.append(value)
        elif kind == _BYTES:
            place = 0
            while place < len(value):
                size, place = _varint(value, place)
                shape.append(size)
        if len(shape) > 8:
            raise ValueError("a shape of more than eight dimensions")
    return shape


def _layer(
    data: memoryview, name_field: int, blobs_field: int
) -> tuple[str, list[memoryview]]:
    name = ""
    blobs = []
    for number, _, value in _fields(data):
        if isinstance(value, memoryview):
            if number == name_field:
                name = bytes(value[:200]).decode("utf8", "replace")
            elif number == blobs_field:
                blobs.append(value)
        if len(blobs) > _MAX_BLOBS:
            raise ValueError(f"layer '{name}' has more than {_MAX_BLOBS} blobs")
    return name, blobs


def read_caffemodel(content: bytes | bytearray) -> dict[str, list[NDArray[np.float32]]]:
    """Return the weights of each layer that has any: kernel, bias.

    Parameters
    ----------
    content
        A .caffemodel file, with layers of either version.

    Raises
    ------
    WeightsError
        If it is not one, or is damaged.
    """
    layers: dict[str, list[NDArray[np.float32]]] = {}
    count = 0
    try:
        for number, _, value in _fields(memoryview(content)):
            if number not in (_NET_LAYERS, _NET_V1_LAYERS):
                continue
            if not isinstance(value, memoryview):
                raise ValueError("a layer that is none")
            count += 1
            if count > _MAX_LAYERS:
                raise ValueError(f"more than {_MAX_LAYERS} layers")
            new = number == _NET_LAYERS
            fields = (_NAME, _BLOBS) if new else (_V1_NAME, _V1_BLOBS)
            name, blobs = _layer(value, *fields)
            if blobs:
                layers[name] = [_blob(blob) for blob in blobs]
    except ValueError as ex:
        raise WeightsError(
            f"The file is not a Caffe model, or is damaged or cut short ({ex})"
        ) from ex
    if not layers:
        raise WeightsError("The file is not a Caffe model, or holds no weights")
    return layers


def caffe_names(network: str, shapes: Shapes) -> dict[str, str]:
    """Return what the network's layers are called in the authors' Caffe files.

    Parameters
    ----------
    network
        A SqueezeNet, vgg16 or vgg19.
    shapes
        Its parameters.

    Raises
    ------
    WeightsError
        If its authors published no Caffe file that fits.
    """
    modules = [name.removesuffix(".weight") for name in shapes if name[-6:] == "weight"]
    if network.startswith("squeezenet"):
        names = {}
        fires = sorted(
            {int(module.split(".")[1]) for module in modules if module.count(".") == 2}
        )
        for module in modules:
            if module.count(".") == 2:
                _, position, part = module.split(".")
                names[module] = f"fire{fires.index(int(position)) + 2}/{_FIRE[part]}"
            else:
                names[module] = "conv1" if module.startswith("features") else "conv10"
        return names
    if network in _VGG_BLOCKS:
        conv = [
            f"conv{block}_{number}"
            for block, count in enumerate(_VGG_BLOCKS[network], start=1)
            for number in range(1, count + 1)
        ]
        return dict(zip(modules, [*conv, "fc6", "fc7", "fc8"], strict=True))
    raise WeightsError(
        f"No file of Caffe's fits {network}; such files are read for SqueezeNet and VGG"
    )


def from_caffe(
    layers: dict[str, list[NDArray[np.float32]]], network: str, shapes: Shapes
) -> Tensors:
    """Return the weights under torch's names.

    Parameters
    ----------
    layers
        From `read_caffemodel`.
    network, shapes
        As for `caffe_names`.

    Raises
    ------
    WeightsError
        If layers are missing. What the others are, the caller looks at.
    """
    names = caffe_names(network, shapes)
    known = {caffe: module for module, caffe in names.items()}
    missing = [caffe for caffe in known if caffe not in layers]
    if missing:
        has = ", ".join(re.sub(r"\s", " ", name)[:40] for name in list(layers)[:4])
        raise WeightsError(
            f"The Caffe model is not of {network}: it has no layer '{missing[0]}', but"
            f" {has}, …"
        )
    tensors: Tensors = {}
    for caffe, blobs in layers.items():
        module = known.get(caffe, caffe)
        for part, blob in zip(("weight", "bias"), blobs, strict=False):
            # before there were shapes, all blobs had four dimensions
            wanted = shapes.get(f"{module}.{part}")
            if wanted and _without_ones(blob.shape) == _without_ones(wanted):
                blob = blob.reshape(wanted)
            tensors[f"{module}.{part}"] = blob
        for number in range(2, len(blobs)):
            tensors[f"{module}.{number}"] = blobs[number]
    return tensors


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]
