"""Vectors that were computed once, on this computer, by whatever program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.cache.database import (
    Database,
    Place,
    this_hour,
)
from orangecontrib.imagemining.embedders.cache.guard import GuardedFile
from orangecontrib.imagemining.embedders.cache.keys import (
    Stamp,
    is_fresh,
    place_key,
    stamp_of,
    vector_key,
)
from orangecontrib.imagemining.images.thumbnail_store import cache_folder
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["Row", "VectorStore", "shared_store"]

_T = TypeVar("_T")

_DEFAULT_LIMIT = 2 * 2**30
_MEMORY_LIMIT = 256 * 2**20
_ENVIRONMENT = "IMAGEMINING_CACHE_BYTES"
_BLOCK = 500  # images looked up at once


@dataclass(frozen=True)
class Row:
    """What is known of an image once it has been embedded.

    Attributes
    ----------
    source : path or address, with the words behind it.
    stamp : by `stamp_of`, taken before the image was read; None: it is to be found by
        its content alone.
    content : by `content_of` or `content_of_file`.
    vectors : by `spec_key`: (size,) float32 each. Empty for an image whose vector was
        found by its content: then only the place is noted.
    """

    source: str
    stamp: Stamp | None
    content: bytes
    vectors: Mapping[bytes, NDArray[np.float32]] = field(default_factory=dict)


class VectorStore:
    """Vectors by the content of an image, and by all that a network does to it.

    Where an image lies is noted too, with size and time of its file, so that a file
    that has not changed is not read again. An image that was renamed, moved or copied
    is read once, and found by its content.

    May be used from several threads, and by several programs at once. What has been
    put is kept when the program is killed. A store that is damaged, or of another
    version, is set aside under a name with date and time, and a new one begun; where
    nothing can be written, vectors are kept in memory as long as the program runs. Both
    are told in `message`; nothing here raises because of it. Neither names nor pictures
    are in the file, but digests of both.

    Parameters
    ----------
    path
        The file; by default ``vectors.sqlite`` in the user's cache folder (below the
        folder named in the environment variable IMAGEMINING_HOME, if there is one).
    limit
        Bound on the file in bytes; by default as `limit` tells.
    """

    def __init__(self, path: Path | None = None, limit: int | None = None) -> None:
        self._file = GuardedFile(path or cache_folder() / "vectors.sqlite")
        self._memory: Database | None = None
        self._own_limit = limit

    @classmethod
    def in_memory(cls) -> VectorStore:
        """Return a store of its own, which ends with the program."""
        store = cls()
        store._file = GuardedFile(None)
        return store

    @property
    def path(self) -> Path | None:
        """The file; None for a store in memory."""
        return self._file.path

    @property
    def message(self) -> str:
        """What a user should know of this store; "" if there is nothing."""
        return self._file.message

    # vectors -----------------------------------------------------------------

    def lookup(
        self,
        sources: Sequence[str | None],
        spec: bytes,
        size: int,
        progress: Progress = no_progress,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Find vectors by path, size and time of the images' files.

        No image is read. Takes some 20 µs an image, most of it for asking the system
        for size and time.

        Parameters
        ----------
        sources
            Paths or addresses, with the words behind them; None and "" are not found.
        spec
            By `spec_key`.
        size
            Length of a vector.
        progress
            Told the share that has been looked up; what it raises is passed on.

        Returns
        -------
        (n, size) float32, NaN where nothing is known; (n,) bool, True where it is.
        """
        vectors = np.full((len(sources), size), np.nan, np.float32)
        found = np.zeros(len(sources), np.bool_)
        stale: tuple[list[bytes], list[bytes]] = [], []
        try:
            for start in range(0, len(sources), _BLOCK):
                progress(start / len(sources))
                block = slice(start, start + _BLOCK)
                self._look_up(sources[block], spec, vectors[block], found[block], stale)
        finally:
            if any(stale):
                self._file.attempt(lambda file: file.note_use(*stale), writes=True)
        return vectors, found

    def find(
        self, source: str, content: bytes, specs: Sequence[bytes]
    ) -> dict[bytes, NDArray[np.float32]]:
        """Find vectors by what is in the file, wherever it lies.

        Parameters
        ----------
        source
            Path or address; only the words behind it count.
        content
            By `content_of` or `content_of_file`.
        specs
            By `spec_key`.

        Returns
        -------
        Those that are known, (size,) float32 each, by the spec's key.
        """
        keys = {vector_key(content, source, spec): spec for spec in specs}
        return {
            keys[key]: np.frombuffer(numbers, "<f4").astype(np.float32)
            for key, (numbers, _) in self._vectors(list(keys)).items()
            if len(numbers) % 4 == 0
        }

    def put_many(self, rows: Iterable[Row]) -> None:
        """Keep what was computed, in one go: it outlives a program killed after this.

        What is at a place is noted only if that file is still the one that was read.
        """
        places: list[Place] = []
        vectors: list[tuple[bytes, bytes]] = []
        for row in rows:
            if row.stamp is not None:
                now = stamp_of(row.source)
                if now is not None and is_fresh(row.stamp, now):
                    places.append((place_key(row.source), *row.stamp, row.content))
            for spec, vector in row.vectors.items():
                key = vector_key(row.content, row.source, spec)
                vectors.append((key, np.asarray(vector, "<f4").tobytes()))
        if not places and not vectors:
            return

        def put(file: Database) -> bool:
            file.put(places, vectors)
            file.make_room(limit)
            return True

        with self._file.lock:
            limit = self.limit
            if limit > 0 and self._file.attempt(put, writes=True):
                return
            if self._memory is None:
                self._memory = Database(None)
            self._memory.put(places, vectors)
            self._memory.make_room(_MEMORY_LIMIT)

    # the store itself --------------------------------------------------------

    @property
    def limit(self) -> int:
        """Bound on the file in bytes; 0: nothing is kept on disk.

        The environment variable IMAGEMINING_CACHE_BYTES holds before what was set,
        which is kept in the store, for all programs.
        """
        if (fixed := _limit_of_environment()) is not None:
            return fixed
        if self._own_limit is not None:
            return self._own_limit
        with self._file.lock:
            kept = self._file.attempt(lambda file: file.setting("limit"))
        return _DEFAULT_LIMIT if kept is None else kept

    @limit.setter
    def limit(self, n_bytes: int) -> None:
        n_bytes = max(int(n_bytes), 0)
        self._own_limit = None

        def work(file: Database) -> None:
            file.set_setting("limit", n_bytes)
            file.make_room(self.limit)
            file.give_back()

        with self._file.lock:
            self._file.try_again()
            self._file.attempt(work, writes=True)

    @property
    def limit_is_fixed(self) -> bool:
        """Whether the environment tells the limit, so that setting it is in vain."""
        return _limit_of_environment() is not None

    def size(self) -> int:
        """Return the bytes in use."""
        return sum(self._of_each(Database.size))

    def n_vectors(self) -> int:
        """Return how many vectors are kept."""
        return sum(self._of_each(Database.n_vectors))

    def clear(self) -> None:
        """Throw out all vectors; the limit stays as it was set."""

        def cleared(file: Database) -> bool:
            file.clear()
            return True

        with self._file.lock:
            if self._memory is not None:
                self._memory.close()
            self._memory = None
            self._file.try_again()
            if self.path is None or not self.path.exists():
                return
            limit = self._file.attempt(lambda file: file.setting("limit"))
            if self._file.attempt(cleared, writes=True) or not self._file.message:
                return
            if self._file.remove() and limit is not None:
                self._file.attempt(lambda file: file.set_setting("limit", limit), True)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._file.close()

    # within ------------------------------------------------------------------

    def _look_up(
        self,
        sources: Sequence[str | None],
        spec: bytes,
        vectors: NDArray[np.float32],
        found: NDArray[np.bool_],
        stale: tuple[list[bytes], list[bytes]],
    ) -> None:
        """Fill in what is known of a block, and note what was not used this hour."""
        rows = []
        for row, source in enumerate(sources):
            if source and (stamp := stamp_of(source)) is not None:
                rows.append((row, source, stamp, place_key(source)))
        places = self._places([place for *_, place in rows])
        keys: dict[int, bytes] = {}
        hour = this_hour()
        for row, source, stamp, place in rows:
            if place in places:
                size, time, content, used = places[place]
                if is_fresh((size, time), stamp):
                    keys[row] = vector_key(content, source, spec)
                    if used < hour:
                        stale[0].append(place)
        known = self._vectors(list(set(keys.values())))
        for row, key in keys.items():
            numbers, used = known.get(key, (b"", hour))
            if len(numbers) == 4 * vectors.shape[1]:
                vectors[row] = np.frombuffer(numbers, "<f4")
                found[row] = True
                if used < hour:
                    stale[1].append(key)

    def _places(
        self, keys: Sequence[bytes]
    ) -> dict[bytes, tuple[int, int, bytes, int]]:
        return _merged(self._of_each(lambda file: file.places(keys)))

    def _vectors(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        return _merged(self._of_each(lambda file: file.vectors(keys)))

    def _of_each(self, work: Callable[[Database], _T]) -> list[_T]:
        """Return what `work` gives of the file, and of what is in memory."""
        with self._file.lock:
            results: list[_T] = []
            self._file.attempt(lambda file: results.append(work(file)))
            if self._memory is not None:
                results.append(work(self._memory))
            return results


def shared_store() -> VectorStore:
    """Return the store that all of this program uses, in the user's cache folder."""
    path = cache_folder() / "vectors.sqlite"
    with _SHARED_LOCK:
        if path not in _SHARED:
            _SHARED[path] = VectorStore(path)
        return _SHARED[path]


_SHARED: dict[Path, VectorStore] = {}
_SHARED_LOCK = threading.Lock()


def _limit_of_environment() -> int | None:
    try:
        n_bytes = int(os.environ.get(_ENVIRONMENT, ""))
    except ValueError:
        return None
    return n_bytes if n_bytes >= 0 else None


def _merged(found: list[dict[bytes, _T]]) -> dict[bytes, _T]:
    return {key: known for each in found for key, known in each.items()}
