"""Where the cells and headings of a gallery are, by arithmetic alone.

Nothing is kept for each image, so a hundred thousand cost no more than ten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.tables.arrange import Group

__all__ = ["GalleryLayout"]


class GalleryLayout:
    """Cells of one size in lines, under headings.

    Positions count the images in the order shown. All lengths are in pixels, y from
    the top of the whole content.

    Parameters
    ----------
    n
        Number of images.
    groups
        Stretches of positions with a heading each; none for no headings.
    width
        Of the view.
    cell
        Width and height of a cell.
    heading
        Height of a heading.
    """

    def __init__(
        self,
        n: int,
        groups: Sequence[Group],
        width: int,
        cell: tuple[int, int],
        heading: int,
    ) -> None:
        self.n = n
        self.cell_width, self.cell_height = cell
        self.heading = heading if groups else 0
        self.columns = max(1, width // self.cell_width)
        self.left = max(0, (width - self.columns * self.cell_width) // 2)
        self._starts = np.array([g.start for g in groups] or [0])
        self._stops = np.array([g.stop for g in groups] or [n])
        lines = -(-(self._stops - self._starts) // self.columns)
        bottoms = np.cumsum(lines * self.cell_height + self.heading)
        self._tops = np.concatenate([[0], bottoms[:-1]])
        self.height = int(bottoms[-1])

    def corner(self, position: int) -> tuple[int, int]:
        """Return x and y of the upper left corner of a cell."""
        group = int(np.searchsorted(self._stops, position, "right"))
        line, column = divmod(position - int(self._starts[group]), self.columns)
        y = int(self._tops[group]) + self.heading + line * self.cell_height
        return self.left + column * self.cell_width, y

    def position_at(self, x: int, y: int) -> int:
        """Return the position of the cell at a point, -1 if there is none."""
        column = (x - self.left) // self.cell_width
        if not 0 <= column < self.columns or not 0 <= y < self.height:
            return -1
        group = self._group_at(y)
        line = (y - int(self._tops[group]) - self.heading) // self.cell_height
        position = int(self._starts[group]) + line * self.columns + column
        return position if line >= 0 and position < self._stops[group] else -1

    def heading_at(self, y: int) -> int:
        """Return the number of the group whose heading is at `y`, -1 if none is."""
        if not self.heading or not 0 <= y < self.height:
            return -1
        group = self._group_at(y)
        return group if y < self._tops[group] + self.heading else -1

    def headings_between(self, top: int, bottom: int) -> list[tuple[int, int]]:
        """Return (group, y) of the headings that reach into a stripe."""
        if not self.heading:
            return []
        groups = range(self._group_at(top), self._group_at(bottom) + 1)
        return [(group, int(self._tops[group])) for group in groups]

    def positions_between(self, top: int, bottom: int) -> NDArray[np.intp]:
        """Return the positions of all cells that reach into a stripe, ascending."""
        return self.positions_in(0, top, 2**31, bottom)

    def positions_in(
        self, left: int, top: int, right: int, bottom: int
    ) -> NDArray[np.intp]:
        """Return the positions of all cells that reach into a rectangle, ascending."""
        first_column = max(0, (left - self.left) // self.cell_width)
        last_column = min(self.columns - 1, (right - self.left) // self.cell_width)
        if not self.n or right < self.left or first_column > last_column:
            return np.empty(0, np.intp)
        columns = np.arange(first_column, last_column + 1)
        parts = []
        for group in range(self._group_at(top), self._group_at(bottom) + 1):
            start, stop = int(self._starts[group]), int(self._stops[group])
            first_y = int(self._tops[group]) + self.heading
            n_lines = -(-(stop - start) // self.columns)
            first = max(0, (top - first_y) // self.cell_height)
            last = min(n_lines - 1, (bottom - first_y) // self.cell_height)
            lines = np.arange(first, last + 1)
            cells = (start + lines[:, None] * self.columns + columns).ravel()
            parts.append(cells[cells < stop])
        return np.concatenate(parts).astype(np.intp)

    def above_or_below(self, position: int, lines: int) -> int:
        """Return the position so many lines below (above, if negative).

        Headings are no lines; in a shorter line it is the last one.
        """
        group = int(np.searchsorted(self._stops, position, "right"))
        line, column = divmod(position - int(self._starts[group]), self.columns)
        for _ in range(abs(lines)):
            line += 1 if lines > 0 else -1
            if line < 0:
                if group == 0:
                    return position
                group -= 1
                line = self._n_lines(group) - 1
            elif line >= self._n_lines(group):
                if group == len(self._stops) - 1:
                    return position
                group += 1
                line = 0
            position = int(self._starts[group]) + line * self.columns + column
            position = min(position, int(self._stops[group]) - 1)
        return position

    def _n_lines(self, group: int) -> int:
        return -(-int(self._stops[group] - self._starts[group]) // self.columns)

    def _group_at(self, y: int) -> int:
        group = int(np.searchsorted(self._tops, y, "right")) - 1
        return min(max(group, 0), len(self._tops) - 1)
