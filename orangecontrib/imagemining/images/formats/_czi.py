"""CZI, the files of Zeiss's microscopes and slide scanners."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from itertools import product
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.formats._local import OnDisk
from orangecontrib.imagemining.images.formats._packages import guarded, needed, quiet
from orangecontrib.imagemining.images.formats._pixels import (
    check_plane,
    check_size,
    told_bits,
    white,
)
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["CziFile", "open_czi"]

_DAMAGED = "The CZI file is damaged"
_LOST = "This plane of the CZI file is damaged"
_TYPES = {
    "Gray8": "uint8",
    "Gray16": "uint16",
    "Gray32Float": "float32",
    "Bgr24": "uint8",
    "Bgr48": "uint16",
    "Bgr96Float": "float32",
}
# axes that we have no name for: each place along them is a series of its own
_OTHERS = "RIHVB"
_AXES = "STZC" + _OTHERS


def open_czi(stream: BinaryIO, path: str | None, limits: Limits) -> CziFile:
    """Open a file; see `Family.open`."""
    package = needed("pylibCZIrw.czi", "CZI", "microscopy", last=(3, 13))
    place = OnDisk(stream, path, ".czi")
    try:
        with quiet(), guarded(_DAMAGED):
            file = CziFile(package.CziReader(place.path), place, limits)
    except BaseException:
        place.close()
        raise
    stream.close()  # the package reads the file itself
    return file


@dataclass(frozen=True)
class _Place:
    """Where a series is: its scene, its rectangle, its channels, and other axes."""

    scene: int | None
    rect: tuple[int, int, int, int]
    channels: tuple[int, ...]
    others: tuple[tuple[str, int], ...]


class CziFile:
    """An opened CZI file; see `ImageFile`."""

    format = "CZI"

    def __init__(self, reader: Any, place: OnDisk, limits: Limits) -> None:
        self._reader, self._on_disk, self._limits = reader, place, limits
        self._lock = threading.Lock()
        try:
            self._about = _About.of(reader.raw_metadata)
            self._look_through()
            self._places = self._find_places()
            self.series = tuple(self._describe(found) for found in self._places)
        except BaseException:
            reader.close()
            raise
        if not self.series:
            self._reader.close()
            raise NotAnImageError("A CZI file without images that can be read")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._reader.close()
        self._on_disk.close()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return one plane; see `ImageFile.plane`."""
        found = check_plane(self.series, series, t, z, c)
        whole = (0, 0, found.width, found.height)
        return self._read(series, t, z, c, whole, near)

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of the first plane; see `ImageFile.region`."""
        found = check_plane(self.series, series, 0, 0, 0)
        left, top, width, height = xywh
        check_size(
            *_scaled(self._zoom(series, xywh, near), width, height), self._limits
        )
        x, y = min(left, found.width), min(top, found.height)
        inside = (
            x,
            y,
            min(left + width, found.width) - x,
            min(top + height, found.height) - y,
        )
        if inside == xywh:
            return self._read(series, 0, 0, 0, xywh, near)
        zoom = self._zoom(series, xywh, near)
        wanted = _scaled(zoom, width, height)
        shape = (wanted[1], wanted[0], 3)[: 3 if found.samples == 3 else 2]
        dtype = np.dtype(found.dtype)
        result = np.full(shape, white(dtype, found.bits), dtype)
        if min(inside[2:]) > 0:
            part = self._read(series, 0, 0, 0, inside, near, zoom)
            part = part[: wanted[1], : wanted[0]]
            result[: part.shape[0], : part.shape[1]] = part
        return result

    def _zoom(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None
    ) -> float:
        """Return the smallest of the sizes stored that has `near` pixels a side."""
        if near is None:
            return 1.0
        fit = [
            zoom for zoom in self._zooms if min(_scaled(zoom, xywh[2], xywh[3])) >= near
        ]
        return min(fit, default=1.0)

    def _read(
        self,
        series: int,
        t: int,
        z: int,
        c: int,
        xywh: tuple[int, int, int, int],
        near: int | None,
        zoom: float | None = None,
    ) -> NDArray[np.generic]:
        place, found = self._places[series], self.series[series]
        zoom = self._zoom(series, xywh, near) if zoom is None else zoom
        check_size(*_scaled(zoom, xywh[2], xywh[3]), self._limits)
        roi = (place.rect[0] + xywh[0], place.rect[1] + xywh[1], *xywh[2:])
        plane = {
            "T": self._values["T"][t],
            "Z": self._values["Z"][z],
            "C": place.channels[c],
            **dict(place.others),
        }
        # what a scanner left out is empty glass, or dark
        paper = (1.0, 1.0, 1.0) if found.samples == 3 else (0.0, 0.0, 0.0)
        key = _key({"S": place.scene or 0, **plane})
        if key not in self._there:  # libCZI would make up a black one
            raise DamagedImageError("The file has no pixels for this plane")
        if key in self._huge:  # libCZI unpacks tiles as a whole
            raise ImageTooLargeError("A tile of this plane has too many pixels")
        with self._lock, guarded(_LOST):
            try:
                pixels = self._reader.read(
                    roi=roi,
                    plane=plane,
                    scene=place.scene,
                    zoom=zoom,
                    background_pixel=paper,
                )
            except MemoryError as ex:  # of a tile that tells an impossible length
                raise DamagedImageError(_LOST) from ex
            # the package's memory does not outlive the next call
            pixels = np.array(pixels)
        pixels = pixels[..., ::-1] if found.samples == 3 else pixels[..., 0]
        return np.ascontiguousarray(pixels, found.dtype)

    def _find_places(self) -> list[_Place]:
        # as they occur: some files begin with 5, and damaged ones tell any number
        self._values = {
            axis: sorted({key[at] for key in self._there}) or [0]
            for at, axis in enumerate(_AXES)
        }
        if self._n_planes > max(1_000_000, 100 * len(self._there)):
            raise DamagedImageError(_DAMAGED)
        scenes: dict[int | None, Any] = dict(
            self._reader.scenes_bounding_rectangle_no_pyramid
        ) or {None: self._reader.total_bounding_rectangle_no_pyramid}
        others = [
            [(axis, index) for index in self._values[axis]]
            for axis in _OTHERS
            if len(self._values[axis]) > 1
        ]
        kinds: dict[bool, list[int]] = {}
        for number in self._values["C"]:
            kind = self._reader.get_channel_pixel_type(number)
            if kind in _TYPES:
                kinds.setdefault("Bgr" in kind, []).append(number)
        return [
            _Place(scene, tuple(rect), tuple(channels), other)
            for (scene, rect), other in product(scenes.items(), product(*others))
            # each photograph is a picture by itself
            for channels in ([kinds[False]] if False in kinds else [])
            + [[number] for number in kinds.get(True, ())]
            if min(rect[2:]) > 0
        ]

    @property
    def _n_planes(self) -> int:
        return math.prod(len(values) for values in self._values.values())

    def _look_through(self) -> None:
        """Note which planes are in the file, and in which sizes they are stored."""
        self._there: set[tuple[int, ...]] = set()
        self._huge: set[tuple[int, ...]] = set()
        steps = {1}

        def see(index: int, info: Any) -> bool:
            zoom = float(info.get_zoom())
            key = _key(info.coordinate.to_dict())
            stored = info.physicalSize
            if stored.w * stored.h > self._limits.max_pixels:
                self._huge.add(key)
            if zoom > 0.9:
                self._there.add(key)
            elif zoom > 0:
                steps.add(round(1 / zoom))  # tiles at the edge are rounded
            return True

        self._reader.enumerate_subblocks(see)
        self._zooms = [1 / step for step in sorted(steps)]

    def _describe(self, place: _Place) -> Series:
        kinds = [self._reader.get_channel_pixel_type(n) for n in place.channels]
        dtype = np.result_type(*(_TYPES[kind] for kind in kinds))
        is_photo = "Bgr" in kinds[0]
        bits = max((self._about.bits.get(n, 0) for n in place.channels), default=0)
        width, height = place.rect[2:]
        return Series(
            width,
            height,
            str(dtype),
            len(self._values["T"]),
            len(self._values["Z"]),
            channels=tuple(self._about.channel(n, is_photo) for n in place.channels),
            samples=3 if is_photo else 1,
            bits=told_bits(bits, dtype),
            pixel_size=self._about.pixel_size,
            name=self._about.scenes.get(place.scene or 0, ""),
            levels=tuple(_scaled(zoom, width, height) for zoom in self._zooms),
        )


def _key(place: dict[str, int]) -> tuple[int, ...]:
    """Return where a plane is, if all axes that are not told begin with 0."""
    return tuple(place.get(axis, 0) for axis in _AXES)


def _scaled(zoom: float, width: int, height: int) -> tuple[int, int]:
    """Return the size that libCZI makes of one."""
    return max(1, int(width * zoom)), max(1, int(height * zoom))


@dataclass(frozen=True)
class _About:
    """What the file's XML tells."""

    names: dict[int, str]
    colours: dict[int, tuple[int, int, int]]
    bits: dict[int, int]
    scenes: dict[int, str]
    pixel_size: tuple[float, float] | None

    def channel(self, number: int, is_photo: bool) -> Channel:
        colour = None if is_photo else self.colours.get(number)
        return Channel(self.names.get(number, ""), colour)

    @classmethod
    def of(cls, text: str) -> _About:
        names: dict[int, str] = {}
        colours: dict[int, tuple[int, int, int]] = {}
        bits: dict[int, int] = {}
        scenes: dict[int, str] = {}
        try:
            if "<!" in text.split("<ImageDocument", 1)[0]:
                text = ""  # no such file has definitions of its own
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            return cls(names, colours, bits, scenes, None)
        ids: dict[str, int] = {}
        image = "./Metadata/Information/Image/Dimensions"
        for number, item in enumerate(root.iterfind(f"{image}/Channels/Channel")):
            ids[item.get("Id", "")] = number
            names[number] = item.get("Name", "")
            bits[number] = _int(item.findtext("ComponentBitCount"))
            if colour := _colour(item.findtext("Color")):
                colours[number] = colour
        shown = root.iterfind("./Metadata/DisplaySetting/Channels/Channel")
        for place, item in enumerate(shown):
            number = ids.get(item.get("Id") or "", place)
            if colour := _colour(item.findtext("Color")):
                colours[number] = colour
            names[number] = names.get(number) or item.get("Name") or ""
        for number, item in enumerate(root.iterfind(f"{image}/S/Scenes/Scene")):
            index = item.get("Index")
            scenes[_int(index) if index else number] = item.get("Name", "")
        sizes = {
            item.get("Id") or "": _float(item.findtext("Value")) * 1e6  # from metres
            for item in root.iterfind("./Metadata/Scaling/Items/Distance")
        }
        x, y = sizes.get("X", 0.0), sizes.get("Y", 0.0)
        return cls(names, colours, bits, scenes, (x, y) if x > 0 and y > 0 else None)


def _int(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


def _float(text: str | None) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _colour(text: str | None) -> tuple[int, int, int] | None:
    """Return red, green and blue of "#AARRGGBB"."""
    digits = (text or "").lstrip("#")[-6:]
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        return None
    return red, green, blue
