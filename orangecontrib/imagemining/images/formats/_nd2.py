"""ND2, the files of Nikon's microscopes."""

from __future__ import annotations

import threading
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    NotAnImageError,
)
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

__all__ = ["Nd2File", "open_nd2"]

_DAMAGED = "The ND2 file is damaged"


def open_nd2(stream: BinaryIO, path: str | None, limits: Limits) -> Nd2File:
    """Open a file; see `Family.open`."""
    stream.seek(0)
    if stream.read(4) != b"\xda\xce\xbe\x0a":
        raise NotAnImageError(
            "An ND2 file of before 2010; save it anew with Nikon's program, or as TIFF"
        )
    package = needed("nd2", "ND2", "microscopy")
    stream.seek(0)
    with quiet("nd2"), guarded(_DAMAGED):
        kept = _Kept(stream)
        return Nd2File(package.ND2File(kept), kept, limits)


class _Kept:
    """A stream that says when there was nothing to read.

    The package gives black for frames that are not in the file. And it would map a
    file into memory: one that is cut short meanwhile ends the whole program.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close
        self.n_read = 0

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def read(self, size: int | None = -1) -> bytes:
        wanted = -1 if size is None else size
        data = self._stream.read(wanted)
        self.n_read += len(data)
        if len(data) < wanted:
            raise EOFError("the file breaks off")
        return data


class Nd2File:
    """An opened ND2 file; see `ImageFile`."""

    format = "ND2"

    def __init__(self, nd2: Any, stream: _Kept, limits: Limits) -> None:
        self._nd2, self._stream, self._limits = nd2, stream, limits
        self._lock = threading.Lock()
        about = nd2.attributes
        self._n_channels = int(about.channelCount or 1)
        self._n_parts = int(about.componentCount) // self._n_channels
        self._size = (int(about.widthPx or 0), int(about.heightPx))
        if min(*self._size, self._n_channels, self._n_parts) < 1:
            raise DamagedImageError("The image has no pixels")
        self._frames, n_positions, n_times, n_depths = _frames_of(nd2)
        self._is_photo = self._n_parts == 3
        self.series = tuple(
            self._describe(nd2, number, n_positions, n_times, n_depths)
            for number in range(n_positions)
        )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, muted("nd2"):
            self._nd2.close()
            self._stream.close()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        """Return one plane; see `ImageFile.plane`."""
        found = check_plane(self.series, series, t, z, c)
        check_size(found.width, found.height, self._limits)
        index = self._frames.get((series, t, z))
        reason = "This plane of the ND2 file is damaged, or the file breaks off before"
        with self._lock, muted("nd2"), guarded(reason):
            before = self._stream.n_read
            frame = None if index is None else self._nd2.read_frame(index)
            if frame is None or self._stream.n_read == before:
                raise DamagedImageError("The file has no pixels for this plane")
            shape = (self._n_channels, found.height, found.width, self._n_parts)
            frame = np.asarray(frame).reshape(shape)
            # its colours begin with blue
            plane = (
                frame[c, ..., ::-1]
                if self._is_photo
                else frame[c // self._n_parts, ..., c % self._n_parts]
            )
            return np.array(plane, found.dtype, order="C")

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        """Return a part of the first plane; see `ImageFile.region`."""
        plane = self.plane(series, 0, 0, 0)
        return cut(plane, xywh, self._limits, self.series[series].bits)

    def _describe(
        self, nd2: Any, number: int, n_positions: int, n_times: int, n_depths: int
    ) -> Series:
        dtype = np.dtype(nd2.dtype)
        bits = int(nd2.attributes.bitsPerComponentSignificant or 0)
        told = list(nd2.metadata.channels or ())
        channels = [_channel(item, self._is_photo) for item in told]
        n = self._n_channels * (1 if self._is_photo else self._n_parts)
        return Series(
            *self._size,
            str(dtype),
            n_times,
            n_depths,
            channels=tuple(channels) if len(channels) == n else (Channel(),) * n,
            samples=3 if self._is_photo else 1,
            bits=told_bits(bits, dtype),
            pixel_size=_pixel_size(told),
            name=f"position {number + 1}" if n_positions > 1 else "",
            levels=(self._size,),
        )


_Frames = dict[tuple[int, int, int], int]


def _frames_of(nd2: Any) -> tuple[_Frames, int, int, int]:
    """Return the frames by position, time and depth, and how many there are of each."""
    loops = [dict(place) for place in nd2.loop_indices]
    n_frames = int(nd2.attributes.sequenceCount)
    if n_frames < 1:
        raise DamagedImageError("The image has no pixels")
    if len(loops) < 2:  # it is not told what they follow each other in
        if n_frames > 1_000_000:
            raise DamagedImageError(_DAMAGED)
        return {(0, index, 0): index for index in range(n_frames)}, 1, n_frames, 1
    # other loops repeat the whole in time
    others = sorted({tuple(_rest(place)) for place in loops})
    n = {axis: 1 + max(place.get(axis, 0) for place in loops) for axis in "PTZ"}
    frames = {
        (
            place.get("P", 0),
            others.index(tuple(_rest(place))) * n["T"] + place.get("T", 0),
            place.get("Z", 0),
        ): index
        for index, place in enumerate(loops)
    }
    if len(frames) < len(loops):  # two loops of the same kind
        return {(0, t, 0): t for t in range(len(loops))}, 1, len(loops), 1
    return frames, n["P"], n["T"] * len(others), n["Z"]


def _rest(place: dict[str, int]) -> list[int]:
    return [index for axis, index in place.items() if axis not in "PTZ"]


def _channel(item: Any, is_photo: bool) -> Channel:
    colour = item.channel.color
    rgb = (int(colour.r), int(colour.g), int(colour.b))
    return Channel(str(item.channel.name or ""), None if is_photo else rgb)


def _pixel_size(channels: list[Any]) -> tuple[float, float] | None:
    if not channels:
        return None
    volume = channels[0].volume
    (width, height), is_told = volume.axesCalibration[:2], volume.axesCalibrated[:2]
    return (float(width), float(height)) if all(is_told) and width > 0 else None
