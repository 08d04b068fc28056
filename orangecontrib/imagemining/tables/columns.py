"""Orange's image columns: ``attributes["type"] == "image"``, with an ``origin``.

Those whose images are read in a way of their own have it in their attribute
``rendering``, in the words of `images.sources`.
"""

from __future__ import annotations

import numpy as np
from Orange.data import Domain, Table, Variable

from orangecontrib.imagemining.images import locate
from orangecontrib.imagemining.images.sources import Rendering, join_source

__all__ = [
    "RENDERING",
    "image_columns",
    "image_sources",
    "possible_image_columns",
    "rendering_of",
]

#: The attribute that says how a column's images are read.
RENDERING = "rendering"


def image_columns(domain: Domain, chosen: str = "") -> list[Variable]:
    """Return the columns marked as images, metas first: that is where they belong.

    Parameters
    ----------
    domain
        Of any table.
    chosen
        Name of a column that counts too, marked or not, if it could hold images at all:
        workflows of Orange3-ImageAnalytics may have chosen any text.
    """
    columns = [
        variable
        for variable in (*domain.metas, *domain.variables)
        if variable.attributes.get("type") == "image" and not variable.is_continuous
    ]
    unmarked = [
        variable
        for variable in possible_image_columns(domain)
        if variable.name == chosen and variable not in columns
    ]
    return columns + unmarked


def possible_image_columns(domain: Domain) -> list[Variable]:
    """Return the texts and categories among the metas, those marked as images first.

    These are the columns that Orange3-ImageAnalytics offered, in its order.
    """
    columns = [
        variable
        for variable in domain.metas
        if variable.is_string or variable.is_discrete
    ]
    # sorting keeps the order within the marked and within the others
    return sorted(columns, key=lambda v: v.attributes.get("type") != "image")


def rendering_of(column: Variable) -> str:
    """Return how the images of a column are read, in words; "" for the default."""
    return str(Rendering.parse(str(column.attributes.get(RENDERING, ""))))


def image_sources(
    table: Table, column: Variable, rendering: str | None = None
) -> list[str | None]:
    """Return each row's source (see `images.sources`), None where it is missing.

    Parameters
    ----------
    table
        Any table that has `column`.
    column
        Categorical or text; its ``origin`` is taken from the table's own domain, so
        that a column of the same name from another folder is read from there.
    rendering
        How to read the images, whatever the column says; None for as it says.
    """
    own = table.domain[column]
    origin = str(own.attributes.get("origin", ""))
    values = table.get_column(own)
    if own.is_discrete:
        names = [own.values[int(v)] if np.isfinite(v) else "" for v in values]
    else:
        names = ["" if value is None else str(value) for value in values]
    if rendering is None:
        rendering = rendering_of(own)
    # "?" and "." are how Orange's files write a missing text
    return [
        join_source(locate(name, origin), rendering=rendering)
        if name.strip() not in ("", "?", ".", "nan")
        else None
        for name in names
    ]
