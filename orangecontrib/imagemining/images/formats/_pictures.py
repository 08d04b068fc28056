"""Single pictures that are decoded at once: what their families share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.formats._pixels import cut
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["PictureFile", "on_white", "turned"]

_Decode = Callable[[], NDArray[np.generic]]


class PictureFile:
    """A file of pictures of one plane each, decoded whole.

    Parameters
    ----------
    kind
        The format's name.
    series
        One for each picture.
    decode
        For each picture a function that decodes it: (height, width) or (height, width,
        3), upright; or (height, width, channels) of what has several.
    limits
        On the pixels of each.
    exif, icc_profile
        What a camera noted, and what the colours mean; empty if they do not tell.
    """

    def __init__(
        self,
        kind: str,
        series: Sequence[Series],
        decode: Sequence[_Decode],
        limits: Limits,
        exif: bytes = b"",
        icc_profile: bytes = b"",
    ) -> None:
        self.format = kind
        self.series = tuple(series)
        self.exif = exif
        self.icc_profile = icc_profile
        self._decode = tuple(decode)
        self._limits = limits

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a picture; see `ImageFile.plane`."""
        about = self.series[series]
        self._limits.check_pixels(about.width, about.height)
        pixels = self._decode[series]()
        return pixels[..., c] if len(about.channels) > 1 else pixels

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of a picture; see `ImageFile.region`."""
        return cut(self.plane(series, 0, 0, 0), xywh, self._limits)

    def close(self) -> None:
        """Forget what the pictures would be decoded from."""
        self._decode = ()


def turned(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Return a picture upright that is stored under an EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def on_white(pixels: NDArray[np.generic], most: int) -> NDArray[np.generic]:
    """Lay what is transparent on white paper.

    Parameters
    ----------
    pixels : (height, width, 2 or 4), whole numbers; the last is the opacity. Others
        are returned as they are.
    most : the number that is white, and opaque.

    Returns
    -------
    (height, width) or (height, width, 3), of the same type.
    """
    if pixels.ndim != 3 or pixels.shape[2] not in (2, 4):
        return pixels
    colours, opacity = pixels[..., :-1], pixels[..., -1:]
    result = colours.copy()
    if opacity.min() < most:
        for row, (colour, part) in enumerate(zip(colours, opacity, strict=True)):
            share = part / np.float64(most)
            result[row] = np.rint(colour * share + most * (1 - share))
    return result[..., 0] if pixels.shape[2] == 2 else result
