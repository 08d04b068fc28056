"""The SQLite file that vectors are kept in: tables, transactions, room.

What goes wrong here is raised; what to do about it, `store` knows.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Database", "DamagedError", "Place", "is_busy"]

# A file of another number is not understood here. Should the tables ever change, so is
# the file's name to: an older Orange goes on with its own.
_VERSION = 1
_APPLICATION = 0x494D5643  # "IMVC"

_SCHEMA = """
create table place (
    place blob primary key, size integer not null, time integer not null,
    content blob not null, hour integer not null);
create table entry (
    key blob primary key, id integer not null, hour integer not null) without rowid;
create table vector (id integer primary key, numbers blob not null, crc integer);
create table setting (name text primary key, value integer) without rowid;
"""

_PAGE = 8192  # bytes: vectors of 512, 1,000 and 2,048 numbers leave little of it empty
_SECONDS_BUSY = 20.0  # to wait for another program that writes
_AT_ONCE = 500  # values in a query
_ROWS_A_GO = 2000  # thrown out in a transaction, so that others need not wait long
_SHARE_KEPT = 0.9  # of the bound, after the oldest have been thrown out

#: Runs a statement.
_Execute = Callable[..., sqlite3.Cursor]
#: Digest of path or address, size, time, and digest of the content.
Place = tuple[bytes, int, int, bytes]


class DamagedError(Exception):
    """The file is no store, or one of another version."""


def is_busy(error: Exception) -> bool:
    """Tell whether an error says only that another program was writing for long."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


class Database:
    """An open store.

    Parameters
    ----------
    path
        The file; None: memory.

    Raises
    ------
    DamagedError
        If the file cannot be used by this version.
    sqlite3.Error, OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path,
            timeout=_SECONDS_BUSY,
            isolation_level=None,
            check_same_thread=False,  # the store's lock sees to that
        )
        try:
            self._prepare()
            self._inode = None if path is None else os.stat(path).st_ino
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __del__(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()

    def is_in_place(self) -> bool:
        """Tell whether the file is still there, and the same."""
        if self.path is None:
            return True
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    # what is kept ------------------------------------------------------------

    def places(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, int, bytes, int]]:
        """Return size, time, content and hour of use of the places that are known."""
        found = {}
        for rows in self._rows(
            "select place, size, time, content, hour from place where place in ({})",
            keys,
        ):
            found.update({row[0]: row[1:] for row in rows})
        return found

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        """Return the vectors' bytes and hour of use; damaged ones are not found."""
        found = {}
        for rows in self._rows(
            "select key, numbers, crc, hour from entry join vector using (id)"
            " where key in ({})",
            keys,
        ):
            for key, numbers, crc, hour in rows:
                if crc == _checksum(key, numbers):
                    found[key] = numbers, hour
        return found

    def put(
        self, places: Iterable[Place], vectors: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Keep all of this or, if something goes wrong, nothing."""
        hour = this_hour()
        with self._transaction() as execute:
            for key, numbers in vectors:
                row = (numbers, _checksum(key, numbers))
                # what another window put meanwhile, or a damaged one, is replaced
                known = execute("select id from entry where key = ?", (key,)).fetchone()
                if known:
                    execute(
                        "insert or replace into vector values (?, ?, ?)",
                        (*known, *row),
                    )
                    continue
                new = execute("insert into vector values (null, ?, ?)", row).lastrowid
                execute("insert into entry values (?, ?, ?)", (key, new, hour))
            self._connection.executemany(
                "insert or replace into place values (?, ?, ?, ?, ?)",
                [(*place, hour) for place in places],
            )

    def note_use(self, places: Sequence[bytes], keys: Sequence[bytes]) -> None:
        """Note that these were of use in this hour."""
        hour = this_hour()
        with self._transaction():
            for table, column, values in (
                ("place", "place", places),
                ("entry", "key", keys),
            ):
                self._connection.executemany(
                    f"update {table} set hour = ? where {column} = ?",
                    [(hour, value) for value in values],
                )

    # room --------------------------------------------------------------------

    def size(self) -> int:
        """Return the bytes that are in use."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * (
            self._pragma("page_size")
        )

    def n_vectors(self) -> int:
        """Return how many vectors there are."""
        return int(self._one("select count(*) from entry"))

    def make_room(self, limit: int) -> None:
        """Throw out what was used longest ago, if there is more than `limit` bytes."""
        if self.size() <= limit:
            return
        target = int(limit * _SHARE_KEPT)
        while (used := self.size()) > target and (n := self.n_vectors()):
            share = (used - target) / used
            oldest = self._connection.execute(
                "select key, id from entry order by hour, id limit ?",
                (math.ceil(n * share),),
            ).fetchall()
            for start in range(0, len(oldest), _ROWS_A_GO):
                rows = oldest[start : start + _ROWS_A_GO]
                with self._transaction():
                    self._connection.executemany(
                        "delete from entry where key = ?", [row[:1] for row in rows]
                    )
                    self._connection.executemany(
                        "delete from vector where id = ?", [row[1:] for row in rows]
                    )
            # whose place is forgotten too soon is read once more, no harm done
            self._connection.execute(
                "delete from place where place in"
                " (select place from place order by hour, rowid limit ?)",
                (math.ceil(self._one("select count(*) from place") * share),),
            )

    def give_back(self) -> None:
        """Make the file as small as what is in it."""
        # executed otherwise, it stops after a page
        self._connection.executescript("pragma incremental_vacuum")
        self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()

    def clear(self) -> None:
        """Throw out all vectors, and give their room back."""
        with self._transaction() as execute:
            for table in ("place", "entry", "vector"):
                execute(f"delete from {table}")
        self.give_back()

    def setting(self, name: str) -> int | None:
        """Return a number that is kept beside the vectors."""
        query = "select value from setting where name = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def set_setting(self, name: str, value: int) -> None:
        """Keep a number beside the vectors."""
        self._connection.execute(
            "insert or replace into setting values (?, ?)", (name, value)
        )

    # SQL ---------------------------------------------------------------------

    def _prepare(self) -> None:
        end = time.monotonic() + _SECONDS_BUSY
        while True:
            try:
                self._set_up()
                return
            except sqlite3.OperationalError as ex:
                # while another program makes the file, SQLite does not wait its turn
                if not is_busy(ex) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _set_up(self) -> None:
        execute = self._connection.execute
        if self._is_new():
            execute(f"pragma page_size = {_PAGE}")
            execute("pragma auto_vacuum = incremental")
            execute("pragma journal_mode = wal")
            with self._transaction():
                if self._is_new():  # no other program was faster
                    for statement in _SCHEMA.split(";"):
                        execute(statement)
                    execute(f"pragma application_id = {_APPLICATION}")
                    execute(f"pragma user_version = {_VERSION}")
        # what is not ours is left as it is
        if self._pragma("application_id") != _APPLICATION:
            raise DamagedError("it is no store of vectors")
        if self._pragma("user_version") != _VERSION:
            raise DamagedError("it is of another version of this add-on")
        # what was committed outlives a killed program, though not a power cut
        execute("pragma synchronous = normal")

    def _is_new(self) -> bool:
        kept = ("application_id", "user_version", "schema_version")
        return not any(map(self._pragma, kept))

    @contextmanager
    def _transaction(self) -> Iterator[_Execute]:
        self._connection.execute("begin immediate")
        try:
            yield self._connection.execute
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def _rows(self, query: str, keys: Sequence[bytes]) -> Iterator[sqlite3.Cursor]:
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            yield self._connection.execute(query.format(marks), some)

    def _pragma(self, name: str) -> int:
        return int(self._one(f"pragma {name}"))

    def _one(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])


def this_hour() -> int:
    """Return the hour, as a number; use is noted once in each."""
    return int(time.time() // 3600)


def _checksum(key: bytes, numbers: bytes) -> int:
    return zlib.crc32(numbers, zlib.crc32(key))
