"""What mouse and keyboard do in a grid of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from AnyQt.QtCore import QEvent, QObject, QPoint, QRect, Qt
from AnyQt.QtGui import QKeyEvent, QMouseEvent
from AnyQt.QtWidgets import QApplication
from numpy.typing import NDArray

if TYPE_CHECKING:
    from orangecontrib.imagemining.widgets.utils.gridview import GridView

__all__ = ["GridInput", "regroup"]

_ALT = Qt.KeyboardModifier.AltModifier
_CONTROL = Qt.KeyboardModifier.ControlModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_STEP = 1.25  # between two zooms


def regroup(
    groups: NDArray[np.intp],
    rows: Sequence[int] | NDArray[np.intp],
    modifiers: Qt.KeyboardModifier,
) -> NDArray[np.intp]:
    """Return the groups after `rows` were chosen with these keys held.

    As in Orange's plots: without keys they become the only group, with Shift a new
    one, with Shift and Ctrl a part of the last one; Alt takes them away. Ctrl alone
    adds to the last group what is not selected yet, and else takes it away.
    """
    groups = groups.copy()
    last = max(int(groups.max(initial=0)), 1)
    if modifiers & _ALT:
        groups[rows] = 0
    elif modifiers & _SHIFT and modifiers & _CONTROL:
        groups[rows] = last
    elif modifiers & _SHIFT:
        groups[rows] = groups.max(initial=0) + 1
    elif modifiers & _CONTROL:
        groups[rows] = 0 if groups[rows].all() else last
    else:
        groups[:] = 0
        groups[rows] = 1
    return groups


class GridInput(QObject):
    """Selects by clicks and frames, moves by keys and the middle button."""

    def __init__(self, view: GridView) -> None:
        super().__init__(view)
        self.view = view
        self._pressed: QPoint | None = None
        self._panned: QPoint | None = None
        view.installEventFilter(self)
        view.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.view:
            if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
                return self._on_key(event)
            return False
        if not isinstance(event, QMouseEvent):
            return False
        point = event.position().toPoint()
        if event.type() == QEvent.Type.MouseButtonPress:
            self.view.setFocus(Qt.FocusReason.MouseFocusReason)
            if event.button() == Qt.MouseButton.LeftButton:
                self._pressed = point
                return True
            if event.button() == Qt.MouseButton.MiddleButton:
                self._panned = point
                return True
        elif event.type() == QEvent.Type.MouseMove:
            return self._on_move(point)
        elif event.type() == QEvent.Type.MouseButtonRelease:
            return self._on_release(point, event)
        elif event.type() == QEvent.Type.MouseButtonDblClick:
            if self.view.row_at(point) >= 0:
                self.view.preview_requested.emit()
            return True
        return False

    def _on_move(self, point: QPoint) -> bool:
        view = self.view
        if self._panned is not None:
            moved, self._panned = point - self._panned, point
            for bar, places in (
                (view.horizontalScrollBar(), moved.x()),
                (view.verticalScrollBar(), moved.y()),
            ):
                bar.setValue(bar.value() - places)
            return True
        if self._pressed is None:
            return False
        far = (point - self._pressed).manhattanLength()
        if not view.band.isNull() or far >= QApplication.startDragDistance():
            view.band = QRect(self._pressed, point).normalized()
            view.viewport().update()
        return True

    def _on_release(self, point: QPoint, event: QMouseEvent) -> bool:
        view = self.view
        if event.button() == Qt.MouseButton.MiddleButton:
            self._panned = None
            return True
        if self._pressed is None or event.button() != Qt.MouseButton.LeftButton:
            return False
        if view.band.isNull():
            row = view.row_at(self._pressed)
            rows = np.array([row] if row >= 0 else [], np.intp)
            view.current_row = row
        else:
            rows = view.rows_in(view.band)
        self._pressed = None
        view.band = QRect()
        keys = event.modifiers()
        if len(rows) or not keys & (_ALT | _CONTROL | _SHIFT):
            view.set_groups(regroup(view.groups, rows, keys))
        view.viewport().update()
        return True

    def _on_key(self, event: QKeyEvent) -> bool:
        view, key = self.view, event.key()
        control = bool(event.modifiers() & _CONTROL)
        if control and key == Qt.Key.Key_A:
            view.select_all()
        elif control and key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            view.zoom(_STEP)
        elif control and key == Qt.Key.Key_Minus:
            view.zoom(1 / _STEP)
        elif control and key == Qt.Key.Key_0:
            view.set_zoom(1.0)
        elif control and key == Qt.Key.Key_Space:
            if view.current_row >= 0:
                view.set_groups(regroup(view.groups, [view.current_row], _CONTROL))
        elif key in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if view.current_row >= 0:
                view.preview_requested.emit()
        elif key == Qt.Key.Key_Escape and view.groups.any():
            view.select_rows([])
        else:
            return self._move(event)
        return True

    def _move(self, event: QKeyEvent) -> bool:
        directions = {
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
        }
        view, key = self.view, Qt.Key(event.key())
        placed = np.flatnonzero(view.cells[:, 0] >= 0)
        if key not in directions or not len(placed):
            return key in directions
        row = view.current_row
        if row < 0 or view.cells[row, 0] < 0:
            row = int(placed[np.lexsort(view.cells[placed].T[::-1])[0]])
        else:
            row = view.neighbour(row, *directions[key])
        view.go_to(row)
        if event.modifiers() & _SHIFT:
            view.set_groups(regroup(view.groups, [row], _SHIFT | _CONTROL))
        elif not event.modifiers() & _CONTROL:
            view.select_rows([row])
        return True
