"""Make an opened image the array that a network's weights were trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.specs import Preprocess

__all__ = ["prepare", "turned"]

_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def prepare(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Stretch `image` to the network's size and order its colours.

    Parameters
    ----------
    image : of mode L or RGB, as `ImageReader.read` returns it.
    preprocess : size, filter, order and columns to swap; mean and deviation are left
        to the engine, which applies them to whole batches.

    Returns
    -------
    (height, width, 3) uint8, 0–255.
    """
    height, width = preprocess.size
    # grey stays one channel until after the resize, a third of the work
    resized = image.resize((width, height), _FILTERS[preprocess.interpolation])
    pixels: NDArray[np.uint8] = np.asarray(resized)
    if preprocess.swapped_columns is not None:
        first, second = preprocess.swapped_columns
        pixels = pixels.copy()
        pixels[:, [first, second]] = pixels[:, [second, first]]
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    if preprocess.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def turned(batch: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
    """Return one of the eight views of square images.

    Parameters
    ----------
    batch : (n, size, size, channels).
    view : 0–7; 0 is the image itself, 1–3 its turns by 90°, 4–7 their mirror images.

    Returns
    -------
    An array of the shape of `batch`.

    Raises
    ------
    ValueError
        If the images are not square: turning them would change their shape.
    """
    if batch.shape[1] != batch.shape[2]:
        raise ValueError(f"views need square images, not {batch.shape[1:3]}")
    if view >= 4:
        batch = batch[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(batch, view % 4, axes=(1, 2)))
