"""JPEG 2000 of any depth; what has 8 bits is read as other pictures are."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError
from orangecontrib.imagemining.images.formats._base import (
    Channel,
    Family,
    ImageFile,
    Series,
    register,
)
from orangecontrib.imagemining.images.formats._pictures import PictureFile, on_white
from orangecontrib.imagemining.images.formats._pillow import OrdinaryFile
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.stream import Stream

__all__ = ["FAMILY"]

_BOXES = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_BARE = b"\xff\x4f\xff\x51"
_SAMPLES = 16384  # most components that the format allows


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    n_components: int
    bits: int
    signed: bool
    alpha: bool


def _recognises(prefix: bytes, path: str | None) -> bool:
    return prefix.startswith((_BOXES, _BARE))


def _open(stream: BinaryIO, path: str | None, limits: Limits) -> ImageFile:
    header = _header(stream)
    stream.seek(0)
    own = stream if isinstance(stream, Stream) else Stream(stream)
    if header.bits <= 8 and not header.signed and header.n_components <= 4:
        return OrdinaryFile(own, limits)
    n = header.n_components - header.alpha
    samples = 3 if n == 3 else 1
    kind = 8 if header.bits <= 8 else 16 if header.bits <= 16 else 32
    series = Series(
        header.width,
        header.height,
        f"{'int' if header.signed else 'uint'}{kind}",
        channels=(Channel(),) * (1 if samples == 3 else n),
        samples=samples,
        bits=header.bits,
        levels=((header.width, header.height),),
    )

    def decode() -> NDArray[np.generic]:
        import imagecodecs

        stream.seek(0)
        pixels = np.asarray(imagecodecs.jpeg2k_decode(stream.read()))
        if pixels.shape[:2] != (header.height, header.width):
            raise DamagedImageError("The file is damaged (its size is not as told)")
        if header.alpha:
            pixels = on_white(pixels, 2**header.bits - 1)
        return pixels.astype(series.dtype, copy=False)

    return PictureFile("JPEG2000", [series], [decode], limits)


def _header(stream: BinaryIO) -> _Header:
    """Read what the file says of itself before its pixels."""
    stream.seek(0)
    start, alpha = 0, False
    if stream.read(12) == _BOXES:
        start, alpha = _codestream(stream)
    stream.seek(start)
    marks = stream.read(42)
    if len(marks) < 42 or not marks.startswith(_BARE):
        raise DamagedImageError("The file is damaged (it has no image in it)")
    right, bottom, left, top = struct.unpack(">4I", marks[8:24])
    (n,) = struct.unpack(">H", marks[40:42])
    depths = stream.read(3 * n)[::3]
    if right <= left or bottom <= top or not 0 < len(depths) == n <= _SAMPLES:
        raise DamagedImageError("The image has no pixels")
    bits = max((depth & 0x7F) + 1 for depth in depths)
    signed = any(depth & 0x80 for depth in depths)
    alpha &= n in (2, 4) and not signed
    return _Header(right - left, bottom - top, n, bits, signed, alpha)


def _codestream(stream: BinaryIO) -> tuple[int, bool]:
    """Return where the pixels begin, and whether a component says what is opaque."""
    place, alpha = 12, False
    end = stream.seek(0, os.SEEK_END)
    while place + 8 <= end:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", stream.read(8))
            head = 16
        if kind == b"jp2c":
            return place + head, alpha
        if kind == b"jp2h":
            inside = stream.read(min(max(length - head, 0), 2**20))
            alpha = _has_alpha(inside)
        if length < head:
            break
        place += length
    raise DamagedImageError("The file breaks off before its end; copy it again")


def _has_alpha(boxes: bytes) -> bool:
    place = boxes.find(b"cdef")
    if place < 0 or len(boxes) < place + 6:
        return False
    (n,) = struct.unpack_from(">H", boxes, place + 4)
    kinds = [
        struct.unpack_from(">H", boxes, place + 8 + 6 * i)[0]
        for i in range(n)
        if place + 10 + 6 * i <= len(boxes)
    ]
    return any(kind in (1, 2) for kind in kinds)


FAMILY = register(
    Family("JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"), _recognises, _open)
)
