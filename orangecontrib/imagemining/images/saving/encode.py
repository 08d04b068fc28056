"""Make an opened image the content of a file: its size, its format."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from orangecontrib.imagemining.exceptions import SaveError
from orangecontrib.imagemining.specs import Preprocess

__all__ = ["FORMATS", "Format", "Resize", "encode"]


@dataclass(frozen=True)
class Format:
    """A format that images are written in.

    Attributes
    ----------
    title : what people call it.
    ending : of its files.
    pillow : Pillow's name of it.
    has_quality : whether smaller files can be had for a worse picture.
    max_side : pixels that a side may have.
    options : what else Pillow is told.
    """

    title: str
    ending: str
    pillow: str
    has_quality: bool = False
    max_side: int = 2**31 - 1
    options: Mapping[str, Any] = field(default_factory=dict)


#: The formats by the names that settings store.
FORMATS: dict[str, Format] = {
    "png": Format("PNG", ".png", "PNG"),
    "jpeg": Format("JPEG", ".jpg", "JPEG", has_quality=True, max_side=65_500),
    # compressed without loss; tag 317 has it store differences between neighbours,
    # without which photographs hardly get smaller
    "tiff": Format(
        "TIFF",
        ".tif",
        "TIFF",
        options={"compression": "tiff_lzw", "tiffinfo": {317: 2}},
    ),
    "webp": Format("WebP", ".webp", "WEBP", has_quality=True, max_side=16_383),
    "bmp": Format("BMP", ".bmp", "BMP"),
}

_SPACES = {"L": b"GRAY", "RGB": b"RGB "}  # as colour profiles name them
_FINE = 90  # quality from which on JPEG's colours are as sharp as its brightness


@dataclass(frozen=True)
class Resize:
    """The size to give to images.

    Attributes
    ----------
    width, height : in pixels.
    stretch : make exactly this size, changing the proportions. Otherwise they are kept,
        and the image, made smaller or larger, just fits in.
    interpolation : filter.
    """

    width: int
    height: int
    stretch: bool = False
    interpolation: Literal["lanczos", "bicubic", "bilinear"] = "lanczos"

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"no size for an image: {self.width} × {self.height}")

    @classmethod
    def for_network(cls, preprocess: Preprocess) -> Resize:
        """Return how a network sees images: stretched, by its own filter."""
        height, width = preprocess.size
        return cls(width, height, True, preprocess.interpolation)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image in the new size."""
        size = (self.width, self.height)
        if not self.stretch:
            factor = min(self.width / image.width, self.height / image.height)
            size = (
                max(1, min(self.width, round(image.width * factor))),
                max(1, min(self.height, round(image.height * factor))),
            )
        return image.resize(size, Image.Resampling[self.interpolation.upper()])


def encode(image: Image.Image, file_format: Format, quality: int) -> bytes:
    """Return the content of a file with these pixels.

    The image's colour profile goes along if it is one for its colours now; a profile
    of printing colours, say, tells nothing about the red, green and blue made of them.
    Nothing else that its file held goes along: no camera, no place, no date.

    Parameters
    ----------
    image
        Of mode L or RGB, as `ImageReader.read` returns it.
    file_format
        Out of `FORMATS`.
    quality
        1–100, for formats that have it.

    Raises
    ------
    SaveError
        If the format does not hold such an image.
    """
    if max(image.size) > file_format.max_side:
        raise SaveError(
            f"{file_format.title} holds no more than {file_format.max_side} pixels a"
            " side; choose another format"
        )
    options = dict(file_format.options)
    if file_format.has_quality:
        options["quality"] = quality
    if file_format.pillow == "JPEG":
        options["subsampling"] = 0 if quality >= _FINE else 2
    if profile := _profile(image):
        options["icc_profile"] = profile
    bare = image.copy()  # without what a TIFF's reader and writer tell each other
    bare.info = {}
    content = io.BytesIO()
    try:
        bare.save(content, file_format.pillow, **options)
    except (OSError, ValueError, struct.error) as ex:
        raise SaveError(f"It cannot be written as {file_format.title} ({ex})") from ex
    return content.getvalue()


def _profile(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[36:40] != b"acsp":
        return None
    made_for = profile[16:20]
    return profile if made_for == _SPACES[image.mode] else None
