"""TIFF: of scanners, cameras, Fiji and microscopes, with all their stacks."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.formats._base import Family, Series, register
from orangecontrib.imagemining.images.formats._tiff_axes import stacks_of
from orangecontrib.imagemining.images.formats._tiff_colours import (
    PageKind,
    kind_of,
    upright,
    white,
)
from orangecontrib.imagemining.images.formats._tiff_file import (
    Found,
    TiffPages,
    translated,
)
from orangecontrib.imagemining.images.formats._tiff_pixels import read_box
from orangecontrib.imagemining.images.formats._tiff_stacks import Stack
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["FAMILY", "TiffImageFile"]

_PROFILE = 34675
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffImageFile:
    """An opened TIFF file; see `ImageFile`.

    Parameters
    ----------
    stream : of the whole file; stays open, and is the caller's to close.
    path : of the file; None for what was fetched.

    Raises
    ------
    ImageError
        If it is damaged, or none of its pages can be a picture.
    """

    format = "TIFF"

    def __init__(self, stream: BinaryIO, path: str | None, limits: Limits) -> None:
        import tifffile  # noqa: F401  # missing, it is no fault of the file

        self._limits = limits
        with translated():
            self._pages = TiffPages(stream, path, limits)
            self._stacks = stacks_of(self._pages)
        if not self._stacks:
            raise DamagedImageError("The TIFF file has no pictures in it")
        self.series: tuple[Series, ...] = tuple(stack.series for stack in self._stacks)

    @property
    def icc_profile(self) -> bytes:
        """What the colours of the first page mean; empty if it does not tell."""
        with translated():
            tag = self._pages.first.tags.get(_PROFILE)
            return (
                tag.value if tag is not None and isinstance(tag.value, bytes) else b""
            )

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return one plane, and read no other; see `ImageFile.plane`."""
        with translated():
            stack = self._stack(series)
            level = _level_for(stack.series.levels, near)
            found, kind = self._found(stack, t, z, c, level)
            self._check_pixels(kind.width, kind.height)
            box = (0, kind.height, 0, kind.width)
            picture = read_box(self._pages, found, kind, c % kind.n_channels, box)
            return upright(picture, kind.turn)

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of the first plane; see `ImageFile.region`."""
        with translated():
            stack = self._stack(series)
            x, y, width, height = xywh
            if width < 1 or height < 1:
                raise DamagedImageError("A tile without pixels was asked for")
            whole = (stack.series.width, stack.series.height)
            parts = [
                (width * w / whole[0], height * h / whole[1])
                for w, h in stack.series.levels
            ]
            level = _level_for(parts, near)
            found, kind = self._found(stack, 0, 0, 0, level)
            # of the level's own pixels, as people see them
            across, down = (
                size / full for size, full in zip(kind.upright_size, whole, strict=True)
            )
            wide, high = max(1, round(width * across)), max(1, round(height * down))
            self._check_pixels(wide, high)
            left, top = round(x * across), round(y * down)
            shape = (high, wide, 3) if kind.samples == 3 else (high, wide)
            result = np.full(shape, white(kind.dtype, kind.bits), kind.dtype)
            x0, x1 = max(left, 0), min(left + wide, kind.upright_size[0])
            y0, y1 = max(top, 0), min(top + high, kind.upright_size[1])
            if x0 < x1 and y0 < y1:
                box = _as_stored((y0, y1, x0, x1), kind)
                part = upright(read_box(self._pages, found, kind, 0, box), kind.turn)
                result[y0 - top : y1 - top, x0 - left : x1 - left] = part
            return result

    def close(self) -> None:
        """Let go of the file."""
        self._stacks = []

    def _stack(self, series: int) -> Stack:
        if not 0 <= series < len(self._stacks):
            raise DamagedImageError("The file has no such series")
        return self._stacks[series]

    def _found(
        self, stack: Stack, t: int, z: int, c: int, level: int
    ) -> tuple[Found, PageKind]:
        found = stack.found(t, z, c, level)
        kind = kind_of(found.page, stack.is_index)
        alike = kind.dtype == stack.kind.dtype and (
            (kind.samples, kind.n_channels)
            == (stack.kind.samples, stack.kind.n_channels)
        )
        if not alike or kind.upright_size != stack.series.levels[level]:
            raise DamagedImageError(
                "This plane has another size or kind of numbers than its stack"
            )
        return found, kind

    def _check_pixels(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise DamagedImageError("The image has no pixels")
        if width * height > self._limits.max_pixels:
            raise ImageTooLargeError(
                f"{width} × {height} pixels are more than the limit of"
                f" {self._limits.max_pixels / 1e6:.4g} million"
                " (IMAGEMINING_MAX_PIXELS)"
            )


def _level_for(
    sizes: list[tuple[float, float]] | tuple[tuple[int, int], ...], near: int | None
) -> int:
    """Return which of a pyramid's levels is the smallest that will do."""
    if near is None:
        return 0
    fit = [number for number, size in enumerate(sizes) if min(size) >= near]
    return min(fit, key=lambda number: sizes[number][0], default=0)


def _as_stored(
    box: tuple[int, int, int, int], kind: PageKind
) -> tuple[int, int, int, int]:
    """Return where a rectangle of the upright picture is in the stored one."""
    top, bottom, left, right = box
    width, height = kind.upright_size
    if kind.turn in (2, 3, 6, 7):
        left, right = width - right, width - left
    if kind.turn in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    if kind.turn >= 5:
        return left, right, top, bottom
    return top, bottom, left, right


def _recognises(start: bytes, path: str | None) -> bool:
    return start.startswith(_STARTS)


FAMILY = register(
    Family(
        name="TIFF",
        endings=(".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm"),
        recognises=_recognises,
        open=TiffImageFile,
    )
)
