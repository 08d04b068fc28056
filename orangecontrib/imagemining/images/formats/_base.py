"""What every reader of a format family gives: the contract, and the registry.

A family's file registers itself (`register`) and imports the package that it needs only
when a file of its own is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.images.limits import Limits

__all__ = ["Channel", "Family", "ImageFile", "Series", "families", "register"]


@dataclass(frozen=True)
class Channel:
    """One of the colours that a microscope took an image in.

    Attributes
    ----------
    name : as the file has it ("DAPI"), "" if it has none.
    colour : red, green and blue, 0–255, that the file wants it shown in; or None.
    """

    name: str = ""
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Series:
    """A picture, or a stack of pictures of one size, as the file's metadata tell it.

    Attributes
    ----------
    width, height : of a plane, in pixels; upright.
    dtype : of its numbers, as numpy names it ("uint16").
    n_times, n_depths : number of time points and of focus planes.
    channels : one at least. Photographs, whose pixels have three colours, have one.
    samples : numbers a pixel has within a plane: 1, or 3 for photographs.
    bits : that are used of each number (12 of 16 of many cameras); 0 for numbers with
        a fraction, and where that is not told the bits of the type.
    pixel_size : width and height of a pixel in µm; None if not told.
    name : "" if it has none.
    levels : (width, height) of the plane as stored, largest first; pyramids have
        several.
    """

    width: int
    height: int
    dtype: str
    n_times: int = 1
    n_depths: int = 1
    channels: tuple[Channel, ...] = (Channel(),)
    samples: int = 1
    bits: int = 0
    pixel_size: tuple[float, float] | None = None
    name: str = ""
    levels: tuple[tuple[int, int], ...] = ()

    @property
    def n_planes(self) -> int:
        """Number of planes: times × depths × channels."""
        return self.n_times * self.n_depths * len(self.channels)


class ImageFile(Protocol):
    """An opened file. Its metadata are read; its pixels are not.

    Those of pictures may also have ``icc_profile`` and ``exif``: bytes that tell what
    the colours mean, and what a camera noted (without the words "Exif").
    """

    #: The format's name, for people: "TIFF", "DICOM".
    format: str
    #: One at least.
    series: tuple[Series, ...]

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return one plane, and read no other.

        Colours are in RGB order and upright; palettes, inverted greys (0 is white),
        CMYK and YCbCr are resolved, and so are slope and intercept of DICOM.

        Parameters
        ----------
        near
            A smaller picture will do whose sides have at least so many pixels each.

        Returns
        -------
        (height, width) or (height, width, 3), in the numbers' own type.

        Raises
        ------
        ImageError
            If this plane cannot be read; others may.
        """

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of the series' first plane; what lies outside is white.

        Parameters
        ----------
        xywh
            Left, top, width, height in pixels of the whole.
        near
            As for `plane`.
        """

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True)
class Family:
    """A family of formats.

    Attributes
    ----------
    name : for people: "DICOM".
    endings : of names, lower case with their dots; for listing folders only: opening
        goes by content.
    recognises : tells by a file's first 1024 bytes and its path (None for what was
        fetched) whether it is one.
    open : opens it: ``open(stream, path, limits)``. Raises ImageError; where a package
        is missing, with the command that installs it.
    extra : name of this project's extra that has the packages; "" if none is needed.
    asked_last : whether it would take files of others.
    """

    name: str
    endings: tuple[str, ...]
    recognises: Callable[[bytes, str | None], bool] = field(repr=False)
    open: Callable[[BinaryIO, str | None, Limits], ImageFile] = field(repr=False)
    extra: str = ""
    asked_last: bool = False


_FAMILIES: list[Family] = []


def register(family: Family) -> Family:
    """Add a family; those registered first are asked first.

    One that says ``asked_last`` is asked after all others, also after those that are
    registered later.

    Raises
    ------
    ValueError
        If there is one of that name already.
    """
    if any(known.name == family.name for known in _FAMILIES):
        raise ValueError(f"there is a format family {family.name} already")
    _FAMILIES.append(family)
    _FAMILIES.sort(key=lambda known: known.asked_last)  # leaves their order otherwise
    return family


def families() -> tuple[Family, ...]:
    """Return all families."""
    return tuple(_FAMILIES)
