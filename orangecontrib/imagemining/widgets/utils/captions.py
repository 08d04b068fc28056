"""What a gallery says of a table's rows."""

from __future__ import annotations

from html import escape

import numpy as np
from AnyQt.QtGui import QColor
from numpy.typing import NDArray
from Orange.data import Table, Variable

from orangecontrib.imagemining.tables.arrange import file_name, text_of
from orangecontrib.imagemining.widgets.utils.legend import colour_of
from orangecontrib.imagemining.widgets.utils.thumbnailview import Captions

__all__ = ["TableCaptions"]

_N_IN_TOOLTIP = 20  # columns; an embedding has thousands


class TableCaptions:
    """Reads the captions of a row from the table when they are asked for.

    Parameters
    ----------
    data
        The table.
    column
        Of the images; their file names are the titles where `title` is None.
    title, subtitle
        Columns of the captions.
    colour
        Categorical or numeric column that colours the frames.
    named
        Whether rows without a column of titles get the images' names.
    """

    def __init__(
        self,
        data: Table,
        column: Variable,
        title: Variable | None = None,
        subtitle: Variable | None = None,
        colour: Variable | None = None,
        named: bool = True,
    ) -> None:
        self.data = data
        self._column, self._title, self._subtitle = column, title, subtitle
        self._colour = colour
        self._n_lines = int(named or title is not None) + (subtitle is not None)
        self.low, self.high = 0.0, 1.0
        if colour is not None and colour.is_continuous:
            values = data.get_column(colour)
            values = values[np.isfinite(values)]
            self.low, self.high = np.nan, np.nan
            if len(values):
                self.low, self.high = float(values.min()), float(values.max())

    def captions(self) -> Captions:
        """Return what the gallery calls."""
        return Captions(self._lines, self._n_lines, self._tooltip, self._colour_of)

    def colours(self) -> NDArray[np.uint8] | None:
        """Return the colours of all frames, (n, 3), None without a column."""
        if self._colour is None:
            return None
        values = self.data.get_column(self._colour)
        if self._colour.is_discrete:
            known = np.isfinite(values)
            # the last one stands for missing values
            colours = np.vstack([self._colour.colors, [128, 128, 128]])
            return colours[np.where(known, values, -1).astype(int)].astype(np.uint8)
        if not self.low <= self.high:
            return np.full((len(values), 3), 128, np.uint8)
        palette = self._colour.palette
        return palette.values_to_colors(values, self.low, self.high)[:, :3]

    def title(self, row: int) -> str:
        """Return the row's title."""
        if self._title is not None:
            return self._text(row, self._title)
        return file_name(self._text(row, self._column)) or f"(row {row + 1})"

    def _text(self, row: int, variable: Variable) -> str:
        value = self.data[row, variable]
        return text_of(variable, value.value if variable.is_string else float(value))

    def _lines(self, row: int) -> list[str]:
        lines = [self.title(row)]
        if self._subtitle is not None:
            lines.append(self._text(row, self._subtitle))
        return lines

    def _colour_of(self, row: int) -> QColor | None:
        if self._colour is None:
            return None
        value = float(self.data[row, self._colour])
        return colour_of(self._colour, value, self.low, self.high)

    def _tooltip(self, row: int) -> str:
        domain = self.data.domain
        variables = [*domain.class_vars, *domain.metas, *domain.attributes]
        lines = [
            f"<tr><td>{escape(variable.name)}:&nbsp;</td>"
            f"<td>{escape(self._text(row, variable)) or '?'}</td></tr>"
            for variable in variables[:_N_IN_TOOLTIP]
        ]
        more = len(variables) - _N_IN_TOOLTIP
        rest = f"<p>… and {more:,} more columns</p>" if more > 0 else ""
        return f"<table>{''.join(lines)}</table>{rest}"
