"""Fields for the numbers of a training, each with what is published for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QFocusEvent
from AnyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QWidget,
)

from orangecontrib.imagemining.widgets.utils.forms import HintEdit
from orangecontrib.imagemining.widgets.utils.trainchoices import written

__all__ = ["Field", "FieldGrid", "NumberEdit"]


@dataclass(frozen=True)
class Field:
    """What is to be known of a number to show it.

    Attributes
    ----------
    name : of the dataclass's field.
    label : for people.
    tip : what it is.
    choices : values with their labels, where there are only some.
    least, most : the range of a number.
    kind : "number", "whole", "pair" (the smaller number first) or "flag", where there
        are no choices.
    optional : whether it may be left away; what that means, "" if it may not.
    counts : tells of the other fields whether this one counts.
    """

    name: str
    label: str
    tip: str
    choices: Mapping[Any, str] | None = None
    kind: str = "number"
    least: float = 0.0
    most: float = math.inf
    optional: str = ""
    counts: Callable[[Mapping[str, Any]], bool] = lambda values: True


class NumberEdit(HintEdit):
    """A line for one number; what is none, or out of range, is put back.

    Parameters
    ----------
    least, most
        The range.
    whole
        Whether it has no fraction.
    optional
        What an empty line means; "" if it may not be empty.

    Signals
    -------
    changed()
        The user has written another number.
    """

    changed = Signal()

    def __init__(
        self,
        least: float = 0.0,
        most: float = math.inf,
        whole: bool = False,
        optional: str = "",
    ) -> None:
        super().__init__()
        self._least, self._most = least, most
        self._whole, self._optional = whole, optional
        self._value: float | None = None
        self.setPlaceholderText(optional)
        # what an empty line means is read whole
        hint = self.fontMetrics().horizontalAdvance(optional)
        usual = self.fontMetrics().averageCharWidth() * 16
        self.setMaximumWidth(max(usual, hint + 20))
        self.setMinimumWidth(self.maximumWidth() if hint + 20 > usual else 0)
        self.editingFinished.connect(self._take)

    @property
    def value(self) -> float | int | None:
        """The number, None if the line is empty."""
        return self._value

    def set_value(self, value: float | None) -> None:
        """Show a number."""
        self._value = value
        self.setText("" if value is None else written(value))

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._take()

    def _take(self) -> None:
        text = self.text().strip().replace(",", ".")
        before = self._value
        if not text and self._optional:
            self._value = None
        else:
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            fine = self._least <= number <= self._most
            if fine and (not self._whole or number == int(number)):
                self._value = int(number) if self._whole else number
        if text != written(before):
            self.set_value(self._value)
        if self._value != before:
            self.changed.emit()


class _PairEdit(QWidget):
    """Two numbers, the smaller first."""

    changed = Signal()

    def __init__(self, least: float, most: float, name: str) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.edits = [NumberEdit(least, most) for _ in range(2)]
        for edit, which in zip(self.edits, ("smallest", "largest"), strict=True):
            edit.setAccessibleName(f"{name}, {which}")
            edit.setMaximumWidth(self.fontMetrics().averageCharWidth() * 12)
            edit.changed.connect(self._order)
            row.addWidget(edit)
            if edit is self.edits[0]:
                row.addWidget(QLabel("to"))
        row.addStretch()

    @property
    def value(self) -> tuple[float, float]:
        low, high = (float(edit.value or 0) for edit in self.edits)
        return low, high

    def set_value(self, value: tuple[float, float]) -> None:
        for edit, number in zip(self.edits, value, strict=True):
            edit.set_value(number)

    def _order(self) -> None:
        low, high = self.value
        self.set_value((min(low, high), max(low, high)))
        self.changed.emit()


class FieldGrid(QWidget):
    """Fields with labels, each with a button that puts back what is published.

    Parameters
    ----------
    fields
        What is shown.

    Signals
    -------
    changed()
        The user has changed a value.
    """

    changed = Signal()

    def __init__(self, fields: tuple[Field, ...]) -> None:
        super().__init__()
        self._fields = {field.name: field for field in fields}
        self._published: Mapping[str, Any] = {}
        self._labels: dict[str, QLabel] = {}
        self._buttons: dict[str, QToolButton] = {}
        self.editors: dict[str, Any] = {}
        grid = QGridLayout(self)
        grid.setVerticalSpacing(4)
        for row, field in enumerate(fields):
            label = QLabel(f"{field.label}:")
            editor = self._editor(field)
            label.setBuddy(editor)
            reset = QToolButton(text="↺", autoRaise=True)
            reset.clicked.connect(lambda _, name=field.name: self._reset(name))
            grid.addWidget(label, row, 0)
            grid.addWidget(editor, row, 1)
            grid.addWidget(reset, row, 2)
            self._labels[field.name] = label
            self._buttons[field.name] = reset
            self.editors[field.name] = editor
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(len(fields), 1)

    def _editor(self, field: Field) -> QWidget:
        editor: QWidget
        if field.choices is not None:
            editor = QComboBox()
            for key, label in field.choices.items():
                editor.addItem(label, key)
            editor.activated.connect(self._on_change)
        elif field.kind == "flag":
            editor = QCheckBox()
            editor.clicked.connect(self._on_change)
        elif field.kind == "pair":
            editor = _PairEdit(field.least, field.most, field.label)
            editor.changed.connect(self._on_change)
        else:
            editor = NumberEdit(
                field.least, field.most, field.kind == "whole", field.optional
            )
            editor.changed.connect(self._on_change)
        editor.setAccessibleName(field.label)
        return editor

    def set_values(
        self, values: Mapping[str, Any], published: Mapping[str, Any]
    ) -> None:
        """Show values, and remember those that are published."""
        self._published = published
        for name, editor in self.editors.items():
            value = values[name]
            if isinstance(editor, QComboBox):
                # Qt does not find tuples
                keys = [editor.itemData(place) for place in range(editor.count())]
                editor.setCurrentIndex(keys.index(value) if value in keys else -1)
            elif isinstance(editor, QCheckBox):
                editor.setChecked(bool(value))
            else:
                editor.set_value(value)
        self._mark()

    def values(self) -> dict[str, Any]:
        """Return what is shown."""
        result: dict[str, Any] = {}
        for name, editor in self.editors.items():
            if isinstance(editor, QComboBox):
                result[name] = editor.currentData()
            elif isinstance(editor, QCheckBox):
                result[name] = editor.isChecked()
            else:
                result[name] = editor.value
        return result

    def _reset(self, name: str) -> None:
        self.set_values({**self.values(), name: self._published[name]}, self._published)
        self.changed.emit()

    def reset(self) -> None:
        """Put back all that is published."""
        self.set_values(self._published, self._published)
        self.changed.emit()

    def _on_change(self) -> None:
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        """Show which values differ, and which do not count."""
        values = self.values()
        for name, field in self._fields.items():
            published = self._published[name]
            is_changed = values[name] != published
            label, button = self._labels[name], self._buttons[name]
            font = label.font()
            font.setBold(is_changed)
            label.setFont(font)
            button.setEnabled(is_changed)
            shown = (field.choices or {}).get(published, "") or written(published)
            if published is None and field.optional:
                shown = field.optional
            button.setToolTip(f"Back to {shown}")
            button.setAccessibleName(f"{field.label} back to {shown}")
            tip = f"{field.tip}\nHere by default: {shown}"
            editor = self.editors[name]
            counts = field.counts(values)
            for part in (label, editor):
                part.setEnabled(counts)
                part.setToolTip(tip if counts else f"{tip}\nDoes not count now")
