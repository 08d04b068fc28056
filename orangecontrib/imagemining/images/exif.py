"""What a camera noted beside the picture: when, with what, where, how it was held."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from orangecontrib.imagemining.images.stream import DECODER_ERRORS

__all__ = ["ORIENTATIONS", "CameraNotes", "camera_notes", "tags_of"]

#: How the camera was held, in the order of the numbers 1 to 8 that stand for it. The
#: picture as it is stored is turned or mirrored like this; all widgets turn it upright.
ORIENTATIONS = (
    "upright",
    "mirrored",
    "upside down",
    "mirrored, upside down",
    "mirrored, turned left",
    "turned left",
    "mirrored, turned right",
    "turned right",
)

# damaged notes make Pillow warn, and some raise warnings as errors
_ERRORS = (*DECODER_ERRORS, Warning)

_DATE = re.compile(
    r"(\d{4})[:./-](\d\d)[:./-](\d\d)[ T]+(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?"
)


@dataclass(frozen=True, slots=True)
class CameraNotes:
    """What is known of how a picture was taken; None and "" where it is not.

    Attributes
    ----------
    taken : what the camera's clock showed, whatever the time zone.
    camera : maker and model.
    latitude, longitude : in degrees, south and west negative.
    orientation : a number from 1 to 8, see `ORIENTATIONS`.
    """

    taken: datetime | None = None
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None
    orientation: int | None = None


def camera_notes(tags: Image.Exif) -> CameraNotes:
    """Read what is of use from an image's EXIF tags.

    What is damaged, out of range or left empty by the camera counts as not there.
    """
    photo = _part(tags, IFD.Exif)
    place = _part(tags, IFD.GPSInfo)
    taken = None
    # not the tag DateTime: programs that change the picture set it anew
    for tag in (Base.DateTimeOriginal, Base.DateTimeDigitized):
        taken = taken or _date(_value(photo, tag) or _value(tags, tag))
    return CameraNotes(
        taken,
        _camera(_text(_value(tags, Base.Make)), _text(_value(tags, Base.Model))),
        _degrees(place, GPS.GPSLatitude, GPS.GPSLatitudeRef, "NS", 90),
        _degrees(place, GPS.GPSLongitude, GPS.GPSLongitudeRef, "EW", 180),
        _orientation_number(_value(tags, Base.Orientation)),
    )


def tags_of(image: Image.Image, file: BinaryIO) -> Image.Exif:
    """Return the EXIF tags of an image that is open but not decoded.

    Parameters
    ----------
    image
        As Pillow opened it.
    file
        Where it was read from, not buffered; its position changes.

    Returns
    -------
    Empty ones if there are none, or if they are damaged.
    """
    try:
        if image.format != "PNG" or "exif" in image.info:
            return image.getexif()
        # A PNG may have them behind its pixels. Pillow decodes it to find that out.
        found, is_text = _behind_pixels(file)
        if is_text:
            return image.getexif()
        if found:
            image.info["exif"] = found
        return Image.Image.getexif(image)
    except _ERRORS:
        return Image.Exif()


def _behind_pixels(file: BinaryIO) -> tuple[bytes, bool]:
    """Return a PNG's EXIF that follows its pixels, and if it is there as text."""
    file.seek(8)
    behind = False
    while True:
        head = file.read(8)
        kind = head[4:]
        if len(head) < 8 or kind == b"IEND":
            return b"", False
        length = int.from_bytes(head[:4], "big")
        if kind == b"eXIf":
            return file.read(length), False
        behind |= kind == b"IDAT"
        start = b""
        if behind and kind in (b"tEXt", b"zTXt", b"iTXt"):
            start = file.read(min(length, 21))
            if start.startswith((b"Raw profile type exif", b"XML:com.adobe.xmp")):
                return b"", True
        file.seek(length - len(start) + 4, 1)


def _part(tags: Image.Exif, ifd: IFD) -> Mapping[int, Any]:
    try:
        return tags.get_ifd(ifd)
    except _ERRORS:
        return {}


def _value(tags: Mapping[int, Any], tag: int) -> Any:
    try:
        return tags.get(tag)
    except _ERRORS:
        return None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf8", "replace")
    if not isinstance(value, str):
        return ""
    # cameras fill their fields with zeros or spaces
    value = value.partition("\0")[0]
    return "".join(c for c in value if c.isprintable()).strip()


def _camera(maker: str, model: str) -> str:
    # "Canon", "Canon EOS 5D"; "NIKON CORPORATION", "NIKON D70"
    first = maker.split()[0].lower() if maker else ""
    if first and model.lower().startswith(first):
        return model
    return f"{maker} {model}".strip()


def _date(value: object) -> datetime | None:
    match = _DATE.match(_text(value))
    if not match:
        return None
    *numbers, fraction = match.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    microsecond = int(float(fraction or 0) * 1e6)
    try:
        return datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:  # 0000:00:00 of a camera whose clock was never set
        return None


def _degrees(
    place: Mapping[int, Any], tag: int, tag_of_side: int, sides: str, limit: float
) -> float | None:
    value, side = _value(place, tag), _text(_value(place, tag_of_side)).upper()[:1]
    # without its side, half of the world would be put on the other
    if not side or side not in sides:
        return None
    try:
        parts = [
            float(part) for part in (value if hasattr(value, "__len__") else [value])
        ]
    except _ERRORS:
        return None
    if not 1 <= len(parts) <= 3:
        return None
    degrees: float = sum(part / 60**power for power, part in enumerate(parts))
    if not math.isfinite(degrees) or min(parts) < 0 or degrees > limit:
        return None
    return -degrees if degrees and side == sides[1] else degrees


def _orientation_number(value: object) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None
