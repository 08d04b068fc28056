"""Planes become one: the brightest or the mean of each pixel, a plane at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.stream import DECODER_ERRORS, damaged

__all__ = ["mean_of_channels", "project"]

_Plane = NDArray[np.generic]


def project(
    plane: Callable[[int, int], _Plane],
    numbers: Sequence[tuple[int, int]],
    how: str = "first",
) -> _Plane:
    """Return the one plane, or the projection of several, of raw numbers.

    At any time two planes are in memory, whatever their number.

    Parameters
    ----------
    plane
        Reads the plane of a time point and a depth.
    numbers
        Time point and depth of each.
    how
        "max" or "mean", of the numbers that are finite; with one plane no matter.

    Returns
    -------
    Of the numbers' own type; means are float64 and not rounded. A pixel that is finite
    in no plane is NaN.

    Raises
    ------
    ImageError
        If no plane can be read. Those that cannot are left out.
    """
    if len(numbers) == 1:
        return _read(plane, *numbers[0])
    total: _Max | _Mean = _Max() if how == "max" else _Mean()
    failure: ImageError | None = None
    for t, z in numbers:
        try:
            total.add(_read(plane, t, z))
        except ImageError as ex:
            failure = failure or ex
    result = total.result()
    if result is None:
        raise failure or DamagedImageError("The file has no planes")
    return result


def mean_of_channels(read: Callable[[int], _Plane], channels: Sequence[int]) -> _Plane:
    """Return the mean of some channels in float64, a channel at a time."""
    total = _Mean()
    for number in channels:
        total.add(read(number))
    result = total.result()
    if result is None:
        raise DamagedImageError("The file has no channels")
    return result


def _read(plane: Callable[[int, int], _Plane], t: int, z: int) -> _Plane:
    try:
        values = plane(t, z)
    except (ImageError, MemoryError):
        raise
    except DECODER_ERRORS as ex:
        raise damaged(ex) from ex
    if values.dtype.kind not in "buif":
        raise ImageError("Its pixels are not real numbers, and cannot be shown")
    if not values.size or values.ndim not in (2, 3):
        raise DamagedImageError("The image has no pixels")
    return values


class _Max:
    def __init__(self) -> None:
        self._best: _Plane | None = None

    def add(self, plane: _Plane) -> None:
        plane = _without_infinities(plane)
        if self._best is None:
            self._best = np.array(plane)
            return
        _check_same(self._best, plane)
        with np.errstate(invalid="ignore"):
            np.fmax(self._best, plane, out=self._best)

    def result(self) -> _Plane | None:
        return self._best


class _Mean:
    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None
        # of each pixel where some are not finite, else of all
        self._n: NDArray[np.int32] | int = 0

    def add(self, plane: _Plane) -> None:
        if self._sum is None:
            self._sum = np.zeros(plane.shape)
        _check_same(self._sum, plane)
        if plane.dtype.kind == "f":
            finite = np.isfinite(plane)
            if not finite.all() or not isinstance(self._n, int):
                self._n = self._n + finite.astype(np.int32)
                np.add(self._sum, plane, out=self._sum, where=finite)
                return
        # exact: whole numbers of 32 bits may be added up two million times
        self._sum += plane.astype(np.float64, copy=False)
        self._n += 1

    def result(self) -> _Plane | None:
        if self._sum is None:
            return None
        with np.errstate(all="ignore"):
            self._sum /= self._n
        return self._sum


def _without_infinities(plane: _Plane) -> _Plane:
    if plane.dtype.kind != "f":
        return plane
    infinite = np.isinf(plane)
    return (
        np.where(infinite, plane.dtype.type(np.nan), plane) if infinite.any() else plane
    )


def _check_same(known: _Plane, plane: _Plane) -> None:
    if known.shape != plane.shape:
        raise DamagedImageError("The file is damaged (its planes have different sizes)")
