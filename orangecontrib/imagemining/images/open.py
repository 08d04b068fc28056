"""Open an image as people see it: upright, in grey or RGB, 8 bits."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageAccessError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.locate import local_path

if TYPE_CHECKING:
    import httpx

__all__ = ["ImageReader", "scale_to_8_bits"]

# Tried in this order. Not among them: formats for which Pillow starts another
# program (EPS) and stubs that need one. TGA has no signature, so it comes last.
_FORMATS = "JPEG PNG TIFF GIF BMP WEBP AVIF JPEG2000 DIB PPM PCX QOI ICO TGA".split()

# What Pillow's decoders raise on files that contradict themselves; there is no common
# base class short of Exception.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)

_DARK, _BRIGHT = 0.1, 99.9  # per cent of pixels below and above which grey is cut


class ImageReader:
    """Opens images from files and addresses, from several threads at once.

    Parameters
    ----------
    limits
        What an image may cost; by default as the environment says.

    Use it in a ``with`` statement: it keeps connections to servers until its end.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits.from_environment()
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to servers."""
        if self._client is not None:
            self._client.close()

    def read(self, source: str, as_stored: bool = False) -> Image.Image:
        """Return the image upright, decoded, of mode L or RGB.

        Transparent parts become white, as on paper. Of animations the first frame is
        taken. Grey of more than 8 bits is stretched (see `scale_to_8_bits`).

        Parameters
        ----------
        source
            Path or address.
        as_stored
            Nothing of this: the first frame's pixels as the file has them, in RGB.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        return self._read(source, None, as_stored)[0]

    def read_near(self, source: str, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Return the image as `read` does, perhaps smaller, and its size as a whole.

        For the eye only: JPEGs are decoded at a half, quarter or eighth where that
        leaves both sides `side` pixels at least, which is several times as fast.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        return self._read(source, side)

    def _read(
        self, source: str, side: int | None, as_stored: bool = False
    ) -> tuple[Image.Image, tuple[int, int]]:
        try:
            with self._open(source) as stream:
                image = _identify(stream, self.limits)
                whole = None
                try:
                    if side is not None and image.format == "JPEG":
                        whole = _upright_size(image)
                        image.draft(None, (side, side))
                    stream.forbid_half_pictures(image)
                    image.load()
                except _DECODER_ERRORS as ex:
                    raise _damaged(ex) from ex
            if as_stored:
                return _in_rgb(image), image.size
            image = _upright(image)
            return _as_seen(image), whole or image.size
        except MemoryError as ex:
            raise ImageTooLargeError("Too large for this computer's memory") from ex

    def size(self, source: str) -> tuple[int, int]:
        """Return (width, height) in pixels of the upright image, without decoding it.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        with self._open(source) as stream:
            image = _identify(stream, self.limits)
            return _upright_size(image)

    @contextmanager
    def raw(
        self, source: str
    ) -> Iterator[tuple[io.BufferedIOBase, str, tuple[int, int]]]:
        """Give an image's bytes as they are, Pillow's name of its format, its size.

        The image is known by its beginning and not decoded, so that it may have any
        number of pixels. The size is that of the upright image.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words; also when reading the bytes.
        """
        with self._open(source) as stream:
            image = _identify(stream, replace(self.limits, max_pixels=sys.maxsize))
            size = _upright_size(image)
            stream.seek(0)
            yield stream, image.format or "", size

    def _open(self, source: str) -> _Stream:
        path = local_path(source)
        if path is None:
            return _Stream(io.BytesIO(self._fetch(source)))
        try:
            if Path(path).is_dir():
                raise NotAnImageError("This is a folder, not an image")
            if not Path(path).is_file() and os.path.exists(path):
                raise NotAnImageError("This is a device or pipe, not an image")
            return _Stream(open(path, "rb"))
        except PermissionError as ex:
            raise ImageAccessError(
                "The system does not allow reading this file"
            ) from ex
        except FileNotFoundError as ex:
            raise ImageNotFoundError("There is no file at this place") from ex
        except ValueError as ex:  # a zero byte in the name
            raise ImageNotFoundError("This is not a proper file name") from ex
        except OSError as ex:
            if ex.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL):
                raise ImageNotFoundError("There is no file at this place") from ex
            raise ImageAccessError(f"Cannot be read: {ex.strerror or ex}") from ex

    def _fetch(self, url: str) -> bytes:
        # a reader of files need not load the web client
        from orangecontrib.imagemining.images.fetch import fetch, new_client

        with self._lock:
            if self._client is None:
                self._client = new_client(self.limits)
        return fetch(url, self.limits, self._client)


class _Stream(io.BufferedIOBase):
    """A file that can refuse to be read beyond its end.

    Another add-on may have told Pillow, for the whole program, to make half pictures
    of truncated files. Pillow asks for more at the end of a truncated file; answering
    with an error keeps it from doing so, whatever the switch says.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._strict = False

    def forbid_half_pictures(self, image: Image.Image) -> None:
        """Raise EOFError, now or when `image` is decoded, if the file is truncated."""
        if not ImageFile.LOAD_TRUNCATED_IMAGES:
            return
        if image.format == "JPEG2000":
            # its decoder reads beyond the end of whole files too: look for the marker
            # that ends them
            place = self.tell()
            self.seek(-min(64, self.seek(0, os.SEEK_END)), os.SEEK_END)
            if b"\xff\xd9" not in self.read():
                raise EOFError("image file is truncated")
            self.seek(place)
        else:
            self._strict = True

    def read(self, size: int | None = -1) -> bytes:
        try:
            content = self._raw.read(-1 if size is None else size)
        except OSError as ex:  # a stick pulled out, a network drive gone
            reason = ex.strerror or str(ex)
            raise ImageAccessError(f"The file cannot be read ({reason})") from ex
        if self._strict and not content and size != 0:
            raise EOFError("image file is truncated")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _identify(stream: _Stream, limits: Limits) -> Image.Image:
    """Open by content, whatever the name says; read the header only."""
    # Not Image.open: its limit on pixels is one for the whole program, warns where it
    # ought to refuse, and is not ours to change.
    Image.init()
    prefix = stream.read(16)
    if not prefix:
        raise NotAnImageError("The file is empty (0 bytes)")
    failure: Exception | None = None
    for name in _FORMATS:
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
        except _DECODER_ERRORS as ex:
            if recognised:
                failure = ex
            continue
        _check_pixels(image, limits)
        return image
    if failure is not None:
        raise _damaged(failure) from failure
    stream.seek(0)
    raise NotAnImageError(_what_it_is(stream.read(1024)))


def _check_pixels(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise DamagedImageError("The image has no pixels")
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"{width} × {height} pixels are more than the limit of"
            f" {limits.max_pixels / 1e6:.4g} million (IMAGEMINING_MAX_PIXELS)"
        )


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


def _damaged(ex: BaseException) -> ImageError:
    text = str(ex)
    if isinstance(ex, EOFError) or "truncated" in text.lower():
        return DamagedImageError("The file breaks off before its end; copy it again")
    return DamagedImageError(f"The file is damaged ({text or type(ex).__name__})")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except _DECODER_ERRORS:
        return 1  # damaged metadata is no reason to refuse the picture


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        # asking for the orientation would decode the image, to look behind its pixels
        return width, height
    turned = _orientation(image) in (5, 6, 7, 8)
    if isinstance(image, TiffImageFile):
        # Pillow turns these itself, and gives their size as turned already
        turned &= image.size == (image.tag_v2.get(256), image.tag_v2.get(257))
    return (height, width) if turned else (width, height)


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        return image


def _as_seen(image: Image.Image) -> Image.Image:
    """Return the image in mode L or RGB."""
    if image.mode in ("L", "RGB"):
        # a colour declared transparent (tRNS) makes RGB see-through
        if "transparency" not in image.info:
            return image
    elif image.mode == "1":
        return image.convert("L")
    elif image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(scale_to_8_bits(np.asarray(image)))
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            paper = Image.new("RGBA", layer.size, "white")
            return Image.alpha_composite(paper, layer).convert("RGB")
    except _DECODER_ERRORS as ex:
        raise DamagedImageError(f"Its colours cannot be read ({ex})") from ex
    return _in_rgb(image)


def _in_rgb(image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except _DECODER_ERRORS as ex:
        raise DamagedImageError(f"Its colours cannot be read ({ex})") from ex


def scale_to_8_bits(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch grey values of any range over 0–255.

    The darkest and brightest 0.1 % of pixels are cut, so that one hot pixel of a
    camera does not turn the cells black.

    Parameters
    ----------
    grey : (height, width), integer or floating point; what is not finite becomes
        black.

    Returns
    -------
    (height, width) uint8; all 0 if all values are equal.

    Raises
    ------
    DamagedImageError
        If no value is finite.
    """
    finite: NDArray[np.bool_] | None = None
    known = grey
    if not np.issubdtype(grey.dtype, np.integer):
        finite = np.isfinite(grey)
        if not finite.any():
            raise DamagedImageError("None of the pixels has a value")
        known = grey if finite.all() else grey[finite]
    # a million pixels spread over the image tell as much as all, for less memory
    step = max(1, known.size // 1_000_000)
    low, high = np.percentile(
        known.ravel()[::step].astype(np.float64), (_DARK, _BRIGHT)
    )
    if low == high:
        # nearly all pixels alike: the few others are the picture
        low, high = float(known.min()), float(known.max())
    pixels = np.zeros(grey.shape, np.uint8)
    if low == high:
        return pixels
    # row by row in float64, so that 100 million pixels do not take gigabytes
    for row, values in enumerate(grey):
        scaled = (np.asarray(values, np.float64) - low) * (255 / (high - low))
        if finite is not None:
            scaled[~finite[row]] = 0
        pixels[row] = np.clip(np.rint(scaled), 0, 255)
    return pixels
