"""PNG of 16 bits, of whose colours Pillow keeps only the upper half."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError
from orangecontrib.imagemining.images.exif import tags_of
from orangecontrib.imagemining.images.formats._base import Family, Series, register
from orangecontrib.imagemining.images.formats._pictures import (
    PictureFile,
    on_white,
    turned,
)
from orangecontrib.imagemining.images.formats._pillow import identify
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.stream import Stream

__all__ = ["FAMILY"]

_GREY, _GREY_AND_ALPHA = 0, 4  # kinds of colour, as the header numbers them


def _recognises(prefix: bytes, path: str | None) -> bool:
    return prefix[:8] == b"\x89PNG\r\n\x1a\n" and prefix[24:25] == b"\x10"


def _open(stream: BinaryIO, path: str | None, limits: Limits) -> PictureFile:
    stream.seek(0)
    header = stream.read(26)
    stream.seek(0)
    own = stream if isinstance(stream, Stream) else Stream(stream)
    image = identify(own, limits)
    orientation = tags_of(image, stream).get(0x0112, 1)
    width, height = image.size
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    kind = header[25]
    # a grey declared transparent is a colour like any other here: only white is paper
    samples = 1 if kind in (_GREY, _GREY_AND_ALPHA) else 3

    def decode() -> NDArray[np.generic]:
        import imagecodecs

        stream.seek(0)
        pixels = np.asarray(imagecodecs.png_decode(stream.read()))
        if pixels.shape[:2] != image.size[::-1]:
            raise DamagedImageError("The file is damaged (its size is not as told)")
        return turned(on_white(pixels, 65535), orientation)

    series = Series(width, height, "uint16", samples=samples, levels=((width, height),))
    return PictureFile("PNG", [series], [decode], limits)


FAMILY = register(Family("PNG", (".png",), _recognises, _open))
