"""A window that shows one image, as large as one likes."""

from __future__ import annotations

from AnyQt.QtCore import QPointF, QRectF, QSize, QSizeF, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import (
    QCloseEvent,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from AnyQt.QtWidgets import QWidget

from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader

__all__ = ["Preview"]

_SHARE_OF_SCREEN = 0.8
_STEP = 1.25  # between two zooms
_MAX_ZOOM = 32.0  # screen pixels for one of the image
_UNLIMITED = QSize(2**30, 2**30)


class Preview(QWidget):
    """Shows an image; the wheel zooms, the mouse moves, arrow keys lead to others.

    At first the image is fitted into the window, and is read no larger than the
    screen; whoever zooms in gets all of its pixels.

    Signals
    -------
    step(int)
        The user asks for the image so many places further on.
    """

    step = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._loader = ImageLoader(self)
        self._loader.loaded.connect(self._on_loaded)
        self._whole_loader = ImageLoader(self)
        self._whole_loader.loaded.connect(lambda _: self._show_state())
        self._source: str | None = None
        self._title = ""
        self._resized = False
        self._zoom: float | None = None  # None: fitted into the window
        self._centre = QPointF(0.5, 0.5)  # of the window, in the image's extent
        self._dragged: QPointF | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolTip(
            "Wheel, + and −: zoom\n0: whole image   1: its own size\n"
            "Drag: move   Arrows: other images   Space or Escape: close"
        )

    def show_image(self, source: str | None, title: str) -> None:
        """Show the image at `source`, under `title`."""
        self._source, self._title = source, title
        self._zoom = None
        self._centre = QPointF(0.5, 0.5)
        screen = (self.screen() or QGuiApplication.primaryScreen()).availableSize()
        self._loader.set_sources([source], screen * self.devicePixelRatioF())
        self._whole_loader.set_sources([None], QSize(1, 1))
        if not self.isVisible():
            self._resized = False
            self.resize(480, 360)
        self._loader.image(0)
        self.show()
        self.raise_()
        self.activateWindow()
        self._show_state()

    def close_loader(self) -> None:
        """Stop reading."""
        self._loader.close()
        self._whole_loader.close()

    # what is shown -----------------------------------------------------------

    def image_size(self) -> QSize:
        """Return the size of the whole image in pixels, (0, 0) if it is not known."""
        return self._loader.original_size(0) or QSize(0, 0)

    def zoom(self) -> float:
        """Return how many pixels of the screen one of the image takes."""
        if self._zoom is not None:
            return self._zoom
        size = self.image_size()
        if size.isEmpty():
            return 1.0
        space = self.size() * self.devicePixelRatioF()
        fitted = min(space.width() / size.width(), space.height() / size.height())
        return min(fitted, _MAX_ZOOM)

    def set_zoom(self, zoom: float | None, at: QPointF | None = None) -> None:
        """Zoom; what is at a point of the window stays there.

        Parameters
        ----------
        zoom
            Pixels of the screen for one of the image; None fits it into the window.
        at
            The point; by default the window's centre.
        """
        if self.image_size().isEmpty():
            return
        at = at or QPointF(self.width() / 2, self.height() / 2)
        before = self._target()
        inside = QPointF(
            (at.x() - before.left()) / before.width(),
            (at.y() - before.top()) / before.height(),
        )
        fitted = self._zoom
        self._zoom = None
        smallest = min(self.zoom(), 1.0)
        self._zoom = fitted
        if zoom is not None:
            zoom = min(max(zoom, smallest), _MAX_ZOOM)
        self._zoom = zoom
        after = self._target().size()
        self._centre = QPointF(
            inside.x() + (self.width() / 2 - at.x()) / after.width(),
            inside.y() + (self.height() / 2 - at.y()) / after.height(),
        )
        self._keep_in_window()
        self._ask_for_pixels()
        self._show_state()

    def _target(self) -> QRectF:
        """Return where the whole image lies, in the window's coordinates."""
        size = QSizeF(self.image_size()) * (self.zoom() / self.devicePixelRatioF())
        size = size.expandedTo(QSizeF(1, 1))
        corner = QPointF(
            self.width() / 2 - self._centre.x() * size.width(),
            self.height() / 2 - self._centre.y() * size.height(),
        )
        return QRectF(corner, size)

    def _keep_in_window(self) -> None:
        """Leave no empty space on one side while there is more on the other."""
        size = self._target().size()

        def kept(centre: float, length: float, window: float) -> float:
            half = window / (2 * length)
            return 0.5 if half >= 0.5 else min(max(centre, half), 1 - half)

        self._centre = QPointF(
            kept(self._centre.x(), size.width(), self.width()),
            kept(self._centre.y(), size.height(), self.height()),
        )

    def _ask_for_pixels(self) -> None:
        """Read the whole image if what is there has been scaled down too far."""
        image = self._loader.image(0)
        if image is None or image.size() == self.image_size():
            return
        if self.zoom() * self.image_size().width() > image.width() * 1.01:
            if self._whole_loader.reason(0):
                self._whole_loader.set_sources([self._source], _UNLIMITED)
            self._whole_loader.image(0)

    def _best_image(self) -> QImage | None:
        if self._zoom is not None and not self._whole_loader.reason(0):
            whole = self._whole_loader.image(0)
            if whole is not None:
                return whole
        return self._loader.image(0)

    def _show_state(self) -> None:
        size = self.image_size()
        text = self._title
        if not size.isEmpty():
            text += f" · {size.width()} × {size.height()} pixels"
            text += f" · {100 * self.zoom():.3g} %"
        self.setWindowTitle(text)
        self.update()

    def _on_loaded(self, _: int) -> None:
        image = self._loader.image(0)
        if image is not None and not self._resized:
            # the first image sets the window's size, later ones are fitted in
            self._resized = True
            screen = (self.screen() or QGuiApplication.primaryScreen()).availableSize()
            limit = screen * _SHARE_OF_SCREEN
            size = (image.size() / self.devicePixelRatioF()).expandedTo(QSize(320, 240))
            if size.width() > limit.width() or size.height() > limit.height():
                size = size.scaled(limit, Qt.AspectRatioMode.KeepAspectRatio)
            self.resize(size)
        self._show_state()

    # events ------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        image = self._best_image()
        if image is None:
            text = self._loader.reason(0) or "Loading…"
            painter.drawText(
                self.rect().adjusted(12, 12, -12, -12),
                int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap),
                text,
            )
            return
        target = self._target()
        seen = target.intersected(QRectF(self.rect()))
        scale = image.width() / target.width()
        part = QRectF(
            (seen.left() - target.left()) * scale,
            (seen.top() - target.top()) * scale,
            seen.width() * scale,
            seen.height() * scale,
        )
        # magnified, pixels are to be seen as such
        smooth = self.zoom() < 4
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        painter.drawImage(seen, image, part)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_in_window()
        self._show_state()

    def wheelEvent(self, event: QWheelEvent) -> None:
        turns = event.angleDelta().y() / 120
        if turns:
            self.set_zoom(self.zoom() * _STEP**turns, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._dragged = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragged is None or self.image_size().isEmpty():
            return
        moved = event.position() - self._dragged
        self._dragged = event.position()
        size = self._target().size()
        self._centre -= QPointF(moved.x() / size.width(), moved.y() / size.height())
        self._keep_in_window()
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._dragged = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.set_zoom(1.0 if self._zoom is None else None, event.position())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Space, Qt.Key.Key_Escape):
            self.close()
        elif key in (Qt.Key.Key_Right, Qt.Key.Key_Down):
            self.step.emit(1)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Up):
            self.step.emit(-1)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.set_zoom(self.zoom() * _STEP)
        elif key == Qt.Key.Key_Minus:
            self.set_zoom(self.zoom() / _STEP)
        elif key == Qt.Key.Key_0:
            self.set_zoom(None)
        elif key == Qt.Key.Key_1:
            self.set_zoom(1.0)
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        for loader in (self._loader, self._whole_loader):
            loader.set_sources([None], QSize(1, 1))
        super().closeEvent(event)
