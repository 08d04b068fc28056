"""The parts of an image that a network is shown one after the other.

Their vectors are averaged, as the papers average the probabilities of classes. What the
numbers of crops stand for:

10
    The four corners and the centre, and their mirror images (Krizhevsky et al. 2012,
    section 4.1; evaluated on ResNet in Szegedy et al. 2016, Inception-v4, table 3).
12
    These and the whole square, brought to the network's size: the six crops and two
    mirror images that Szegedy et al. 2014 (GoogLeNet, section 7) take of each square,
    here of one. Table 4 of the paper on Inception-v3 (section 10) and table 3 of that
    on Inception-v4 (section 5) have 12 crops, without saying which; these are 144
    divided by the scales and squares.
144
    GoogLeNet, section 7: in four sizes, three squares (left, middle and right, or top,
    middle and bottom), of each the six crops and their mirror images: 4 × 3 × 6 × 2.
    Used by both papers on Inception. The sizes are 256, 288, 320 and 352 for a network
    of 224 pixels, and grow with it.
dense
    VGG, section 3.2: the shorter side is brought to 256 pixels, the network applied at
    all positions; with the mirror image.
dense-multiscale
    VGG, appendix B: the same at 256, 384 and 512 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images.quick import enough
from orangecontrib.imagemining.images.resize import (
    enlarged_size,
    fitted,
    ordered,
    resized,
    scaled_to_cover,
)
from orangecontrib.imagemining.specs import Preprocess

__all__ = ["CROPS", "DENSE_SIDES", "crops_of", "dense_images", "enough_for"]

#: Numbers of views that `crops_of` makes.
CROPS = (10, 12, 144)

#: What the shorter side is brought to, in pixels, for dense views.
DENSE_SIDES: dict[str, tuple[int, ...]] = {
    "dense": (256,),
    "dense-multiscale": (256, 384, 512),
}

_SCALES = tuple(side / 224 for side in (256, 288, 320, 352))
# a longer one would become millions of pixels, or hardly any
_LONGEST = 6


def crops_of(
    image: Image.Image, preprocess: Preprocess, views: int, fit: str = "crop"
) -> Iterator[NDArray[np.uint8]]:
    """Yield the crops, each followed by its mirror image.

    Parameters
    ----------
    image : of mode L or RGB, as `ImageReader.read` returns it.
    preprocess : the network's size, and `shortest`, of which 10 and 12 crops are cut;
        without it 8/7 of the size, as 256 to 224.
    views : one of `CROPS`; see the module.
    fit : how the image becomes the square that 10 and 12 crops are cut out of.
        144 crops take their own.

    Yields
    ------
    (height, width, 3) uint8, in the network's order of colours. Of a square image the
    three squares of the 144 are one, and are given once: the mean is the same.

    Raises
    ------
    ImageError
        If the image is too long for 144 crops.
    """
    if views == 144:
        squares = _squares(image, preprocess)
    else:
        squares = iter([fitted(image, _whole_size(preprocess), preprocess, fit)])
    for square in squares:
        for crop in _parts(square, preprocess, whole=views != 10):
            pixels = ordered(crop, preprocess)
            yield pixels
            yield np.ascontiguousarray(pixels[:, ::-1])


def dense_images(
    image: Image.Image, preprocess: Preprocess, views: str
) -> Iterator[NDArray[np.uint8]]:
    """Yield, for each size, the image and its mirror image, (2, h, w, 3) uint8.

    Parameters
    ----------
    image, preprocess
        As for `crops_of`.
    views
        Out of `DENSE_SIDES`.

    Raises
    ------
    ImageError
        If the image is too long.
    """
    _check_shape(image)
    for side in DENSE_SIDES[views]:
        size = scaled_to_cover(image, side, side)
        pixels = ordered(resized(image, size, preprocess), preprocess)
        yield np.stack([pixels, pixels[:, ::-1]])


def enough_for(preprocess: Preprocess, views: int | str) -> tuple[int, int]:
    """Return the (height, width) at which an image may be decoded for these views.

    It is several times what the views are made of (see `images.quick`), so that
    vectors stay what they are.
    """
    if isinstance(views, str):
        side = max(DENSE_SIDES[views])
        return enough(side, side)
    if views == 144:
        height, width = preprocess.size
        return enough(_SCALES[-1] * height, _SCALES[-1] * width)
    if views in CROPS:
        return enough(*_whole_size(preprocess))
    return enough(*enlarged_size(preprocess))


def _whole_size(preprocess: Preprocess) -> tuple[int, int]:
    size = enlarged_size(preprocess)
    if size != preprocess.size:
        return size
    height, width = size
    return round(height * _SCALES[0]), round(width * _SCALES[0])


def _squares(image: Image.Image, preprocess: Preprocess) -> Iterator[Image.Image]:
    """Yield three squares in each of four sizes (network's shape, if not square)."""
    _check_shape(image)
    for scale in _SCALES:
        height, width = (round(side * scale) for side in preprocess.size)
        size = scaled_to_cover(image, height, width)
        whole = resized(image, size, preprocess)
        right, bottom = size[0] - width, size[1] - height
        places = [(0, 0), (round(right / 2), round(bottom / 2)), (right, bottom)]
        for left, top in places if right or bottom else places[:1]:
            yield whole.crop((left, top, left + width, top + height))


def _parts(
    square: Image.Image, preprocess: Preprocess, whole: bool
) -> Iterator[Image.Image]:
    """Yield the corners and the centre, and the whole if wanted."""
    height, width = preprocess.size
    right, bottom = square.width - width, square.height - height
    places = [(left, top) for top in (0, bottom) for left in (0, right)]
    for left, top in [*places, (round(right / 2), round(bottom / 2))]:
        yield square.crop((left, top, left + width, top + height))
    if whole:
        yield resized(square, (width, height), preprocess)


def _check_shape(image: Image.Image) -> None:
    if max(image.size) > _LONGEST * min(image.size):
        raise ImageError(
            f"The image is more than {_LONGEST} times as long as wide"
            f" ({image.width} × {image.height}), too long for these views"
        )
