"""Pictures and stacks of a TIFF file, and where each of their planes is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.formats._tiff_colours import PageKind, kind_of
from orangecontrib.imagemining.images.formats._tiff_file import (
    BROKEN_OFF,
    Found,
    TiffPages,
    translated,
)
from orangecontrib.imagemining.images.formats._tiff_told import Told

__all__ = [
    "NOT_THERE",
    "Stack",
    "by_number",
    "contiguous",
    "in_axes",
    "is_alike",
    "seen_size",
    "series_of",
]

NOT_THERE = "The file's description tells of this plane, but it is not in the file"


@dataclass
class Stack:
    """A series, and where its planes are.

    Attributes
    ----------
    kind : of its pages.
    places : (times, depths, pages of each) number of the page, as `locate` knows it;
        −1 where there is none. A page has `kind.n_channels` channels.
    locate : tells where a page is: ``locate(place, level)``. Raises ImageError.
    is_index : as for `kind_of`.
    """

    series: Series
    kind: PageKind
    places: NDArray[np.int64]
    locate: Callable[[int, int], Found]
    is_index: bool = True

    def found(self, t: int, z: int, c: int, level: int = 0) -> Found:
        """Return where a plane is.

        Raises
        ------
        DamagedImageError
            If the file has no such plane.
        """
        limits = (*self.places.shape[:2], len(self.series.channels))
        for number, limit in zip((t, z, c), limits, strict=True):
            if not 0 <= number < limit:
                raise DamagedImageError("The file has no such plane")
        place = int(self.places[t, z, c // self.kind.n_channels])
        if place < 0:
            raise DamagedImageError(NOT_THERE)
        return self.locate(place, level)


def contiguous(
    pages: TiffPages,
    numbers: NDArray[np.int64],
    told: Told,
    kind: PageKind,
    is_index: bool = True,
) -> Stack:
    """Return a stack whose planes follow the first's pixels, with no description."""
    first = pages.found(pages.first.offset)
    if int(first.page.compression) != 1 or first.page.dtype is None:
        raise DamagedImageError("The file is damaged (a stack without its pages)")
    size = sum(first.counts)

    def locate(place: int, level: int) -> Found:
        offsets = [offset + place * size for offset in first.offsets]
        return Found(first.page, offsets, first.counts)

    return Stack(series_of(kind, numbers, told, ()), kind, numbers, locate, is_index)


def in_axes(axes: str, shape: Sequence[int], n_planes: int) -> NDArray[np.int64]:
    """Return numbers of planes, (positions, times, depths, channels).

    Parameters
    ----------
    axes, shape : as tifffile has them; the first so many are not within a plane.
    """
    names: list[str] = []
    sizes: list[int] = []
    for axis, size in zip(axes, shape, strict=True):
        if int(np.prod(sizes)) == n_planes:
            break
        axis = {"T": "T", "C": "C", "P": "P", "M": "P"}.get(axis, "Z")
        if names and names[-1] == axis:
            sizes[-1] *= size
        else:
            names.append(axis)
            sizes.append(size)
    if len(set(names)) < len(names) or int(np.prod(sizes)) != n_planes:
        names, sizes = ["Z"], [n_planes]
    for axis in "PTZC":
        if axis not in names:
            names.append(axis)
            sizes.append(1)
    numbers = np.arange(n_planes, dtype=np.int64).reshape(sizes)
    return numbers.transpose([names.index(axis) for axis in "PTZC"])


def by_number(
    pages: TiffPages,
    numbers: NDArray[np.int64],
    told: Told,
    offsets: Sequence[int] | None = None,
    is_index: bool = True,
    lower: Sequence[int] = (),
) -> Stack | None:
    """Return a stack of pages of the chain; None if none of them can be a picture.

    Parameters
    ----------
    offsets : of the pages that the numbers mean; by default those of the chain.
    lower : offsets of the pages that are smaller copies of the only one.
    """
    chosen = pages.offsets if offsets is None else offsets
    complete = pages.complete
    kind = None
    problem: ImageError | None = None
    for place in numbers[(numbers >= 0) & (numbers < len(chosen))].tolist():
        try:
            with translated():
                kind = kind_of(pages.page(chosen[place]), is_index)
                first = pages.page(chosen[place])
            break
        except ImageError as ex:
            problem = problem or ex
    if kind is None:
        if problem is not None and numbers.size == 1:
            raise problem
        return None
    smaller = [*lower] or _smaller(pages, first, kind)

    def locate(place: int, level: int) -> Found:
        if place >= len(chosen):
            raise DamagedImageError(NOT_THERE if complete else BROKEN_OFF)
        page = pages.found(chosen[place])
        if not level:
            return page
        if lower:
            return pages.found(lower[level - 1])
        below = page.page.subifds or ()
        if level > len(below):
            raise DamagedImageError("The file is damaged (a smaller copy is missing)")
        return pages.found(below[level - 1])

    sizes = [(kind.width, kind.height)]
    for offset in smaller:
        page = pages.page(offset)
        sizes.append((int(page.imagewidth), int(page.imagelength)))
    levels = tuple(seen_size(*size, kind) for size in sizes)
    series = series_of(kind, numbers, told, levels)
    return Stack(series, kind, numbers, locate, is_index)


def _smaller(pages: TiffPages, page: Any, kind: PageKind) -> list[int]:
    """Return offsets of a page's smaller copies; of those that are some."""
    below: list[int] = []
    for offset in page.subifds or ():
        try:
            with translated():
                copy = kind_of(pages.page(int(offset)))
        except ImageError:
            break
        if not _is_copy(copy, kind) or copy.width >= kind.width:
            break
        below.append(int(offset))
    return below


def _is_copy(copy: PageKind, kind: PageKind) -> bool:
    return (
        copy.dtype == kind.dtype
        and copy.samples == kind.samples
        and copy.n_channels == kind.n_channels
        and is_alike((copy.width, copy.height), (kind.width, kind.height))
    )


def is_alike(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Return whether two sizes may be of one picture, whatever was rounded."""
    (w, h), (width, height) = small, large
    if w > width or h > height:
        return False
    return abs(w * height - h * width) <= 2 * max(width, height)


def series_of(
    kind: PageKind,
    numbers: NDArray[np.int64],
    told: Told,
    levels: tuple[tuple[int, int], ...],
) -> Series:
    times, depths, per_time = numbers.shape
    width, height = kind.upright_size
    n_channels = per_time * kind.n_channels
    channels = list(told.channels[:n_channels])
    channels += [Channel()] * (n_channels - len(channels))
    size = told.pixel_size
    if size is not None and kind.turn >= 5:
        size = size[1], size[0]
    bits = kind.bits
    if kind.dtype.kind in "iu" and 0 < told.bits < bits:
        bits = told.bits
    return Series(
        width=width,
        height=height,
        dtype=kind.dtype.name,
        n_times=times,
        n_depths=depths,
        channels=tuple(channels),
        samples=kind.samples,
        bits=bits,
        pixel_size=size,
        name=told.name,
        levels=levels or ((width, height),),
    )


def seen_size(width: int, height: int, kind: PageKind) -> tuple[int, int]:
    return (height, width) if kind.turn >= 5 else (width, height)
