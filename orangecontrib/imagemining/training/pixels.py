"""Where pixels of many images lie: one after another, in memory, then in a file."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import TrainingError

__all__ = ["Pixels", "free_memory"]

_BLOCK = 64 * 2**20  # bytes that are asked for at a time
_LEFT_FREE = 2**30  # bytes of the disk that are never filled


class Pixels:
    """Arrays of (height, width, 3) uint8, added once, then only looked at.

    They are added within a ``with`` statement, and can be looked at after it.

    What is in the file is read as it is needed, and is the system's to forget. The file
    has no name any more, or goes with the last use: nothing is left of it, even after a
    crash.

    Parameters
    ----------
    memory
        Bytes that may be taken in memory; what comes then goes into the file.
    folder
        Where the file is made, if one is needed.

    Attributes
    ----------
    n_bytes : in memory and in the file together.
    """

    def __init__(self, memory: int, folder: Path) -> None:
        self.n_bytes = 0
        self._memory = memory
        self._folder = folder
        self._blocks: list[NDArray[np.uint8]] = []
        self._used = 0  # of the last block
        self._file: IO[bytes] | None = None
        self._written = 0
        self._unchecked = 0  # bytes written since the disk's room was looked at
        # numbers, not objects: block (-1: the file), offset, height, width of each
        self._places = array("q")

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Pixels:
        """Return those of an array (n, height, width, 3), which is not copied."""
        n, height, width, _ = pixels.shape
        result = cls(0, Path())
        result._blocks = [np.ascontiguousarray(pixels).reshape(-1)]
        result.n_bytes = pixels.nbytes
        places = np.zeros((n, 4), np.int64)
        places[:, 1] = np.arange(n) * (height * width * 3)
        places[:, 2:] = height, width
        result._places = array("q", places.tobytes())
        return result

    @classmethod
    def joined(cls, parts: Sequence[Pixels]) -> Pixels:
        """Return those of several, one after another; none is copied."""
        result = cls(0, Path())
        for part in parts:
            places = np.array(part._places, np.int64).reshape(-1, 4)
            # the file, -1, is the last of its blocks
            places[:, 0] %= max(len(part._blocks), 1)
            places[:, 0] += len(result._blocks)
            result._places.extend(places.reshape(-1).tolist())
            result._blocks += part._blocks
            result._written += part._written
            result.n_bytes += part.n_bytes
        return result

    def __len__(self) -> int:
        return len(self._places) // 4

    @property
    def on_disk(self) -> bool:
        """Whether there is a file."""
        return self._written > 0

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """Return a view of one, (height, width, 3), not to be written to."""
        block, offset, height, width = self._places[4 * number : 4 * number + 4]
        flat = self._blocks[block][offset : offset + height * width * 3]
        return flat.reshape(height, width, 3)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Add one.

        Raises
        ------
        TrainingError
            If neither memory nor the disk has room for it.
        """
        height, width, _ = pixels.shape
        if self._file is None and self._has_room(pixels.nbytes):
            block, offset = len(self._blocks) - 1, self._used
            self._blocks[-1][offset : offset + pixels.nbytes] = pixels.reshape(-1)
            self._used += pixels.nbytes
        else:
            block, offset = -1, self._written
            self._write(pixels)
        self.n_bytes += pixels.nbytes
        self._places.extend((block, offset, height, width))

    def __enter__(self) -> Pixels:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make what was written to the file readable; nothing can be added any more."""
        if kind is not None:
            if self._file is not None:
                # what cannot be written any more is not wanted any more
                with suppress(OSError):
                    self._file.close()
            return
        if self._file is None:
            if self._blocks:
                # the last block is hardly ever full
                self._blocks[-1] = self._blocks[-1][: self._used].copy()
            return
        try:
            self._file.flush()
        except OSError as ex:
            raise self._no_room(ex) from ex
        self._blocks.append(np.memmap(self._file, np.uint8, "r"))
        # the map holds on to it
        self._file.close()

    def _has_room(self, n_bytes: int) -> bool:
        if self._blocks and self._used + n_bytes <= len(self._blocks[-1]):
            return True
        size = max(_BLOCK, n_bytes)
        taken = sum(map(len, self._blocks))
        if taken + n_bytes > self._memory:
            return False
        try:
            self._blocks.append(np.empty(min(size, self._memory - taken), np.uint8))
        except MemoryError:
            return False
        self._used = 0
        return True

    def _write(self, pixels: NDArray[np.uint8]) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder, prefix="training")
                self._unchecked = _BLOCK
            self._unchecked += pixels.nbytes
            if self._unchecked >= _BLOCK:
                self._unchecked = 0
                free = shutil.disk_usage(self._folder).free
                if free < _LEFT_FREE + _BLOCK:
                    raise self._no_room(None)
            self._file.write(np.ascontiguousarray(pixels).data)
        except OSError as ex:
            raise self._no_room(ex) from ex
        self._written += pixels.nbytes

    def _no_room(self, ex: OSError | None) -> TrainingError:
        reason = f" ({ex.strerror or ex})" if ex else ""
        return TrainingError(
            f"The images fit neither into the {self._memory / 2**30:.1f} GB of memory"
            f" that training may take, nor into the folder {self._folder}{reason}."
            " Free some space there, or train with a smaller size of image"
        )


def free_memory() -> int:
    """Return how many bytes of memory can be had, as far as the system tells."""
    found = [2 * 2**30]  # if it does not tell at all
    if sys.platform == "win32":
        found = [_free_on_windows()]
    else:
        with suppress(ValueError, OSError):
            # of macOS, where what is free is not told to everybody
            found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                found = [int(line.split()[1]) * 1024]
    with suppress(OSError, ValueError):  # a container's share
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == "inactive_file":  # is given back when it is needed
                used -= int(value)
        found.append(max(limit - used, 0))
    return min(found)


class _MemoryStatus(ctypes.Structure):
    """What Windows fills in."""

    _fields_ = [
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("physical", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    ]


def _free_on_windows() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    # mypy looks at this on systems that have no windll
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.free)
