"""Make an opened image the array that a network's weights were trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.images.lanczos import resize_lanczos
from orangecontrib.imagemining.specs import Preprocess

__all__ = [
    "centre_of",
    "enlarged_size",
    "fitted",
    "ordered",
    "prepare",
    "resized",
    "scaled_to_cover",
    "turned",
]

_STRIP = 8  # times as long as wide: only the centre of what is longer is resized

_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def prepare(
    image: Image.Image, preprocess: Preprocess, fit: str = "stretch"
) -> NDArray[np.uint8]:
    """Make `image` of the network's size and order its colours.

    Parameters
    ----------
    image : of mode L or RGB, as `ImageReader.read` returns it.
    preprocess : size, filter, order and columns to swap; mean and deviation are left
        to the engine, which applies them to whole batches.
    fit : one of `specs.FITS`. With "crop" the shorter side is brought to
        `preprocess.shortest` and the centre cut out; with "pad" the margins have the
        network's mean colour, which it takes for nothing.

    Returns
    -------
    (height, width, 3) uint8, 0–255.
    """
    if fit == "crop":
        # one cut, not two: halves of pixels are rounded once, as published
        height, width = enlarged_size(preprocess)
        return ordered(
            centre_of(_covering(image, height, width, preprocess), *preprocess.size),
            preprocess,
        )
    return ordered(fitted(image, preprocess.size, preprocess, fit), preprocess)


def fitted(
    image: Image.Image, size: tuple[int, int], preprocess: Preprocess, fit: str
) -> Image.Image:
    """Return `image` of exactly this (height, width).

    Parameters
    ----------
    image, preprocess
        As for `prepare`.
    size
        Height and width wanted.
    fit
        One of `specs.FITS`. With "crop" as much of the image is kept as fits.
    """
    height, width = size
    if fit == "crop":
        return centre_of(_covering(image, height, width, preprocess), height, width)
    if fit == "pad":
        scale = min(height / image.height, width / image.width)
        inner = (
            min(max(round(image.width * scale), 1), width),
            min(max(round(image.height * scale), 1), height),
        )
        canvas = Image.new("RGB", (width, height), _mean_colour(preprocess))
        small = resized(image, inner, preprocess)
        canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    # grey stays one channel until after the resize, a third of the work
    return resized(image, (width, height), preprocess)


def enlarged_size(preprocess: Preprocess) -> tuple[int, int]:
    """Return the (height, width) of which the network's size is the centre."""
    height, width = preprocess.size
    shortest = preprocess.shortest or min(height, width)
    return (
        round(height * shortest / min(height, width)),
        round(width * shortest / min(height, width)),
    )


def scaled_to_cover(image: Image.Image, height: int, width: int) -> tuple[int, int]:
    """Return the (width, height) of `image`, just large enough to cover these."""
    if image.width * height >= image.height * width:
        return height * image.width // image.height, height
    return width, width * image.height // image.width


def centre_of(image: Image.Image, height: int, width: int) -> Image.Image:
    """Cut out the centre."""
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def resized(
    image: Image.Image, size: tuple[int, int], preprocess: Preprocess
) -> Image.Image:
    """Return `image` of this (width, height), by the network's filter.

    What stands in for another add-on's network is resized by Pillow to the last bit, as
    there.
    """
    takes_long = image.width > size[0] and image.height > size[1]
    if takes_long and preprocess.interpolation == "lanczos":
        if image.mode in ("L", "RGB") and not preprocess.as_stored:
            return resize_lanczos(image, size)
    return image.resize(size, _FILTERS[preprocess.interpolation])


def ordered(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the pixels, (height, width, 3), in the network's order of colours."""
    pixels: NDArray[np.uint8] = np.asarray(image)
    if preprocess.swapped_columns is not None:
        first, second = preprocess.swapped_columns
        pixels = pixels.copy()
        pixels[:, [first, second]] = pixels[:, [second, first]]
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    if preprocess.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def _covering(
    image: Image.Image, height: int, width: int, preprocess: Preprocess
) -> Image.Image:
    """Resize `image`, keeping its shape, so that it just covers height and width."""
    # of a strip only what is about the centre: all of it could be of any length
    longest = _STRIP * max(height / width, width / height)
    if image.width > longest * image.height:
        image = centre_of(image, image.height, round(longest * image.height))
    elif image.height > longest * image.width:
        image = centre_of(image, round(longest * image.width), image.width)
    size = scaled_to_cover(image, height, width)
    return resized(image, size, preprocess)


def _mean_colour(preprocess: Preprocess) -> tuple[int, int, int]:
    means = [round(mean / preprocess.scale) for mean in preprocess.mean]
    first, second, third = (min(max(mean, 0), 255) for mean in means)
    if preprocess.channels == "BGR":
        return third, second, first
    return first, second, third


def turned(batch: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
    """Return one of the eight views of images.

    Parameters
    ----------
    batch : (n, height, width, channels).
    view : 0–7; 0 is the image itself, 1–3 its turns by 90°, 4–7 their mirror images.

    Returns
    -------
    An array of the shape of `batch`.

    Raises
    ------
    ValueError
        If the images are not square and turning them would change their shape.
    """
    if batch.shape[1] != batch.shape[2] and view % 2:
        raise ValueError(f"turns need square images, not {batch.shape[1:3]}")
    if view >= 4:
        batch = batch[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(batch, view % 4, axes=(1, 2)))
