"""LIF, the files of Leica's microscopes."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from itertools import product
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, NotAnImageError
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.formats._packages import (
    guarded,
    muted,
    needed,
    quiet,
)
from orangecontrib.imagemining.images.formats._pixels import (
    check_plane,
    check_size,
    cut,
    told_bits,
)
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.sources import COLOURS

__all__ = ["LifFile", "open_lif"]

_DAMAGED = "The LIF file is damaged"
_LUTS = {
    name: (round(255 * red), round(255 * green), round(255 * blue))
    for name, (red, green, blue) in COLOURS.items()
}
_LUTS["gray"] = _LUTS["grey"]  # as Leica writes it
_IMAGE = "./Data/Image/ImageDescription"


def open_lif(stream: BinaryIO, path: str | None, limits: Limits) -> LifFile:
    """Open a file; see `Family.open`."""
    package = needed("liffile", "LIF", "microscopy", first=(3, 11))
    with quiet("liffile"), guarded(_DAMAGED):
        stream.seek(0)
        # axes of one element stay, so that each image has its width and height
        return LifFile(package.LifFile(stream, squeeze=False), stream, limits)


_Index = dict[str, int]


@dataclass(frozen=True)
class _Place:
    """Where a series is in the file, and where along its axes."""

    image: Any
    fixed: _Index
    times: list[_Index]
    depths: list[_Index]
    channels: list[_Index]


class LifFile:
    """An opened LIF file; see `ImageFile`."""

    format = "LIF"

    def __init__(self, lif: Any, stream: BinaryIO, limits: Limits) -> None:
        self._lif, self._stream, self._limits = lif, stream, limits
        self._lock = threading.Lock()
        self._places: list[_Place] = []
        series: list[Series] = []
        for image in lif.images:
            # times of photons, not numbers of brightness
            if not image.is_flim:
                self._add(image, series)
        self.series = tuple(series)
        if not series:
            raise NotAnImageError("A LIF file without images that can be read")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._lif.close()
            self._stream.close()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return one plane; see `ImageFile.plane`."""
        found = check_plane(self.series, series, t, z, c)
        check_size(found.width, found.height, self._limits)
        place = self._places[series]
        index = {
            **place.fixed,
            **place.times[t],
            **place.depths[z],
            **place.channels[c],
        }
        reason = "This plane of the LIF file is damaged, or the file breaks off before"
        with self._lock, muted("liffile"), guarded(reason):
            pixels = np.asarray(place.image.frame(**index))
        pixels = pixels.reshape(found.height, found.width, -1)
        if found.samples == 1:
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels, found.dtype)

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of the first plane; see `ImageFile.region`."""
        plane = self.plane(series, 0, 0, 0)
        return cut(plane, xywh, self._limits, self.series[series].bits)

    def _add(self, image: Any, series: list[Series]) -> None:
        """Add an image's series; one that contradicts itself is left out."""
        try:
            with guarded(_DAMAGED):
                self._try_to_add(image, series)
        except DamagedImageError:
            if len(self._lif.images) == 1:
                raise

    def _try_to_add(self, image: Any, series: list[Series]) -> None:
        sizes = dict(image.sizes)
        frame = dict(image.frames.frame_sizes)
        # scans have planes of width and depth, or of width and time
        sides = [axis for axis in frame if axis != "S"]
        if len(sides) != 2 or frame.get("S", 3) != 3:
            raise DamagedImageError(_DAMAGED)
        height, width = (sizes[axis] for axis in sides)
        steps = [axis for axis in sizes if axis not in frame]
        places = [axis for axis in steps if axis == "M"]
        channels = [axis for axis in steps if axis[0] in "CλΛS"]
        depths = [axis for axis in steps if axis == "Z"]
        times = [axis for axis in steps if axis not in (*places, *channels, *depths)]
        told = self._told_of(image, samples=3 if "S" in frame else 1)
        name = str(image.path or image.name)
        tiles = _walk(sizes, places)
        for number, fixed in enumerate(tiles, 1):
            place = _Place(
                image,
                fixed,
                _walk(sizes, times),
                _walk(sizes, depths),
                _walk(sizes, channels),
            )
            spectra = len(place.channels)
            known = told.channels if spectra == len(told.channels) else []
            self._places.append(place)
            series.append(
                Series(
                    width,
                    height,
                    str(np.dtype(image.dtype)),
                    len(place.times),
                    len(place.depths),
                    channels=tuple(known) or (Channel(),) * spectra,
                    samples=3 if "S" in frame else 1,
                    bits=told.bits,
                    pixel_size=told.size_of(sides),
                    name=f"{name}, tile {number}" if len(tiles) > 1 else name,
                    levels=((width, height),),
                )
            )

    def _told_of(self, image: Any, samples: int) -> _Told:
        element = image.xml_element
        descriptions = sorted(
            element.iterfind(f"{_IMAGE}/Channels/ChannelDescription"),
            key=lambda item: int(item.get("BytesInc", 0)),
        )
        bits = max((int(item.get("Resolution", 0)) for item in descriptions), default=0)
        dtype = np.dtype(image.dtype)
        sizes: dict[str, float] = {}
        for item in element.iterfind(f"{_IMAGE}/Dimensions/DimensionDescription"):
            axis = {"1": "X", "2": "Y", "3": "Z"}.get(item.get("DimID", ""))
            n, length = (
                int(item.get("NumberOfElements", 0)),
                float(item.get("Length", 0)),
            )
            if axis and n > 1 and item.get("Unit") == "m" and math.isfinite(length):
                # from the first's middle to the last's, in metres
                sizes[axis] = abs(length) * 1e6 / (n - 1)
        return _Told(
            [_channel(item) for item in descriptions] if samples == 1 else [Channel()],
            told_bits(bits, dtype),
            sizes,
        )


@dataclass(frozen=True)
class _Told:
    """What the file's XML tells of an image."""

    channels: list[Channel]
    bits: int
    sizes: dict[str, float]

    def size_of(self, sides: list[str]) -> tuple[float, float] | None:
        height, width = (self.sizes.get(axis, 0.0) for axis in sides)
        return (width, height) if width > 0 and height > 0 else None


def _walk(sizes: dict[str, int], axes: list[str]) -> list[_Index]:
    """Return all places along these axes, the last axis fastest."""
    places = product(*(range(sizes[axis]) for axis in axes))
    return [dict(zip(axes, place, strict=True)) for place in places]


def _channel(item: Any) -> Channel:
    properties = {
        part.findtext("Key"): part.findtext("Value") or ""
        for part in item.iterfind("ChannelProperty")
    }
    lut = item.get("LUTName", "")
    return Channel(properties.get("DyeName") or lut, _LUTS.get(lut.strip().lower()))
