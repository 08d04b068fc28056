"""Tables in files, as Orange reads them, but without running what is in them."""

from __future__ import annotations

import os
from pathlib import Path

from Orange.data import Domain, Table, Variable
from Orange.data.io import FileFormat, PickleReader
from Orange.data.io_base import MissingReaderException

from orangecontrib.imagemining.exceptions import TableError
from orangecontrib.imagemining.images import is_url, local_path
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import RENDERING, image_columns
from orangecontrib.imagemining.tables.listing import (
    guess_path_column,
    path_columns,
    table_with_images,
)
from orangecontrib.imagemining.tables.reading import Reading

__all__ = ["open_table", "with_image_column"]


def open_table(path: Path, trust_pickle: bool = False) -> Table:
    """Read a table.

    Parameters
    ----------
    path
        A file of any kind that Orange, with its add-ons, reads.
    trust_pickle
        Whether it may be a pickle. Reading one runs what is in it, so its maker has to
        be trusted. Notes beside a table (``.metadata``) are read if they are text.

    Raises
    ------
    TableError
        If it cannot be read.
    """
    if not path.exists():
        raise TableError(f"There is no file or folder {path}")
    try:
        reader = FileFormat.get_reader(str(path))
        if isinstance(reader, PickleReader) and not trust_pickle:
            raise TableError(
                f"{path} is a pickle, and reading one runs what is in it. If you trust"
                " who made it, say --trust-pickle; else have it saved as .tab or .csv"
            )
        if not trust_pickle:
            # Orange would read a file of notes beside it as a pickle first
            reader.set_table_metadata = _add_notes
        table = reader.read()
    except MissingReaderException as ex:
        raise TableError(
            f"{path} is neither a folder nor a table: Orange reads none of that ending"
        ) from ex
    except (MemoryError, TableError):
        raise
    # readers, also those of other add-ons, raise whatever they come upon
    except Exception as ex:
        reason = str(ex) or type(ex).__name__
        raise TableError(f"{path} cannot be read as a table: {reason}") from ex
    if not isinstance(table, Table):
        raise TableError(f"{path} holds no table")
    return table


def _add_notes(filename: str, table: Table) -> None:
    try:
        text = Path(f"{filename}.metadata").read_text(encoding="utf8")
        pairs = [line.split(":", 1) for line in text.splitlines()]
        table.attributes = {key.strip(): value.strip() for key, value in pairs}
    except (OSError, ValueError):
        pass  # none, or one that is no text


def with_image_column(
    table: Table,
    folder: Path,
    name: str | None = None,
    base: Path | None = None,
    reading: Reading | None = None,
    progress: Progress = no_progress,
) -> tuple[Table, Variable]:
    """Find the column of images, and make one of a column that names images.

    Parameters
    ----------
    table
        Any.
    folder
        Where paths begin that begin nowhere, if neither `base` nor the column says it.
    name
        Of the column; by default one that is marked as images, else that in which most
        values look like names of images.
    base
        Where they begin, whatever the column says.
    reading
        What becomes a row, and how images are read; by default as the column says, and
        the rows as they are.
    progress
        Told what is done.

    Returns
    -------
    The table, and its column of images. A column that is marked stays as it is; of
    others a column of images is made as by Import Images, with sizes beside it.

    Raises
    ------
    TableError
        If there is none.
    """
    column = _column_of(table, name)
    origin = str(column.attributes.get("origin", ""))
    if base is not None:
        origin = os.path.abspath(base)
    elif not is_url(origin):
        origin = os.path.join(os.path.abspath(folder), local_path(origin) or "")
    marked = column in image_columns(table.domain)
    if marked and (reading is None or reading == Reading()):
        if column.attributes.get("origin") == origin:
            return table, column
        image = column.copy(compute_value=None)
        image.attributes = {**column.attributes, "origin": origin}
        return _renewed(table, image), image
    old = column.attributes.get(RENDERING)
    listed = table_with_images(
        table, column, origin, progress=progress, reading=reading
    )
    if old and not listed.column.attributes.get(RENDERING):
        listed.column.attributes[RENDERING] = old
    return listed.table, listed.column


def _column_of(table: Table, name: str | None) -> Variable:
    columns = path_columns(table.domain)
    names = [column.name for column in columns]
    if name is not None:
        if name in names:
            return columns[names.index(name)]
        kind = "holds no texts" if name in table.domain else "does not exist"
        raise TableError(
            f"The column '{name}' {kind}; columns that can name images are"
            f" {', '.join(names) or 'none'}"
        )
    column = guess_path_column(table)
    if column is None:
        raise TableError(
            "None of the table's columns seems to name images; say which one does by"
            f" --column. It can be {', '.join(names) or 'none of them'}"
        )
    return column


def _renewed(table: Table, image: Variable) -> Table:
    """Return the table with a column's attributes changed."""
    parts = [
        [image if old == image else old for old in part]
        for part in (
            table.domain.attributes,
            table.domain.class_vars,
            table.domain.metas,
        )
    ]
    copy = table[:]
    copy.domain = Domain(*parts)
    return copy
