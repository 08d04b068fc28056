"""What a TIFF file tells beside its pixels: channels, pixel size, bits in use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images.formats._base import Channel
from orangecontrib.imagemining.images.formats._ome import MICROMETRES
from orangecontrib.imagemining.images.formats._tiff_file import TiffPages, translated

if TYPE_CHECKING:
    import tifffile

__all__ = ["Told", "bits_told", "imagej_told", "plain_told", "vendor_told"]

_MAX_SAMPLE, _X, _Y, _UNIT = 281, 282, 283, 296
_IMAGEJ = 50839
_CENTIMETRE = 3
#: µm. Scanners and cameras write the resolution of a print; a microscope's is finer.
_FINE = 10.0


@dataclass
class Told:
    """What is not in the pixels.

    Attributes
    ----------
    channels : those that are told of; perhaps none.
    bits : used of each number; 0 if not told.
    pixel_size : µm; None if not told.
    name : of the series.
    """

    channels: list[Channel] = field(default_factory=list)
    bits: int = 0
    pixel_size: tuple[float, float] | None = None
    name: str = ""


def bits_told(page: tifffile.TiffPage) -> int:
    """Return how many bits are used, if the largest number is noted; else 0."""
    largest = page.tags.valueof(_MAX_SAMPLE)
    if isinstance(largest, tuple) and largest:
        largest = max(largest)
    if not isinstance(largest, int) or largest < 255:
        return 0
    # of a full range only: some note the largest number that happens to occur
    return largest.bit_length() if (largest + 1) & largest == 0 else 0


def plain_told(page: tifffile.TiffPage) -> Told:
    """Return what the tags of any TIFF tell."""
    size = None
    if page.tags.valueof(_UNIT) == _CENTIMETRE:
        size = _per_pixel(page, 1e4)
        if size is not None and max(size) > _FINE:
            size = None
    return Told(bits=bits_told(page), pixel_size=size)


def imagej_told(pages: TiffPages, text: str) -> tuple[Told, int, tuple[int, int, int]]:
    """Return what ImageJ notes, the number of images, and (times, depths, channels)."""
    notes = {}
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if mark:
            notes[key.strip().lower()] = value.strip()

    def number(key: str, default: int) -> int:
        try:
            return int(float(notes.get(key, default)))
        except (ValueError, OverflowError):
            return default

    n_images = number("images", 1)
    channels = number("channels", 1)
    if not 0 < channels <= min(max(n_images, 1), 10_000):
        channels = 1
    times = number("frames", 1)
    depths = number("slices", 1)
    if times * depths * channels < n_images and "slices" not in notes:
        depths = n_images // max(1, times * channels)
    unit = notes.get("unit", "")
    if "\\u" in unit:
        unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), unit)
    size = None
    # inch: what ImageJ makes of a photograph's 72 dots per inch
    if unit.lower() not in ("inch", "in") and MICROMETRES.get(unit):
        size = _per_pixel(pages.first, MICROMETRES[unit])
    more = pages.first.tags.valueof(_IMAGEJ)
    more = more if isinstance(more, dict) else {}
    told = Told(
        channels=_imagej_channels(more, channels, notes.get("mode", "")),
        bits=bits_told(pages.first),
        pixel_size=size,
    )
    if channels == 1 and not told.channels:
        told.channels = _coloured(pages.first)
    return told, n_images, (times, depths, channels)


def _imagej_channels(more: dict[str, Any], channels: int, mode: str) -> list[Channel]:
    luts = more.get("LUTs") or more.get("luts") or []
    labels = more.get("Labels") or more.get("labels") or []
    if channels < 2 and not luts:
        return []
    names = []
    for c in range(channels):
        own = {str(label) for label in labels[c::channels]}
        names.append(_channel_name(own.pop()) if len(own) == 1 else "")
    if len(set(names)) < len(names):  # the file's name, over and over
        names = [""] * channels
    colours: list[tuple[int, int, int] | None] = [None] * channels
    if mode != "grayscale":
        for c, lut in enumerate(luts[:channels]):
            table = np.asarray(lut)
            if table.shape == (3, 256):
                red, green, blue = (int(number) for number in table[:, -1])
                colours[c] = (red, green, blue)
    return [Channel(*pair) for pair in zip(names, colours, strict=True)]


def _channel_name(label: str) -> str:
    """Return what a slice's label says beside its place and the file's name."""
    line = label.strip().splitlines()[0] if label.strip() else ""
    line = re.sub(r"^(?:[czt]:\d+/\d+\s*)+(?:-\s*)?", "", line)
    return "" if re.search(r"\.\w{2,4}$", line) else line


def _coloured(page: tifffile.TiffPage) -> list[Channel]:
    """Return the channel of a grey picture that ImageJ shows in one colour."""
    palette = page.colormap
    if palette is None or np.shape(palette) != (3, 256):
        return []
    colours = np.asarray(palette, np.float64)
    if colours.max() > 255:
        colours = colours / 257
    ramp = np.arange(256) / 255 * colours[:, -1:]
    if np.abs(colours - ramp).max() > 2:
        return []
    red, green, blue = (round(number) for number in colours[:, -1].tolist())
    return [Channel("", (red, green, blue))]


def _per_pixel(page: tifffile.TiffPage, unit: float) -> tuple[float, float] | None:
    """Return µm per pixel of resolutions in pixels per unit of so many µm."""
    sizes = []
    for tag in (_X, _Y):
        value = page.tags.valueof(tag)
        if not isinstance(value, tuple) or len(value) != 2 or 0 in value:
            return None
        sizes.append(unit * value[1] / value[0])
    return sizes[0], sizes[1]


def vendor_told(pages: TiffPages, series: Any) -> Told:
    """Return what the makers of microscopes tell, of those that tifffile understands.

    Parameters
    ----------
    series : tifffile's.
    """
    told = Told(bits=bits_told(pages.first), name=str(series.name or ""))
    try:
        with translated():
            if pages.tiff.is_lsm:
                _lsm(pages.tiff.lsm_metadata or {}, told)
            elif pages.tiff.is_stk:
                _stk(pages.tiff.stk_metadata or {}, told)
            elif pages.tiff.is_fluoview:
                _fluoview(pages.tiff.fluoview_metadata or {}, told)
            elif pages.tiff.is_svs:
                found = re.search(r"\bMPP ?= ?([\d.]+)", series.keyframe.description)
                if found and series.name == "Baseline":
                    told.pixel_size = (float(found[1]), float(found[1]))
    except ImageError:
        pass  # what was understood before is kept
    return told


def _lsm(notes: dict[str, Any], told: Told) -> None:
    x, y = (float(notes.get(f"VoxelSize{axis}", 0)) * 1e6 for axis in "XY")
    if x > 0 and y > 0:
        told.pixel_size = (x, y)
    colours = notes.get("ChannelColors") or {}
    names = colours.get("ColorNames") or []
    for number, colour in enumerate(colours.get("Colors") or []):
        red, green, blue = (int(part) for part in colour[:3])
        name = str(names[number]) if number < len(names) else ""
        told.channels.append(Channel(name, (red, green, blue)))


def _stk(notes: dict[str, Any], told: Told) -> None:
    unit = MICROMETRES.get(str(notes.get("CalibrationUnits", "")).strip().lower())
    x, y = (notes.get(f"{axis}Calibration") for axis in "XY")
    if unit and notes.get("SpatialCalibration", True) and x and y:
        told.pixel_size = (float(x) * unit, float(y) * unit)


def _fluoview(notes: dict[str, Any], told: Told) -> None:
    sizes = []
    for name, _, _, step, unit in list(notes.get("Dimensions") or [])[:2]:
        if str(name).strip().lower() in "xy" and float(step) > 0:
            sizes.append(float(step) * MICROMETRES.get(str(unit).strip(), 0))
    if len(sizes) == 2 and min(sizes) > 0:
        told.pixel_size = (sizes[0], sizes[1])
