"""Pictures of telephones: HEIC, and AVIF where Pillow does not read all of it."""

from __future__ import annotations

from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.formats._base import (
    Family,
    ImageFile,
    Series,
    register,
)
from orangecontrib.imagemining.images.formats._pictures import (
    PictureFile,
    on_white,
    turned,
)
from orangecontrib.imagemining.images.formats._pillow import (
    OrdinaryFile,
    identify,
    orientation_of,
)
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.stream import DECODER_ERRORS, Stream, damaged

__all__ = ["AVIF", "HEIC"]

_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_EITHER = {b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_SETTINGS = 65536  # bytes at the beginning among which an AVIF tells its depth


def _brands(prefix: bytes) -> set[bytes]:
    """Return what a file says that it is, and may be taken for."""
    if prefix[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    return {prefix[8:12], *(prefix[i : i + 4] for i in range(16, end - 3, 4))}


def _is_avif(prefix: bytes, path: str | None) -> bool:
    return bool(_brands(prefix) & _AVIF)


def _is_heic(prefix: bytes, path: str | None) -> bool:
    brands = _brands(prefix)
    return bool(brands & (_HEIC | _EITHER)) and not brands & _AVIF


def _open_heic(stream: BinaryIO, path: str | None, limits: Limits) -> ImageFile:
    try:
        import pillow_heif
    except ImportError as ex:
        raise ImageError(
            "HEIC files need a part that is not installed; install it with"
            " pip install pillow-heif"
        ) from ex
    stream.seek(0)
    try:
        file = pillow_heif.open_heif(stream.read(), convert_hdr_to_8bit=False)
    except DECODER_ERRORS as ex:
        raise damaged(ex) from ex
    # the one that the telephone shows comes first
    first = file.primary_index
    images: list[Any] = [
        file[first],
        *(image for i, image in enumerate(file) if i != first),
    ]
    return PictureFile(
        "HEIF",
        [_heic_series(image) for image in images],
        [partial(_heic_pixels, image) for image in images],
        limits,
        bytes(images[0].info.get("exif") or b""),
        bytes(images[0].info.get("icc_profile") or b""),
    )


def _heic_series(image: Any) -> Series:
    # libheif has turned it upright; what EXIF says of that no longer holds
    width, height = image.size
    return Series(
        width,
        height,
        "uint16" if _is_deep(image) else "uint8",
        samples=1 if image.mode.split(";")[0] in ("L", "I", "LA") else 3,
        levels=((width, height),),
    )


def _is_deep(image: Any) -> bool:
    return ";" in image.mode


def _heic_pixels(image: Any) -> NDArray[np.generic]:
    # a copy: the package lets go of its own with the file
    pixels: NDArray[np.generic] = np.array(image)
    if pixels.shape[:2] != image.size[::-1]:
        raise DamagedImageError("The file is damaged (its size is not as told)")
    # the package spreads 10 and 12 bits over 16
    return on_white(pixels, 65535 if _is_deep(image) else 255)


def _open_avif(stream: BinaryIO, path: str | None, limits: Limits) -> ImageFile:
    stream.seek(0)
    start = stream.read(_SETTINGS)
    stream.seek(0)
    bits = _avif_bits(start)
    own = stream if isinstance(stream, Stream) else Stream(stream)
    pillow_reads = _pillow_reads_avif()
    # of moving pictures imagecodecs would decode all frames
    if pillow_reads and (bits == 8 or b"avis" in _brands(start)):
        return OrdinaryFile(own, limits)
    orientation = 1
    if pillow_reads:
        image = identify(own, limits)
        size, mode, orientation = image.size, image.mode, orientation_of(image)
    else:
        size, mode = _avif_size(start), "RGB"
    width, height = size[::-1] if orientation in (5, 6, 7, 8) else size
    series = Series(
        width,
        height,
        "uint8" if bits == 8 else "uint16",
        samples=1 if mode in ("L", "LA") else 3,
        bits=bits,
        levels=((width, height),),
    )

    def decode() -> NDArray[np.generic]:
        import imagecodecs

        stream.seek(0)
        # not with an index: that crashes on some files
        pixels = np.asarray(imagecodecs.avif_decode(stream.read()))
        if pixels.ndim == 4:
            pixels = pixels[0]
        if pixels.shape[:2] != size[::-1]:
            raise DamagedImageError("The file is damaged (its size is not as told)")
        pixels = on_white(pixels, 2**bits - 1)
        if pixels.ndim == 3 and series.samples == 1:
            pixels = pixels[..., 0]
        return turned(pixels, orientation)

    return PictureFile("AVIF", [series], [decode], limits)


def _pillow_reads_avif() -> bool:
    try:  # from Pillow 11.3 on, and not in all builds of it
        from PIL.AvifImagePlugin import SUPPORTED
    except ImportError:
        return False
    return bool(SUPPORTED)


def _avif_bits(start: bytes) -> int:
    """Return the bits of each number, as the decoder's settings tell them."""
    bits, place = 8, start.find(b"av1C")
    while place >= 0:
        flags = start[place + 6 : place + 7] or b"\0"
        if flags[0] & 0x40:
            bits = max(bits, 12 if flags[0] & 0x20 else 10)
        place = start.find(b"av1C", place + 4)
    return bits


def _avif_size(start: bytes) -> tuple[int, int]:
    """Return (width, height) of the largest picture that the file tells of."""
    sizes, place = [], start.find(b"ispe")
    while place >= 0:
        numbers = start[place + 8 : place + 16]
        if len(numbers) == 8:
            width, height = (int.from_bytes(numbers[i : i + 4], "big") for i in (0, 4))
            sizes.append((width, height))
        place = start.find(b"ispe", place + 4)
    if not sizes:
        raise DamagedImageError("The file is damaged (it tells no size)")
    return max(sizes, key=lambda size: size[0] * size[1])


HEIC = register(Family("HEIC", (".heic", ".heif", ".hif"), _is_heic, _open_heic))
AVIF = register(Family("AVIF", (".avif", ".avifs"), _is_avif, _open_avif))
