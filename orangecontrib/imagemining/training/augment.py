"""Changes images anew each time that they are seen; see `plan.Augmentation`.

numpy and Pillow do it: both let other threads run meanwhile. (Of the libraries for it
that do without torchvision, albumentations needs OpenCV and imgaug is left alone; none
draws a whole batch from a generator that is given.) Parts are resized linearly,
whatever filter the network's weights were trained with: sizes are random anyway.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import Augmentation

__all__ = [
    "Augmenter",
    "area_boxes",
    "colour_changes",
    "cut",
    "jitter_boxes",
    "mean_colour",
    "recoloured",
    "shifted",
]

#: Numbers of images, between 0 and 1 or around 0.
_Floats = NDArray[np.float64]

_RATIO = 4 / 3  # how much longer than the other a side of a part may be (Inception)
_TRIES = 10
# shares of the image that are blanked, and how much longer one side may be
_ERASED, _ERASED_RATIO = (0.02, 0.33), 1 / 0.3
_GREY = np.array([0.299, 0.587, 0.114])  # parts of red, green and blue


class Augmenter:
    """Makes batches of changed images.

    Parameters
    ----------
    augmentation
        How images are changed.
    preprocess
        Size and order of colours, and the mean colour, which is 0 for the network.
    images
        The images; their colours decide about `rgb_shift`.
    """

    def __init__(
        self, augmentation: Augmentation, preprocess: Preprocess, images: ImageSet
    ) -> None:
        self._how = augmentation
        self._preprocess = preprocess
        self._images = images
        self._blank = mean_colour(preprocess)
        self._components = (
            images.colour_components if augmentation.rgb_shift > 0 else None
        )

    def __call__(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return images of the network's size, (n, height, width, 3), each changed.

        Parameters
        ----------
        rows
            Which images.
        rng
            All that is random comes out of it, in an order that depends on nothing but
            the augmentation.
        """
        batch = self._cropped(rows, rng)
        self._turn(batch, rng)
        self._recolour(batch, rng)
        self._erase(batch, rng)
        return batch

    def _cropped(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        how, images = self._how, self._images
        if how.crop == "none":
            return images.prepared(rows)
        if how.crop == "shift":
            by = rng.integers(-how.shift, how.shift, (len(rows), 2), endpoint=True)
            return shifted(images.prepared(rows), by, self._blank)
        parts = [images.whole(row) for row in rows]
        shapes = np.array([part.shape[:2] for part in parts])
        if how.crop == "jitter":
            boxes = jitter_boxes(shapes, images.size, how.sides, rng)
        else:
            boxes = area_boxes(shapes, how.area, rng)
        batch = np.empty((len(rows), *images.size, 3), np.uint8)
        for pixels, part, box in zip(batch, parts, boxes, strict=True):
            pixels[:] = cut(part, box, images.size)
        if self._preprocess.swapped_columns is not None:
            first, second = self._preprocess.swapped_columns
            batch[:, :, [first, second]] = batch[:, :, [second, first]]
        return batch

    def _turn(self, batch: NDArray[np.uint8], rng: np.random.Generator) -> None:
        how, n = self._how, len(batch)
        if how.mirror:
            chosen = rng.random(n) < 0.5
            batch[chosen] = batch[chosen, :, ::-1]
        if how.turn == "none":
            return
        quarters = rng.integers(0, 4, n)
        if how.turn == "flips":
            chosen = quarters % 2 == 1
            batch[chosen] = batch[chosen, ::-1]
            return
        if batch.shape[1] != batch.shape[2]:  # a turn by 90° would change the shape
            quarters -= quarters % 2
        for times in (1, 2, 3):
            chosen = quarters == times
            if chosen.any():
                batch[chosen] = np.rot90(batch[chosen], times, axes=(1, 2))

    def _recolour(self, batch: NDArray[np.uint8], rng: np.random.Generator) -> None:
        how, n = self._how, len(batch)
        shifts = np.zeros((n, 3))
        if self._components is not None:
            variances, components = self._components
            drawn = rng.normal(0, how.rgb_shift, (n, 3))
            # Krizhevsky et al. 2012, section 4.1, for colours between 0 and 1
            shifts = 255 * (drawn * variances) @ components.T
        if how.colour > 0:
            factors = 2 ** rng.uniform(-how.colour, how.colour, (n, 3))
            is_bgr = self._preprocess.channels == "BGR"
            maps, offsets = colour_changes(batch, factors, is_bgr)
            recoloured(batch, maps, offsets + shifts)
        elif self._components is not None:
            recoloured(batch, None, shifts)

    def _erase(self, batch: NDArray[np.uint8], rng: np.random.Generator) -> None:
        n, height, width, _ = batch.shape
        if self._how.erase <= 0:
            return
        chosen = rng.random(n) < self._how.erase
        areas = rng.uniform(*_ERASED, n) * height * width
        reach = math.log(_ERASED_RATIO)
        ratios = np.exp(rng.uniform(-reach, reach, n))
        heights = np.clip(np.rint(np.sqrt(areas / ratios)), 1, height).astype(int)
        widths = np.clip(np.rint(np.sqrt(areas * ratios)), 1, width).astype(int)
        tops = (rng.random(n) * (height - heights + 1)).astype(int)
        lefts = (rng.random(n) * (width - widths + 1)).astype(int)
        for place in np.flatnonzero(chosen):
            top, left = tops[place], lefts[place]
            bottom, right = top + heights[place], left + widths[place]
            batch[place, top:bottom, left:right] = self._blank


def mean_colour(preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the colour, (3,), that the network sees as 0, in its order of colours."""
    means = np.asarray(preprocess.mean) / preprocess.scale
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def shifted(
    batch: NDArray[np.uint8], by: NDArray[np.integer], blank: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return images moved down and right by whole pixels.

    Parameters
    ----------
    batch
        (n, height, width, 3).
    by
        (n, 2): how far down and right each moves.
    blank
        (3,): what comes in.
    """
    _, height, width, _ = batch.shape
    result = np.empty_like(batch)
    result[:] = blank
    for to, pixels, (down, right) in zip(result, batch, by.tolist(), strict=True):
        if abs(down) < height and abs(right) < width:
            to[max(down, 0) : height + down, max(right, 0) : width + right] = pixels[
                max(-down, 0) : height - down, max(-right, 0) : width - right
            ]
    return result


def jitter_boxes(
    shapes: NDArray[np.integer],
    size: tuple[int, int],
    sides: tuple[float, float],
    rng: np.random.Generator,
) -> _Floats:
    """Draw parts of images as VGG's section 3.1.

    The image is thought of as scaled so that it covers a random multiple of `size`; a
    part of `size` is taken anywhere in it.

    Parameters
    ----------
    shapes
        (n, 2): heights and widths of the images.
    size
        Height and width of the network's input.
    sides
        Smallest and largest multiple; less than 1 counts as 1.
    rng
        Where numbers come from.

    Returns
    -------
    (n, 4): left, top, right and bottom, in the images' own pixels.
    """
    n = len(shapes)
    multiples = np.maximum(rng.uniform(*sides, n), 1)
    scales = multiples * np.max(np.asarray(size) / shapes, axis=1)
    parts = np.minimum(np.asarray(size) / scales[:, np.newaxis], shapes)
    return _placed(parts, shapes, rng)


def area_boxes(
    shapes: NDArray[np.integer], area: tuple[float, float], rng: np.random.Generator
) -> _Floats:
    """Draw parts of images of random area and shape, as for Inception networks.

    The ratio of the sides is between 3/4 and 4/3, evenly on a logarithmic scale. Where
    ten tries do not fit into the image, as much of it is taken as these ratios allow.

    Parameters
    ----------
    shapes
        (n, 2): heights and widths of the images.
    area
        Smallest and largest share of the image.
    rng
        Where numbers come from.

    Returns
    -------
    (n, 4): left, top, right and bottom, in the images' own pixels.
    """
    n = len(shapes)
    heights, widths = shapes[:, :1], shapes[:, 1:]
    areas = rng.uniform(*area, (n, _TRIES)) * heights * widths
    reach = math.log(_RATIO)
    ratios = np.exp(rng.uniform(-reach, reach, (n, _TRIES)))
    tries = np.stack([np.sqrt(areas / ratios), np.sqrt(areas * ratios)], axis=2)
    fits = np.all(tries <= shapes[:, np.newaxis], axis=2)
    parts = tries[np.arange(n), fits.argmax(axis=1)]
    ratio = np.clip(widths / heights, 1 / _RATIO, _RATIO)
    largest = np.hstack(
        [np.minimum(heights, widths / ratio), np.minimum(widths, heights * ratio)]
    )
    parts = np.where(np.any(fits, axis=1, keepdims=True), parts, largest)
    return _placed(parts, shapes, rng)


def _placed(
    parts: _Floats, shapes: NDArray[np.integer], rng: np.random.Generator
) -> _Floats:
    """Put parts (n, 2) anywhere in their images."""
    starts = rng.random(parts.shape) * (shapes - parts)
    return np.hstack([starts[:, ::-1], (starts + parts)[:, ::-1]])


def cut(
    pixels: NDArray[np.uint8], box: _Floats, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a part of an image, brought to `size`.

    Parameters
    ----------
    pixels
        (h, w, 3).
    box
        Left, top, right and bottom.
    size
        Height and width wanted.
    """
    left, top, right, bottom = box.tolist()
    x, y = math.floor(left), math.floor(top)
    # Pillow copies what it gets; it is not to be the whole image
    part = Image.fromarray(pixels[y : math.ceil(bottom), x : math.ceil(right)])
    # the end of a box may not lie beyond the image by the error of a sum
    inner = (
        left - x,
        top - y,
        min(right - x, part.width),
        min(bottom - y, part.height),
    )
    wanted = (size[1], size[0])
    return np.asarray(part.resize(wanted, Image.Resampling.BILINEAR, inner))


def colour_changes(
    batch: NDArray[np.uint8], factors: _Floats, is_bgr: bool
) -> tuple[_Floats, _Floats]:
    """Return brightness, contrast and saturation as linear maps of colours.

    Parameters
    ----------
    batch
        (n, height, width, 3).
    factors
        (n, 3): what brightness, then contrast (distance from the image's mean grey),
        then saturation (distance from the pixel's own grey) is multiplied with.
    is_bgr
        Whether blue comes first.

    Returns
    -------
    (n, 3, 3) and (n, 3): colours become map · colour + offset.
    """
    grey = _GREY[::-1] if is_bgr else _GREY
    brightness, contrast, saturation = factors.T
    means = batch.mean(axis=(1, 2)) @ grey
    to_grey = np.broadcast_to(grey, (3, 3))
    maps = saturation[:, np.newaxis, np.newaxis] * (np.eye(3) - to_grey) + to_grey
    maps *= (brightness * contrast)[:, np.newaxis, np.newaxis]
    offsets = (1 - contrast) * brightness * means
    return maps, np.repeat(offsets[:, np.newaxis], 3, axis=1)


def recoloured(
    batch: NDArray[np.uint8], maps: _Floats | None, offsets: _Floats
) -> None:
    """Change the colours of images in place, rounded to whole numbers of 0–255.

    Parameters
    ----------
    batch
        (n, height, width, 3).
    maps
        (n, 3, 3), what colours are multiplied with from the left; None: nothing.
    offsets
        (n, 3), what is added then.
    """
    for place, offset in enumerate(offsets.astype(np.float32)):
        colours = batch[place].astype(np.float32)
        if maps is not None:
            colours = colours @ maps[place].T.astype(np.float32)
        colours += offset
        np.clip(np.rint(colours, out=colours), 0, 255, out=colours)
        batch[place] = colours
