"""Tables with columns more, made without a copy of their numbers too many.

Orange's own way, `Table.transform` and then filling in the columns, needs all numbers
two or three times at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, StringVariable, Table, Variable
from Orange.data.util import get_unique_names

__all__ = ["ROWS", "with_features", "with_metas", "with_reasons"]

#: Rows that are embedded at once where not all vectors are to be held.
ROWS = 4096

_COPIED = 256  # rows at once


def with_features(
    table: Table,
    good: NDArray[np.bool_],
    new: Sequence[Variable],
    values: list[NDArray[np.float32]],
) -> Table:
    """Return some of a table's rows, with further features.

    All else is kept: ids, classes, metas, weights, name, attributes, the table's type;
    and a sparse table stays so where Orange would keep it.

    The features have 8 bytes a number. Orange 3.40 would keep 4, but its distances and
    its tree then refuse the table ("Buffer dtype mismatch").

    Parameters
    ----------
    table
        Any.
    good
        (rows,) which of them to take.
    new
        The columns.
    values
        Arrays (rows of `table`, some columns) that are theirs side by side; the list is
        emptied, so that each goes as soon as it has been copied.
    """
    domain = table.domain
    attributes = (*domain.attributes, *new)
    # the features are put together apart from the rest
    result = table.transform(Domain((), domain.class_vars, domain.metas))[good]
    rows = np.flatnonzero(good)
    if _stays_sparse(table, len(new)):
        parts = [table.X[rows]]
        while values:
            parts.append(scipy.sparse.csr_matrix(values.pop(0)[rows], dtype=float))
        features = scipy.sparse.hstack(parts, format="csr")
    else:
        features = np.empty((len(rows), len(attributes)))
        end = len(domain.attributes)
        if end:
            _fill(features[:, :end], table.X, rows)
        while values:
            start, end = end, end + values[0].shape[1]
            _fill(features[:, start:end], values.pop(0), rows)
    result.domain = Domain(attributes, domain.class_vars, domain.metas)
    with result.unlocked_reference(result.X):
        result.X = features
    return result


def with_metas(
    table: Table, new: Sequence[Variable], values: NDArray[np.float32]
) -> Table:
    """Give a table further metas; it is changed, and returned.

    Parameters
    ----------
    table
        One that nobody else has yet.
    new
        The columns.
    values
        (rows, new columns) theirs.
    """
    domain = table.domain
    end = len(domain.metas)
    metas = np.empty((len(table), end + len(new)), object)
    metas[:, :end] = table.metas
    metas[:, end:] = values
    table.domain = Domain(domain.attributes, domain.class_vars, (*domain.metas, *new))
    with table.unlocked_reference(table.metas):
        table.metas = metas
    return table


def with_reasons(table: Table, reasons: list[str]) -> Table:
    """Return the rows with a column that says why each was left out."""
    domain = table.domain
    reason = StringVariable(get_unique_names(domain, "reason"))
    extended = table.transform(
        Domain(domain.attributes, domain.class_vars, (*domain.metas, reason))
    )
    with extended.unlocked(extended.metas):
        extended.metas[:, -1] = reasons
    return extended


def _fill(target: NDArray[np.float64], source: Any, rows: NDArray[np.intp]) -> None:
    for start in range(0, len(rows), _COPIED):
        some = source[rows[start : start + _COPIED]]
        if scipy.sparse.issparse(some):
            some = some.toarray()
        target[start : start + _COPIED] = some


def _stays_sparse(table: Table, n_new: int) -> bool:
    """Tell whether Orange keeps a table sparse that is given so many columns more."""
    if not scipy.sparse.issparse(table.X):
        return False
    names = get_unique_names(table.domain, [str(index) for index in range(n_new)])
    wide = Domain((*table.domain.attributes, *map(ContinuousVariable, names)))
    return bool(scipy.sparse.issparse(table[:1].transform(wide).X))
