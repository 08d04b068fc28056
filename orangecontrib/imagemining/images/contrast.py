"""Numbers of any kind become 8 bits of brightness between a black and a white."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError

__all__ = ["black_and_white", "sample", "scale_to_8_bits", "to_8_bits", "type_range"]

_AUTO = (0.1, 99.9)  # per cent of pixels below and above which "auto" cuts
# a million pixels spread over the image tell as much as all, for less memory
_SAMPLE = 1_000_000


def black_and_white(
    values: NDArray[np.generic],
    contrast: str = "percentiles",
    percentiles: tuple[float, float] = _AUTO,
    bits: int = 0,
    dtype: DTypeLike | None = None,
) -> tuple[float, float]:
    """Return the numbers that become black and white.

    Parameters
    ----------
    values
        Numbers of an image, of several, or a sample of them, of any shape. What is not
        finite is passed over.
    contrast
        "auto": of 8-bit numbers, the range of the bits that are used; of others, the
        percentiles 0.1 and 99.9. "stored": the whole range of the type, of numbers with
        a fraction 0 and 1. "full": the range of the bits that are used, of numbers with
        a fraction the least and the greatest. "percentiles": those of the values, or
        the least and the greatest if these are equal.
    percentiles
        For "percentiles".
    bits
        That are used of each number (12 of 16); 0 for all. Bits in use of a signed type
        have a sign too.
    dtype
        Of the image's numbers; by default that of the values. For means of numbers
        that had no fraction.

    Returns
    -------
    Equal numbers if all values are.

    Raises
    ------
    DamagedImageError
        If no value is finite, and the answer depends on them.
    """
    kind = np.dtype(values.dtype if dtype is None else dtype)
    if kind.kind == "c":
        raise ImageError("Its pixels are complex numbers, which cannot be shown")
    whole = kind.kind in "bui"
    if contrast == "auto":
        if whole and kind.itemsize == 1:
            contrast = "full"
        else:
            contrast, percentiles = "percentiles", _AUTO
    if contrast == "stored":
        return type_range(kind, 1 if bits == 1 else 0)
    if contrast == "full" and whole:
        return type_range(kind, bits)
    known = _finite(values)
    if contrast != "full":
        numbers = sample(known, _SAMPLE).astype(np.float64)
        # interpolating between numbers of opposite ends may leave the range of floats
        with np.errstate(all="ignore"):
            low, high = (float(n) for n in np.percentile(numbers, percentiles))
        if low != high and math.isfinite(low) and math.isfinite(high):
            return low, high
    # or nearly all pixels are alike: then the few others are the picture
    return float(known.min()), float(known.max())


def type_range(dtype: DTypeLike, bits: int = 0) -> tuple[float, float]:
    """Return the least and the greatest number that so many bits hold; 0 for all.

    Numbers with a fraction are taken to go from 0 to 1.
    """
    kind = np.dtype(dtype)
    if kind.kind == "b" or bits == 1:
        return 0, 1
    if kind.kind not in "ui":
        return 0, 1
    n = kind.itemsize * 8
    if 0 < bits < n:
        n = bits
    if kind.kind == "u":
        return 0, float(2**n - 1)
    return float(-(2 ** (n - 1))), float(2 ** (n - 1) - 1)


def sample(values: NDArray[np.generic], most: int) -> NDArray[np.generic]:
    """Return finite numbers spread over an image, fewer than twice `most`.

    Parameters
    ----------
    values : (height, width) or (height, width, 3), or a list of numbers. Of a pixel
        all three numbers are taken, or none.

    Returns
    -------
    One-dimensional, of the same type; all numbers of small images.

    Raises
    ------
    DamagedImageError
        If no value is finite.
    """
    values = _finite(values)
    n_pixels = values.size if values.ndim < 3 else values.size // values.shape[2]
    step = max(1, values.size // most)
    if step > 1 and values.ndim > 1:
        # a step that goes evenly into the width would look at few columns only
        while math.gcd(step, values.shape[1]) > 1:
            step += 1
    return values.reshape(n_pixels, -1)[::step].ravel()


def _finite(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the finite numbers: the array itself if all are."""
    if values.dtype.kind not in "bui":
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
    if not values.size:
        raise DamagedImageError("None of the pixels has a value")
    return values


def to_8_bits(
    values: NDArray[np.generic], low: float, high: float
) -> NDArray[np.uint8]:
    """Return brightness: `low` and what is below becomes 0, `high` 255.

    Where `low` is above `high`, the brightness is inverted; where they are equal, what
    is above them is white. What is not finite becomes black.

    Parameters
    ----------
    values : (height, width) or (height, width, 3), any type of real numbers.
    """
    if values.dtype == bool:
        values = values.view(np.uint8)
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values.view(np.uint8)
    n_numbers = 2 ** (8 * values.dtype.itemsize)
    if values.dtype.kind in "ui" and n_numbers <= min(2**16, values.size):
        # each of the few numbers there are is converted once
        unsigned = np.dtype(f"u{values.dtype.itemsize}")
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        numbers = np.arange(n_numbers, dtype=unsigned)
        table = _scaled(numbers.view(native.dtype), low, high)
        return np.asarray(table[native.view(unsigned)], np.uint8)
    pixels = np.empty(values.shape, np.uint8)
    # row by row in float64, so that 100 million pixels do not take gigabytes
    for row, line in enumerate(values):
        pixels[row] = _scaled(line, low, high)
    return pixels


def _scaled(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    numbers = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        span = high - low
        if not span:
            scaled = np.where(numbers > high, 255.0, 0.0)
        elif math.isinf(span):
            scaled = (numbers / 2 - low / 2) / (high / 2 - low / 2) * 255
        elif math.isinf(255 / np.float64(span)):
            scaled = (numbers - low) / span * 255
        else:
            scaled = (numbers - low) * (255 / span)
        scaled[~np.isfinite(numbers)] = 0
        # an overflow has left infinities, which are clipped as they ought to be
        clipped: NDArray[np.float64] = np.clip(np.rint(scaled), 0, 255)
        return clipped.astype(np.uint8)


def scale_to_8_bits(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch grey values of any range over 0–255.

    The darkest and brightest 0.1 % of pixels are cut, so that one hot pixel of a
    camera does not turn the cells black.

    Parameters
    ----------
    grey : (height, width), integer or floating point; what is not finite becomes
        black.

    Returns
    -------
    (height, width) uint8; all 0 if all values are equal.

    Raises
    ------
    DamagedImageError
        If no value is finite.
    """
    return to_8_bits(grey, *black_and_white(grey))
