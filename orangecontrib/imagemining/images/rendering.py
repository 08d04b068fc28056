"""An opened file of numbers becomes the picture that viewer and network see.

The steps are: choose planes (`Part`, ``stack=``) and project them if that is wanted, in
the raw numbers; make 8 bits of each channel (``contrast=``); lay the channels over each
other in their colours (``channels=``). See `images.sources` for the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
)
from orangecontrib.imagemining.images.contrast import (
    black_and_white,
    sample,
    scale_to_8_bits,
    to_8_bits,
)
from orangecontrib.imagemining.images.formats._base import ImageFile, Series
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.projecting import mean_of_channels, project
from orangecontrib.imagemining.images.sources import COLOURS, Part, Rendering

__all__ = [
    "black_and_white",
    "check_part",
    "raw_samples",
    "render",
    "scale_to_8_bits",
    "size_of",
    "to_8_bits",
]

#: Most raw numbers that `raw_samples` gives of a channel.
MOST_SAMPLES = 100_000

_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class _Layer:
    """What gets one contrast and one colour.

    Attributes
    ----------
    channels : numbers of the channels of which it is the mean.
    component : of a photograph: 0 red, 1 green, 2 blue; None for all, or no photograph.
    colour : parts of red, green and blue; None where the picture is grey, or is a
        photograph in its own colours.
    place : which of the contrast ranges is its own.
    """

    channels: tuple[int, ...]
    component: int | None = None
    colour: _Colour | None = None
    place: int = 0


def size_of(contents: Sequence[Series], part: Part) -> tuple[int, int]:
    """Return (width, height) of a part as a whole: of the tile, or of the plane.

    Parameters
    ----------
    contents
        All series of a file.
    part
        Of it.

    Raises
    ------
    ImageError
        If the file has no such part.
    """
    series = check_part(contents, part)
    if part.xywh is not None:
        return part.xywh[2:]
    return series.width, series.height


def check_part(contents: Sequence[Series], part: Part) -> Series:
    """Return the series that a part is of.

    Raises
    ------
    ImageError
        If the file has no such part; the message says what it has.
    """
    _check_number(len(contents), part.series or 0, "series", "series")
    series = contents[part.series or 0]
    _check_number(series.n_times, part.t, "time point", "time points")
    _check_number(series.n_depths, part.z, "focus plane", "focus planes")
    _check_number(len(series.channels), part.c, "channel", "channels")
    if part.xywh is not None:
        x, y, width, height = part.xywh
        if width < 1 or height < 1:
            raise ImageError("A tile must have one pixel at least")
        if x >= series.width or y >= series.height:
            raise ImageError(
                f"The image has {series.width} × {series.height} pixels; there is no"
                f" tile at {x}, {y}"
            )
    return series


def _check_number(n: int, number: int | None, one: str, many: str) -> None:
    if number is not None and number >= n:
        raise ImageError(
            # people count from 1
            f"The file has {n} {one if n == 1 else many}; there is no number"
            f" {number + 1}"
        )


def render(
    file: ImageFile,
    part: Part,
    rendering: Rendering,
    limits: Limits,
    near: int | None = None,
) -> Image.Image:
    """Return a picture of mode L or RGB.

    Parameters
    ----------
    file
        Opened; it stays open.
    part
        Which of its pictures; what it leaves open `rendering` says.
    rendering
        How its numbers become brightness and colours.
    limits
        On the pixels of a plane, or of a tile. Of pyramids whose whole has more, the
        largest level within the limit is taken.
    near
        A smaller picture will do whose sides have at least so many pixels each.

    Raises
    ------
    ImageError
        If the file has no such part or channels, or they cannot be read. Of a
        projection, planes that cannot be read are left out while there are others.
    """
    work = _Work(file, part, rendering, limits, near)
    shown: list[tuple[_Layer, NDArray[np.uint8]]] = []
    for layer in work.layers:
        values = work.values(layer)
        inside = work.inside(values)
        low, high = work.black_and_white(layer, inside)
        pixels = to_8_bits(inside, low, high)
        if inside.shape != values.shape:
            paper = np.full(values.shape, 255, np.uint8)
            paper[: pixels.shape[0], : pixels.shape[1]] = pixels
            pixels = paper
        shown.append((layer, pixels))
    layer, pixels = shown[0]
    if layer.colour is not None:
        return Image.fromarray(_overlaid(shown))
    image = Image.fromarray(pixels)
    return image.convert("L") if rendering.channels == "grey" else image


def raw_samples(
    file: ImageFile, part: Part, rendering: Rendering, limits: Limits
) -> list[NDArray[np.generic]]:
    """Return raw numbers of each channel that `render` would show.

    They are those of the chosen planes or the projection, before any contrast.

    Returns
    -------
    One-dimensional arrays of at most 100,000 finite numbers, spread over the image, in
    the numbers' own type (means are float64). There is one for each pair of black and
    white that the image can have: one for grey pictures, one for photographs (the
    three colours together), else one for each channel, in order.

    Raises
    ------
    ImageError
        As `render`.
    """
    work = _Work(file, part, rendering, limits, None)
    found = []
    for layer in work.layers:
        values = work.values(layer)
        found.append(sample(work.inside(values), MOST_SAMPLES // 2))
    return found


class _Work:
    """One picture of one file, asked for in one way."""

    def __init__(
        self,
        file: ImageFile,
        part: Part,
        rendering: Rendering,
        limits: Limits,
        near: int | None,
    ) -> None:
        self._file = file
        self._series = check_part(file.series, part)
        self._part = part
        self._rendering = rendering
        self._near = near
        self._last: tuple[int, NDArray[np.generic]] | None = None
        self.layers = _layers(self._series, part, rendering)
        if part.xywh is None:
            self._near = _affordable(self._series, limits, near)
        else:
            limits.check_pixels(*part.xywh[2:])
            if not self._is_first_plane():
                # these are cut out of whole planes
                limits.check_pixels(self._series.width, self._series.height)

    def values(self, layer: _Layer) -> NDArray[np.generic]:
        """Return a layer's raw numbers: (height, width), or (height, width, 3)."""
        if len(layer.channels) > 1:
            return mean_of_channels(self._channel, layer.channels)
        values = self._channel(layer.channels[0])
        if self._series.samples == 3 and values.ndim == 2:
            values = np.stack([values] * 3, axis=2)
        return values if layer.component is None else values[..., layer.component]

    def inside(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the part of a tile that is within the image."""
        if self._part.xywh is None:
            return values
        x, y, width, height = self._part.xywh
        # a tile that was read smaller ends at a part of its pixels
        rows = round(values.shape[0] * min(1, (self._series.height - y) / height))
        columns = round(values.shape[1] * min(1, (self._series.width - x) / width))
        return values[: max(1, rows), : max(1, columns)]

    def black_and_white(
        self, layer: _Layer, values: NDArray[np.generic]
    ) -> tuple[float, float]:
        if values.dtype.kind not in "bui" and not _has_finite(values):
            raise DamagedImageError("None of the pixels has a value")
        rendering, series = self._rendering, self._series
        if rendering.contrast == "range" and rendering.ranges:
            return rendering.ranges[min(layer.place, len(rendering.ranges) - 1)]
        contrast = "auto" if rendering.contrast == "range" else rendering.contrast
        percentiles = rendering.percentiles
        return black_and_white(
            values, contrast, percentiles, series.bits, dtype=series.dtype
        )

    def _channel(self, number: int) -> NDArray[np.generic]:
        # the three colours of a photograph are one channel: it is read once
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        index, part = self._part.series or 0, self._part
        xywh = part.xywh
        if xywh is not None and self._is_first_plane():
            values = project(
                lambda t, z: self._file.region(index, xywh, self._near), [(0, 0)]
            )
        else:
            near = self._near if part.xywh is None else None
            values = project(
                lambda t, z: self._cut(self._file.plane(index, t, z, number, near)),
                self._planes(),
                self._rendering.stack,
            )
        photograph = self._series.samples == 3
        if values.ndim != 2 and not (photograph and values.shape[2:] == (3,)):
            raise DamagedImageError(
                "The file is damaged (a plane is not what the metadata say)"
            )
        if photograph:
            self._last = number, values
        return values

    def _is_first_plane(self) -> bool:
        channels = {number for layer in self.layers for number in layer.channels}
        return self._planes() == [(0, 0)] and channels == {0}

    def _cut(self, plane: NDArray[np.generic]) -> NDArray[np.generic]:
        if self._part.xywh is None:
            return plane
        x, y, width, height = self._part.xywh
        cut = plane[y : y + height, x : x + width]
        missing = [(0, height - cut.shape[0]), (0, width - cut.shape[1])]
        missing += [(0, 0)] * (plane.ndim - 2)
        return np.pad(cut, missing) if any(map(sum, missing)) else cut

    def _planes(self) -> list[tuple[int, int]]:
        times, depths = (
            _chosen(self._rendering.stack, n, number)
            for n, number in (
                (self._series.n_times, self._part.t),
                (self._series.n_depths, self._part.z),
            )
        )
        return [(t, z) for t in times for z in depths]


def _chosen(stack: str, n: int, number: int | None) -> range:
    """Return the numbers of the planes along one axis."""
    if number is None and stack in ("max", "mean"):
        return range(n)
    if number is None:
        number = n // 2 if stack == "middle" else 0
    return range(number, number + 1)


def _layers(series: Series, part: Part, rendering: Rendering) -> list[_Layer]:
    channels, n = rendering.channels, len(series.channels)
    if series.samples == 3:
        own = (part.c or 0,)
        if isinstance(channels, str):
            return [_Layer(own, place=own[0])]
        _check_number(3, max(number for number, _ in channels), "colour", "colours")
        return [
            _Layer(own, number, COLOURS[colour], place)
            for place, (number, colour) in enumerate(channels)
        ]
    if part.c is not None:
        # a row of one channel alone is grey, unless a colour was asked for
        if not isinstance(channels, str):
            for place, (number, colour) in enumerate(channels):
                if number == part.c:
                    return [_Layer((number,), None, COLOURS[colour], place)]
        return [_Layer((part.c,), place=part.c)]
    if not isinstance(channels, str):
        _check_number(n, max(number for number, _ in channels), "channel", "channels")
        return [
            _Layer((number,), None, COLOURS[colour], place)
            for place, (number, colour) in enumerate(channels)
        ]
    if n == 1 or channels == "grey":
        return [_Layer(tuple(range(n)))]
    if channels == "rgb":
        colours = [COLOURS[name] for name in ("red", "green", "blue")]
    else:
        colours = _own_colours(series)
    return [
        _Layer((number,), None, colour, number)
        for number, colour in zip(range(n), colours, strict=False)
    ]


def _own_colours(series: Series) -> list[_Colour]:
    """Return the colours that the file gives its first three channels, or ours."""
    names = ("green", "magenta") if len(series.channels) == 2 else ()
    ours = [COLOURS[name] for name in names or ("red", "green", "blue")]
    own = [_colour(channel.colour) for channel in series.channels[:3]]
    # many programs write white for all, which would make them one
    if len(set(own) - {None}) < 2:
        return ours
    # those without get that of their place, unless another channel has it
    for place, colour in enumerate(own):
        if colour is None:
            spare = (ours[place], *ours, *COLOURS.values())
            own[place] = next(each for each in spare if each not in own)
    return [colour for colour in own if colour is not None]


def _colour(told: tuple[int, int, int] | None) -> _Colour | None:
    # black, in which an inverted table of colours ends, would hide the channel
    if told is None or not any(told):
        return None
    return (told[0] / 255, told[1] / 255, told[2] / 255)


def _overlaid(shown: list[tuple[_Layer, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return (height, width, 3): the layers' light added up, clipped at white."""
    picture = np.empty((*shown[0][1].shape, 3), np.uint8)
    brightness = np.arange(256)
    for k in range(3):
        light = np.zeros(picture.shape[:2], np.uint16)
        for layer, pixels in shown:
            if pixels.shape != light.shape:
                raise DamagedImageError(
                    "The file is damaged (its channels have different sizes)"
                )
            part = layer.colour[k] if layer.colour else 0
            light += np.rint(brightness * part).astype(np.uint16)[pixels]
        picture[..., k] = np.minimum(light, 255)
    return picture


def _has_finite(values: NDArray[np.generic]) -> bool:
    return any(np.isfinite(line).any() for line in values)


def _affordable(series: Series, limits: Limits, near: int | None) -> int | None:
    """Return what to ask `plane` for, so that what it decodes is within the limit."""
    levels = series.levels or ((series.width, series.height),)
    chosen = levels[0]
    if near is not None:
        suffice = [level for level in levels if min(level) >= near]
        chosen = min(suffice or [chosen], key=lambda level: level[0] * level[1])
    if chosen[0] * chosen[1] <= limits.max_pixels:
        return near
    allowed = [level for level in levels if level[0] * level[1] <= limits.max_pixels]
    if not allowed:
        limits.check_pixels(*min(levels))
    width, height = max(allowed, key=lambda level: level[0] * level[1])
    return min(width, height)
