"""From an image's bytes to its vectors, in the same way as `LocalEmbedder` does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.embedders.base import check_spec
from orangecontrib.imagemining.embedders.catalog import (
    Engine,
    card_of,
    engine_and_choice,
)
from orangecontrib.imagemining.embedders.classes import softmax
from orangecontrib.imagemining.embedders.protocol import ImageBody
from orangecontrib.imagemining.exceptions import DamagedImageError, NotAnImageError
from orangecontrib.imagemining.images import (
    CROPS,
    ImageReader,
    Limits,
    crops_of,
    dense_images,
    prepare,
    turned,
)
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.specs import DENSE_VIEWS, PROBABILITIES, EmbedderSpec

__all__ = [
    "Vectors",
    "Way",
    "embed_parts",
    "embed_whole",
    "engine_of",
    "pixels_of",
    "takes_parts",
]

#: Vectors by layer.
Vectors = dict[str, NDArray[np.float32]]
#: Network, views and fit: images of one way can be embedded together.
Way = EmbedderSpec

# views as `images.turned` numbers them, of those that are all of the image
_TURNS: dict[int | str, tuple[int, ...]] = {1: (0,), 2: (0, 4), 8: tuple(range(8))}
_THREAD = threading.local()
_PARTS = 8  # crops that a network gets at once

# What comes from anybody is only given to decoders of common formats.
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
)


def takes_parts(views: int | str) -> bool:
    """Tell whether images are embedded one by one, in many parts."""
    return views in CROPS or views in DENSE_VIEWS


def engine_of(way: Way) -> Engine:
    """Return the network, loading it the first time.

    A network that torch runs on the processor runs on one core in this thread.

    Raises
    ------
    WeightsError
        If it cannot be had.
    """
    engine, choice = engine_and_choice(
        way.network, precision=way.precision, views=way.views
    )
    if choice.name == "torch" and choice.device == "cpu":
        _use_one_core()
    return engine


def _use_one_core() -> None:
    if not getattr(_THREAD, "has_one_core", False):
        from orangecontrib.imagemining.embedders.engines.pytorch import use_one_core

        use_one_core()
        _THREAD.has_one_core = True


def pixels_of(body: ImageBody, way: Way, reader: ImageReader) -> NDArray[np.uint8]:
    """Return an image of the network's size, (height, width, 3) uint8.

    Raises
    ------
    ImageError
        One of its kinds, with the reason in words.
    """
    preprocess = card_of(way.network).preprocess
    if body.kind == "prepared":
        return _prepared(body.data, preprocess.size)
    return prepare(_image(body, way, reader), preprocess, way.fit)


def embed_whole(
    pixels: NDArray[np.uint8], way: Way, layers: Sequence[str], engine: Engine
) -> Vectors:
    """Return the vectors of images of the network's size, mean over their views.

    Parameters
    ----------
    pixels
        (n, height, width, 3) uint8.
    way
        Of all of them.
    layers
        Names of those wanted; (n, size) float32 each.
    engine
        Of the network.
    """
    views = _TURNS[way.views]
    totals: Vectors = {}
    for view in views:
        turn = turned(pixels, view) if view else pixels
        for layer, vectors in _run(engine, turn, layers).items():
            if layer not in totals:
                totals[layer] = np.zeros(vectors.shape, np.float32)
            totals[layer] += vectors
    return {layer: total / np.float32(len(views)) for layer, total in totals.items()}


def embed_parts(
    body: ImageBody,
    way: Way,
    layers: Sequence[str],
    engine: Engine,
    reader: ImageReader,
    stop: Callable[[], bool],
) -> Vectors:
    """Return one image's vectors, mean over its crops or places.

    Parameters
    ----------
    body, way, reader
        As for `pixels_of`.
    layers, engine
        As for `embed_whole`.
    stop
        Asked between parts; if it says so, what comes back is worth nothing.

    Raises
    ------
    ImageError
        One of its kinds, with the reason in words.
    """
    if body.kind == "prepared":
        raise NotAnImageError("These views need the image itself, not prepared pixels")
    image = _image(body, way, reader)
    sizes = {layer: check_spec(replace(way, layer=layer)).size for layer in layers}
    totals = {layer: np.zeros(size, np.float32) for layer, size in sizes.items()}
    n = 0
    for batch in _parts(image, way):
        if stop():
            break
        for layer, vectors in _run(engine, batch, layers).items():
            totals[layer] += vectors.sum(axis=0)
        n += len(batch)
    means = {layer: total / np.float32(max(n, 1)) for layer, total in totals.items()}
    if way.views in DENSE_VIEWS:
        for layer in means.keys() - {"logits", PROBABILITIES}:
            means[layer] /= max(np.linalg.norm(means[layer]), np.float32(1e-12))
    return means


def _image(body: ImageBody, way: Way, reader: ImageReader) -> Image.Image:
    data = body.data
    if not _is_common(data):
        raise NotAnImageError(_what_else(data))
    preprocess = card_of(way.network).preprocess
    if preprocess.as_stored:
        return reader.read("", True, data)
    return reader.read_at_least("", enough_for(preprocess, way.views), data)


def _is_common(data: bytes) -> bool:
    if data.startswith(_SIGNATURES):
        return True
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    return data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis")


def _what_else(data: bytes) -> str:
    if not data:
        return "The file is empty (0 bytes)"
    if b"<svg" in data[:1024].lower():
        return "An SVG drawing; only images made of pixels can be read"
    return (
        "Not an image of a kind that this server takes: JPEG, PNG, GIF, BMP, TIFF, WebP"
        " or AVIF"
    )


def _prepared(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    if not data.startswith(_SIGNATURES[1]):
        raise NotAnImageError("Prepared pixels have to come as PNG")
    with ImageReader(Limits(max_pixels=size[0] * size[1])) as reader:
        image = reader.read("", as_stored=True, data=data)
    if (image.height, image.width) != size:
        raise DamagedImageError(
            f"Prepared pixels have to be {size[1]} × {size[0]} for this network"
        )
    return np.ascontiguousarray(image)


def _parts(image: Image.Image, way: Way) -> Iterator[NDArray[np.uint8]]:
    preprocess = card_of(way.network).preprocess
    if isinstance(way.views, str):
        yield from dense_images(image, preprocess, way.views)
        return
    crops = crops_of(image, preprocess, way.views, way.fit)
    while batch := list(islice(crops, _PARTS)):
        yield np.stack(batch)


def _run(engine: Engine, pixels: NDArray[np.uint8], layers: Sequence[str]) -> Vectors:
    source = {name: "logits" if name == PROBABILITIES else name for name in layers}
    vectors = engine.run(pixels, list(dict.fromkeys(source.values())))
    return {
        name: softmax(vectors[of]) if name == PROBABILITIES else vectors[of]
        for name, of in source.items()
    }
