"""Writes TIFF files tag by tag: what the reader's packages did not write.

Compressions are the standard library's, Pillow's, or written out here; imagecodecs'
own where nobody else has them.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Names of compressions, and their numbers.
NUMBERS = {
    "none": 1,
    "CCITT G3": 3,
    "CCITT G4": 4,
    "LZW": 5,
    "old JPEG": 6,
    "JPEG": 7,
    "Deflate": 8,
    "PackBits": 32773,
    "JPEG 2000": 34712,
    "LZMA": 34925,
    "JPEG XR": 34934,
    "Zstd": 50000,
    "WebP": 50001,
    "JPEG XL": 50002,
    "LERC": 34887,
}

_LETTERS = {1: "B", 2: "c", 3: "H", 4: "I", 16: "Q", 12: "d"}


@dataclass
class Page:
    """A directory: (type, values) of tags, and the strips or tiles."""

    tags: dict[int, tuple[int, Any]]
    segments: list[bytes]
    subs: list[Page] = field(default_factory=list)


def page(
    pixels: NDArray[Any],
    compression: str = "none",
    *,
    photometric: int | None = None,
    rows: int = 0,
    tile: int = 0,
    planar: bool = False,
    bits: int = 0,
    predictor: int = 1,
    endian: str = "<",
    more: dict[int, tuple[int, Any]] | None = None,
    subs: list[Page] | None = None,
) -> Page:
    """Return a page of (height, width) or (height, width, samples).

    Parameters
    ----------
    rows, tile : height of a strip (0: one strip), side of a tile (0: strips).
    bits : of each number, if they are packed.
    """
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    if photometric is None:
        photometric = 2 if samples == 3 else 1
    sample_format = {"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}[pixels.dtype.kind]
    bits = bits or 8 * pixels.dtype.itemsize
    tags: dict[int, tuple[int, Any]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [NUMBERS[compression]]),
        262: (3, [photometric]),
        277: (3, [samples]),
        284: (3, [2 if planar else 1]),
        339: (3, [sample_format] * samples),
    }
    if predictor > 1:
        tags[317] = (3, [predictor])
    if tile:
        tags |= {322: (3, [tile]), 323: (3, [tile])}
    else:
        tags[278] = (4, [rows or height])
    whole = pixels.reshape(height, width, samples)
    layers = [whole[..., n : n + 1] for n in range(samples)] if planar else [whole]
    segments = []
    for layer in layers:
        if tile:
            for y in range(0, height, tile):
                for x in range(0, width, tile):
                    part = layer[y : y + tile, x : x + tile]
                    missing = (tile - part.shape[0], tile - part.shape[1])
                    part = np.pad(
                        part, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge"
                    )
                    segments.append(encoded(part, compression, bits, predictor, endian))
        else:
            for y in range(0, height, rows or height):
                part = layer[y : y + (rows or height)]
                segments.append(encoded(part, compression, bits, predictor, endian))
    return Page(tags | (more or {}), segments, subs or [])


def encoded(
    part: NDArray[Any], compression: str, bits: int, predictor: int, endian: str
) -> bytes:
    """Return a strip or tile, (height, width, samples), as it stands in the file."""
    if compression in ("JPEG", "JPEG 2000", "WebP", "old JPEG"):
        return _by_pillow(part, compression)
    if compression in ("JPEG XL", "JPEG XR", "LERC"):
        import imagecodecs

        flat = np.ascontiguousarray(part[..., 0] if part.shape[2] == 1 else part)
        if compression == "JPEG XL":
            return bytes(imagecodecs.jpegxl_encode(flat, lossless=True))
        if compression == "JPEG XR":
            return bytes(imagecodecs.jpegxr_encode(flat, level=1.0))
        return bytes(imagecodecs.lerc_encode(flat))
    if compression.startswith("CCITT"):
        return _fax(part, compression)
    if predictor == 2:
        part = part.copy()
        part[:, 1:] -= part[:, :-1].copy()
    if bits % 8:
        content = _packed(part, bits)
    elif bits == 24:
        wide = part.astype(endian + "u4").view(np.uint8).reshape(*part.shape, 4)
        content = (wide[..., :3] if endian == "<" else wide[..., 1:]).tobytes()
    elif predictor == 3:
        content = _float_predicted(part)
    else:
        content = part.astype(part.dtype.newbyteorder(endian)).tobytes()
    if compression == "Deflate":
        return zlib.compress(content)
    if compression == "LZMA":
        return lzma.compress(content)
    if compression == "PackBits":
        runs = [content[i : i + 128] for i in range(0, len(content), 128)]
        return b"".join(bytes([len(run) - 1]) + run for run in runs)
    if compression == "LZW":
        return _lzw(content)
    if compression == "Zstd":
        import imagecodecs

        return bytes(imagecodecs.zstd_encode(content))
    return content


def tiff(
    pages: list[Page], endian: str = "<", big: bool = False, promise: bool = False
) -> bytes:
    """Return a file of pages.

    Parameters
    ----------
    promise : whether the last directory names a next one, beyond the end.
    """
    out = io.BytesIO()
    mark = b"II" if endian == "<" else b"MM"
    if big:
        out.write(mark + struct.pack(endian + "HHHQ", 43, 8, 0, 16))
    else:
        out.write(mark + struct.pack(endian + "HI", 42, 8))
    for number, one in enumerate(pages):
        last = number == len(pages) - 1
        _write(out, one, endian, big, not last, 10**8 if promise and last else 0)
    return out.getvalue()


def text(content: str) -> tuple[int, list[bytes]]:
    """Return the value of a tag that is text."""
    encoded = content.encode() + b"\0"
    return 2, [encoded[i : i + 1] for i in range(len(encoded))]


def _write(
    out: io.BytesIO, one: Page, endian: str, big: bool, more: bool, link: int
) -> int:
    """Write a directory, then what belongs to it; return where it is."""
    start = out.tell()
    long = 16 if big else 4
    tags = dict(one.tags)
    offsets, counts = (324, 325) if 322 in tags else (273, 279)
    tags.setdefault(counts, (long, [len(segment) for segment in one.segments]))
    tags.setdefault(offsets, (long, [0] * len(one.segments)))
    if one.subs:
        tags[330] = (long, [0] * len(one.subs))
    room = 8 if big else 4
    head = 8 if big else 2
    size = head + len(tags) * 12 + room
    if big:
        size = 8 + 20 * len(tags) + 8
    place = start + size
    where: dict[int, int] = {}
    for tag, (kind, values) in sorted(tags.items()):
        length = struct.calcsize(_LETTERS.get(kind, "II")) * len(values)
        if length > room:
            where[tag] = place
            place += length + length % 2
    for number, segment in enumerate(one.segments):
        if tags[offsets][1][number] == 0 and segment:
            tags[offsets] = (tags[offsets][0], list(tags[offsets][1]))
            tags[offsets][1][number] = place
        place += len(segment) + len(segment) % 2
    out.seek(place)
    for number, sub in enumerate(one.subs):
        tags[330][1][number] = out.tell()
        _write(out, sub, endian, big, False, 0)
    end = out.tell()
    out.seek(start)
    out.write(struct.pack(endian + ("Q" if big else "H"), len(tags)))
    for tag, (kind, values) in sorted(tags.items()):
        letter = _LETTERS.get(kind, "II")
        if kind == 5:  # a rational number
            content = b"".join(struct.pack(endian + "II", *pair) for pair in values)
        else:
            content = struct.pack(f"{endian}{len(values)}{letter}", *values)
        out.write(
            struct.pack(f"{endian}HH{'Q' if big else 'I'}", tag, kind, len(values))
        )
        if len(content) > room:
            out.write(struct.pack(endian + ("Q" if big else "I"), where[tag]))
        else:
            out.write(content.ljust(room, b"\0"))
    out.write(struct.pack(endian + ("Q" if big else "I"), end if more else link))
    for tag, (kind, values) in sorted(tags.items()):
        if tag in where:
            out.seek(where[tag])
            if kind == 5:
                out.write(
                    b"".join(struct.pack(endian + "II", *pair) for pair in values)
                )
            else:
                letter = _LETTERS[kind]
                out.write(struct.pack(f"{endian}{len(values)}{letter}", *values))
    for offset, segment in zip(tags[offsets][1], one.segments, strict=True):
        if segment:
            out.seek(offset)
            out.write(segment)
    out.seek(0, io.SEEK_END)
    out.write(bytes(max(0, end - out.tell())))
    out.seek(end)
    return start


def _by_pillow(part: NDArray[Any], compression: str) -> bytes:
    flat = part[..., 0] if part.shape[2] == 1 else part
    image = Image.fromarray(np.ascontiguousarray(flat))
    out = io.BytesIO()
    if compression == "JPEG 2000":
        image.save(out, "JPEG2000", no_jp2=True, irreversible=False)
    elif compression == "WebP":
        image.save(out, "WEBP", lossless=True, exact=True)
    else:
        image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _fax(part: NDArray[Any], compression: str) -> bytes:
    name = "group3" if compression == "CCITT G3" else "group4"
    out = io.BytesIO()
    image = Image.fromarray(part[..., 0].astype(bool))
    image.save(out, "TIFF", compression=name)
    with Image.open(out) as again:
        (offset,), (length,) = again.tag_v2[273], again.tag_v2[279]
    return out.getvalue()[offset : offset + length]


def _packed(part: NDArray[Any], bits: int) -> bytes:
    """Return numbers bit by bit; each row begins with a byte of its own."""
    rows = part.reshape(len(part), -1).astype(np.uint32)
    shifts = np.arange(bits - 1, -1, -1)
    ones = (rows[..., None] >> shifts & 1).astype(np.uint8)
    return np.packbits(ones.reshape(len(part), -1), axis=1).tobytes()


def _float_predicted(part: NDArray[Any]) -> bytes:
    """Return floats with their bytes sorted by weight, and differences of those."""
    height, width, samples = part.shape
    size = part.dtype.itemsize
    parts = part.astype(part.dtype.newbyteorder(">")).tobytes()
    sorted_ = np.frombuffer(parts, np.uint8).reshape(height, width * samples, size)
    row = sorted_.transpose(0, 2, 1).reshape(height, -1).copy()
    row[:, samples:] -= row[:, :-samples].copy()
    return row.tobytes()


def _lzw(content: bytes) -> bytes:
    """Return TIFF's LZW, in codes of 9 bits: the table is cleared before it grows."""
    codes = []
    for start in range(0, len(content), 250):
        codes += [256, *content[start : start + 250]]
    codes.append(257)
    ones = np.array([[code >> bit & 1 for bit in range(8, -1, -1)] for code in codes])
    return np.packbits(ones.astype(np.uint8).ravel()).tobytes()
