"""Read a rectangle of a TIFF page: only the strips or tiles that it touches."""

from __future__ import annotations

import io
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.formats._tiff_colours import (
    PageKind,
    flatten,
    kind_of,
)
from orangecontrib.imagemining.images.formats._tiff_file import (
    BROKEN_OFF,
    Found,
    TiffPages,
)

if TYPE_CHECKING:
    import tifffile

__all__ = ["read_box"]

_JPEGS = frozenset((6, 7, 33007, 34892))
_OLD_JPEG = 6
_LERC = 34887
#: What libtiff, in Pillow, reads and tifffile does not, or not in all versions: faxes,
#: old drawings.
_PILLOWS = frozenset((2, 3, 4, 32766, 32771, 32809))

Box = tuple[int, int, int, int]


def read_box(
    pages: TiffPages, found: Found, kind: PageKind, c: int, box: Box
) -> NDArray[np.generic]:
    """Return a rectangle of one channel of a page, in grey or RGB, not yet upright.

    Parameters
    ----------
    c : which of the page's channels.
    box : top, bottom, left, right, in the page as stored and within it.

    Raises
    ------
    ImageError
        If its strips or tiles cannot be read.
    """
    page = found.page
    compression = int(page.compression)
    if compression == _OLD_JPEG or compression in _PILLOWS:
        picture = _by_pillow(pages, found, kind)
        top, bottom, left, right = box
        return picture[top:bottom, left:right]
    _check_compression(page, compression)
    if "lab" in kind.colour and compression in _JPEGS:
        raise NotAnImageError("Lab colours compressed by JPEG, which cannot be read")
    if page.is_subsampled and compression not in _JPEGS and kind.colour == "ycbcr":
        stored = _subsampled(pages, found, box)
    else:
        stored = _segments(pages, found, kind.needed(c), box)
    return flatten(stored, kind, page)


def _check_compression(page: tifffile.TiffPage, number: int) -> None:
    import tifffile

    if number == _LERC and page.parent.byteorder == ">":
        # tifffile takes its numbers for big-endian ones, which other writers' are not
        raise NotAnImageError(
            "Compressed by LERC (number 34887) and big-endian, which cannot be read"
        )
    if number == 1 or number in tifffile.TIFF.DECOMPRESSORS:
        return
    try:
        name = f"by {tifffile.COMPRESSION(number).name}"
    except ValueError:
        name = "in an unknown way"
    raise NotAnImageError(f"Compressed {name} (number {number}), which cannot be read")


def _segments(
    pages: TiffPages, found: Found, samples: list[int], box: Box
) -> NDArray[np.generic]:
    """Return (height, width, samples) of a rectangle."""
    page = found.page
    top, bottom, left, right = box
    planar = page.planarconfig == 2 and page.samplesperpixel > 1
    high, wide, across = _grid(page)
    _check_room(pages, page, high * wide)
    down = math.ceil(page.imagelength / high)
    options: dict[str, Any] = {}
    if int(page.compression) in _JPEGS:
        options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    assert page.dtype is not None  # kind_of refused it
    result: NDArray[Any] = np.empty(
        (bottom - top, right - left, len(samples)), page.dtype
    )
    if 0 in found.counts or 0 in found.offsets:
        result[...] = page.nodata
    anything = False
    for place, sample in enumerate(samples if planar else samples[:1]):
        first = sample * down * across if planar else 0
        for row in range(top // high, math.ceil(bottom / high)):
            for column in range(left // wide, math.ceil(right / wide)):
                index = first + row * across + column
                data = _segment(pages, found, index)
                if data is None:
                    continue  # left out by the writer: nothing was seen there
                anything = True
                decoded: Any = page.decode(data, index, **options)[0]
                y, x = row * high, column * wide
                y0, y1 = max(top, y), min(bottom, y + decoded.shape[1])
                x0, x1 = max(left, x), min(right, x + decoded.shape[2])
                part = decoded[0, y0 - y : y1 - y, x0 - x : x1 - x]
                target = result[y0 - top : y1 - top, x0 - left : x1 - left]
                if planar:
                    target[..., place] = part[..., 0]
                else:
                    target[...] = (
                        part if len(samples) == part.shape[2] else (part[..., samples])
                    )
    if not anything and not any(found.counts):
        raise DamagedImageError("The file is damaged (this page has no pixels in it)")
    return result


def _grid(page: tifffile.TiffPage) -> tuple[int, int, int]:
    """Return a strip's or tile's height and width, and how many are side by side."""
    if page.is_tiled:
        high, wide = int(page.tilelength), int(page.tilewidth)
    else:
        high, wide = int(page.rowsperstrip), int(page.imagewidth)
    if high < 1 or wide < 1:
        raise DamagedImageError("The file is damaged (its tiles have no size)")
    return high, wide, math.ceil(page.imagewidth / wide)


def _check_room(pages: TiffPages, page: tifffile.TiffPage, n_pixels: int) -> None:
    # a tile's numbers may claim more memory than the picture has pixels
    assert page.dtype is not None
    together = page.samplesperpixel if page.planarconfig == 1 else 1
    limit = pages.limits.max_pixels
    size = n_pixels * together * page.dtype.itemsize
    if n_pixels > limit or size > 32 * limit:
        raise ImageTooLargeError("Its tiles have more pixels than the limit allows")


def _segment(pages: TiffPages, found: Found, index: int) -> bytes | None:
    if index >= len(found.offsets) or index >= len(found.counts):
        raise DamagedImageError("The file is damaged (parts of this page are missing)")
    offset, count = int(found.offsets[index]), int(found.counts[index])
    if count == 0 or offset == 0:
        return None
    # asked first: a damaged count must not claim memory
    if offset + count > pages.size:
        if int(found.page.compression) != 1 or offset >= pages.size:
            raise DamagedImageError(BROKEN_OFF)
        # counts of uncompressed data may be rounded up
        count = pages.size - offset
    pages.stream.seek(offset)
    data = pages.stream.read(count)
    if len(data) < count:
        raise DamagedImageError(BROKEN_OFF)
    if int(found.page.compression) == 1:
        _check_length(found.page, index, len(data))
    return data


def _check_length(page: tifffile.TiffPage, index: int, length: int) -> None:
    if page.is_tiled or page.is_subsampled:
        return
    rows = int(page.rowsperstrip)
    down = math.ceil(page.imagelength / rows)
    high = min(rows, page.imagelength - index % down * rows)
    bits = page.bitspersample
    together = page.samplesperpixel if page.planarconfig == 1 else 1
    if isinstance(bits, int) and length < high * (
        (page.imagewidth * together * bits + 7) // 8
    ):
        raise DamagedImageError(BROKEN_OFF)


def _subsampled(pages: TiffPages, found: Found, box: Box) -> NDArray[np.generic]:
    """Return Y, Cb and Cr of every pixel, where the latter two are fewer.

    A unit is a block of Y followed by one Cb and one Cr.
    """
    import tifffile

    page = found.page
    across, down = page.subsampling or (2, 2)
    if page.dtype != np.uint8 or page.planarconfig != 1 or page.is_tiled:
        raise NotAnImageError("Its colours are thinned out in a way that is not read")
    rows, width = int(page.rowsperstrip), int(page.imagewidth)
    units = math.ceil(width / across)
    top, bottom, left, right = box
    result = np.empty((bottom - top, right - left, 3), np.uint8)
    for index in range(top // rows, math.ceil(bottom / rows)):
        data = _segment(pages, found, index)
        high = min(rows, page.imagelength - index * rows)
        blocks = math.ceil(high / down)
        size = blocks * units * (across * down + 2)
        if data is not None and int(page.compression) != 1:
            unpack = tifffile.TIFF.DECOMPRESSORS[int(page.compression)]
            data = bytes(unpack(data))
        if data is None or len(data) < size:
            raise DamagedImageError(BROKEN_OFF)
        unit = np.frombuffer(data, np.uint8, size).reshape(blocks, units, -1)
        light = (
            unit[..., :-2]
            .reshape(blocks, units, down, across)
            .transpose(0, 2, 1, 3)
            .reshape(blocks * down, units * across)
        )
        colour = unit[..., -2:].repeat(down, 0).repeat(across, 1)
        strip = np.dstack((light, colour))
        y = index * rows
        y0, y1 = max(top, y), min(bottom, y + high)
        result[y0 - top : y1 - top] = strip[y0 - y : y1 - y, left:right]
    return result


def _by_pillow(pages: TiffPages, found: Found, kind: PageKind) -> NDArray[np.generic]:
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    page = found.page
    if int(page.compression) == _OLD_JPEG:
        return _old_jpeg(pages, found)
    with TiffImageFile(io.BytesIO(_alone(pages, found))) as image:
        image.load()
        if image.mode == "P":
            seen: Image.Image = image.convert("RGB")
        else:
            seen = image.convert("L")
    picture = np.asarray(seen)
    if picture.ndim == 3 and kind.samples == 1:
        return picture[..., 0]
    return picture


def _old_jpeg(pages: TiffPages, found: Found) -> NDArray[np.generic]:
    """Return the picture of a page of the JPEG that TIFF 6.0 began with."""
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    page = found.page
    start = page.tags.valueof(513)  # a whole JPEG stream, as nearly all writers had it
    start = found.offsets[0] if start is None else start
    pages.stream.seek(int(start))
    if pages.stream.read(2) != b"\xff\xd8":
        raise NotAnImageError(
            "Compressed by the old JPEG (number 6) in pieces, which cannot be read"
        )
    length = page.tags.valueof(514) or 0
    ends = [o + n for o, n in zip(found.offsets, found.counts, strict=False)]
    end = max([int(start) + int(length), *ends])
    pages.stream.seek(int(start))
    content = pages.stream.read(min(end, pages.size) - int(start))
    with JpegImageFile(io.BytesIO(content)) as image:
        if image.size != (page.imagewidth, page.imagelength):
            raise DamagedImageError("The file is damaged (its JPEG has another size)")
        image.load()
        seen: Image.Image = image.convert("L" if kind_of(page).samples == 1 else "RGB")
    return np.asarray(seen)


def _alone(pages: TiffPages, found: Found) -> bytes:
    """Return a TIFF of this page alone, its strips as they are."""
    page = found.page
    parts = [
        _segment(pages, found, index) or b"" for index in range(len(found.offsets))
    ]
    bits = page.bitspersample
    tags: dict[int, tuple[int, ...]] = {
        256: (int(page.imagewidth),),
        257: (int(page.imagelength),),
        258: (bits,) if isinstance(bits, int) else tuple(bits),
        259: (int(page.compression),),
        262: (int(page.photometric),),
        266: (int(page.fillorder),),
        277: (int(page.samplesperpixel),),
    }
    if page.is_tiled:
        tags |= {322: (int(page.tilewidth),), 323: (int(page.tilelength),)}
        where, lengths = 324, 325
    else:
        tags[278] = (int(page.rowsperstrip),)
        where, lengths = 273, 279
    for options in (292, 293):  # of the faxes: T4Options, T6Options
        if page.tags.valueof(options) is not None:
            tags[options] = (int(page.tags.valueof(options)),)
    if page.colormap is not None:
        tags[320] = tuple(np.asarray(page.colormap).ravel().tolist())
    tags[lengths] = tuple(map(len, parts))
    tags[where] = (0,) * len(parts)  # for its room
    data = 8 + 2 + 12 * len(tags) + 4
    extra = sum(4 * len(values) for values in tags.values() if len(values) > 1)
    places = []
    place = data + extra
    for part in parts:
        places.append(place)
        place += len(part)
    tags[where] = tuple(places)
    directory, rest = b"", b""
    for tag, values in sorted(tags.items()):
        if tag == 320:  # Pillow takes palettes of 16 bits only
            packed = struct.pack(f"<{len(values)}H", *values)
            packed += b"\0" * (4 * len(values) - len(packed))
            kind = 3
        else:
            packed = struct.pack(f"<{len(values)}I", *values)
            kind = 4
        if len(values) > 1:
            inline = struct.pack("<I", data + len(rest))
            rest += packed
        else:
            inline = packed
        directory += struct.pack("<HHI", tag, kind, len(values)) + inline
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + rest + b"".join(parts)
