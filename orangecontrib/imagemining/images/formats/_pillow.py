"""Pictures that Pillow reads: JPEG, PNG, GIF, WebP, BMP and others."""

from __future__ import annotations

from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.contrast import scale_to_8_bits
from orangecontrib.imagemining.images.formats._base import Series
from orangecontrib.imagemining.images.formats._pixels import cut
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.sources import Part, Rendering
from orangecontrib.imagemining.images.stream import DECODER_ERRORS, Stream, damaged

__all__ = [
    "FORMATS",
    "OrdinaryFile",
    "as_seen",
    "identify",
    "in_rgb",
    "is_plain",
    "orientation_of",
    "turned_upright",
    "upright",
    "upright_size",
]

#: Tried in this order. Not among them: formats for which Pillow starts another
#: program (EPS) and stubs that need one. TGA has no signature, so it comes last.
FORMATS = "JPEG PNG TIFF GIF BMP WEBP AVIF JPEG2000 DIB PPM PCX QOI ICO TGA".split()

# what a picture stored under each orientation has to go through
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class OrdinaryFile:
    """A picture that Pillow reads; the frames of an animation are its time points."""

    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._image = identify(stream, limits)
        self.format = self._image.format or ""
        self.icc_profile: bytes = self._image.info.get("icc_profile") or b""
        width, height = upright_size(self._image)
        n_frames = _n_frames(self._image)
        dtype = _dtype(self._image)
        grey = self._image.mode in ("L", "1") and (
            "transparency" not in self._image.info and n_frames == 1
        )
        self.series: tuple[Series, ...] = (
            Series(
                width,
                height,
                dtype,
                n_times=n_frames,
                samples=1 if grey or dtype != "uint8" else 3,
                levels=((width, height),),
            ),
        )

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        image = self._image
        try:
            if self.series[0].n_times > 1:
                image.seek(t)
            elif near is not None and image.format == "JPEG":
                image.draft(None, (near, near))
            self._stream.forbid_half_pictures(image)
            image.load()
        except DECODER_ERRORS as ex:
            raise damaged(ex) from ex
        image = upright(image)
        if _is_deep(image):
            return np.asarray(image).astype(self.series[0].dtype)
        return np.asarray(as_seen(image))

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        return cut(self.plane(series, 0, 0, 0), xywh, self._limits)

    def close(self) -> None:
        self._image.close()


def identify(stream: Stream, limits: Limits) -> Image.Image:
    """Open by content, whatever the name says; read the header only.

    Raises
    ------
    ImageError
        If it is no picture, a damaged one, or has more pixels than allowed.
    """
    # Not Image.open: its limit on pixels is one for the whole program, warns where it
    # ought to refuse, and is not ours to change.
    Image.init()
    prefix = stream.read(16)
    if not prefix:
        raise NotAnImageError("The file is empty (0 bytes)")
    failure: Exception | None = None
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        recognised = False
        try:
            recognised = accept is not None and accept(prefix) is True
            if accept is not None and not recognised:
                continue
            stream.seek(0)
            image = factory(cast("IO[bytes]", stream), "")
        except Image.DecompressionBombError as ex:
            raise ImageTooLargeError("The image has too many pixels") from ex
        except DECODER_ERRORS as ex:
            if recognised:
                failure = ex
            continue
        _check_pixels(image, limits)
        return image
    if failure is not None:
        raise damaged(failure) from failure
    stream.seek(0)
    raise NotAnImageError(_what_it_is(stream.read(1024)))


def is_plain(image: Image.Image, part: Part, rendering: Rendering) -> bool:
    """Tell whether a picture looks the same however it is rendered.

    Of the many pictures of 8 bits that stand beside stacks in a folder, none then takes
    the long way.
    """
    if part == Part() and rendering == Rendering():
        return True
    return (
        part.xywh is None
        and not any((part.series, part.t, part.z, part.c))
        and rendering.channels in ("auto", "rgb")
        and rendering.contrast in ("auto", "stored", "full")
        and not _is_deep(image)
        and (rendering.stack == "first" or _n_frames(image) == 1)
    )


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _dtype(image: Image.Image) -> str:
    """Return the type of a picture's numbers, as numpy names it."""
    # Pillow spreads grey PPM of any depth over 16 bits
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return "uint16"
    return {"I": "int32", "F": "float32"}.get(image.mode, "uint8")


def _n_frames(image: Image.Image) -> int:
    # beside a camera's photograph (JPEG) there are its preview, its depths, the other
    # eye's view: of no time, and not to be mixed with it
    if image.format == "MPO":
        return 1
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except DECODER_ERRORS:
        return 1  # a later frame is damaged


def _check_pixels(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise DamagedImageError("The image has no pixels")
    limits.check_pixels(width, height)


def _what_it_is(start: bytes) -> str:
    """Say what a file that is no image holds instead."""
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "An SVG drawing; only images made of pixels can be read"
    if head.startswith((b"<!doctype html", b"<html")):
        return "A web page, not an image (was the download refused?)"
    if head.startswith(b"%pdf"):
        return "A PDF document, not an image"
    if head.startswith(b"pk\x03\x04"):
        return "An archive or office document, not an image"
    try:
        text = start.decode()
    except UnicodeDecodeError as ex:
        # the 1024 bytes may end within a letter
        text = start[: ex.start].decode() if ex.start > len(start) - 4 else "\0"
    if text.isprintable() or not any(c < " " and c not in "\t\r\n\f" for c in text):
        return "A text file, not an image"
    return "Not an image in a format that can be read"


def orientation_of(image: Image.Image) -> int:
    """Return how the picture is stored, as EXIF numbers it; 1 is upright."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except DECODER_ERRORS:
        return 1  # damaged metadata is no reason to refuse the picture


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of the upright picture, without decoding it."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        # asking for the orientation would decode the image, to look behind its pixels
        return width, height
    turned = orientation_of(image) in (5, 6, 7, 8)
    if isinstance(image, TiffImageFile):
        # Pillow turns these itself, and gives their size as turned already
        turned &= image.size == (image.tag_v2.get(256), image.tag_v2.get(257))
    return (height, width) if turned else (width, height)


def upright(image: Image.Image) -> Image.Image:
    """Turn a decoded picture as its own EXIF says."""
    if orientation_of(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:
        return image


def turned_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture that is stored under an EXIF orientation."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def as_seen(image: Image.Image) -> Image.Image:
    """Return a decoded picture in mode L or RGB, on white paper."""
    if image.mode in ("L", "RGB"):
        # a colour declared transparent (tRNS) makes RGB see-through
        if "transparency" not in image.info:
            return image
    elif image.mode == "1":
        return image.convert("L")
    elif _is_deep(image):
        return Image.fromarray(scale_to_8_bits(np.asarray(image)))
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            paper = Image.new("RGBA", layer.size, "white")
            return Image.alpha_composite(paper, layer).convert("RGB")
    except DECODER_ERRORS as ex:
        raise DamagedImageError(f"Its colours cannot be read ({ex})") from ex
    return in_rgb(image)


def in_rgb(image: Image.Image) -> Image.Image:
    """Convert as Pillow does, and nothing else."""
    try:
        return image.convert("RGB")
    except DECODER_ERRORS as ex:
        raise DamagedImageError(f"Its colours cannot be read ({ex})") from ex
