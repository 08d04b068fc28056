"""The images of a table, to be saved as files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from Orange.data import Domain, Table, Variable

from orangecontrib.imagemining.images.saving.plan import ImageToSave
from orangecontrib.imagemining.images.saving.write import SavedImage
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.widening import with_reasons

__all__ = [
    "category_columns",
    "count_categories",
    "images_to_save",
    "name_columns",
    "not_saved",
]

_MISSING = ("", "?", ".", "nan")  # as Orange's files write a missing text


def name_columns(domain: Domain) -> list[Variable]:
    """Return the columns that may give images their names.

    These are texts and categories, and the numbers among metas and classes. Numbers
    among the features are measures, and there may be a thousand of them.
    """
    return [
        *domain.metas,
        *domain.class_vars,
        *(variable for variable in domain.attributes if not variable.is_continuous),
    ]


def category_columns(domain: Domain) -> list[Variable]:
    """Return the columns that may give images their sub-folders, classes first."""
    return [
        variable
        for variable in (*domain.class_vars, *domain.metas, *domain.attributes)
        if not variable.is_continuous and variable.attributes.get("type") != "image"
    ]


def images_to_save(
    table: Table,
    column: Variable,
    name_column: Variable | None = None,
    category_column: Variable | None = None,
) -> list[ImageToSave]:
    """Return a table's images with what they are to be called.

    Parameters
    ----------
    table
        Any table that has the columns.
    column
        Has the images.
    name_column
        Has their names; where it is empty, as without it, the file keeps its own.
    category_column
        Has their categories, one sub-folder each; None to have no sub-folders.
    """
    sources = image_sources(table, column)
    names = _texts(table, name_column) if name_column else [""] * len(table)
    categories: Sequence[str | None] = [None] * len(table)
    if category_column:
        categories = _texts(table, category_column)
    return [
        ImageToSave(source, name, category)
        for source, name, category in zip(sources, names, categories, strict=True)
    ]


def count_categories(table: Table, category_column: Variable) -> int:
    """Return how many sub-folders a column would make."""
    values = table.get_column(category_column)
    if category_column.is_string:
        return len(set(_texts(table, category_column)))
    missing = np.isnan(values)
    return len(np.unique(values[~missing])) + bool(missing.any())


def not_saved(table: Table, images: Sequence[SavedImage]) -> Table | None:
    """Return the rows whose images were not saved, with a text column ``reason``.

    Parameters
    ----------
    table
        As given to `images_to_save`.
    images
        What became of its rows.
    """
    rows = [row for row, image in enumerate(images) if image.status != "saved"]
    if not rows:
        return None
    return with_reasons(table[rows], [images[row].reason for row in rows])


def _texts(table: Table, variable: Variable) -> list[str]:
    """Return a column's values as they are shown, "" where they are missing."""
    values = table.get_column(variable)
    if variable.is_string:
        texts = ["" if value is None else str(value) for value in values]
        return ["" if text.strip() in _MISSING else text for text in texts]
    return ["" if np.isnan(value) else variable.str_val(value) for value in values]
