"""Combo boxes over keys, which settings store, and not over positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QComboBox, QWidget
from Orange.data import Variable
from Orange.widgets import gui

__all__ = ["ColumnCombo", "KeyCombo"]


class KeyCombo(QComboBox):
    """Shows labels, stores keys.

    Parameters
    ----------
    master
        The widget that has the setting.
    setting
        Name of the setting, a string or number.
    callback
        Called after the user chose another entry.
    """

    def __init__(self, master: QWidget, setting: str, callback: Callable[[], None]):
        super().__init__()
        self._master = master
        self._setting = setting
        self._callback = callback
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(14)
        self.activated.connect(self._on_activated)

    def set_items(self, items: Mapping[Any, str]) -> None:
        """Show these labels and the setting's entry.

        A setting that is not among the keys gets an entry that says so: another is
        never chosen in the user's place.
        """
        self.clear()
        for key, label in items.items():
            self.addItem(label, key)
        current = getattr(self._master, self._setting)
        if current not in items:
            self.addItem(f"{current} (not available)", current)
        self.setCurrentIndex(self.findData(current))
        for index in range(self.count()):
            tip = self.itemText(index)  # the box may be too narrow for it
            self.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)

    def _on_activated(self, index: int) -> None:
        key = self.itemData(index)
        if key != getattr(self._master, self._setting):
            setattr(self._master, self._setting, key)
            self._callback()


class ColumnCombo(KeyCombo):
    """Chooses one of the data's columns, by name.

    Data without the chosen column do not change the setting: another column, or none,
    is shown as long as they are there.

    Parameters
    ----------
    master, setting, callback
        As for `KeyCombo`; the setting is a name, "" for none.
    none
        What stands for none; without it the first column is shown instead.
    """

    def __init__(
        self,
        master: QWidget,
        setting: str,
        callback: Callable[[], None],
        none: str | None = None,
    ):
        super().__init__(master, setting, callback)
        self._none = none
        self.setEnabled(False)

    @property
    def column(self) -> str:
        """Name of the column shown, "" for none."""
        return str(self.currentData() or "")

    def set_columns(self, columns: Sequence[Variable]) -> None:
        """Offer these columns."""
        self.clear()
        self.setEnabled(bool(columns))
        if columns and self._none is not None:
            self.addItem(self._none, "")
        for column in columns:
            self.addItem(gui.attributeIconDict[column], column.name, column.name)
            place = self.count() - 1
            self.setItemData(place, column.name, Qt.ItemDataRole.ToolTipRole)
        place = self.findData(getattr(self._master, self._setting))
        self.setCurrentIndex(max(place, 0) if columns else -1)
