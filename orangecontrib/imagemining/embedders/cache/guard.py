"""A store's file, whatever happens to it: damage, a full disk, another window."""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from orangecontrib.imagemining.embedders.cache.database import (
    DamagedError,
    Database,
    is_busy,
)

__all__ = ["GuardedFile"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class GuardedFile:
    """Opens the file when it is needed, and goes on without it where it must.

    A file that is damaged or of another version is set aside under a name with date
    and time, and a new one begun. One that cannot be opened, or not be written to, is
    left alone from then on, until `try_again`.

    Parameters
    ----------
    path
        The file; None: there is none.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        #: What a user should know; "" if there is nothing.
        self.message = ""
        #: Held while the file is in use.
        self.lock = threading.RLock()
        self._database: Database | None = None
        self._inode: int | None = None
        self._usable = self._writable = path is not None
        _FILES.add(self)

    def attempt(
        self, work: Callable[[Database], _T], writes: bool = False
    ) -> _T | None:
        """Return what `work` gives of the file; None if that cannot be used.

        Parameters
        ----------
        work
            Called with the open file, while the lock is held.
        writes
            Whether it writes: that may go wrong where reading does not.
        """
        with self.lock:
            for _ in range(2):  # once more with the new file, after damage
                if not self._usable or (writes and not self._writable):
                    return None
                try:
                    return work(self._open())
                except (DamagedError, sqlite3.DatabaseError) as ex:
                    if is_busy(ex):
                        _log.info("Vectors are not kept, others are writing: %s", ex)
                        return None
                    if _is_damage(ex):
                        self._set_aside(ex)
                    else:
                        self._go_without(ex, writes and self._database is not None)
                except OSError as ex:
                    self._go_without(ex, False)
            return None

    def try_again(self) -> None:
        """Forget what went wrong: there may be room now."""
        with self.lock:
            self._usable = self._writable = self.path is not None
            self.message = ""

    def remove(self) -> bool:
        """Delete the file; tell whether it is gone.

        Where the disk is full there is no room even for the note that rows go. Other
        programs see that it is gone, and begin a new one.
        """
        assert self.path is not None
        with self.lock:
            self.close()
            try:
                for ending in ("", "-wal", "-shm"):
                    Path(f"{self.path}{ending}").unlink(missing_ok=True)
            except OSError as ex:
                _log.info("%s: %s", self.path, ex)
                return False
            self.try_again()
            return True

    def close(self) -> None:
        """Close the file, whatever state it is in; it is opened again when needed."""
        with self.lock:
            database, self._database = self._database, None
            if database is not None:
                try:
                    database.close()
                except sqlite3.Error as ex:
                    _log.info("%s: %s", self.path, ex)

    def _open(self) -> Database:
        assert self.path is not None
        if self._database is not None and not self._database.is_in_place():
            self.close()  # set aside by another window, or deleted by the user
        if self._database is None:
            self._inode = _inode(self.path)
            self._database = Database(self.path)
            self._inode = _inode(self.path)
        return self._database

    def _go_without(self, error: Exception, only_writing: bool) -> None:
        reason = getattr(error, "strerror", None) or error
        folder = self.path.parent if self.path else ""
        self.message = (
            f"What is computed cannot be kept in {folder} ({reason}), so it is kept"
            " only as long as Orange runs"
        )
        _log.warning(self.message)
        self._writable = False
        if not only_writing:
            self._usable = False
            self.close()

    def _set_aside(self, error: Exception) -> None:
        assert self.path is not None
        self.close()
        if _inode(self.path) != self._inode:
            return  # another window did it in the meantime
        name = f"{self.path.stem}-damaged-{datetime.now():%Y-%m-%d-%H%M%S-%f}"
        aside = self.path.with_name(f"{name}{self.path.suffix}")
        try:
            os.replace(self.path, aside)
            for ending in ("-wal", "-shm"):
                if os.path.exists(f"{self.path}{ending}"):
                    os.replace(f"{self.path}{ending}", f"{aside}{ending}")
        except OSError as ex:
            self._go_without(ex, False)
            return
        self.message = (
            f"The cache could not be used ({error}). It was set aside as {aside.name}"
            f" in {aside.parent}, and a new one was begun; images are embedded anew"
        )
        _log.warning(self.message)

    def begin_anew(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        self.lock = threading.RLock()
        if self._database is not None:
            _LEFT.append(self._database)
        self._database = None


_FILES: weakref.WeakSet[GuardedFile] = weakref.WeakSet()
# closing a connection in a forked process would take the locks of the first away
_LEFT: list[Database] = []


def _is_damage(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "has no column" in str(error)
    return not isinstance(error, (sqlite3.ProgrammingError, sqlite3.NotSupportedError))


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _close_all() -> None:
    for file in list(_FILES):
        file.close()


def _after_fork() -> None:
    for file in list(_FILES):
        file.begin_anew()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
