"""What the XML in OME-TIFF files tells: axes, channels, sizes, what each page is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.images.formats._base import Channel

__all__ = ["MICROMETRES", "OmeImage", "companion_of", "parse_ome"]

#: How many µm a unit of length is.
MICROMETRES = {
    "\u00b5m": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "pm": 1e-6,
    "\u00c5": 1e-4,  # ångström, as a letter
    "\u212b": 1e-4,  # and as a sign
    "mm": 1e3,
    "cm": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "in": 25400.0,
}

_MANY = 2_000_000  # planes; more are a damaged number


@dataclass
class OmeImage:
    """One image of the metadata, as far as this file has its pixels.

    Attributes
    ----------
    name : "" if it has none.
    pages : (times, depths, channels) number of the page in this file; −1 where it is
        not told.
    channels : as many as pictures of a time and depth: the pages' and those within.
    bits : 0 if not told.
    pixel_size : µm.
    """

    name: str
    pages: NDArray[np.int64]
    channels: list[Channel] = field(default_factory=list)
    bits: int = 0
    pixel_size: tuple[float, float] | None = None


@lru_cache(maxsize=4)
def parse_ome(
    text: str,
    samples_of_page: int,
    channels_of_page: int,
    own_uuid: str = "",
    own_name: str = "",
) -> tuple[OmeImage, ...]:
    """Return the images that have pixels in this file.

    Of a set of files each shows what is in it: a folder of them then has every plane
    once. What was parsed lately is kept: each plane that is read asks anew.

    Parameters
    ----------
    text : OME-XML.
    samples_of_page : numbers that a pixel of a page has.
    channels_of_page : 1 for photographs, whatever the numbers of their pixels.
    own_uuid : of this file; by default the one that the text gives.
    own_name : of this file, without its folder.

    Raises
    ------
    ValueError
        If it is no OME-XML.
    """
    root = _root(text)
    mine = _Mine(root, own_uuid or root.get("UUID") or "", own_name)
    images = []
    for image in root.findall("{*}Image"):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        parsed = _image(image, pixels, samples_of_page, channels_of_page, mine)
        if parsed is not None:
            images.append(parsed)
    return tuple(images)


class _Mine:
    """Tells which planes are in this file, of a set."""

    def __init__(self, root: ElementTree.Element, uuid: str, name: str) -> None:
        all_of_them = list(root.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID"))
        self._uuids = {(element.text or "").strip() for element in all_of_them}
        names = {element.get("FileName") for element in all_of_them}
        self._uuid = uuid
        self._name = name
        # a single file is this one, however it is called now
        self._all = len(self._uuids) == 1 or len(names - {None}) == 1

    def is_it(self, element: ElementTree.Element) -> bool:
        if self._all:
            return True
        if self._uuid in self._uuids:
            return (element.text or "").strip() == self._uuid
        return element.get("FileName") == self._name


def companion_of(text: str) -> tuple[str, str] | None:
    """Return name of the file with the metadata, and this file's UUID, if that is all.

    Raises
    ------
    ValueError
        If it is no OME-XML.
    """
    only = _root(text).find("{*}BinaryOnly")
    if only is None:
        return None
    return only.get("MetadataFile") or "", only.get("UUID") or ""


def _root(text: str) -> ElementTree.Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # entities that contain each other can fill any memory
        raise ValueError("an XML that defines entities")
    try:
        root = ElementTree.fromstring(text.strip("\ufeff\0 \t\r\n"))
    except ElementTree.ParseError as ex:
        raise ValueError(str(ex)) from ex
    if not root.tag.endswith("OME"):
        raise ValueError("not OME")
    return root


def _image(
    image: ElementTree.Element,
    pixels: ElementTree.Element,
    samples_of_page: int,
    channels_of_page: int,
    mine: _Mine,
) -> OmeImage | None:
    sizes = {axis: _int(pixels.get(f"Size{axis}"), 1) for axis in "TZC"}
    # how many of the metadata's channels a page has; some do not count transparency
    fit = (n for n in (samples_of_page, samples_of_page - 1) if n > 0)
    within = next((n for n in fit if sizes["C"] % n == 0), 1)
    sizes["C"] //= within
    shape = (sizes["T"], sizes["Z"], sizes["C"])
    if min(shape) < 1 or np.prod(shape, dtype=np.float64) > _MANY:
        raise ValueError(f"no planes, or too many: {shape}")
    order = (pixels.get("DimensionOrder") or "XYCZT").upper()
    fastest_first = [axis for axis in order if axis in "TZC"]
    if sorted(fastest_first) != ["C", "T", "Z"]:
        fastest_first = ["C", "Z", "T"]
    pages, elsewhere = _pages(pixels, sizes, fastest_first, mine)
    if elsewhere.any():
        # the rest of the set is in files of its own
        here = pages >= 0
        if not here.any():
            return None
        t, z, c = (np.flatnonzero(here.any(axis=others)) for others in _OTHERS)
        pages = pages[np.ix_(t, z, c)]
    else:
        c = np.arange(shape[2])
    told = pixels.findall("{*}Channel")
    # a photograph's three samples are mostly one channel in the metadata
    each = within if len(told) == sizes["C"] * within else 1
    channels = []
    for number in c.tolist():
        for inner in range(channels_of_page):
            place = number * each + min(inner, each - 1)
            channels.append(_channel(told[place]) if place < len(told) else Channel())
    if all(channel.colour in (None, (255, 255, 255)) for channel in channels):
        # white throughout is what programs write that know of no colours
        channels = [Channel(channel.name) for channel in channels]
    return OmeImage(
        name=image.get("Name") or "",
        pages=pages,
        channels=channels,
        bits=_int(pixels.get("SignificantBits"), 0),
        pixel_size=_pixel_size(pixels),
    )


_OTHERS = ((1, 2), (0, 2), (0, 1))  # all axes but the first, the second, the third


def _pages(
    pixels: ElementTree.Element,
    sizes: dict[str, int],
    fastest_first: list[str],
    mine: _Mine,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each plane's page, and whether it is in another file."""
    # along the order of the planes; turned into (t, z, c) at the end
    total = int(np.prod(list(sizes.values())))
    pages = np.full(total, -1, np.int64)
    elsewhere = np.zeros(total, bool)
    steps = dict(
        zip(
            fastest_first,
            itertools.accumulate(
                [1, *(sizes[a] for a in fastest_first[:2])], int.__mul__
            ),
            strict=True,
        )
    )
    blocks = pixels.findall("{*}TiffData")
    for block in blocks:
        uuid = block.find("{*}UUID")
        first = sum(
            steps[axis] * _int(block.get(f"First{axis}"), 0) for axis in fastest_first
        )
        page = block.get("IFD")
        count = _int(block.get("PlaneCount"), 1 if page is not None else total)
        start = _int(page, 0)
        count = min(count, total - first)
        if first < 0 or start < 0 or count < 1:
            continue
        if uuid is not None and not mine.is_it(uuid):
            elsewhere[first : first + count] = True
        else:
            pages[first : first + count] = np.arange(start, start + count)
    if not blocks:
        pages[:] = np.arange(total)
    elsewhere &= pages < 0
    shape = [sizes[axis] for axis in reversed(fastest_first)]
    turn = [fastest_first[::-1].index(axis) for axis in "TZC"]
    return (
        pages.reshape(shape).transpose(turn),
        elsewhere.reshape(shape).transpose(turn),
    )


def _channel(element: ElementTree.Element) -> Channel:
    colour = None
    text = element.get("Color")
    if text is not None:
        try:
            number = int(text) & 0xFFFFFFFF  # red, green, blue, opacity
        except ValueError:
            pass
        else:
            colour = (number >> 24, number >> 16 & 255, number >> 8 & 255)
    return Channel(element.get("Name") or "", colour)


def _pixel_size(pixels: ElementTree.Element) -> tuple[float, float] | None:
    sizes = []
    for axis in "XY":
        try:
            size = float(pixels.get(f"PhysicalSize{axis}") or "nan")
        except ValueError:
            return None
        size *= MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit") or "um", 0)
        if not 0 < size < float("inf"):
            return None
        sizes.append(size)
    return sizes[0], sizes[1]


def _int(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default
