"""Pictures that Pillow reads: the family that is asked last."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from orangecontrib.imagemining.images.formats._base import Family, register
from orangecontrib.imagemining.images.formats._pillow import FORMATS, OrdinaryFile
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.stream import DECODER_ERRORS, Stream

__all__ = ["FAMILY"]


def _open(stream: BinaryIO, path: str | None, limits: Limits) -> OrdinaryFile:
    own = stream if isinstance(stream, Stream) else Stream(stream)
    return OrdinaryFile(own, limits)


def _recognises(prefix: bytes, path: str | None) -> bool:
    Image.init()
    for name in FORMATS:
        _, accept = Image.OPEN.get(name, (None, None))
        try:
            if accept is not None and accept(prefix[:16]) is True:
                return True
        except DECODER_ERRORS:
            continue
    return False


#: Some of these formats are known by a byte or two, with which others begin as well.
FAMILY = register(
    Family(
        "Pictures",
        tuple(
            ".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .ppm .pgm .pbm .pnm"
            " .pfm .pcx .qoi .ico .tga".split()
        ),
        _recognises,
        _open,
        asked_last=True,
    )
)
