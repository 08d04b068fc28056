"""A table that names images, by paths or addresses, as a table of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from Orange.data import Domain, StringVariable, Table, Variable
from Orange.data.util import get_unique_names

from orangecontrib.imagemining.images import (
    Measure,
    Measures,
    is_there,
    local_path,
    locate,
)
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.written import clean_path, looks_like_image
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.measures import (
    CAMERA_COLUMNS,
    SIZE_COLUMNS,
    measure_columns,
    measure_values,
)

__all__ = ["ListedTable", "guess_path_column", "path_columns", "table_with_images"]

_LOOKED_AT = 500  # values of a column, to guess what it holds
_MISSING = ("", "?", ".", "nan")  # how Orange's files write a missing text
_NOT_READ: Measure = (float("nan"), 0, float("nan"), float("nan"), None)


@dataclass
class ListedTable:
    """A table whose column of paths is a column of images.

    Attributes
    ----------
    table : the rows of the input, all of them.
    column : the column of images.
    n_empty : rows that name no image.
    n_addresses : rows with the address of an image, which was not looked at.
    not_there : what the rows say whose image is not there.
    n_unreadable : rows whose image is there, and is none that can be read.
    n_relative : rows of those not there whose path begins nowhere, as no base folder
        is known.
    """

    table: Table
    column: Variable
    n_empty: int = 0
    n_addresses: int = 0
    not_there: list[str] = field(default_factory=list)
    n_unreadable: int = 0
    n_relative: int = 0


def path_columns(domain: Domain) -> list[Variable]:
    """Return the columns that can hold paths: text and categorical, text first."""
    columns = [*domain.metas, *domain.variables]
    return [
        *(column for column in columns if column.is_string),
        *(column for column in columns if column.is_discrete),
    ]


def guess_path_column(table: Table) -> Variable | None:
    """Return the column that seems to hold images, None if none does.

    One that is marked as images is taken first, else that in which most values look
    like names of images; of equal ones, that with folders.
    """
    best: tuple[float, float] = (0.5, 0)
    guess = None
    for column in path_columns(table.domain):
        if column.attributes.get("type") == "image":
            return column
        if column.is_discrete:
            texts = list(column.values[:_LOOKED_AT])
        else:
            texts = _texts(table[:_LOOKED_AT], column)
        texts = [text for text in texts if text.strip() not in _MISSING]
        likely = [text for text in texts if looks_like_image(text)]
        if likely:
            n_places = sum("/" in text or "\\" in text for text in likely)
            score = (len(likely) / len(texts), n_places / len(texts))
            if score > best:
                best, guess = score, column
    return guess


def table_with_images(
    data: Table,
    column: Variable,
    base: str = "",
    camera_notes: bool = False,
    progress: Progress = no_progress,
    measures: Measures | None = None,
) -> ListedTable:
    """Mark `column` as images, and add their sizes.

    Rows, their ids, classes and other columns stay as they are. The column itself
    becomes a text among the metas; its values are written so that each leads to the
    image. Addresses are not fetched.

    Parameters
    ----------
    data
        Any table.
    column
        One of its `path_columns`.
    base
        Folder, or address, that relative paths begin at. "" if it is not known.
    camera_notes
        Add columns for what the camera noted.
    progress
        Told the fraction that is measured.
    measures
        Remembers what was measured.
    """
    values: list[str] = []
    places: list[str | None] = []
    pace = paced(progress)
    for text in _texts(data, column):
        pace(0, f"{len(values):,} of {len(data):,} rows")
        value = "" if text.strip() in _MISSING else _meant(text, base)
        values.append(value)
        places.append(_place(value, base))
    files = list(
        dict.fromkeys(place for place in places if place and os.path.isabs(place))
    )
    measured = dict(
        zip(
            files,
            (measures or Measures()).measure(
                files,
                camera_notes,
                lambda done, status="": progress(0.95 * done, status),
            ),
            strict=True,
        )
    )
    rows = [measured.get(place or "", _NOT_READ) for place in places]
    progress(0.95, "Making the table…")
    table, image = _make_table(data, column, base, values, rows, camera_notes)
    progress(1)
    result = ListedTable(table, image)
    for value, place, measure in zip(values, places, rows, strict=True):
        if not value:
            result.n_empty += 1
        elif place is None:
            result.n_addresses += 1
        elif not is_there(measure):
            result.not_there.append(value)
            result.n_relative += not os.path.isabs(place)
        elif measure[2] != measure[2]:
            result.n_unreadable += 1
    return result


def _texts(table: Table, column: Variable) -> list[str]:
    values = table.get_column(column)
    if column.is_discrete:
        return [column.values[int(v)] if np.isfinite(v) else "" for v in values]
    return ["" if value is None else str(value) for value in values]


def _meant(text: str, base: str) -> str:
    value = clean_path(text)
    if value != text and not text.lower().startswith("file:"):
        # A name may really begin with a space, or have a \ where that is a letter.
        place = _place(text, base)
        if place and os.path.isabs(place) and os.path.exists(place):
            return text
    return value


def _place(value: str, base: str) -> str | None:
    """Return the path of a file, None for what must be fetched."""
    try:
        return local_path(locate(value, base)) if value else None
    except ValueError:  # no address that can be read, such as file://[
        return value


def _make_table(
    data: Table,
    column: Variable,
    base: str,
    values: Sequence[str],
    rows: Sequence[Measure],
    with_notes: bool,
) -> tuple[Table, Variable]:
    domain = data.domain
    name = column.name
    if column in domain.class_vars:
        name = get_unique_names(domain, name)  # the class stays what it is
    image = StringVariable(name)
    image.attributes = {**column.attributes, "type": "image"}
    image.attributes.pop("origin", None)
    if base:
        image.attributes["origin"] = base
    names = get_unique_names(
        [*(v.name for v in (*domain.variables, *domain.metas)), name],
        [*SIZE_COLUMNS, *CAMERA_COLUMNS],
        equal_numbers=False,
    )
    new = measure_columns(with_notes, names)
    metas = [image if old is column else old for old in domain.metas]
    if image not in metas:
        metas.insert(0, image)
    table = data.transform(
        Domain(
            [old for old in domain.attributes if old is not column],
            domain.class_vars,
            [*metas, *new],
        )
    )
    if rows:
        with table.unlocked(table.metas):
            table.metas[:, metas.index(image)] = values
            table.metas[:, len(metas) :] = measure_values(rows, with_notes)
    return table, image
