"""Positions in the plane to cells of a grid, each image in a cell of its own.

What is looked for is the assignment with the least sum of squared distances between
images and cells, after the positions were moved and scaled, on each axis by itself, to
the mean and the standard deviation of the grid's cells.

Up to `MAX_EXACT` images that sum is the least there is. Beyond, where the table of all
images and all cells would not fit into memory, it is approximated:

1. *A start.* The positions are halved again and again into about a thousand groups of
   equal size, which are assigned, exactly, to the cells of a coarse grid, and the
   images of each spread over its cell. Now the grid is halved again and again,
   and the images with it: each half gets those that lie in it, as far as it has
   cells. Halving the positions as they are is tried too; the cheaper start is taken.
2. *Sweeps.* The grid is cut into windows of 12 × 12 cells, and the images of each are
   assigned to its cells anew, exactly. So it is with windows moved by half their size,
   across, down and both; and, where cells remain free, with whole rows and columns,
   through which the free cells travel far. A window in which nothing has changed since
   is passed over. The sweeps end when one gains less than 0.1 %.

Measured by ``benchmarks/grid.py`` on two cores at 2,500 images, on grids with and
without spare cells: for projections of photographs the cost is less than 1 % above the
exact one; for all made-up positions tried less than 3.5 %, most for uniform ones that
fill the grid. 20,000 images take 3 to 9 s and 212 MiB in all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from orangecontrib.imagemining.exceptions import GridError
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["MAX_EXACT", "GridLayout", "assign", "grid_shape"]

#: Up to so many images the assignment is exact.
MAX_EXACT = 2500

# Pairs of image and cell up to which it is: a small table on a huge grid has many, too
_MAX_PAIRS = 30_000_000
_POLL = 0.05  # seconds between two looks at whether the user wants to stop

_GROUPS = 10  # halvings, of the positions, to at most 1,024 groups
_LEAST_IN_GROUP = 4  # images
_LEAF = 16  # cells that are assigned exactly, not halved
_WINDOW = 12  # cells along a side
_STRIP = 144  # cells in a window of whole rows or columns, if they are not longer
_GAIN = 1e-3  # share of the cost that a sweep has to gain, to be followed by another
_SWEEPS = 20
_EPSILON = 1e-9  # gains below are the computer's rounding

_Floats = NDArray[np.float64]
_Ints = NDArray[np.intp]


@dataclass
class GridLayout:
    """Which image is in which cell.

    Attributes
    ----------
    rows, columns : size of the grid.
    cells : (n, 2), each image's row and column, from the top left; -1 for those left
        out because their position is missing.
    cost : mean squared distance between images and their cells, in cells.
    exact : whether no assignment costs less.
    """

    rows: int
    columns: int
    cells: NDArray[np.intp]
    cost: float = 0.0
    exact: bool = True

    @property
    def left_out(self) -> NDArray[np.intp]:
        """The images that have no cell."""
        return np.flatnonzero(self.cells[:, 0] < 0)


def grid_shape(n: int, aspect: float = 1.0) -> tuple[int, int]:
    """Return rows and columns of a grid for `n` images.

    Parameters
    ----------
    n
        Number of images.
    aspect
        Width by height that the grid should come close to.
    """
    if n < 1:
        return 0, 0
    columns = min(max(int(np.ceil(np.sqrt(n * aspect) - 1e-9)), 1), n)
    rows = -(-n // columns)
    # not more columns than are needed for so many rows
    return rows, -(-n // rows)


def assign(
    positions: NDArray[np.floating],
    rows: int,
    columns: int,
    progress: Progress = no_progress,
    max_exact: int = MAX_EXACT,
) -> GridLayout:
    """Give each position a cell of its own, so that neighbours stay neighbours.

    Parameters
    ----------
    positions
        (n, 2); the first axis points to the right, the second, as in Orange's plots,
        up. Images with missing ones are left out.
    rows, columns
        Size of the grid; there may be more cells than images.
    max_exact
        Up to so many images the assignment is exact; for tests and benchmarks.

    Raises
    ------
    GridError
        If there are more images than cells.
    """
    positions = np.asarray(positions, np.float64).reshape(-1, 2)
    known = np.isfinite(positions).all(axis=1)
    n = int(known.sum())
    if n > rows * columns:
        raise GridError(
            f"The grid of {columns} columns and {rows} rows has {rows * columns:,}"
            f" cells, but {n:,} are needed, one for each image."
        )
    layout = GridLayout(rows, columns, np.full((len(positions), 2), -1, np.intp))
    if not n:
        return layout
    points = _fitted(positions[known], rows, columns)
    layout.exact = n <= max_exact and n * rows * columns <= _MAX_PAIRS
    if layout.exact:
        cells = _assign_exactly(points, rows, columns, progress)
    else:
        cells = _assign_nearly(points, rows, columns, progress)
    layout.cells[known] = np.column_stack(np.divmod(cells, columns))
    layout.cost = _cost(points, cells, columns) / n
    progress(1.0)
    return layout


def _fitted(positions: _Floats, rows: int, columns: int) -> _Floats:
    """Return (x, y) in cells from the grid's top left corner."""
    positions = positions - positions.mean(axis=0)
    # first to at most 1: squares of huge numbers would overflow
    extent = np.abs(positions).max(axis=0)
    positions = positions / np.where(extent > 0, extent, 1)
    spread = positions.std(axis=0)
    size = np.array([columns, rows])
    wanted = np.sqrt((size**2 - 1) / 12)  # of the numbers 1, 2, …
    positions *= wanted / np.where(spread > 1e-12, spread, 1)
    positions[:, 1] *= -1
    return positions + size / 2


def _centres(y0: int, y1: int, x0: int, x1: int) -> _Floats:
    """Return (x, y) of the cells in a part of the grid, row by row."""
    x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
    return np.column_stack([x.ravel(), y.ravel()])


def _cost(points: _Floats, cells: _Ints, columns: int) -> float:
    row, column = np.divmod(cells, columns)
    return float(((points - np.column_stack([column, row]) - 0.5) ** 2).sum())


def _solve(points: _Floats, centres: _Floats) -> _Ints:
    """Return the place among `centres` of each point, of which there are no more."""
    _, places = linear_sum_assignment(cdist(points, centres, "sqeuclidean"))
    return np.asarray(places, np.intp)


def _assign_exactly(
    points: _Floats, rows: int, columns: int, progress: Progress
) -> _Ints:
    # scipy cannot be stopped, and may need many seconds: what it is at when the user
    # does not want to wait any longer is left to itself
    done: list[_Ints] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            done.append(_solve(points, _centres(0, rows, 0, columns)))
        except Exception as ex:  # noqa: BLE001  raised again below
            failed.append(ex)

    n = len(points)
    thread = threading.Thread(target=work, name="grid", daemon=True)
    thread.start()
    while thread.is_alive():
        progress(0.1, f"Giving {n:,} image{'s' * (n != 1)} a cell")
        thread.join(_POLL)
    if failed:
        raise failed[0]
    return done[0]


def _assign_nearly(
    points: _Floats, rows: int, columns: int, progress: Progress
) -> _Ints:
    progress(0, "Giving each image a cell: a start")
    start = _halve(points, rows, columns, progress)
    planned = _halve(_planned(points, rows, columns), rows, columns, progress)
    if _cost(points, planned, columns) < _cost(points, start, columns):
        start = planned
    return _Sweeps(points, rows, columns, start).run(progress)


def _planned(points: _Floats, rows: int, columns: int) -> _Floats:
    """Return where points go if groups of them are assigned to a coarse grid."""
    groups = [np.arange(len(points))]
    for _ in range(_GROUPS):
        if len(groups[0]) < 2 * _LEAST_IN_GROUP:
            break
        groups = [half for group in groups for half in _halves(points, group)]
    n = len(groups)
    means = np.array([points[group].mean(axis=0) for group in groups])
    # as many cells to a group as there are to an image
    wanted = n * rows * columns / len(points)
    across = max(1, round(np.sqrt(wanted * columns / rows)))
    down = int(np.ceil(max(wanted, n) / across - 1e-9))
    size = np.array([columns / across, rows / down])
    centres = _centres(0, down, 0, across) * size
    planned = np.empty_like(points)
    for group, place in zip(groups, _solve(means, centres), strict=True):
        inside = points[group] - points[group].mean(axis=0)
        spread = inside.std(axis=0)
        inside *= size / np.sqrt(12) / np.where(spread > 1e-12, spread, 1)
        planned[group] = centres[place] + inside
    return planned


def _halves(points: _Floats, group: _Ints) -> tuple[_Ints, _Ints]:
    """Split a group across its longer side."""
    axis = int(np.argmax(np.ptp(points[group], axis=0)))
    ordered = group[np.argsort(points[group, axis], kind="stable")]
    half = len(ordered) // 2
    return ordered[:half], ordered[half:]


def _halve(points: _Floats, rows: int, columns: int, progress: Progress) -> _Ints:
    """Give each half of the grid the points in it, as far as it has cells; repeat."""
    cells = np.empty(len(points), np.intp)
    parts = [(np.arange(len(points)), 0, rows, 0, columns)]
    while parts:
        group, y0, y1, x0, x1 = parts.pop()
        if not len(group):
            continue
        height, width = y1 - y0, x1 - x0
        if height * width <= _LEAF:
            places = _solve(points[group], _centres(y0, y1, x0, x1))
            row, column = np.divmod(places, width)
            cells[group] = (y0 + row) * columns + x0 + column
            continue
        progress(0)
        axis = 0 if width >= height else 1
        low, high, across = (x0, x1, height) if axis == 0 else (y0, y1, width)
        middle = (low + high) // 2
        ordered = group[np.argsort(points[group, axis], kind="stable")]
        split = int(np.searchsorted(points[ordered, axis], middle))
        split = max(split, len(group) - (high - middle) * across)
        split = min(split, (middle - low) * across)
        first, second = ordered[:split], ordered[split:]
        if axis == 0:
            parts += [(first, y0, y1, low, middle), (second, y0, y1, middle, high)]
        else:
            parts += [(first, low, middle, x0, x1), (second, middle, high, x0, x1)]
    return cells


class _Sweeps:
    """Makes an assignment cheaper, window by window.

    Parameters
    ----------
    points
        (n, 2) in cells.
    rows, columns
        Size of the grid.
    cells
        (n,) numbers of cells, row by row, to begin with.
    """

    def __init__(self, points: _Floats, rows: int, columns: int, cells: _Ints) -> None:
        self.points = points
        self.rows, self.columns = rows, columns
        self.owner = np.full((rows, columns), -1, np.intp)
        self.owner.ravel()[cells] = np.arange(len(points))
        self.cost = _cost(points, cells, columns)
        self.free = rows * columns > len(points)
        # what was solved or changed how late: a window is done with as long as none of
        # its cells is younger than its solution
        self._now = 0
        self._changed = np.zeros((rows, columns), np.int64)
        self._solved: dict[tuple[int, int, int, int], int] = {}

    def run(self, progress: Progress) -> _Ints:
        """Sweep until little is gained; return the numbers of the cells."""
        kinds = [(_WINDOW, _WINDOW)]
        if self.free:
            kinds.append((max(1, _STRIP // self.columns), self.columns))
            kinds.append((self.rows, max(1, _STRIP // self.rows)))
        windows = [window for kind in kinds for window in self._windows(*kind)]
        for sweep in range(_SWEEPS):
            gain = 0.0
            for done, window in enumerate(windows):
                if done % 16 == 0:
                    progress(
                        # the first sweeps take longest: they change most
                        1 - 0.7 ** (sweep + done / len(windows)),
                        f"Giving each image a cell: sweep {sweep + 1}",
                    )
                gain += self._solve_window(window)
            self.cost -= gain
            if gain <= _GAIN * self.cost:
                break
        cells = np.empty(len(self.points), np.intp)
        owner = self.owner.ravel()
        taken = np.flatnonzero(owner >= 0)
        cells[owner[taken]] = taken
        return cells

    def _windows(self, height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield top, bottom, left and right of windows; then of those half across."""
        height, width = min(height, self.rows), min(width, self.columns)
        down = (0, height // 2) if 1 < height < self.rows else (0,)
        across = (0, width // 2) if 1 < width < self.columns else (0,)
        for dy, dx in [(dy, dx) for dy in down for dx in across]:
            for y in range(dy - height if dy else 0, self.rows, height):
                for x in range(dx - width if dx else 0, self.columns, width):
                    yield (
                        max(y, 0),
                        min(y + height, self.rows),
                        max(x, 0),
                        min(x + width, self.columns),
                    )

    def _solve_window(self, window: tuple[int, int, int, int]) -> float:
        """Assign the images of a window anew; return what that gained."""
        y0, y1, x0, x1 = window
        part = np.s_[y0:y1, x0:x1]
        if self._solved.get(window, -1) >= self._changed[part].max():
            return 0.0
        self._now += 1
        self._solved[window] = self._now
        owner = self.owner[part].ravel()
        before = np.flatnonzero(owner >= 0)
        if not len(before):
            return 0.0
        images = owner[before]
        costs = cdist(self.points[images], _centres(*window), "sqeuclidean")
        _, after = linear_sum_assignment(costs)
        each = np.arange(len(images))
        gain = float(costs[each, before].sum() - costs[each, after].sum())
        if gain <= _EPSILON:
            return 0.0
        new = np.full((y1 - y0, x1 - x0), -1, np.intp)
        new.ravel()[after] = images
        self._changed[part][new != self.owner[part]] = self._now
        self.owner[part] = new
        return gain
