"""Thumbnails kept on disk between runs, in a file of bounded size."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from orangecontrib.imagemining.images.locate import local_path
from orangecontrib.imagemining.images.sources import split_source

__all__ = ["STORED_SIDE", "ThumbnailStore", "cache_folder"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Longest side of a stored thumbnail, in pixels.
STORED_SIDE = 256

_MAX_BYTES = 512 * 2**20
_SHARE_KEPT = 0.8  # of the bound, after the oldest have been thrown out
_SECONDS_BUSY = 2.0  # to wait for another program that writes
_SECONDS_A_DAY = 86_400

_SCHEMA = """
create table if not exists thumbnail (
    key blob primary key, picture blob not null, day integer not null);
create index if not exists thumbnail_day on thumbnail (day);
"""


def cache_folder() -> Path:
    """Return the folder for what can be made again; it need not exist."""
    if home := os.environ.get("IMAGEMINING_HOME"):
        return Path(home) / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("Orange3-ImageMining", appauthor=False))


class ThumbnailStore:
    """Small pictures by source, time and size of the files that they were made from.

    Two parts of a file, or two ways to read it, have a picture each.

    May be used from several threads, and by several programs at once. A store that
    cannot be used (no space left, damaged, no permission) is as good as an empty one:
    thumbnails are then made anew. A damaged file is set aside under another name.

    Parameters
    ----------
    path
        The file; by default ``thumbnails.sqlite`` in `cache_folder()`.
    max_bytes
        Bound on the pictures together; what was used longest ago goes first.
    """

    def __init__(self, path: Path | None = None, max_bytes: int = _MAX_BYTES) -> None:
        self.path = path or cache_folder() / "thumbnails.sqlite"
        self.max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._usable = True
        self._bytes = 0

    def get(self, source: str) -> Image.Image | None:
        """Return the thumbnail of a source, of the file as it is now, if it is here."""
        key = _key_of(source)
        if key is None:
            return None
        with self._lock:
            picture = self._attempt(self._select, key)
        if picture is None:
            return None
        try:
            image = Image.open(io.BytesIO(picture), formats=("JPEG", "PNG"))
            image.load()
        except (OSError, SyntaxError, ValueError):
            return None
        return image

    def put(self, source: str, image: Image.Image) -> None:
        """Keep the thumbnail of a source.

        Parameters
        ----------
        source
            What `image` was made from.
        image
            Of mode L or RGB, scaled down to `STORED_SIDE`.
        """
        key = _key_of(source)
        if key is None:
            return
        buffer = io.BytesIO()
        # at this quality nobody sees a difference on the screen
        image.save(buffer, "JPEG", quality=90, subsampling=0)
        with self._lock:
            self._attempt(self._insert, key, buffer.getvalue())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._usable = False

    def _attempt(self, work: Callable[..., _T], *arguments: object) -> _T | None:
        """Call `work`; a store that fails is an empty one."""
        if not self._usable:
            return None
        try:
            return work(*arguments)
        except sqlite3.OperationalError as ex:
            # locked for long, no space, no permission: nothing that a new file cures
            _log.info("Thumbnails are not kept: %s", ex)
            self._usable = False
        except sqlite3.DatabaseError as ex:
            _log.warning("%s is damaged (%s) and set aside", self.path, ex)
            self._set_aside()
        except OSError as ex:
            _log.info("Thumbnails are not kept: %s", ex)
            self._usable = False
        return None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path,
                timeout=_SECONDS_BUSY,
                isolation_level=None,
                check_same_thread=False,  # the lock sees to that
            )
            # a thumbnail lost in a power cut is made anew: speed is worth more
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = off")
            self._connection.executescript(_SCHEMA)
            self._bytes = self._count()
        return self._connection

    def _count(self) -> int:
        assert self._connection is not None
        query = "select coalesce(sum(length(picture)), 0) from thumbnail"
        return int(self._connection.execute(query).fetchone()[0])

    def _select(self, key: bytes) -> bytes | None:
        connection = self._open()
        query = "select picture, day from thumbnail where key = ?"
        row = connection.execute(query, (key,)).fetchone()
        if row is None:
            return None
        picture, day = row
        if day != _today():  # once a day is often enough to know what is in use
            query = "update thumbnail set day = ? where key = ?"
            connection.execute(query, (_today(), key))
        return bytes(picture)

    def _insert(self, key: bytes, picture: bytes) -> None:
        connection = self._open()
        connection.execute(
            "insert or replace into thumbnail values (?, ?, ?)",
            (key, picture, _today()),
        )
        self._bytes += len(picture)
        if self._bytes > self.max_bytes:
            self._make_room(connection)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        # other programs write too, so count anew
        self._bytes = self._count()
        surplus = self._bytes - int(self.max_bytes * _SHARE_KEPT)
        if self._bytes <= self.max_bytes:
            return
        query = "select rowid, length(picture) from thumbnail order by day, rowid"
        oldest = []
        for rowid, size in connection.execute(query):
            if surplus <= 0:
                break
            oldest.append((rowid,))
            surplus -= size
        connection.execute("begin")
        connection.executemany("delete from thumbnail where rowid = ?", oldest)
        connection.execute("commit")
        self._bytes = self._count()

    def _set_aside(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        try:
            os.replace(self.path, self.path.with_suffix(".damaged"))
            for ending in ("-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
        except OSError:
            self._usable = False


def _today() -> int:
    return int(time.time() // _SECONDS_A_DAY)


def _key_of(source: str) -> bytes | None:
    path = local_path(source)
    if path is None:
        return None  # what lies at an address may change unseen
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    words = split_source(source)[1]
    name = f"{os.path.abspath(path)}#{words}".encode("utf8", "surrogateescape")
    stamp = f"{status.st_mtime_ns} {status.st_size} {STORED_SIDE} ".encode()
    return hashlib.sha256(stamp + name).digest()
