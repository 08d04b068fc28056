"""Embedded tables as files, written as they come.

The ending of a file's name says what it becomes:

``.tab``, ``.tsv``, ``.csv``, also with ``.gz``, ``.bz2`` or ``.xz``
    Text, as Orange writes it; the numbers of vectors with as many digits as it takes to
    read the same ones back.
``.xlsx``
    A sheet of Excel, laid out as Orange does, but with numbers as numbers.
``.pkl``, ``.pickle``, also compressed
    Orange's table with all that it knows, such as how to embed further images.
``.npz``, ``.parquet``
    See `tables.writing.arrays`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Orange.data import Table

from orangecontrib.imagemining.exceptions import FilesExistError, SaveError
from orangecontrib.imagemining.tables.writing.arrays import (
    NpzWriter,
    ParquetWriter,
    need_pyarrow,
)
from orangecontrib.imagemining.tables.writing.base import Layout as Layout
from orangecontrib.imagemining.tables.writing.base import VectorWriter as VectorWriter
from orangecontrib.imagemining.tables.writing.orange import (
    ExcelWriter,
    PickleWriter,
    TextWriter,
)

__all__ = [
    "ENDINGS",
    "PICKLED",
    "Layout",
    "VectorWriter",
    "check_kind",
    "check_place",
    "check_size",
    "replacing",
    "writing",
]

_COMPRESSED = ("", ".gz", ".bz2", ".xz")
_TEXT = tuple(
    ending + more for more in _COMPRESSED for ending in (".tab", ".tsv", ".csv")
)
#: Endings of files that can run programs when they are read.
PICKLED = tuple(ending + more for more in _COMPRESSED for ending in (".pkl", ".pickle"))
#: All endings that can be written.
ENDINGS = (*_TEXT, ".xlsx", *PICKLED, ".npz", ".parquet")

_EXCEL_ROWS, _EXCEL_COLUMNS = 1_048_576, 16_384
# the disk is full, the user's share of it is, or files may not be that long
_FULL = [
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if name in dir(errno)
]


def _writer_of(path: Path, layout: Layout) -> VectorWriter:
    ending = _ending_of(path)
    if ending in (".npz", ".parquet"):
        return (NpzWriter if ending == ".npz" else ParquetWriter)(path, layout)
    if ending == ".xlsx":
        return ExcelWriter(path, layout)
    return (PickleWriter if ending in PICKLED else TextWriter)(path, layout)


def _ending_of(path: Path) -> str:
    """Return which of `ENDINGS` a path has.

    Raises
    ------
    SaveError
        If none.
    """
    name = path.name.lower()
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    raise SaveError(
        f"What {path} is to become is not clear from its name; it may end in"
        " .tab, .csv, .xlsx, .pkl.gz, .npz or .parquet"
    )


def check_kind(path: Path) -> None:
    """See whether files of this kind can be written.

    Raises
    ------
    SaveError
        If the kind is not clear from the name, or a package is missing.
    """
    if _ending_of(path) == ".parquet":
        need_pyarrow()


def check_place(path: Path, force: bool) -> None:
    """See whether a file can be written, before the work it is the result of.

    Parameters
    ----------
    path
        The file; of any ending.
    force
        Whether one that is there may be replaced.

    Raises
    ------
    FilesExistError
        If it is there.
    SaveError
        If it cannot be written.
    """
    if path.is_dir():
        raise SaveError(f"{path} is a folder; name a file in it")
    if not force and os.path.lexists(path):
        raise FilesExistError(f"{path} exists, and is not overwritten without --force")
    if not path.parent.is_dir():
        raise SaveError(f"There is no folder {path.parent}; make it first")
    temporary = _temporary(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as ex:
        raise _explained(path, ex) from ex


def check_size(path: Path, table: Table, layout: Layout) -> None:
    """See whether a file of this kind can hold a table once it is embedded.

    Parameters
    ----------
    path
        The file.
    table
        To be embedded; all its rows may come.
    layout
        Of what comes of it.

    Raises
    ------
    SaveError
        If it cannot, or its kind is not clear from its name.
    """
    ending = _ending_of(path)
    if ending == ".xlsx":
        headers = 1 if layout.plain else 3
        domain = table.domain
        n_columns = len(domain.variables) + len(domain.metas) + table.has_weights()
        n_columns += layout.size + layout.n_classes
        if n_columns > _EXCEL_COLUMNS or len(table) + headers > _EXCEL_ROWS:
            raise SaveError(
                f"A sheet of Excel holds {_EXCEL_COLUMNS:,} columns and"
                f" {_EXCEL_ROWS - headers:,} images, not {n_columns:,} and"
                f" {len(table):,}; choose .parquet, .npz or .tab"
            )
    if ending not in PICKLED and ending != ".npz":
        _check_letters(table)
    notes = path.with_name(f"{path.name}.metadata")
    if ending in _TEXT and notes.exists():
        raise SaveError(
            f"Orange would take {notes} for notes on {path}; move it away, or choose"
            " another name"
        )


def _check_letters(table: Table) -> None:
    """Look for texts that are no text: systems allow names in any encoding."""
    for place, variable in enumerate(table.domain.metas):
        if not variable.is_string:
            continue
        for text in table.metas[:, place]:
            try:
                str(text).encode()
            except UnicodeEncodeError as ex:
                shown = str(text).encode(errors="replace").decode()
                raise SaveError(
                    f"{shown} has letters that cannot be written as text. Rename it,"
                    " or choose .npz or .pkl.gz"
                ) from ex


@contextmanager
def writing(path: Path, layout: Layout, force: bool = False) -> Iterator[VectorWriter]:
    """Give a writer; when all has been written, the file is put in its place.

    Parameters
    ----------
    path
        The file; its ending says what it becomes.
    layout
        Of the tables that it will be given.
    force
        Whether a file that is there may be replaced.

    Raises
    ------
    FilesExistError
        If there is one.
    SaveError
        If it cannot be written. What was there is there still.
    """
    with replacing(path, force) as temporary:
        writer = _writer_of(temporary, layout)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


@contextmanager
def replacing(path: Path, force: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to, then put what was written in `path`'s place.

    Parameters
    ----------
    path
        The file.
    force
        Whether one that is there may be replaced.

    Raises
    ------
    FilesExistError
        If there is one, now or when all is written.
    SaveError
        If it cannot be written. What was there is there still.
    """
    check_place(path, force)
    temporary = _temporary(path)
    try:
        yield temporary
        if not force and os.path.lexists(path):
            raise FilesExistError(f"{path} was made by somebody else meanwhile")
        os.replace(temporary, path)
    except OSError as ex:
        raise _explained(path, ex) from ex
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # The ending stays, as writers go by it; they know it in small letters. Not
    # tempfile's names: those files may be read by nobody else.
    name = path.name
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.lower().endswith(ending):
            name = name[: -len(ending)] + ending
            break
    return path.with_name(f".{os.getpid()}-{name}")


def _explained(path: Path, ex: OSError) -> SaveError:
    if ex.errno in _FULL:
        return SaveError(
            f"There is not enough room on the disk for {path}; make some and try again."
            " Nothing was left there"
        )
    return SaveError(f"{path} cannot be written: {ex.strerror or ex}")
