"""What the views of thumbnails share: captions, tooltips, menus, zoom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from AnyQt.QtCore import QEvent, QPoint, QRect, QSize, Qt, QTimer
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import (
    QColor,
    QContextMenuEvent,
    QHelpEvent,
    QPainter,
    QPalette,
    QPen,
    QWheelEvent,
)
from AnyQt.QtWidgets import QAbstractScrollArea, QFrame, QToolTip, QWidget

from orangecontrib.imagemining.widgets.utils.cells import (
    MARGIN,
    draw_captions,
    draw_picture,
    picture_rect,
)
from orangecontrib.imagemining.widgets.utils.colours import blended, text_on
from orangecontrib.imagemining.widgets.utils.thumbnails import (
    ImageLoader,
    shared_store,
)

__all__ = ["MAX_SIZE", "Captions", "ThumbnailView"]

MAX_SIZE = 512  # of a thumbnail, in pixels
_ZOOM_STEP = 1.15
_N_ELIDED = 5000  # captions kept, cut to their cells


@dataclass(frozen=True)
class Captions:
    """What is said of a row; asked for when it comes into view.

    Attributes
    ----------
    lines : the texts below the image.
    n_lines : how many these are.
    tooltip : all there is to say, as rich text.
    colour : of the frame; None for none.
    """

    lines: Callable[[int], list[str]]
    n_lines: int
    tooltip: Callable[[int], str]
    colour: Callable[[int], QColor | None]


_NO_CAPTIONS = Captions(lambda row: [], 0, lambda row: "", lambda row: None)


class ThumbnailView(QAbstractScrollArea):
    """Shows thumbnails in cells; only what is in view costs anything.

    Rows are those of the table. A view of one kind says where the rows are
    (`rect_of`, `row_at`), how large (`image_size`), and which are selected.

    Signals
    -------
    selection_changed()
    preview_requested()
        The user wants to see the current image large.
    menu_requested(QPoint)
        A context menu, at this place on the screen.
    """

    selection_changed = Signal()
    preview_requested = Signal()
    menu_requested = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loader = ImageLoader(self, shared_store())
        self.loader.loaded.connect(self._on_loaded)
        self.current_row = -1
        self.captions = _NO_CAPTIONS
        self.crop = False  # whether images fill their squares
        self._elided: dict[int, list[str]] = {}
        self._look_timer = QTimer(self, singleShot=True, interval=0)
        self._look_timer.timeout.connect(self._look)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setBackgroundRole(QPalette.ColorRole.Base)
        self.viewport().setAutoFillBackground(True)

    # to be said by a view of one kind ----------------------------------------

    @property
    def image_size(self) -> int:
        """Side of the square that images fit into, in pixels."""
        raise NotImplementedError

    def rect_of(self, row: int) -> QRect:
        """Return a row's cell in the viewport; an empty one if it is not shown."""
        raise NotImplementedError

    def row_at(self, point: QPoint) -> int:
        """Return the row at a point of the viewport, -1 if there is none."""
        raise NotImplementedError

    def is_selected(self, row: int) -> bool:
        """Tell whether a row is selected."""
        raise NotImplementedError

    def select_rows(self, rows: Sequence[int]) -> None:
        """Select these rows and no others."""
        raise NotImplementedError

    def point_at(self, row: int) -> None:
        """Do what a click of the right button does, before there is a menu."""

    def step(self, places: int) -> bool:
        """Go so many images further; False if there are none."""
        raise NotImplementedError

    def zoom(self, factor: float, at: QPoint | None = None) -> None:
        """Make the cells so much larger; what is at a point of the viewport stays."""
        raise NotImplementedError

    def lay_out(self) -> None:
        """Place the cells anew, and keep in view what is there."""
        raise NotImplementedError

    def _look(self) -> None:
        """Have the thumbnails in view made."""
        raise NotImplementedError

    # content -----------------------------------------------------------------

    def show_images(self, sources: Sequence[str | None]) -> None:
        """Take other images."""
        self.loader.set_sources(sources, QSize(MAX_SIZE, MAX_SIZE))
        self.current_row = -1
        self._elided.clear()

    def set_captions(self, captions: Captions) -> None:
        """Say other things of the same images."""
        self.captions = captions
        self._elided.clear()
        self.lay_out()

    def is_on_picture(self, row: int, point: QPoint) -> bool:
        """Tell whether a point of the viewport is on the image, not beside it."""
        frame = self._frame(self.rect_of(row))
        image = self.loader.image(row, self.device_side())
        if image is None:
            return frame.contains(point)
        ratio = self.viewport().devicePixelRatioF()
        return picture_rect(image, frame, ratio).contains(point)

    def device_side(self) -> int:
        """Return the side of the images' square in the screen's own pixels."""
        return max(1, round(self.image_size * self.viewport().devicePixelRatioF()))

    def has_room_for_captions(self) -> bool:
        """Tell whether cells are large enough for words."""
        return True

    # painting ----------------------------------------------------------------

    def _on_loaded(self, row: int) -> None:
        rect = self.rect_of(row)
        if rect.intersects(self.viewport().rect()):
            self.viewport().update(rect)

    def _frame(self, rect: QRect) -> QRect:
        side = self.image_size
        return QRect(rect.left() + MARGIN, rect.top() + MARGIN, side, side)

    def paint_cell(
        self, painter: QPainter, rect: QRect, row: int, highlight: QColor | None
    ) -> None:
        """Draw a row's image with its captions; `highlight` lies behind it."""
        palette = self.palette()
        if highlight is not None:
            painter.fillRect(rect.adjusted(1, 1, -1, -1), highlight)
        if row == self.current_row and self.hasFocus():
            text = palette.color(QPalette.ColorRole.Text)
            painter.setPen(QPen(text, 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(rect.adjusted(1, 1, -2, -2))
        frame = self._frame(rect)
        draw_picture(
            painter,
            frame,
            self.loader.image(row, self.device_side()),
            self.loader.reason(row),
            palette,
            self.captions.colour(row),
            self.crop,
        )
        if self.captions.n_lines and self.has_room_for_captions():
            colour = palette.color(QPalette.ColorRole.Text)
            if highlight is not None:
                colour = text_on(blended(highlight, palette.base().color()), palette)
            space = QRect(
                frame.left(), frame.bottom() + 3, frame.width(), rect.height()
            )
            draw_captions(painter, space, self._lines(row), colour)

    def _lines(self, row: int) -> list[str]:
        """Return the captions, cut to the cell's width."""
        lines = self._elided.get(row)
        if lines is None:
            if len(self._elided) > _N_ELIDED:
                self._elided.clear()
            elide = self.fontMetrics().elidedText
            middle = Qt.TextElideMode.ElideMiddle
            lines = [
                elide(text, middle, self.image_size)
                for text in self.captions.lines(row)
            ]
            self._elided[row] = lines
        return lines

    # events ------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._elided.clear()
            self.lay_out()

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = self.row_at(event.pos())
            if row >= 0:
                reason = self.loader.reason(row)
                text = self.captions.tooltip(row)
                if reason:
                    text += f"<p><b>{escape(reason)}</b></p>"
                QToolTip.showText(event.globalPos(), text, self, self.rect_of(row))
            else:
                QToolTip.hideText()
            return True
        return super().viewportEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            if event.angleDelta().y():
                factor = _ZOOM_STEP if event.angleDelta().y() > 0 else 1 / _ZOOM_STEP
                self.zoom(factor, event.position().toPoint())
            event.accept()
        else:
            super().wheelEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() != QContextMenuEvent.Reason.Keyboard:
            self.current_row = self.row_at(event.pos())
            self.point_at(self.current_row)
            self.viewport().update()
        self.menu_requested.emit(event.globalPos())
