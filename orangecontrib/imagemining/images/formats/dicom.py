"""DICOM: what the machines of hospitals write, and some microscopes.

The package pydicom reads the words around the pixels. The pixels themselves are read
here, so that one frame of many is read alone; imagecodecs unpacks those that are
compressed, so that no plug-ins of pydicom are needed. Nothing of what the file says of
a patient is kept or shown.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.formats._base import Family, Series, register
from orangecontrib.imagemining.images.formats._dicom_frames import (
    NATIVE,
    Fragments,
    FrameShape,
    decode_frame,
    native_frame,
)
from orangecontrib.imagemining.images.formats._dicom_words import (
    n_frames_of,
    order_of,
    pixel_size_of,
    scales_of,
    whole,
)
from orangecontrib.imagemining.images.formats._packages import guarded, needed, quiet
from orangecontrib.imagemining.images.formats._pixels import (
    check_plane,
    check_size,
    cut,
    white,
)
from orangecontrib.imagemining.images.limits import Limits

__all__ = ["FAMILY"]

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"
_DAMAGED = "The file's DICOM header is damaged"
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "")
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")


def _recognises(start: bytes, path: str | None) -> bool:
    return start[128:132] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """Tell whether it is DICOM without the 132 bytes that go before it.

    Then the first elements, in their order, must tell by a UID of DICOM's what kind
    of thing is in the file; nothing else begins like that.
    """
    place, before = 0, 0
    while len(start) >= place + 12:
        group, element = struct.unpack_from("<HH", start, place)
        tag = group << 16 | element
        if group not in (2, 8) or (before and tag <= before):
            return False
        kind = start[place + 4 : place + 6]
        if kind in _LONG:
            head, (length,) = 12, struct.unpack_from("<I", start, place + 8)
        elif kind.isalpha() and kind.isupper():
            head, (length,) = 8, struct.unpack_from("<H", start, place + 6)
        else:  # its type is not written
            head, (length,) = 8, struct.unpack_from("<I", start, place + 4)
        if tag in (0x00020002, 0x00080016):
            return start[place + head :].startswith(b"1.2.840.10008.")
        place, before = place + head + length, tag
    return False


def _open(stream: BinaryIO, path: str | None, limits: Limits) -> _DicomFile:
    pydicom = needed("pydicom", "DICOM", "dicom")
    with quiet("pydicom"), guarded(_DAMAGED):
        stream.seek(0)
        bare = stream.read(132)[128:] != b"DICM"
        inflated = None if bare else _inflated(stream, limits)
        source = inflated or stream
        source.seek(0)
        dataset = pydicom.dcmread(
            source, stop_before_pixels=True, force=bare or inflated is not None
        )
        return _DicomFile(pydicom, dataset, source, stream, limits)


def _inflated(stream: BinaryIO, limits: Limits) -> BinaryIO | None:
    """Return what a file holds that is deflated as a whole; None if it is not."""
    place, deflated = 132, False
    while True:
        stream.seek(place)
        head = stream.read(12)
        if len(head) < 12 or head[:2] != b"\x02\0":
            break
        long = head[4:6] in _LONG
        value = place + (12 if long else 8)
        (length,) = struct.unpack(
            "<I" if long else "<H", head[8:] if long else head[6:8]
        )
        if head[2:4] == b"\x10\0":
            stream.seek(value)
            deflated = stream.read(length).rstrip(b"\0 ") == _DEFLATED
        place = value + length
    if not deflated:
        return None
    stream.seek(place)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unpack.decompress(stream.read(), 8 * limits.max_pixels + 2**20)
    if unpack.unconsumed_tail:
        raise ImageTooLargeError("Unpacked, the file has more bytes than the limit")
    return io.BytesIO(content)


class _DicomFile:
    format = "DICOM"

    def __init__(
        self,
        pydicom: ModuleType,
        dataset: Any,
        source: BinaryIO,
        stream: BinaryIO,
        limits: Limits,
    ) -> None:
        self._pydicom, self._dataset, self._limits = pydicom, dataset, limits
        self._source, self._stream = source, stream
        self._lock = threading.Lock()
        self._fragments: Fragments | None = None
        implicit, little = dataset.original_encoding
        tag, words, self._start = _pixels_of(source, dataset, implicit, little)
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")).strip()
        # without a word of it nothing is compressed
        self._syntax = syntax if syntax and source is stream else min(NATIVE)
        self._colours = str(dataset.get("PhotometricInterpretation", "") or "").strip()
        self._n_frames = n_frames_of(dataset)
        self._shape = self._shape_of(tag != 0x10, little, words)
        self._stored_bits = self._bits_of()
        self._check_number()
        self._scales = scales_of(dataset, self._n_frames)
        self._low, self._high, self._dtype = self._range()
        self._order, n_times, n_depths = order_of(dataset, self._n_frames)
        is_int = self._dtype.kind in "ui"
        photo = self._shape.samples == 3 or self._colours == "PALETTE COLOR"
        size = (self._shape.columns, self._shape.rows)
        self.series: tuple[Series, ...] = (
            Series(
                *size,
                str(self._dtype),
                n_times,
                n_depths,
                samples=3 if photo else 1,
                bits=_bits(int(self._low), int(self._high)) if is_int else 0,
                pixel_size=pixel_size_of(dataset),
                levels=(size,),
            ),
        )

    def close(self) -> None:
        self._stream.close()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> NDArray[np.generic]:
        found = check_plane(self.series, series, t, z, c)
        check_size(found.width, found.height, self._limits)
        index = self._order[t * found.n_depths + z]
        frame, colours = self._stored(index)
        if frame.ndim == 3:
            if colours.startswith("YBR"):
                frame = _rgb(frame)
            return np.ascontiguousarray(frame, self._dtype)
        if self._shape.kind == "f":
            numbers = frame
        elif self._shape.allocated == 1:
            numbers = frame.astype(np.uint8) * np.uint8(255)
        else:
            numbers = self._meant(frame)
        if colours == "PALETTE COLOR":
            return self._coloured(numbers)
        return self._scaled(numbers, index)

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> NDArray[np.generic]:
        return cut(
            self.plane(series, 0, 0, 0), xywh, self._limits, self.series[series].bits
        )

    def _shape_of(self, is_float: bool, little: bool, words: bool) -> FrameShape:
        get = self._dataset.get
        rows, columns = whole(get("Rows"), 0), whole(get("Columns"), 0)
        if rows < 1 or columns < 1 or self._n_frames < 1:
            raise DamagedImageError("The image has no pixels")
        samples, allocated = (
            whole(get("SamplesPerPixel"), 1),
            whole(get("BitsAllocated"), 8),
        )
        if (samples, self._colours in _COLOURS) not in ((1, False), (3, True)) or (
            samples == 1 and self._colours not in _GREYS
        ):
            raise ImageError("DICOM images of this kind of colours are not read")
        known = (32, 64) if is_float else (8, 16) if samples == 3 else (1, 8, 16, 32)
        if allocated not in known or (allocated == 1 and self._syntax not in NATIVE):
            raise ImageError(f"DICOM pixels of {allocated} bits are not read")
        return FrameShape(
            rows,
            columns,
            samples,
            allocated,
            planar=whole(get("PlanarConfiguration"), 0) == 1,
            halved=self._colours == "YBR_FULL_422" and self._syntax in NATIVE,
            big_endian=not little,
            words=words and not little and allocated == 8,
            kind="f" if is_float else "u",
        )

    def _bits_of(self) -> int:
        allocated = self._shape.allocated
        stored = whole(self._dataset.get("BitsStored"), allocated)
        return stored if 0 < stored <= allocated else allocated

    def _check_number(self) -> None:
        """Refuse a number of frames that is nonsense: each would be a row."""
        with self._lock:
            size = self._source.seek(0, os.SEEK_END)
        least = self._shape.bits // 8 if self._syntax in NATIVE else 8
        if self._n_frames > 1000 and self._n_frames > 8 * size // max(least, 1):
            raise DamagedImageError(
                f"It says to have {self._n_frames} frames, which so short a file cannot"
            )

    def _range(self) -> tuple[float, float, np.dtype[np.generic]]:
        """Return the smallest and largest number that a plane can have, and its type.

        Whole numbers stay whole.
        """
        shape, bits = self._shape, self._stored_bits
        if shape.kind == "f":
            return 0.0, 1.0, np.dtype(f"f{shape.allocated // 8}")
        if self._colours == "PALETTE COLOR" or shape.allocated == 1:
            return 0, 255, np.dtype(np.uint8)
        if shape.samples == 3:
            return 0, 2**bits - 1, np.dtype(f"u{shape.allocated // 8}")
        if table := self._dataset.get("ModalityLUTSequence"):
            deep = whole(table[0].LUTDescriptor[2], 16) > 8
            return (0, 65535, np.dtype("u2")) if deep else (0, 255, np.dtype("u1"))
        low, high = (
            (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            if self._is_signed
            else (
                0,
                2**bits - 1,
            )
        )
        ends = [scale.of(low, high) for scale in set(self._scales)]
        least, most = min(low for low, _ in ends), max(high for _, high in ends)
        if all(scale.is_whole for scale in self._scales):
            kinds = ("u1", "u2", "i2", "u4", "i4")
            for kind in kinds:
                if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max:
                    return least, most, np.dtype(kind)
        return least, most, np.dtype("f4")

    @property
    def _is_signed(self) -> bool:
        return whole(self._dataset.get("PixelRepresentation"), 0) == 1

    def _stored(self, index: int) -> tuple[NDArray[np.generic], str]:
        """Return a frame as it is stored, and what its colours are."""
        if self._syntax in NATIVE:
            return native_frame(self._shape, index, self._read), self._colours
        with self._lock:
            if self._fragments is None:
                offsets = self._dataset.get("ExtendedOffsetTable") or b""
                self._fragments = Fragments(
                    self._source,
                    self._start,
                    self._n_frames,
                    struct.unpack(f"<{len(offsets) // 8}Q", offsets),
                )
            data = self._fragments.read(index)
        return decode_frame(self._shape, self._syntax, self._colours, data)

    def _read(self, start: int, length: int) -> bytes:
        with self._lock:
            self._source.seek(self._start + start)
            return self._source.read(length)

    def _meant(self, frame: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the numbers without what else lies in their upper bits."""
        allocated, bits = self._shape.allocated, self._stored_bits
        if frame.dtype.kind == "i":
            frame = frame.view(f"u{frame.dtype.itemsize}")
        highest = bits - 1
        if self._syntax in NATIVE:
            highest = whole(self._dataset.get("HighBit"), highest)
            if not bits <= highest + 1 <= allocated:
                highest = bits - 1
        numbers = frame.astype(f"u{allocated // 8}")
        numbers <<= allocated - 1 - highest
        if self._is_signed:
            numbers = numbers.view(f"i{allocated // 8}")
        numbers >>= allocated - bits  # of numbers with a sign, this repeats the sign
        return numbers

    def _scaled(self, numbers: NDArray[np.generic], index: int) -> NDArray[np.generic]:
        result: NDArray[Any] = numbers
        if self._shape.allocated == 1:
            pass
        elif self._dataset.get("ModalityLUTSequence") and self._shape.kind != "f":
            with quiet("pydicom"), guarded("The image's table of greys is damaged"):
                result = self._pydicom.pixels.apply_modality_lut(result, self._dataset)
        else:
            slope, intercept = self._scales[index]
            if (slope, intercept) != (1, 0):
                wide = np.int64 if self._dtype.kind in "ui" else np.float64
                result = result.astype(wide) * wide(slope) + wide(intercept)
        if self._colours == "MONOCHROME1":  # of which 0 is white
            ends = self._low + self._high
            if self._shape.kind == "f":
                known = result[np.isfinite(result)]
                ends = float(known.min()) + float(known.max()) if known.size else 0.0
            wide = np.int64 if self._dtype.kind in "ui" else np.float64
            result = wide(ends) - result.astype(wide)
        return result.astype(self._dtype)

    def _coloured(self, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
        with quiet("pydicom"), guarded("The image's table of colours is damaged"):
            rgb = self._pydicom.pixels.apply_color_lut(numbers, self._dataset)[..., :3]
            # for the eye only: of tables of 16 bits the lower half tells nothing
            if rgb.dtype.itemsize > 1 and rgb.max(initial=0) > 255:
                rgb = rgb >> 8
            return np.ascontiguousarray(rgb, np.uint8)


def _pixels_of(
    source: BinaryIO, dataset: Any, implicit: bool, little: bool
) -> tuple[int, bool, int]:
    """Return which element has the pixels, whether in words, and where they begin."""
    head = source.read(12)
    order = "<" if little else ">"
    group, element = struct.unpack(f"{order}HH", head[:4]) if len(head) > 8 else (0, 0)
    if group == 0x7FE0 and element in (8, 9, 0x10):
        start = source.tell() - (4 if implicit else 0)
        return element, implicit or head[4:6] == b"OW", start
    kind = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if kind == _DIRECTORY or "DirectoryRecordSequence" in dataset:
        raise NotAnImageError(
            "A DICOM directory (DICOMDIR); import the images that it lists"
        )
    if not len(dataset):
        raise DamagedImageError(_DAMAGED)
    raise NotAnImageError("A DICOM file without an image (a report or the like)")


def _bits(low: int, high: int) -> int:
    if low >= 0:
        return max(high.bit_length(), 1)
    return max(high.bit_length(), (-low - 1).bit_length()) + 1


def _rgb(frame: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turn brightness and two differences of colour into red, green and blue."""
    most = white(frame.dtype)
    numbers = frame.astype(np.float32)
    y = numbers[..., 0]
    blue, red = (numbers[..., i] - (most + 1) / 2 for i in (1, 2))
    rgb = np.stack(
        [y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], -1
    )
    result: NDArray[np.generic] = np.clip(np.rint(rgb), 0, most).astype(frame.dtype)
    return result


FAMILY = register(Family("DICOM", (".dcm", ".dicom"), _recognises, _open, "dicom"))
