"""What the families that read whole planes share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
)
from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["check_plane", "check_size", "cut", "told_bits", "white"]


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a picture of too many pixels, before it is decoded.

    Raises
    ------
    DamagedImageError
        If it has none.
    ImageTooLargeError
        If they are more than the limit.
    """
    if width < 1 or height < 1:
        raise DamagedImageError("The image has no pixels")
    limits.check_pixels(width, height)


def check_plane(
    all_series: tuple[Series, ...], series: int, t: int, z: int, c: int
) -> Series:
    """Return the series, if it has this plane.

    Raises
    ------
    ImageError
        If there is no such series, time, depth or channel.
    """
    if not 0 <= series < len(all_series):
        raise ImageError(f"The file has no series {series + 1}")
    found = all_series[series]
    sizes = (found.n_times, found.n_depths, len(found.channels))
    for name, index, size in zip(
        ("time", "depth", "channel"), (t, z, c), sizes, strict=True
    ):
        if not 0 <= index < size:
            raise ImageError(f"The image has no {name} {index + 1}")
    return found


def told_bits(bits: int, dtype: np.dtype[np.generic]) -> int:
    """Return the bits used of each number, if a file tells so many; see `Series`."""
    if dtype.kind not in "ui":
        return 0
    return bits if 0 < bits <= 8 * dtype.itemsize else 8 * dtype.itemsize


def white(dtype: np.dtype[np.generic], bits: int = 0) -> float | int:
    """Return the number that is white in this type, if so many bits are used."""
    if dtype.kind not in "ui":
        return 1.0
    bits = min(bits or 8 * dtype.itemsize, 8 * dtype.itemsize)
    return int(2 ** (bits - (dtype.kind == "i")) - 1)


def cut(
    plane: NDArray[np.generic],
    xywh: tuple[int, int, int, int],
    limits: Limits,
    bits: int = 0,
) -> NDArray[np.generic]:
    """Return a part of a plane; what lies outside of it is white.

    Parameters
    ----------
    plane
        (height, width) or (height, width, 3).
    xywh
        Left, top, width, height in pixels.
    bits
        That are used of each number; 0: all.

    Raises
    ------
    ImageTooLargeError
        If the part has too many pixels.
    """
    left, top, width, height = xywh
    check_size(width, height, limits)
    inside = plane[max(top, 0) : max(top + height, 0)]
    inside = inside[:, max(left, 0) : max(left + width, 0)]
    if inside.shape[:2] == (height, width):
        return inside.copy()
    shape = (height, width, *plane.shape[2:])
    whole = np.full(shape, white(plane.dtype, bits), plane.dtype)
    y, x = max(-top, 0), max(-left, 0)
    whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return whole
