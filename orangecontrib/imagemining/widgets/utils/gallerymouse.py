"""What mouse and keyboard do in a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from AnyQt.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer
from AnyQt.QtGui import QKeyEvent, QMouseEvent
from AnyQt.QtWidgets import QApplication
from numpy.typing import NDArray

if TYPE_CHECKING:
    from orangecontrib.imagemining.widgets.utils.gallery import ImageGallery

__all__ = ["GalleryInput"]

_CONTROL = Qt.KeyboardModifier.ControlModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_SCROLL_INTERVAL = 30  # ms between two steps while a frame is drawn beyond the edge


class GalleryInput(QObject):
    """Selects, drags and moves in a gallery, as file managers do.

    A drag that begins on an image takes the images away; one that begins beside draws
    a frame around those to be selected, as does any with Ctrl or Shift.
    """

    def __init__(self, gallery: ImageGallery) -> None:
        super().__init__(gallery)
        self.gallery = gallery
        self._anchor = -1  # row that a range begins at
        self._pressed: QPoint | None = None  # in the content's coordinates
        self._pressed_row = -1
        self._may_drag = False
        self._before: NDArray[np.bool_] | None = None  # selected before the frame
        self._select_on_release = False
        self._scroll_timer = QTimer(self, interval=_SCROLL_INTERVAL)
        self._scroll_timer.timeout.connect(self._scroll_on)
        gallery.installEventFilter(self)
        gallery.viewport().installEventFilter(self)

    def reset(self) -> None:
        """Forget what has begun: the images have changed places."""
        self._pressed = None
        self._before = None
        self._anchor = -1
        self._scroll_timer.stop()
        self.gallery.band = QRect()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.gallery:
            if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
                return self._on_key(event)
            return False
        if not isinstance(event, QMouseEvent):
            return False
        if event.type() == QEvent.Type.MouseMove:
            return self._on_move(event)
        if event.button() != Qt.MouseButton.LeftButton:
            return False
        if event.type() == QEvent.Type.MouseButtonPress:
            return self._on_press(event)
        if event.type() == QEvent.Type.MouseButtonRelease:
            return self._on_release()
        if event.type() == QEvent.Type.MouseButtonDblClick:
            if self.gallery.row_at(event.position().toPoint()) >= 0:
                self.gallery.preview_requested.emit()
            return True
        return False

    # mouse -------------------------------------------------------------------

    def _on_press(self, event: QMouseEvent) -> bool:
        gallery = self.gallery
        point = event.position().toPoint()
        control = bool(event.modifiers() & _CONTROL)
        shift = bool(event.modifiers() & _SHIFT)
        gallery.setFocus(Qt.FocusReason.MouseFocusReason)
        heading = gallery.layout_.heading_at(point.y() + gallery.offset())
        if heading >= 0:
            gallery.select_group(heading, add=control or shift)
            return True
        row = gallery.row_at(point)
        self._pressed = point + QPoint(0, gallery.offset())
        self._pressed_row = row
        self._select_on_release = False
        self._may_drag = (
            row >= 0 and not control and not shift and gallery.is_on_picture(row, point)
        )
        # a frame adds to what was selected if Ctrl or Shift is held
        self._before = gallery.selected.copy()
        if not control and not shift:
            self._before[:] = False
        if row < 0:
            if not control and not shift:
                gallery.select_rows([])
            return True
        if shift:
            self._select_range(row, add=control)
        elif control:
            selected = gallery.selected.copy()
            selected[row] = not selected[row]
            self._anchor = row
            gallery.set_selected(selected)
        elif gallery.selected[row] and self._may_drag:
            # perhaps all the selected are dragged away: decided when the button is up
            self._select_on_release = True
        else:
            self._anchor = row
            gallery.select_rows([row])
        gallery.current_row = row
        gallery.viewport().update()
        return True

    def _on_move(self, event: QMouseEvent) -> bool:
        gallery = self.gallery
        if self._pressed is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return False
        point = event.position().toPoint()
        here = point + QPoint(0, gallery.offset())
        far = (here - self._pressed).manhattanLength()
        if gallery.band.isNull() and far < QApplication.startDragDistance():
            return True
        if self._may_drag:
            self._pressed = None
            gallery.drag_requested.emit()
            return True
        self._draw_band(here)
        if not gallery.viewport().rect().contains(point):
            self._scroll_timer.start()
        return True

    def _draw_band(self, corner: QPoint) -> None:
        gallery = self.gallery
        assert self._pressed is not None and self._before is not None
        gallery.band = QRect(self._pressed, corner).normalized()
        band = gallery.band
        positions = gallery.layout_.positions_in(
            band.left(), band.top(), band.right(), band.bottom()
        )
        selected = self._before.copy()
        selected[gallery.order[positions]] = True
        # listeners are told when the button is up
        gallery.selected = selected
        gallery.viewport().update()

    def _scroll_on(self) -> None:
        gallery = self.gallery
        point = gallery.viewport().mapFromGlobal(gallery.cursor().pos())
        beyond = max(point.y() - gallery.viewport().height(), 0) + min(point.y(), 0)
        if gallery.band.isNull() or not beyond:
            self._scroll_timer.stop()
            return
        bar = gallery.verticalScrollBar()
        bar.setValue(bar.value() + beyond)
        self._draw_band(point + QPoint(0, gallery.offset()))

    def _on_release(self) -> bool:
        gallery = self.gallery
        self._scroll_timer.stop()
        if not gallery.band.isNull():
            gallery.band = QRect()
            gallery.viewport().update()
            gallery.selection_changed.emit()
        elif self._pressed is not None and self._select_on_release:
            self._anchor = self._pressed_row
            gallery.select_rows([self._pressed_row])
        self._pressed = None
        self._before = None
        return True

    def _select_range(self, row: int, add: bool) -> None:
        """Select from the anchor to `row`, as they are shown."""
        gallery = self.gallery
        first, last = gallery.position_of(self._anchor), gallery.position_of(row)
        if first < 0:
            self._anchor, first = row, last
        selected = gallery.selected.copy() if add else np.zeros_like(gallery.selected)
        selected[gallery.order[min(first, last) : max(first, last) + 1]] = True
        gallery.set_selected(selected)

    # keyboard ----------------------------------------------------------------

    def _on_key(self, event: QKeyEvent) -> bool:
        gallery, key = self.gallery, event.key()
        control = bool(event.modifiers() & _CONTROL)
        if control and key == Qt.Key.Key_A:
            gallery.select_all()
        elif control and key == Qt.Key.Key_I:
            gallery.invert_selection()
        elif control and key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            gallery.zoom(1.15)
        elif control and key == Qt.Key.Key_Minus:
            gallery.zoom(1 / 1.15)
        elif control and key == Qt.Key.Key_Space:
            self._toggle_current()
        elif key in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if gallery.current_row >= 0:
                gallery.preview_requested.emit()
        elif key == Qt.Key.Key_Escape and gallery.selected.any():
            gallery.select_rows([])
        else:
            return self._move(event)
        return True

    def _toggle_current(self) -> None:
        gallery, row = self.gallery, self.gallery.current_row
        if row >= 0:
            selected = gallery.selected.copy()
            selected[row] = not selected[row]
            self._anchor = row
            gallery.set_selected(selected)

    def _move(self, event: QKeyEvent) -> bool:
        gallery, layout = self.gallery, self.gallery.layout_
        n_lines = max(1, gallery.viewport().height() // layout.cell_height)
        places = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        lines = {
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_PageUp: -n_lines,
            Qt.Key.Key_PageDown: n_lines,
        }
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: layout.n - 1}
        key = Qt.Key(event.key())
        if key not in places and key not in lines and key not in ends:
            return False
        if not layout.n:
            return True
        position = gallery.position_of(gallery.current_row)
        if key in ends:
            position = ends[key]
        elif position < 0:
            position = 0
        elif key in places:
            position = min(max(position + places[key], 0), layout.n - 1)
        else:
            position = layout.above_or_below(position, lines[key])
        row = int(gallery.order[position])
        gallery.go_to(row)
        if event.modifiers() & _SHIFT:
            self._select_range(row, add=False)
        elif not event.modifiers() & _CONTROL:
            self._anchor = row
            gallery.select_rows([row])
        return True
