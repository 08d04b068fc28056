"""Says which colour stands for what."""

from __future__ import annotations

from html import escape
from itertools import accumulate

from AnyQt.QtCore import Qt
from AnyQt.QtGui import QColor
from AnyQt.QtWidgets import QLabel, QSizePolicy, QWidget
from Orange.data import Variable

__all__ = ["Legend", "colour_of"]

_MAX_LETTERS = 300  # of all names; the others are in the tooltip
_N_STEPS = 5  # colours shown of a numeric column


def colour_of(variable: Variable, value: float, low: float, high: float) -> QColor:
    """Return Orange's colour for a value; numeric ones lie between low and high."""
    if variable.is_discrete:
        return QColor(variable.palette.value_to_qcolor(value))
    return QColor(variable.palette.value_to_qcolor(value, low, high))


class Legend(QLabel):
    """The colours of a categorical or numeric column, in lines as wide as there is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setVisible(False)

    def set_variable(
        self, variable: Variable | None, low: float = 0, high: float = 1
    ) -> None:
        """Show a column's colours; nothing without a column."""
        entries: list[tuple[str, float]] = []
        if variable is not None and variable.is_discrete:
            entries = [(name, number) for number, name in enumerate(variable.values)]
        elif variable is not None and low == low:
            steps = _N_STEPS if high > low else 1
            for step in range(steps):
                value = low + (high - low) * step / max(1, steps - 1)
                entries.append((variable.str_val(value), value))
        self.setVisible(bool(entries))
        if variable is None or not entries:
            self.clear()
            return
        parts = []
        for text, value in entries:
            colour = colour_of(variable, value, low, high).name()
            name = escape(text).replace(" ", "&nbsp;")
            parts.append(f'<span style="color:{colour}">■</span>&nbsp;{name}')
        letters = accumulate(len(text) + 4 for text, _ in entries)
        n = max(1, sum(count <= _MAX_LETTERS for count in letters))
        rest = f" &nbsp; … {len(parts) - n} more" if n < len(parts) else ""
        title = f"{escape(variable.name)}: &nbsp;"
        self.setText(title + " &nbsp; ".join(parts[:n]) + rest)
        self.setToolTip("<br>".join(parts) if rest else "")
