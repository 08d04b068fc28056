"""A TIFF file's pages: where they are, and what each is, without reading pixels."""

from __future__ import annotations

import logging
import os
import re
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.limits import Limits

if TYPE_CHECKING:
    import tifffile

__all__ = ["BROKEN_OFF", "Found", "Look", "TiffPages", "translated"]

BROKEN_OFF = "The file breaks off before its end; copy it again"

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 262, 277
_PLANAR, _TILE_WIDTH, _FORMAT, _KIND, _OLD_KIND = 284, 322, 339, 254, 255
_TAGS = frozenset(
    (_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES)
    + (_PLANAR, _TILE_WIDTH, _FORMAT, _KIND, _OLD_KIND)
)
_MOMENT = 2 * 10**9  # nanoseconds
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # of the types of number that these tags have

_here = threading.local()

# chains followed lately, by what the system tells files apart by; read only
_walks: dict[tuple[int, ...], tuple[list[int], list[Look | None], bool]] = {}
_lock = threading.Lock()


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_here, "reading", False)


@contextmanager
def translated() -> Iterator[None]:
    """Let only ImageErrors out, and keep tifffile's complaints out of the log.

    Raises
    ------
    ImageError
        In place of whatever a decoder raised.
    """
    # a filter twice added is there once; it drops what this thread causes in here, and
    # leaves the log to others who use tifffile in the same program
    logging.getLogger("tifffile").addFilter(_is_not_ours)
    outer = getattr(_here, "reading", False)
    _here.reading = True
    try:
        yield
    except ImageError:
        raise
    except MemoryError as ex:
        raise ImageTooLargeError("Too large for this computer's memory") from ex
    except Exception as ex:
        # the decoders of thirty compressions have no base class of errors in common
        text = " ".join(str(ex).split())
        # the second is tifffile's word for a directory that reaches beyond the end
        if isinstance(ex, EOFError) or re.search("(?i)truncated|IFD structure", text):
            raise DamagedImageError(BROKEN_OFF) from ex
        raise DamagedImageError(
            f"The file is damaged ({text[:200] or type(ex).__name__})"
        ) from ex
    finally:
        _here.reading = outer


class Look(NamedTuple):
    """What pages of one stack have in common."""

    width: int
    height: int
    bits: tuple[int, ...]
    samples: int
    sample_format: int
    photometric: int
    planar: int
    tiled: bool
    reduced: bool
    mask: bool


@dataclass(frozen=True)
class Found:
    """Where a page's pixels are: its description, and its strips or tiles."""

    page: tifffile.TiffPage
    offsets: Sequence[int]
    counts: Sequence[int]


class TiffPages:
    """The pages of an opened file, found by following the chain of their directories.

    Attributes
    ----------
    stream, path : of the file; the path is None for what was fetched.
    limits : on what a picture may cost.
    size : of the file in bytes.
    tiff : tifffile's view of it.
    first : its first page.
    """

    def __init__(self, stream: BinaryIO, path: str | None, limits: Limits) -> None:
        import tifffile

        self.stream = stream
        self.path = path
        self.limits = limits
        stream.seek(0, os.SEEK_END)
        self.size = stream.tell()
        stream.seek(0)
        header = stream.read(16)
        self.endian = ">" if header[:2] == b"MM" else "<"
        if len(header) < 8:
            raise DamagedImageError(BROKEN_OFF)
        self.big = struct.unpack(f"{self.endian}H", header[2:4])[0] == 43
        if self.big and len(header) < 16:
            raise DamagedImageError(BROKEN_OFF)
        start = header[8:16] if self.big else header[4:8]
        self._start = self._number(start)
        if self._start == 0:
            raise DamagedImageError("The TIFF file has no pictures in it")
        if self._start >= self.size:
            raise DamagedImageError(BROKEN_OFF)
        # a name tells tifffile one thing: that offsets in .ndpi files are 64 bits
        name = os.path.basename(path) if path else "fetched"
        stream.seek(0)  # where it stands is where tifffile takes the file to begin
        self.tiff = tifffile.TiffFile(stream, name=name, _multifile=False)
        self.first = self.tiff.pages.first
        self._cache: dict[int, tifffile.TiffPage] = {}
        self._offsets: list[int] | None = None
        self._looks: list[Look | None] = []
        self.complete = True

    @property
    def offsets(self) -> list[int]:
        """Where the pages' directories are, in the order of their chain."""
        if self._offsets is None:
            self._offsets, self._looks, self.complete = self._walk_once()
        return self._offsets

    @property
    def looks(self) -> list[Look | None]:
        """What each page is; None for pages whose description is damaged."""
        self.offsets  # noqa: B018
        return self._looks

    @property
    def is_single(self) -> bool:
        """Whether the first page is the only one; found without following the chain."""
        return self._offsets is None and self._entries(self._start)[1] == 0

    def page(self, offset: int) -> tifffile.TiffPage:
        """Return the description of the page whose directory is there."""
        import tifffile

        if offset == self.first.offset:
            return self.first
        page = self._cache.get(offset)
        if page is None:
            self.tiff.filehandle.seek(offset)
            page = tifffile.TiffPage(self.tiff, 1)
            while len(self._cache) >= 8:  # a stack's pages must not pile up
                del self._cache[next(iter(self._cache))]
            self._cache[offset] = page
        return page

    def found(self, offset: int) -> Found:
        """Return where the pixels are of the page whose directory is there."""
        page = self.page(offset)
        return Found(page, page.dataoffsets, page.databytecounts)

    def _walk_once(self) -> tuple[list[int], list[Look | None], bool]:
        """Follow the chain, unless that was done for the same file a moment ago.

        Each plane of a stack that is read is another opening of the file.
        """
        key = self._identity()
        if key is None:
            return self._walk()
        with _lock:
            known = _walks.pop(key, None)
            if known is not None:
                _walks[key] = known
        if known is None:
            known = self._walk()
            with _lock:
                _walks[key] = known
                while len(_walks) > 4:
                    del _walks[next(iter(_walks))]
        return known

    def _identity(self) -> tuple[int, ...] | None:
        """Return what changes when the file does; None where nothing tells."""
        try:
            # of the file that is open: another may have come to its path by now
            now = os.fstat(self.stream.fileno())
        except (OSError, AttributeError):
            return None
        # clocks tick slowly: what was written a moment ago may be written once more
        # without another time
        age = time.time_ns() - max(now.st_mtime_ns, now.st_ctime_ns)
        if 0 <= age < _MOMENT:
            return None
        # copying keeps the time of a file's content, so that alone says too little
        return (
            now.st_dev,
            now.st_ino,
            now.st_size,
            now.st_mtime_ns,
            now.st_ctime_ns,
            self._start,
        )

    def _walk(self) -> tuple[list[int], list[Look | None], bool]:
        offsets: list[int] = []
        looks: list[Look | None] = []
        known: dict[Look, Look] = {}
        seen: set[int] = set()
        offset = self._start
        while offset:
            if offset in seen or offset >= self.size:
                return offsets, looks, False
            seen.add(offset)
            entries, following = self._entries(offset)
            if following < 0:
                return offsets, looks, False
            look = self._look(entries)
            # one object for equal pages: a stack has tens of thousands of them
            looks.append(None if look is None else known.setdefault(look, look))
            offsets.append(offset)
            offset = following
        return offsets, looks, True

    def _entries(self, offset: int) -> tuple[bytes, int]:
        """Return a directory's entries, and where the next is; -1: it breaks off."""
        head, size, link = (8, 20, 8) if self.big else (2, 12, 4)
        self.stream.seek(offset)
        content = self.stream.read(512)
        if len(content) < head:
            return b"", -1
        end = head + size * self._number(content[:head])
        if end > head + size * 4096:
            return b"", -1
        if len(content) < end + link:
            content += self.stream.read(end + link - len(content))
        if len(content) < end + link:
            # some writers leave the last link out
            return content[head:end], 0 if len(content) >= end else -1
        return content[head:end], self._number(content[end : end + link])

    def _look(self, entries: bytes) -> Look | None:
        pattern = struct.Struct(f"{self.endian}HH{'Q8s' if self.big else 'I4s'}")
        values: dict[int, tuple[int, ...]] = {}
        for tag, kind, count, inline in pattern.iter_unpack(entries):
            if tag in _TAGS and kind in _SIZES and 0 < count < 1000:
                values[tag] = self._values(_SIZES[kind], count, inline)
        try:
            width, height = values[_WIDTH][0], values[_HEIGHT][0]
        except (LookupError, struct.error):
            return None
        if width < 1 or height < 1:
            return None
        bits = values.get(_BITS, (1,))
        kind = values.get(_KIND, (0,))[0]
        return Look(
            width=width,
            height=height,
            bits=bits[:1] if len(set(bits)) == 1 else bits,
            samples=values.get(_SAMPLES, (1,))[0],
            sample_format=values.get(_FORMAT, (1,))[0],
            photometric=values.get(_PHOTOMETRIC, (1,))[0],
            planar=values.get(_PLANAR, (1,))[0],
            tiled=_TILE_WIDTH in values,
            reduced=bool(kind & 1) or (kind == 0 and values.get(_OLD_KIND) == (2,)),
            mask=bool(kind & 4),
        )

    def _values(self, size: int, count: int, inline: bytes) -> tuple[int, ...]:
        length = size * count
        if length > len(inline):
            self.stream.seek(self._number(inline))
            inline = self.stream.read(length)
            if len(inline) < length:
                return (0,)
        letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        return struct.unpack(f"{self.endian}{count}{letter}", inline[:length])

    def _number(self, content: bytes) -> int:
        order = "big" if self.endian == ">" else "little"
        return int.from_bytes(content, order)  # type: ignore[arg-type]
