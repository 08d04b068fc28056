"""A view of any number of thumbnails in lines, of which some are selected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from AnyQt.QtCore import QPoint, QRect, QSize, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QColor, QPainter, QPaintEvent, QPalette, QResizeEvent
from AnyQt.QtWidgets import QWidget
from numpy.typing import NDArray

from orangecontrib.imagemining.tables.arrange import Group
from orangecontrib.imagemining.widgets.utils.cells import MARGIN, cell_size
from orangecontrib.imagemining.widgets.utils.gallerylayout import GalleryLayout
from orangecontrib.imagemining.widgets.utils.gallerymouse import GalleryInput
from orangecontrib.imagemining.widgets.utils.thumbnailview import (
    MAX_SIZE,
    ThumbnailView,
)

__all__ = ["MAX_SIZE", "MIN_SIZE", "ImageGallery"]

MIN_SIZE = 32  # of thumbnails, in pixels


class ImageGallery(ThumbnailView):
    """Shows thumbnails in lines, under headings if they are grouped.

    Positions count the images as shown.

    Signals
    -------
    drag_requested()
        The selected images are being dragged away.
    size_changed(int)
        The user zoomed: the new size of thumbnails.
    """

    drag_requested = Signal()
    size_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.order: NDArray[np.intp] = np.empty(0, np.intp)
        self._groups: Sequence[Group] = []
        self._positions: NDArray[np.intp] = np.empty(0, np.intp)
        self.selected: NDArray[np.bool_] = np.zeros(0, bool)
        self.band = QRect()  # of the mouse, in the content's coordinates
        self._image_size = 120
        self._anchor_row = -1  # that a zoom keeps in its place
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # the width must not depend on what is shown, or lines would jump
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self._input = GalleryInput(self)
        self._lay_out()

    # content -----------------------------------------------------------------

    def set_images(self, sources: Sequence[str | None]) -> None:
        """Take other images, of which none is selected; `arrange` shows them."""
        self.show_images(sources)
        self.selected = np.zeros(len(sources), bool)
        self.arrange(np.empty(0, np.intp), [])

    def arrange(self, order: NDArray[np.intp], groups: Sequence[Group]) -> None:
        """Show these rows in this order; the selection stays."""
        self._input.reset()
        self.order = order
        self._groups = groups
        self._positions = np.full(len(self.selected), -1, np.intp)
        self._positions[order] = np.arange(len(order))
        if self.current_row >= 0 and self._positions[self.current_row] < 0:
            self.current_row = -1
        self._lay_out()
        self.verticalScrollBar().setValue(0)

    @property
    def image_size(self) -> int:
        return self._image_size

    def set_image_size(self, size: int) -> None:
        """Set the side of the square that images fit into, in pixels."""
        size = min(max(size, MIN_SIZE), MAX_SIZE)
        if size != self._image_size:
            self._image_size = size
            self._elided.clear()
            self.lay_out()

    def point_at(self, row: int) -> None:
        if row >= 0 and not self.selected[row]:
            self.select_rows([row])

    def zoom(self, factor: float, at: QPoint | None = None) -> None:
        size = round(self._image_size * factor)
        if size == self._image_size:
            size += 1 if factor > 1 else -1
        self._anchor_row = self.row_at(at) if at is not None else -1
        self.set_image_size(size)
        self._anchor_row = -1
        self.size_changed.emit(self._image_size)

    # selection ---------------------------------------------------------------

    def selected_rows(self) -> NDArray[np.intp]:
        """Return the selected rows, ascending, be they shown or not."""
        return np.flatnonzero(self.selected)

    def is_selected(self, row: int) -> bool:
        return bool(self.selected[row])

    def select_rows(self, rows: Sequence[int] | NDArray[np.intp]) -> None:
        selected = np.zeros_like(self.selected)
        selected[np.asarray(rows, np.intp)] = True
        self.set_selected(selected)

    def set_selected(self, selected: NDArray[np.bool_]) -> None:
        """Select the rows for which `selected` is true."""
        changed = not np.array_equal(selected, self.selected)
        self.selected = selected
        self.viewport().update()
        if changed:
            self.selection_changed.emit()

    def select_all(self) -> None:
        """Select all images shown."""
        self.select_rows(self.order)

    def invert_selection(self) -> None:
        """Select those shown that are not selected, and no others."""
        self.select_rows(self.order[~self.selected[self.order]])

    def select_group(self, group: int, add: bool) -> None:
        """Select all images under a heading."""
        stretch = self._groups[group]
        selected = self.selected.copy() if add else np.zeros_like(self.selected)
        selected[self.order[stretch.start : stretch.stop]] = True
        self.set_selected(selected)

    # places ------------------------------------------------------------------

    def position_of(self, row: int) -> int:
        """Return the position of a row, -1 if it is not shown."""
        return int(self._positions[row]) if 0 <= row < len(self._positions) else -1

    def rect_of(self, row: int) -> QRect:
        position = self.position_of(row)
        if position < 0:
            return QRect()
        x, y = self.layout_.corner(position)
        size = QSize(self.layout_.cell_width, self.layout_.cell_height)
        return QRect(QPoint(x, y - self.offset()), size)

    def row_at(self, point: QPoint) -> int:
        position = self.layout_.position_at(point.x(), point.y() + self.offset())
        return int(self.order[position]) if position >= 0 else -1

    def offset(self) -> int:
        """Return the y of the content that is at the top of the viewport."""
        return self.verticalScrollBar().value()

    def go_to(self, row: int) -> None:
        """Make a row the current one and bring it into view."""
        self.current_row = row
        position = self.position_of(row)
        if position >= 0:
            _, y = self.layout_.corner(position)
            bar, height = self.verticalScrollBar(), self.viewport().height()
            if y < bar.value():
                bar.setValue(y - self.layout_.heading)
            elif y + self.layout_.cell_height > bar.value() + height:
                bar.setValue(y + self.layout_.cell_height - height)
        self.viewport().update()

    def step(self, places: int) -> bool:
        position = self.position_of(self.current_row) + places
        if self.current_row < 0 or not 0 <= position < len(self.order):
            return False
        self.go_to(int(self.order[position]))
        return True

    # layout ------------------------------------------------------------------

    def _lay_out(self) -> None:
        metrics = self.fontMetrics()
        cell = cell_size(self._image_size, metrics, self.captions.n_lines)
        self.layout_ = GalleryLayout(
            len(self.order),
            self._groups,
            self.viewport().width(),
            (cell.width(), cell.height()),
            metrics.height() + 14,
        )
        bar, height = self.verticalScrollBar(), self.viewport().height()
        bar.setRange(0, max(0, self.layout_.height - height))
        bar.setPageStep(max(1, height - cell.height() // 3))
        bar.setSingleStep(max(16, cell.height() // 4))
        self.viewport().update()
        self._look_timer.start()

    def lay_out(self) -> None:
        before = self.layout_.positions_between(self.offset(), self.offset() + 1)
        row = self._anchor_row if self._anchor_row >= 0 else self.current_row
        current = self.position_of(row)
        visible = self.rect_of(row).intersects(self.viewport().rect())
        anchor = current if visible else int(before[0]) if len(before) else -1
        y_before = self.layout_.corner(anchor)[1] - self.offset() if anchor >= 0 else 0
        self._lay_out()
        if anchor >= 0:
            y = self.layout_.corner(anchor)[1]
            self.verticalScrollBar().setValue(y - y_before)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.lay_out()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        if self.band.isNull():
            self.viewport().scroll(0, dy)  # only what comes into view is drawn anew
        else:
            self.viewport().update()
        self._look_timer.start()

    # thumbnails --------------------------------------------------------------

    def _look(self) -> None:
        """Have the thumbnails in view made, from its middle, then those around it."""
        height = self.viewport().height()
        positions = self.layout_.positions_between(
            self.offset() - height, self.offset() + 2 * height
        )
        if not self.isVisible() or not len(positions):
            return
        middle = self.layout_.positions_between(
            self.offset() + height // 2, self.offset() + height // 2
        )
        centre = middle.mean() if len(middle) else positions.mean()
        nearest = np.argsort(np.abs(positions - centre), kind="stable")
        self.loader.look_at(self.order[positions[nearest]].tolist(), self.device_side())

    # painting ----------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        colour = QColor(self.palette().color(QPalette.ColorRole.Highlight))
        top = event.rect().top() + self.offset()
        bottom = event.rect().bottom() + self.offset()
        for group, y in self.layout_.headings_between(top, bottom):
            self._paint_heading(painter, self._groups[group], y - self.offset())
        for position in self.layout_.positions_between(top, bottom):
            row = int(self.order[position])
            rect = self.rect_of(row)
            if event.rect().intersects(rect):
                self.paint_cell(
                    painter, rect, row, colour if self.selected[row] else None
                )
        if not self.band.isNull():
            painter.setPen(colour)
            colour.setAlpha(50)
            painter.setBrush(colour)
            painter.drawRect(self.band.translated(0, -self.offset()))

    def _paint_heading(self, painter: QPainter, group: Group, y: int) -> None:
        painter.save()
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(self.palette().color(QPalette.ColorRole.Text))
        width = self.viewport().width() - 2 * MARGIN
        place = QRect(MARGIN, y, width, self.layout_.heading)
        text = f"{group.title} ({group.stop - group.start:,})"
        text = painter.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideMiddle, width
        )
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(place, int(flags), text)
        painter.restore()
