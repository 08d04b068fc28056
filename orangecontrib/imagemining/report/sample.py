"""Which images to draw where not all of them have room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table

__all__ = ["draw_rows"]

_SEED = 0


def draw_rows(table: Table, limit: int) -> NDArray[np.intp]:
    """Draw at most `limit` rows, as many of each category as far as there are.

    The same table gives the same rows. Rows without a category count as one more.

    Returns
    -------
    Indices of rows, ascending.
    """
    if len(table) <= limit:
        return np.arange(len(table))
    rng = np.random.default_rng(_SEED)
    if table.domain.class_var is None:
        groups = [np.arange(len(table))]
    else:
        _, group_of_row = np.unique(np.nan_to_num(table.Y, nan=-1), return_inverse=True)
        groups = [np.flatnonzero(group_of_row == i) for i in set(group_of_row)]
    drawn: list[NDArray[np.intp]] = []
    # the smallest come first: what they do not use up is left to the others
    for position, group in enumerate(sorted(groups, key=len)):
        share = (limit - sum(map(len, drawn))) // (len(groups) - position)
        drawn.append(rng.permutation(group)[:share])
    return np.sort(np.concatenate(drawn))
