"""Where a DICOM file keeps the pixels of a frame, and how they are packed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.formats._packages import guarded, needed

__all__ = ["FrameShape", "NATIVE", "Fragments", "decode_frame", "native_frame"]

#: Transfer syntaxes whose pixels are not compressed.
NATIVE = {
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
}

_BEGIN = "1.2.840.10008.1.2."
_RLE = _BEGIN + "5"
_JPEG = {_BEGIN + end for end in ("4.50", "4.51", "4.57", "4.70")}
_JPEG_LS = {_BEGIN + end for end in ("4.80", "4.81")}
_JPEG_2000 = {
    _BEGIN + end for end in ("4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203")
}

_BROKEN = "This frame's compressed pixels are damaged"


@dataclass(frozen=True)
class FrameShape:
    """What is said of every frame's pixels.

    Attributes
    ----------
    rows, columns : of a frame.
    samples : numbers a pixel has, 1 or 3.
    allocated : bits a number takes in the file.
    planar : the colours come one after the other, each a whole frame.
    halved : of two neighbours' colours the second is left out (YBR_FULL_422).
    big_endian : the byte of greater weight comes first.
    words : bytes are swapped in pairs (8 bits in words of a big-endian file).
    kind : "u", or "f" for numbers with a fraction.
    """

    rows: int
    columns: int
    samples: int
    allocated: int
    planar: bool = False
    halved: bool = False
    big_endian: bool = False
    words: bool = False
    kind: str = "u"

    @property
    def bits(self) -> int:
        """Bits of a frame that is not compressed; frames follow without a gap."""
        n = self.rows * self.columns
        if self.halved:
            return self.rows * 2 * (self.columns + self.columns % 2) * self.allocated
        return n * self.samples * self.allocated

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the numbers as they lie in the file."""
        order = ">" if self.big_endian else "<"
        return np.dtype(f"{order}{self.kind}{max(self.allocated, 8) // 8}")


def native_frame(
    shape: FrameShape, index: int, read: Callable[[int, int], bytes]
) -> NDArray[np.generic]:
    """Read a frame that is not compressed.

    Parameters
    ----------
    read
        Returns bytes: ``read(start, length)``, counted from the first frame's.

    Returns
    -------
    (rows, columns) or (rows, columns, 3); of `FrameShape.halved` with the colours
    doubled.

    Raises
    ------
    DamagedImageError
        If the file ends before.
    """
    first, last = index * shape.bits, (index + 1) * shape.bits
    start, end = first // 8, (last + 7) // 8
    if shape.words:
        start, end = start & ~1, (end + 1) & ~1
    data = read(start, end - start)
    # of an odd last byte the one that fills the pair may be missing
    if len(data) < (last + 7) // 8 - start:
        raise DamagedImageError("The file breaks off before this frame; copy it again")
    if shape.words:
        data = np.frombuffer(data + b"\0" * (len(data) % 2), "<u2").byteswap().tobytes()
    if shape.allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        skip = first - 8 * start
        return bits[skip : skip + shape.bits].reshape(shape.rows, shape.columns)
    skip = first // 8 - start
    flat = np.frombuffer(data, shape.dtype, shape.bits // shape.allocated, skip)
    if shape.halved:
        return _doubled(shape, flat)
    if shape.samples == 1:
        return flat.reshape(shape.rows, shape.columns)
    if shape.planar:
        return flat.reshape(3, shape.rows, shape.columns).transpose(1, 2, 0)
    return flat.reshape(shape.rows, shape.columns, 3)


def _doubled(shape: FrameShape, flat: NDArray[np.generic]) -> NDArray[np.generic]:
    pairs = flat.reshape(shape.rows, -1, 4)  # two of brightness, one of each colour
    whole = np.empty((shape.rows, pairs.shape[1] * 2, 3), flat.dtype)
    whole[:, 0::2, 0], whole[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    whole[..., 1:] = np.repeat(pairs[..., 2:], 2, axis=1)
    return whole[:, : shape.columns]


class Fragments:
    """Where the pieces of compressed frames lie; the pieces are not read.

    Parameters
    ----------
    stream
        The file; the reader's lock is held by whoever calls.
    start
        Where the value of the pixel data begins.
    n_frames
        As many as the file says.
    offsets
        From the extended offset table, if there is one.
    """

    def __init__(
        self,
        stream: BinaryIO,
        start: int,
        n_frames: int,
        offsets: tuple[int, ...] = (),
    ) -> None:
        pieces, table = _walk(stream, start)
        self._stream = stream
        self._frames = _grouped(stream, pieces, offsets or table, n_frames)

    def read(self, index: int) -> bytes:
        """Return a frame's bytes, as compressed.

        Raises
        ------
        DamagedImageError
            If there is no such frame, or the file ends before its end.
        """
        pieces = self._frames.get(index, ())
        if not pieces:
            raise DamagedImageError("The file has no pixels for this frame")
        parts = []
        for place, length in pieces:
            self._stream.seek(place)
            parts.append(self._stream.read(length))
            if len(parts[-1]) < length:
                raise DamagedImageError(
                    "The file breaks off within this frame; copy it again"
                )
        return b"".join(parts)


_Piece = tuple[int, int]  # where its bytes begin, how many they are


def _walk(stream: BinaryIO, start: int) -> tuple[list[_Piece], tuple[int, ...]]:
    pieces: list[_Piece] = []
    table: tuple[int, ...] = ()
    place, first = start, True
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
            return pieces, table
        (length,) = struct.unpack("<I", head[4:])
        if first:
            n = length // 4
            data = stream.read(4 * n)
            table = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
        else:
            pieces.append((place + 8, length))
        place, first = place + 8 + length, False


def _grouped(
    stream: BinaryIO, pieces: list[_Piece], offsets: tuple[int, ...], n_frames: int
) -> dict[int, tuple[_Piece, ...]]:
    if len(offsets) == n_frames and pieces:
        # counted from the first piece's head
        begin = pieces[0][0] - 8
        frames: dict[int, list[_Piece]] = {}
        order = sorted(range(n_frames), key=lambda i: offsets[i])
        starts = np.array([begin + offsets[i] for i in order])
        for piece in pieces:
            at = int(np.searchsorted(starts, piece[0] - 8, side="right")) - 1
            if at >= 0:
                frames.setdefault(order[at], []).append(piece)
        if all(frames.get(i, [(0, 0)])[0][0] - 8 == begin + offsets[i] for i in frames):
            return {index: tuple(found) for index, found in frames.items()}
        # a table that is wrong is as good as none
    if n_frames == 1:
        return {0: tuple(pieces)}
    if len(pieces) <= n_frames:
        return {index: (piece,) for index, piece in enumerate(pieces)}
    ended: dict[int, tuple[_Piece, ...]] = {}
    group: list[_Piece] = []
    for piece in pieces:
        group.append(piece)
        stream.seek(max(piece[0], sum(piece) - 4))
        # the mark that ends a JPEG, and a byte that makes the length even
        if b"\xff\xd9" in stream.read(min(4, piece[1])):
            ended[len(ended)] = tuple(group)
            group = []
    return ended


def decode_frame(
    shape: FrameShape, syntax: str, photometric: str, data: bytes
) -> tuple[NDArray[np.generic], str]:
    """Unpack a compressed frame.

    Parameters
    ----------
    syntax
        UID of the transfer syntax.
    photometric
        How the file says that colours are meant.

    Returns
    -------
    The frame, (rows, columns) or (rows, columns, 3), and how its colours are meant.

    Raises
    ------
    DamagedImageError
        If they contradict themselves or the file's other words.
    ImageError
        If nobody here knows the compression.
    """
    known = _JPEG | _JPEG_LS | _JPEG_2000 | {_RLE}
    if syntax not in known:
        if syntax.startswith(tuple(f"{_BEGIN}4.10{i}" for i in range(9))):
            raise ImageError("This DICOM file is a video (MPEG), which is not read")
        raise ImageError(f"DICOM's compression {syntax} is not read")
    codecs = needed("imagecodecs", "Compressed DICOM", "dicom")
    wanted = (shape.rows, shape.columns)
    if syntax == _RLE:
        with guarded(_BROKEN):
            return _run_lengths(codecs.dicomrle_decode, shape, data), photometric
    if _size_of_jpeg(data) != wanted:
        raise DamagedImageError(
            "This frame's compressed pixels are of another size than the file says"
        )
    with guarded(_BROKEN):
        if syntax in _JPEG_LS:
            frame = codecs.jpegls_decode(data)
        elif syntax in _JPEG_2000:
            frame = codecs.jpeg2k_decode(data)
            # its colours are turned into red, green and blue as it is unpacked
            if photometric in ("YBR_RCT", "YBR_ICT"):
                photometric = "RGB"
        elif shape.samples == 3:
            space = "YCBCR" if _is_ycbcr(data, photometric) else "RGB"
            frame = codecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB")
            photometric = "RGB"
        else:
            frame = codecs.jpeg8_decode(data)
        frame = np.asarray(frame)
        if frame.shape != (wanted if shape.samples == 1 else (*wanted, 3)):
            raise DamagedImageError(_BROKEN)
        return frame, photometric


def _run_lengths(
    decode: Callable[..., bytes], shape: FrameShape, data: bytes
) -> NDArray[np.generic]:
    size = shape.allocated // 8
    n = shape.rows * shape.columns * shape.samples
    (segments,) = struct.unpack("<I", data[:4])
    if segments != size * shape.samples:
        raise DamagedImageError(_BROKEN)
    flat = np.frombuffer(decode(data, f"<u{size}"), f"<u{size}")
    if flat.size != n:
        raise DamagedImageError(_BROKEN)
    if shape.samples == 1:
        return flat.reshape(shape.rows, shape.columns)
    return flat.reshape(3, shape.rows, shape.columns).transpose(1, 2, 0)


def _is_ycbcr(data: bytes, photometric: str) -> bool:
    """Tell what a JPEG's three components are: its own word goes before the file's."""
    place = 2
    while data[place : place + 1] == b"\xff" and len(data) >= place + 4:
        marker, (length,) = data[place + 1], struct.unpack(">H", data[place + 2 :][:2])
        if marker == 0xDA:
            break
        if marker == 0xEE and data[place + 4 : place + 9] == b"Adobe" and length >= 14:
            return data[place + 15] != 0
        if marker == 0xE0 and data[place + 4 : place + 9] == b"JFIF\0":
            return True
        place += 2 + length
    return photometric != "RGB"


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) as any kind of JPEG says itself; None if it does not."""
    place = data.find(b"\xff\x4f\xff\x51")  # of JPEG 2000
    if place >= 0 and (place == 0 or data[4:8] == b"jP  "):
        if len(data) < place + 24:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
        return bottom - top, right - left
    place = 2
    while len(data) >= place + 9 and data[place] == 0xFF:
        marker, length = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        if marker == 0xFF:  # fill
            place += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (196, 200, 204)):
            rows, columns = struct.unpack_from(">HH", data, place + 5)
            return rows, columns
        place += 2 + length
    return None
