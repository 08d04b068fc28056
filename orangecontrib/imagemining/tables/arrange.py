"""In which order, in which groups and which of a table's images are shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table, Variable

from orangecontrib.imagemining.images.names import natural_key
from orangecontrib.imagemining.images.sources import parse_source
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = [
    "Arrangement",
    "ArrangeSpec",
    "Group",
    "arrange",
    "file_name",
    "numbered_rows",
    "text_of",
]


@dataclass(frozen=True)
class ArrangeSpec:
    """How images are arranged; columns by name, "" for none.

    Attributes
    ----------
    group : categorical column; each of its values gets a heading.
    sort : column that decides the order, "" for that of the table.
    descending : largest first; missing values are last in any case.
    words : only rows in which all these words occur are shown.
    """

    group: str = ""
    sort: str = ""
    descending: bool = False
    words: str = ""


@dataclass(frozen=True)
class Group:
    """A stretch of the order under one heading."""

    title: str
    start: int
    stop: int


@dataclass
class Arrangement:
    """Result of `arrange`.

    Attributes
    ----------
    order : rows of the table in the order in which they are shown.
    groups : the stretches of `order`; empty without a grouping column.
    """

    order: NDArray[np.intp]
    groups: list[Group] = field(default_factory=list)


def arrange(
    table: Table, column: Variable, spec: ArrangeSpec, progress: Progress = no_progress
) -> Arrangement:
    """Sort, group and filter a table's rows.

    Parameters
    ----------
    table
        Any table that has `column` and those of `spec`.
    column
        The column of images; its paths are searched for the words too, as are all
        columns of text and categories.
    """
    order = np.arange(len(table))
    if spec.words.strip():
        order = order[_rows_with(table, column, spec.words, progress)]
    if spec.sort:
        progress(0.5, "Sorting")
        order = order[_sorting(table[order], spec.sort, spec.descending)]
    if not spec.group:
        return Arrangement(order)
    variable = table.domain[spec.group]
    values = table.get_column(variable)[order]
    values = np.where(np.isfinite(values), values, len(variable.values)).astype(int)
    order = order[np.argsort(values, kind="stable")]
    counts = np.bincount(values, minlength=len(variable.values) + 1)
    stops = np.cumsum(counts)
    titles = [*variable.values, f"{variable.name} missing"]
    groups = [
        Group(title, int(stop - count), int(stop))
        for title, count, stop in zip(titles, counts, stops, strict=True)
        if count
    ]
    return Arrangement(order, groups)


def _rows_with(
    table: Table, column: Variable, words: str, progress: Progress
) -> NDArray[np.bool_]:
    """Tell for each row whether all words occur in it."""
    domain = table.domain
    wanted = words.casefold().split()
    missing = [np.ones(len(table), bool) for _ in wanted]
    columns = [
        v for v in (*domain.variables, *domain.metas) if v.is_discrete or v.is_string
    ]
    if column not in columns:
        columns.append(domain[column])
    for done, variable in enumerate(columns):
        progress(0.5 * done / len(columns), "Searching")
        values = table.get_column(variable)
        if variable.is_discrete:
            # few values, many rows
            names = [name.casefold() for name in variable.values]
            codes = np.where(np.isfinite(values), values, len(names)).astype(int)
            for lacks, word in zip(missing, wanted, strict=True):
                has = np.array([word in name for name in names] + [False])
                lacks &= ~has[codes]
            continue
        texts = [text_of(variable, value).casefold() for value in values]
        for lacks, word in zip(missing, wanted, strict=True):
            lacks &= ~np.fromiter((word in text for text in texts), bool, len(texts))
    return ~np.logical_or.reduce(missing)


def _sorting(table: Table, name: str, descending: bool) -> NDArray[np.intp]:
    variable = table.domain[name]
    values = table.get_column(variable)
    if variable.is_string:
        texts = [text_of(variable, value) for value in values]
        # position among the different texts, in natural order
        different = sorted(set(texts), key=natural_key)
        place = {text: index for index, text in enumerate(different)}
        place[""] = -1
        keys = np.array([place[text] for text in texts], float)
        keys[keys < 0] = np.nan
    else:
        keys = np.array(values, float)
    # the sign, not the turned order: equal ones stay in the order of the table
    return np.argsort(-keys if descending else keys, kind="stable")


def text_of(variable: Variable, value: object) -> str:
    """Return a value as people read it, "" if it is missing."""
    if variable.is_string:
        return "" if value is None or value != value else str(value)
    return "" if value != value else str(variable.str_val(value))


def numbered_rows(table: Table, column: Variable) -> list[tuple[str, int]]:
    """Return what tells each row from the others, wherever it stands.

    That is the column's text, with the number of earlier rows that have the same.
    """
    seen: Counter[str] = Counter()
    numbered = []
    for value in table.get_column(column):
        text = text_of(column, value)
        numbered.append((text, seen[text]))
        seen[text] += 1
    return numbered


def file_name(value: str) -> str:
    """Return the last part of a path or address, and in words which part of the file.

    "cells.tif#t=1&z=4" is "cells.tif z=5 t=2": people count from 1.
    """
    source = parse_source(value)
    name = source.place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    part = source.part.describe()
    return f"{name} {part}" if part else name
