"""A list of thumbnails with titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from AnyQt.QtCore import (
    QAbstractListModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QSize,
    Qt,
)
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QKeyEvent, QPainter, QPalette, QPen
from AnyQt.QtWidgets import (
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader

__all__ = ["ImageList"]

_MARGIN = 6  # pixels around an item's contents
_MAX_SIDE = 512  # thumbnails are kept at this many pixels at most


class _Model(QAbstractListModel):
    def __init__(self, loader: ImageLoader, parent: QWidget) -> None:
        super().__init__(parent)
        self.loader = loader
        self.titles: Sequence[str] = []
        loader.loaded.connect(self._on_loaded)

    def set_titles(self, titles: Sequence[str]) -> None:
        self.beginResetModel()
        self.titles = titles
        self.endResetModel()

    def change_titles(self, titles: Sequence[str]) -> None:
        self.titles = titles
        self.dataChanged.emit(self.index(0), self.index(len(titles) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.titles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.AccessibleTextRole,
        ):
            return self.titles[index.row()]
        if role == Qt.ItemDataRole.ToolTipRole:
            title, reason = self.titles[index.row()], self.loader.reason(index.row())
            return f"{title}\n{reason}" if reason else title
        return None

    def _on_loaded(self, row: int) -> None:
        if row < len(self.titles):
            index = self.index(row)
            self.dataChanged.emit(index, index)


class _Delegate(QStyledItemDelegate):
    """Draws the image, or why there is none, and the title below."""

    def __init__(self, loader: ImageLoader, parent: QListView) -> None:
        super().__init__(parent)
        self.loader = loader

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return self.parent().gridSize()

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        palette = option.palette
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        title_height = option.fontMetrics.height() + 2
        area = option.rect.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        frame = area.adjusted(0, 0, 0, -title_height)
        painter.save()
        if selected:
            painter.fillRect(option.rect.adjusted(2, 2, -2, -2), palette.highlight())
        if option.state & QStyle.StateFlag.State_HasFocus:
            text = palette.color(QPalette.ColorRole.Text)
            painter.setPen(QPen(text, 1, Qt.PenStyle.DotLine))
            painter.drawRect(option.rect.adjusted(2, 2, -3, -3))
        self._paint_image(painter, frame, index.row(), option)
        role = (
            QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        )
        painter.setPen(palette.color(role))
        title = option.fontMetrics.elidedText(
            index.data() or "", Qt.TextElideMode.ElideMiddle, area.width()
        )
        painter.drawText(
            QRect(area.left(), frame.bottom() + 1, area.width(), title_height),
            Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom,
            title,
        )
        painter.restore()

    def _paint_image(
        self, painter: QPainter, frame: QRect, row: int, option: QStyleOptionViewItem
    ) -> None:
        image = self.loader.image(row)
        if image is not None:
            size = image.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatio)
            # small images are not blown up beyond twice their size
            size = size.boundedTo(image.size() * 2)
            target = QRect(frame.topLeft(), size)
            target.moveCenter(frame.center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, image)
            return
        pen = QPen(option.palette.color(QPalette.ColorRole.PlaceholderText))
        painter.setPen(pen)
        painter.drawRect(frame.adjusted(0, 0, -1, -1))
        reason = self.loader.reason(row)
        text = f"⚠\n{reason}" if reason else "…"
        painter.drawText(
            frame.adjusted(3, 3, -3, -3),
            Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
            text,
        )


class ImageList(QListView):
    """Thumbnails in rows; selection by mouse, rubber band and keyboard.

    Signals
    -------
    selection_changed()
        Another set of images is selected.
    preview_requested()
        Space was pressed, or an image double-clicked.
    """

    selection_changed = Signal()
    preview_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loader = ImageLoader(self)
        self._model = _Model(self.loader, self)
        self._sources: Sequence[str | None] = []
        self._image_size = 120
        self.setModel(self._model)
        self.setItemDelegate(_Delegate(self.loader, self))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setSelectionRectVisible(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.verticalScrollBar().setSingleStep(20)
        self.doubleClicked.connect(lambda _: self.preview_requested.emit())
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.selection_changed.emit()
        )
        self.set_image_size(self._image_size)

    def set_images(self, sources: Sequence[str | None], titles: Sequence[str]) -> None:
        """Show these images; nothing is selected."""
        self._sources = sources
        self._load_anew()
        self._model.set_titles(titles)

    def set_titles(self, titles: Sequence[str]) -> None:
        """Show the same images under other titles."""
        self._model.change_titles(titles)

    def set_image_size(self, size: int) -> None:
        """Set the side of the square that thumbnails fit into, in pixels."""
        grown = self._pixels(size) > self._pixels(self._image_size)
        self._image_size = size
        title = self.fontMetrics().height() + 2
        self.setGridSize(QSize(size + 2 * _MARGIN, size + title + 2 * _MARGIN))
        if grown:
            self._load_anew()
        # the items' size is that of the grid
        self.scheduleDelayedItemsLayout()
        self.viewport().update()

    def selected_rows(self) -> list[int]:
        """Return the selected rows, ascending."""
        return sorted(index.row() for index in self.selectedIndexes())

    def select_rows(self, rows: Sequence[int]) -> None:
        """Select these rows and no others."""
        selection = QItemSelection()
        for row in rows:
            index = self._model.index(row)
            selection.select(index, index)
        self.selectionModel().select(
            selection, QItemSelectionModel.SelectionFlag.ClearAndSelect
        )

    def _pixels(self, size: int) -> int:
        # a few fixed steps, so that the slider does not start the loading anew at
        # each of its positions
        needed = size * self.devicePixelRatioF()
        return next((side for side in (128, 256) if side >= needed), _MAX_SIDE)

    def _load_anew(self) -> None:
        side = self._pixels(self._image_size)
        self.loader.set_sources(self._sources, QSize(side, side))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space:
            self.preview_requested.emit()
            event.accept()
            return
        super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.set_image_size(self._image_size)
