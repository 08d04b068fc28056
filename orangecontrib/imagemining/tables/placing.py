"""A table's images on a grid, from their numbers to their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table, Variable
from Orange.util import wrap_callback

from orangecontrib.imagemining.exceptions import GridError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.arrange import numbered_rows
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.grid import GridLayout, assign, grid_shape
from orangecontrib.imagemining.tables.projection import project

__all__ = ["ImageGrid", "place_images"]

_PROJECTING = 0.8  # share of the progress


@dataclass
class ImageGrid:
    """A table's images on a grid.

    Attributes
    ----------
    sources : each row's path or address.
    numbered : what tells each row from the others (see `numbered_rows`).
    positions : (n, 2), where the projection puts them; NaN without features.
    layout : the cells.
    """

    sources: Sequence[str | None]
    numbered: Sequence[tuple[str, int]]
    positions: NDArray[np.float64]
    layout: GridLayout


def place_images(
    data: Table,
    column: Variable,
    projection: str,
    size: tuple[int, int] | None = None,
    positions: NDArray[np.float64] | None = None,
    progress: Progress = no_progress,
) -> ImageGrid:
    """Project a table's images and assign them to the cells of a grid.

    Parameters
    ----------
    data
        With numbers to compare the images by.
    column
        Of the images.
    projection
        A key of `PROJECTIONS`.
    size
        (rows, columns); None for as many as are needed.
    positions
        What `project` returned for these data earlier.

    Raises
    ------
    GridError
        If the grid is too small, or there is nothing to compare.
    """
    if positions is None:
        partial = wrap_callback(progress, 0, _PROJECTING)
        positions = project(data, projection, partial)
    n = int(np.isfinite(positions[:, 0]).sum())
    if not n:
        raise GridError("None of the images has numbers to compare it by")
    rows, columns = size or grid_shape(n)
    layout = assign(positions, rows, columns, wrap_callback(progress, _PROJECTING, 1))
    return ImageGrid(
        image_sources(data, column), numbered_rows(data, column), positions, layout
    )
