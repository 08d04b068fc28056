"""Which classes a network takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from AnyQt.QtCore import QAbstractTableModel, QEvent, QModelIndex, Qt
from AnyQt.QtGui import QColor, QResizeEvent
from AnyQt.QtWidgets import QAbstractItemView, QHeaderView, QTableView
from numpy.typing import NDArray

__all__ = ["ConfusionView"]

_RIGHT, _WRONG = "#2f7fd0", "#d0402f"
_MOST = 150  # of 255: text stays readable on it
_ALIGN = int(Qt.AlignmentFlag.AlignCenter)


class _Model(QAbstractTableModel):
    def __init__(self) -> None:
        super().__init__()
        self.classes: Sequence[str] = ()
        self.counts: NDArray[Any] = np.zeros((0, 0), int)
        self._totals: NDArray[Any] = np.zeros(0, int)

    def set(self, classes: Sequence[str], counts: NDArray[Any]) -> None:
        self.beginResetModel()
        self.classes, self.counts = classes, counts
        self._totals = counts.sum(axis=1)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.counts)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.counts)

    def data(
        self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        row, column = index.row(), index.column()
        count, total = int(self.counts[row, column]), int(self._totals[row])
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{count:,}" if count else ""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _ALIGN
        if role == Qt.ItemDataRole.BackgroundRole and count:
            colour = QColor(_RIGHT if row == column else _WRONG)
            colour.setAlpha(round(_MOST * count / total))
            return colour
        if role == Qt.ItemDataRole.ToolTipRole and total:
            taken = (
                "recognised" if row == column else f"taken for “{self.classes[column]}”"
            )
            share = f"{100 * count / total:.0f} %"
            return f"{count:,} of {total:,} of “{self.classes[row]}” {taken} ({share})"
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self.classes[section]
        return None


class ConfusionView(QTableView):
    """A table of counts: true classes are rows, what they were taken for columns."""

    def __init__(self) -> None:
        super().__init__()
        self._model = _Model()
        self.setModel(self._model)
        self.setAccessibleName("Confusion matrix: rows are true, columns predicted")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setCornerButtonEnabled(False)
        self.setWordWrap(False)
        across, down = self.horizontalHeader(), self.verticalHeader()
        across.setMinimumSectionSize(34)
        across.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        across.setTextElideMode(Qt.TextElideMode.ElideRight)
        down.setTextElideMode(Qt.TextElideMode.ElideRight)
        for header in (across, down):
            header.setHighlightSections(False)
        self._fit()

    @property
    def counts(self) -> NDArray[Any]:
        """What is shown, (classes, classes)."""
        return self._model.counts

    def show_counts(self, classes: Sequence[str], counts: NDArray[Any] | None) -> None:
        """Show so many of each class (row) taken for each (column); None: nothing."""
        if counts is None:
            counts, classes = np.zeros((0, 0), int), ()
        same = list(classes) == list(self._model.classes)
        self._model.set(list(classes), np.asarray(counts))
        if not same:
            self._fit()

    def _fit(self) -> None:
        metrics = self.fontMetrics()
        across, down = self.horizontalHeader(), self.verticalHeader()
        down.setDefaultSectionSize(metrics.height() + 6)
        down.setMaximumWidth(metrics.averageCharWidth() * 20)
        names = self._model.classes
        if not names:
            return
        # all of them if there is room, and names as long as there is
        widest = max(metrics.horizontalAdvance(name) for name in names[:50]) + 16
        narrowest = metrics.horizontalAdvance("0,000") + 8
        space = self.viewport().width() // len(names)
        across.setDefaultSectionSize(max(narrowest, min(widest, space)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange and hasattr(self, "_model"):
            self._fit()

    def html(self) -> str:
        """Return the table for a report."""
        classes = self._model.classes
        if not len(classes):
            return ""
        head = "".join(f"<th>{escape(name)}</th>" for name in classes)
        rows = [f"<tr><th>true \\ predicted</th>{head}</tr>"]
        for name, counts in zip(classes, self._model.counts, strict=True):
            cells = "".join(f'<td align="right">{int(n):,}</td>' for n in counts)
            rows.append(f'<tr><th align="left">{escape(name)}</th>{cells}</tr>')
        return f"<table>{''.join(rows)}</table>"
