"""A window that shows one image as large as the screen allows."""

from __future__ import annotations

from AnyQt.QtCore import QRect, QSize, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QCloseEvent, QGuiApplication, QKeyEvent, QPainter, QPaintEvent
from AnyQt.QtWidgets import QWidget

from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader

__all__ = ["Preview"]

_SHARE_OF_SCREEN = 0.8


class Preview(QWidget):
    """Shows an image; space or escape close it, arrow keys ask for a neighbour.

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
        self._resized = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_image(self, source: str | None, title: str) -> None:
        """Show the image at `source`, under `title`."""
        screen = (self.screen() or QGuiApplication.primaryScreen()).availableSize()
        # no image needs more pixels than the screen has
        self._loader.set_sources([source], screen * self.devicePixelRatioF())
        self.setWindowTitle(title)
        if not self.isVisible():
            self._resized = False
            self.resize(480, 360)
        self._loader.image(0)
        self.show()
        self.raise_()
        self.activateWindow()
        self.update()

    def close_loader(self) -> None:
        """Stop reading."""
        self._loader.close()

    def _on_loaded(self, _: int) -> None:
        image = self._loader.image(0)
        if image is not None and not self._resized:
            # the first image sets the window's size, later ones are fitted in
            self._resized = True
            screen = (self.screen() or QGuiApplication.primaryScreen()).availableSize()
            limit = screen * _SHARE_OF_SCREEN
            size = image.size().expandedTo(QSize(320, 240))
            if size.width() > limit.width() or size.height() > limit.height():
                size = size.scaled(limit, Qt.AspectRatioMode.KeepAspectRatio)
            self.resize(size)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        image = self._loader.image(0)
        if image is None:
            text = self._loader.reason(0) or "Loading…"
            painter.drawText(
                self.rect().adjusted(12, 12, -12, -12),
                Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
                text,
            )
            return
        size = image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRect(0, 0, size.width(), size.height())
        target.moveCenter(self.rect().center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, image)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Space, Qt.Key.Key_Escape):
            self.close()
        elif key in (Qt.Key.Key_Right, Qt.Key.Key_Down):
            self.step.emit(1)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Up):
            self.step.emit(-1)
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._loader.set_sources([None], QSize(1, 1))
        super().closeEvent(event)
