"""A table that names images, by paths or addresses, as a table of images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from Orange.data import Domain, StringVariable, Table, Variable
from Orange.data.util import get_unique_names

from orangecontrib.imagemining.images import (
    Measure,
    Measures,
    is_there,
    is_url,
    local_path,
    locate,
)
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.sources import escaped, split_source
from orangecontrib.imagemining.images.written import clean_path, looks_like_image
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import RENDERING
from orangecontrib.imagemining.tables.contents import Found, look
from orangecontrib.imagemining.tables.measures import (
    CAMERA_COLUMNS,
    SIZE_COLUMNS,
    measure_columns,
    measure_values,
)
from orangecontrib.imagemining.tables.planes import Rows, list_rows
from orangecontrib.imagemining.tables.reading import Reading

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
    n_files : rows of the input.
    inside : what the files hold.
    reasons : why slides did not become tiles, and how many for each.
    """

    table: Table
    column: Variable
    n_empty: int = 0
    n_addresses: int = 0
    not_there: list[str] = field(default_factory=list)
    n_unreadable: int = 0
    n_relative: int = 0
    n_files: int = 0
    inside: Found = field(default_factory=Found)
    reasons: Mapping[str, int] = field(default_factory=dict)


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
    reading: Reading | None = None,
) -> ListedTable:
    """Mark `column` as images, and add their sizes.

    Rows, their ids, classes and other columns stay as they are; where files become
    several rows, these have copies, and ids of their own. The column itself becomes a
    text among the metas; its values are written so that each leads to the image.
    Addresses are not fetched.

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
    reading
        What becomes a row, and how the images are read. Where it says nothing, what
        the column says holds.
    """
    reading = reading or Reading()
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

    def part(start: float, end: float) -> Progress:
        return lambda done, status="": progress(start + (end - start) * done, status)

    names = [escaped(file) for file in files]
    measures = measures or Measures()
    measured = measures.measure(names, camera_notes, part(0, 0.8))
    by_place = dict(zip(files, measured, strict=True))
    series, inside = look(measures, names)
    series_of = dict(zip(files, series, strict=True))
    looked_at = [by_place.get(place or "", _NOT_READ) for place in places]
    rows = list_rows(
        values,
        [series_of.get(place or "", ()) for place in places],
        reading,
        base,
        part(0.8, 0.95),
    )
    progress(0.95, "Making the table…")
    rendering = str(reading.rendering(inside.channels))
    table, image = _make_table(
        data, column, base, rows, looked_at, camera_notes, rendering
    )
    progress(1)
    result = ListedTable(
        table, image, n_files=len(data), inside=inside, reasons=rows.reasons
    )
    for value, place, measure in zip(values, places, looked_at, strict=True):
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
    """Return the source that a cell means, as the new table has it."""
    if split_source(text)[0] != text and not is_url(text):
        place = _place(escaped(text), base)
        if place and os.path.isabs(place) and os.path.exists(place):
            return escaped(text)  # the name only looks as if it had words of ours
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
    rows: Rows,
    measures: Sequence[Measure],
    with_notes: bool,
    rendering: str,
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
    if rendering:
        image.attributes[RENDERING] = rendering
    names = get_unique_names(
        [*(v.name for v in (*domain.variables, *domain.metas)), name],
        [*SIZE_COLUMNS, *CAMERA_COLUMNS, *(v.name for v in rows.columns)],
        equal_numbers=False,
    )
    n = len(SIZE_COLUMNS) + len(CAMERA_COLUMNS)
    new = measure_columns(with_notes, names[:n])
    new += [v.renamed(name) for v, name in zip(rows.columns, names[n:], strict=True)]
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
    if not rows.is_one_each:
        ids = Table.from_numpy(Domain([]), np.empty((len(rows.files), 0))).ids
        table = table[rows.files]
        table.ids = ids  # or the planes of a file would be taken for one row
    if len(rows.files):
        n_old, n_measured = len(metas), len(new) - len(rows.columns)
        with table.unlocked(table.metas):
            table.metas[:, metas.index(image)] = rows.cells
            values = measure_values(measures, with_notes)[rows.files]
            rows.put_sizes(values[:, 1:3])
            table.metas[:, n_old : n_old + n_measured] = values
            table.metas[:, n_old + n_measured :] = rows.values
    return table, image
