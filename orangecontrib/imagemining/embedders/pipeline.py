"""Reads, decodes, resizes and embeds images at the same time, in order.

Two pools of threads. One reads files, or fetches them: it waits for disks and servers.
The other has a thread a core; each takes a few images, decodes and resizes them, and
runs them through the network. That keeps all cores at work: nothing is handed from core
to core, and no thread waits for another's share of the same image.

At any time a few batches are under way, however many images there are.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TypeVar

from orangecontrib.imagemining.embedders.cache import (
    Stamp,
    content_of,
    content_of_file,
    stamp_of,
)
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader, is_url, local_path
from orangecontrib.imagemining.images.sources import split_source

__all__ = ["Contents", "FileContent", "in_batches", "n_cores"]

_T = TypeVar("_T")

_POLL = 0.2  # seconds after which a waiting run looks whether it is to stop
_MAX_THREADS = 16
_FILE_THREADS = 2
_URL_THREADS = 16  # these wait for servers, not for the processor
_READ_AHEAD = 4 * 2**20  # bytes; larger files are read when their turn has come
_READ_AT_ONCE = 64 * 2**20  # what is larger is known by samples, see `content_of_file`
_N_NOTED = 64


@dataclass(frozen=True)
class FileContent:
    """What an image's file holds.

    Attributes
    ----------
    source : path or address, with the words behind it.
    stamp : size and time of the file before it was read; None if there is none.
    digest : of its content, b"" if it cannot be read.
    data : the whole content; None: the reader is to open the file itself.
    reason : why it cannot be read; "" if it can.
    is_late : whether it is too large to be read ahead; see `Contents.complete`.
    """

    source: str
    stamp: Stamp | None = None
    digest: bytes = b""
    data: bytes | None = None
    reason: str = ""
    is_late: bool = False


class Contents:
    """Reads files once, for their digest and for their pixels.

    Parameters
    ----------
    reader
        Opens files and addresses.
    """

    def __init__(self, reader: ImageReader) -> None:
        self.reader = reader
        # planes of a stack are of one file, whose digest is asked for each of them
        self._noted: OrderedDict[tuple[str, Stamp], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, source: str) -> FileContent:
        """Read a file, unless it is large; never raises because of it."""
        path = local_path(source)
        stamp = stamp_of(source)
        if path is not None and stamp is not None and _is_large(source, path, stamp):
            return FileContent(source, stamp, is_late=True)
        return self._whole(source, stamp)

    def complete(self, content: FileContent) -> FileContent:
        """Read what was too large before its turn had come."""
        if not content.is_late or content.stamp is None:
            return content
        path = local_path(content.source) or ""
        if _is_for_the_reader(content.source, path, content.stamp):
            return replace(content, digest=self._digest(path, content.stamp))
        return self._whole(content.source, content.stamp)

    def after_reading(self, content: FileContent) -> FileContent:
        """Return it without its digest if that may not be of what the reader read."""
        if content.data is None and stamp_of(content.source) != content.stamp:
            return replace(content, digest=b"")
        return content

    def _whole(self, source: str, stamp: Stamp | None) -> FileContent:
        try:
            data = self.reader.content(source)
        except ImageError as ex:
            return FileContent(source, stamp, reason=str(ex))
        return FileContent(source, stamp, content_of(data), data)

    def _digest(self, path: str, stamp: Stamp) -> bytes:
        with self._lock:
            digest = self._noted.get((path, stamp))
        if digest is None:
            try:
                digest = content_of_file(path)
            except OSError:
                return b""  # the reader will tell
            with self._lock:
                self._noted[path, stamp] = digest
                while len(self._noted) > _N_NOTED:
                    self._noted.popitem(last=False)
        return digest


def _is_large(source: str, path: str, stamp: Stamp) -> bool:
    return stamp[0] > _READ_AHEAD or _is_for_the_reader(source, path, stamp)


def _is_for_the_reader(source: str, path: str, stamp: Stamp) -> bool:
    """Tell whether a file is not to be read as a whole for one of its images."""
    return (
        stamp[0] > _READ_AT_ONCE
        or bool(split_source(source)[1])
        # what belongs to a slide lies beside it
        or path.lower().endswith((".mrxs", ".vms", ".vmu"))
    )


def n_cores() -> int:
    """Return how many images are worked on at once."""
    if hasattr(os, "sched_getaffinity"):
        return min(_MAX_THREADS, len(os.sched_getaffinity(0)) or 1)
    return min(_MAX_THREADS, os.cpu_count() or 2)


def in_batches(
    sources: Sequence[str],
    read: Callable[[str], FileContent],
    embed: Callable[[list[FileContent], threading.Event], list[_T]],
    size: int,
    waiting: Callable[[], None],
    begin_thread: Callable[[], None],
) -> Generator[list[_T], None, None]:
    """Yield what `embed` makes of the sources, batch after batch, in their order.

    The threads end with it; who does not exhaust it is to close it.

    Parameters
    ----------
    sources
        Paths and addresses.
    read
        Called with each, in threads of its own.
    embed
        Called with a batch of what `read` returned, in a thread a core, and with an
        event that is set when the work is to stop.
    size
        Of a batch; it is smaller where there are too few images for all cores.
    waiting
        Called now and then while nothing is ready. What it raises ends the work.
    begin_thread
        Called once in each of the threads that embed.
    """
    n_threads = n_cores()
    size = max(1, min(size, -(-len(sources) // n_threads)))
    fetched = any(map(is_url, sources))
    ahead = n_threads + 2
    stop = threading.Event()
    readers = ThreadPoolExecutor(
        _URL_THREADS if fetched else _FILE_THREADS, "read-images"
    )
    workers = ThreadPoolExecutor(n_threads, "embed-images", initializer=begin_thread)

    def work(contents: list[Future[FileContent]]) -> list[_T]:
        known = [content.result() for content in contents]
        contents.clear()
        return [] if stop.is_set() else embed(known, stop)

    under_way: deque[Future[list[_T]]] = deque()
    starts = iter(range(0, len(sources), size))
    try:
        while True:
            while len(under_way) < ahead and (start := next(starts, None)) is not None:
                batch = sources[start : start + size]
                contents = [readers.submit(read, source) for source in batch]
                under_way.append(workers.submit(work, contents))
            if not under_way:
                return
            first = under_way.popleft()
            while not wait([first], timeout=_POLL).done:
                waiting()
            yield first.result()
    finally:
        # what is being read or computed ends by itself, with its image at the latest
        stop.set()
        readers.shutdown(wait=False, cancel_futures=True)
        workers.shutdown(wait=False, cancel_futures=True)
