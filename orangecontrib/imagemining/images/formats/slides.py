"""Whole slides, as scanners of glass slides write them; read by OpenSlide.

They have a hundred times more pixels than a screen, and are stored in several sizes.
Their other pictures, such as a photograph of the label, are left alone: labels have
patients' names on them.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import DamagedImageError
from orangecontrib.imagemining.images.formats._base import (
    Family,
    ImageFile,
    Series,
    families,
    register,
)
from orangecontrib.imagemining.images.formats._local import OnDisk
from orangecontrib.imagemining.images.formats._packages import guarded, needed
from orangecontrib.imagemining.images.formats._pixels import check_plane, check_size
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["FAMILY", "LONGEST_SIDE"]

#: A slide's plane is a picture of the whole, at most of so many pixels a side.
LONGEST_SIDE = 4096

_AT_ONCE = 4_000_000  # pixels that are read before they are made smaller
_DESCRIPTION, _SOFTWARE, _XMP, _HAMAMATSU = 270, 305, 700, 65420
_MAKERS = {
    _DESCRIPTION: (b"Aperio", b"leica-microsystems.com/scn/", b"DPUfsImport"),
    _SOFTWARE: (b"MedScan",),
    _XMP: (b"<iScan",),
}
_DAMAGED = "The slide is damaged"


def _recognises(start: bytes, path: str | None) -> bool:
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _is_slide_tiff(start, path)
    if start[:3] == b"\xff\xd8\xff":
        # a picture for the eye; the slide itself is in the folder beside
        return (
            path is not None
            and path.lower().endswith(".mrxs")
            and os.path.isfile(os.path.join(path[:-5], "Slidedat.ini"))
        )
    return b"Virtual Microscope Specimen]" in start[:200]


def _is_slide_tiff(start: bytes, path: str | None) -> bool:
    """Tell whether a TIFF's first directory names a maker of scanners."""
    if path is None:
        return _names_maker(start, lambda at, n: start[at : at + n])
    try:
        with open(path, "rb") as file:

            def read(at: int, n: int) -> bytes:
                file.seek(at)
                return file.read(n)

            return _names_maker(start, read)
    except OSError:
        return False


def _names_maker(start: bytes, read: Any) -> bool:
    order = "<" if start[:2] == b"II" else ">"
    big = start[2 if order == "<" else 3] == 43
    if len(start) < 16:
        return False
    places = [struct.unpack_from(f"{order}Q", start, 8 if big else 4)[0]]
    if not big:
        # Hamamatsu's files of more than 4 GB have a long offset in the short's place
        places.insert(0, struct.unpack_from(f"{order}I", start, 4)[0])
    for place in dict.fromkeys(places):
        if place < 2**62 and _tags_name_maker(order, big, place, read):
            return True
    return False


def _tags_name_maker(order: str, big: bool, place: int, read: Any) -> bool:
    count, entry = ("Q", 20) if big else ("H", 12)
    head = read(place, 8 if big else 2)
    if len(head) < (8 if big else 2):
        return False
    (n,) = struct.unpack(order + count, head)
    if not 0 < n <= 200:
        return False
    table = read(place + len(head), n * entry)
    for at in range(0, len(table) - entry + 1, entry):
        tag, kind = struct.unpack_from(f"{order}HH", table, at)
        if tag == _HAMAMATSU:
            return True
        words = _MAKERS.get(tag)
        if words is None or kind not in (1, 2, 7):
            continue
        number = "Q" if big else "I"
        size, value = struct.unpack_from(f"{order}{number}{number}", table, at + 4)
        if size <= (8 if big else 4) or value >= 2**62:
            continue
        text = read(value, min(size, 2**16 if tag == _XMP else 4096))
        if any(word in text for word in words):
            return True
    return False


def _open(stream: BinaryIO, path: str | None, limits: Limits) -> ImageFile:
    openslide = needed("openslide", "Whole-slide", "slides")
    place = OnDisk(stream, path, ".tif")
    try:
        file = _SlideFile(openslide, place, limits)
    except BaseException as ex:
        place.close()
        if isinstance(ex.__cause__, openslide.OpenSlideUnsupportedFormatError):
            # a scanner's program wrote it, but no slide: an ordinary TIFF, perhaps
            return _opened_otherwise(stream, path, limits, ex)
        raise
    stream.close()  # the package reads the file itself
    return file


def _opened_otherwise(
    stream: BinaryIO, path: str | None, limits: Limits, reason: BaseException
) -> ImageFile:
    stream.seek(0)
    start = stream.read(1024)
    stream.seek(0)
    for family in families():
        if family is not FAMILY and family.recognises(start, path):
            return family.open(stream, path, limits)
    raise reason


class _SlideFile:
    format = "whole slide"

    def __init__(self, openslide: ModuleType, place: OnDisk, limits: Limits) -> None:
        self._openslide, self._place, self._limits = openslide, place, limits
        self._lock = threading.Lock()
        with guarded(_DAMAGED):
            self._slide = openslide.OpenSlide(place.path)
            try:
                self.series: tuple[Series, ...] = (self._describe(),)
            except BaseException:
                self._slide.close()
                raise

    def close(self) -> None:
        with self._lock:
            self._slide.close()
        self._place.close()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        found = check_plane(self.series, series, t, z, c)
        size = (found.width, found.height)
        factor = LONGEST_SIDE / max(size) if near is None else near / min(size)
        factor = min(factor, 1.0)
        level = self._level(factor)
        stored = found.levels[level]
        wanted = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        if near is not None and max(stored) <= LONGEST_SIDE:
            wanted = stored
        check_size(*wanted, self._limits)
        with self._lock:
            return self._shrunk((0, 0, *size), level, wanted)

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        check_plane(self.series, series, 0, 0, 0)
        sides = xywh[2:]
        if min(sides) < 1:
            raise DamagedImageError("The image has no pixels")
        factor = 1.0 if near is None else min(near / min(sides), 1.0)
        level = self._level(factor)
        if near is not None:
            factor = 1 / self._steps[level]
        wanted = (max(1, round(sides[0] * factor)), max(1, round(sides[1] * factor)))
        check_size(*wanted, self._limits)
        with self._lock:
            return self._shrunk(xywh, level, wanted)

    def _describe(self) -> Series:
        slide = self._slide
        self._steps = [float(step) for step in slide.level_downsamples]
        properties = slide.properties
        sizes = [
            _positive(properties.get(f"openslide.mpp-{axis}", "")) for axis in "xy"
        ]
        width, height = slide.dimensions
        if width < 1 or height < 1:
            raise DamagedImageError("The image has no pixels")
        return Series(
            width,
            height,
            "uint8",
            samples=3,
            bits=8,
            pixel_size=(sizes[0], sizes[1]) if sizes[0] and sizes[1] else None,
            levels=tuple((int(w), int(h)) for w, h in slide.level_dimensions),
        )

    def _level(self, factor: float) -> int:
        """Return the smallest level whose pixels are at least so many of the whole's.

        Scanners round the sizes of levels, so they may be short by a little.
        """
        fit = [n for n, step in enumerate(self._steps) if 1 / step >= factor * 0.999]
        return max(fit, key=lambda n: self._steps[n], default=0)

    def _shrunk(
        self, xywh: tuple[int, int, int, int], level: int, wanted: tuple[int, ...]
    ) -> NDArray[np.uint8]:
        """Return a part of the slide in a size, read a few rows at a time."""
        left, top, width, height = xywh
        step = self._steps[level]
        across, down = width / wanted[0] / step, height / wanted[1] / step
        if abs(across - 1) < 0.002 and abs(down - 1) < 0.002:
            across = down = 1.0
        result = np.empty((wanted[1], wanted[0], 3), np.uint8)
        columns = math.ceil(wanted[0] * across)
        at_once = max(1, int(_AT_ONCE / columns / down))
        for row in range(0, wanted[1], at_once):
            n = min(at_once, wanted[1] - row)
            begin, end = row * down, (row + n) * down
            first = math.floor(begin)
            picture = self._read(
                (left, top + round(first * step)),
                level,
                (columns, max(1, math.ceil(end - 1e-6) - first)),
            )
            if across != 1 or down != 1:
                box = (
                    0.0,
                    begin - first,
                    min(wanted[0] * across, picture.width),
                    min(end - first, picture.height),
                )
                picture = picture.resize((wanted[0], n), Image.Resampling.BOX, box=box)
            result[row : row + n] = np.asarray(picture)
        return result

    def _read(
        self, place: tuple[int, int], level: int, size: tuple[int, int]
    ) -> Image.Image:
        with guarded("A part of the slide is damaged"):
            try:
                pixels = self._slide.read_region(place, level, size)
            except self._openslide.OpenSlideError:
                # after an error it answers nothing any more: begin anew, so that the
                # other parts can be read
                self._slide.close()
                self._slide = self._openslide.OpenSlide(self._place.path)
                raise
        paper = Image.new("RGB", pixels.size, "white")
        paper.paste(pixels, None, pixels)
        return paper


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


FAMILY = register(
    Family(
        "Whole slides",
        (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif"),
        _recognises,
        _open,
        "slides",
    )
)
