"""Black and white for all images, as numbers that can be typed over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QGridLayout, QLabel, QLineEdit, QWidget

from orangecontrib.imagemining.widgets.utils.forms import HintEdit
from orangecontrib.imagemining.widgets.utils.importinfo import number_text

__all__ = ["RangeRows"]

_MOST = 6  # rows
_LONGEST = 36  # letters of a name, or the window gets too wide


class RangeRows(QWidget):
    """Shows the setting ``ranges``: name of a channel, black, white.

    Parameters
    ----------
    master
        The widget that has the setting.
    on_typed
        Called after the user typed other numbers.
    """

    def __init__(self, master: QWidget, on_typed: Callable[[], None]) -> None:
        super().__init__()
        self._master, self._on_typed = master, on_typed
        self._names: list[str] = []
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(3, 1)
        self.edits: list[tuple[QLineEdit, QLineEdit]] = []
        self._labels: list[tuple[QLabel, QLabel]] = []
        self.setLayout(self._grid)

    def show_ranges(self, names: Sequence[str]) -> None:
        """Show the numbers of these channels; "" is all of them together."""
        self._names = list(names)[:_MOST]
        while len(self.edits) < len(self._names):
            self._add_row()
        known = {name: (low, high) for name, low, high in self._master.ranges}
        for row, (labels, edits) in enumerate(
            zip(self._labels, self.edits, strict=True)
        ):
            is_used = row < len(self._names)
            for part in (*labels, *edits):
                part.setVisible(is_used)
            if not is_used:
                continue
            name = self._names[row]
            labels[0].setText(f"{_short(name)}:" if name else "All:")
            labels[0].setToolTip(name)
            for edit, value, what in zip(
                edits, known.get(name, ("", "")), ("Black", "White"), strict=True
            ):
                edit.setAccessibleName(f"{what} of {name or 'all'}")
                if not edit.hasFocus() or not edit.isModified():
                    edit.setText(_shown(value))
                    edit.setCursorPosition(0)

    def _add_row(self) -> None:
        row = len(self.edits)
        labels = (QLabel(textFormat=Qt.TextFormat.PlainText), QLabel("to"))
        edits = (HintEdit(), HintEdit())
        for edit, tip in zip(edits, ("black", "white"), strict=True):
            edit.setMinimumWidth(60)
            edit.setPlaceholderText("not known")
            edit.setToolTip(f"What becomes {tip}, in the images' own numbers")
            edit.editingFinished.connect(lambda row=row: self._on_edited(row))
        for place, part in enumerate((labels[0], edits[0], labels[1], edits[1])):
            self._grid.addWidget(part, row, place)
        self._labels.append(labels)
        self.edits.append(edits)

    def _on_edited(self, row: int) -> None:
        edits, name = self.edits[row], self._names[row]
        if not any(edit.isModified() for edit in edits):
            return
        others = [each for each in self._master.ranges if each[0] != name]
        known = next((each for each in self._master.ranges if each[0] == name), None)
        numbers = []
        for place, edit in enumerate(edits, 1):
            # what is shown has fewer digits than what is meant
            text = edit.text().strip().replace(",", ".")
            numbers.append(
                known[place] if known and not edit.isModified() else _number(text)
            )
        if None in numbers:
            if all(edit.text().strip() for edit in edits) or known:
                self._end_editing(row)  # as it was
            return  # the other number is still to come
        self._end_editing(row)
        if known is None or list(known[1:]) != numbers:
            self._master.ranges = [*others, [name, *numbers]]
            self._on_typed()

    def _end_editing(self, row: int) -> None:
        for edit in self.edits[row]:
            edit.setModified(False)
        self.show_ranges(self._names)


def _short(name: str) -> str:
    """Return a channel's name, of a very long one its beginning and end."""
    return name if len(name) <= _LONGEST else f"{name[:24]}…{name[-11:]}"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else number_text(value, 6)
