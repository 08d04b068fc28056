"""The menu of what can be done with an image outside of Orange."""

from __future__ import annotations

from collections.abc import Sequence

from AnyQt.QtCore import QObject, QSize, Qt
from AnyQt.QtGui import QGuiApplication
from AnyQt.QtWidgets import QMenu, QWidget

from orangecontrib.imagemining.widgets.utils.desktop import (
    mime_of,
    open_in_viewer,
    reveal,
)
from orangecontrib.imagemining.widgets.utils.thumbnails import ImageLoader

__all__ = ["ImageActions"]

_UNLIMITED = QSize(2**30, 2**30)


class ImageActions(QObject):
    """Copies images, shows them in their folder or in another program."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._loader = ImageLoader(self)
        self._loader.loaded.connect(self._on_loaded)
        self._source = ""

    def menu(
        self, parent: QWidget, sources: Sequence[str], current: str | None
    ) -> QMenu:
        """Return a context menu with these actions.

        Parameters
        ----------
        parent
            The widget that it belongs to.
        sources
            The images selected.
        current
            The one under the mouse, None if it has none.
        """
        menu = QMenu(parent)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        one = current or ""
        entries = [
            ("&Copy image", lambda: self.copy(one), bool(one)),
            ("Copy &paths", lambda: self.copy_paths(sources), bool(sources)),
            ("Show in its &folder", lambda: reveal(one), bool(one)),
            ("&Open in the system's viewer", lambda: open_in_viewer(one), bool(one)),
        ]
        for text, action, possible in entries:
            entry = menu.addAction(text)
            entry.setEnabled(possible)
            entry.triggered.connect(lambda _=False, action=action: action())
        return menu

    def copy(self, source: str) -> None:
        """Put an image in full size on the clipboard, once it has been read."""
        self._source = source
        # the path at once, should the image be damaged
        self.copy_paths([source])
        self._loader.set_sources([source], _UNLIMITED)
        self._loader.image(0)

    def copy_paths(self, sources: Sequence[str]) -> None:
        """Put the paths of images on the clipboard."""
        QGuiApplication.clipboard().setMimeData(mime_of(sources))

    def close(self) -> None:
        """Stop reading."""
        self._loader.close()

    def _on_loaded(self, _: int) -> None:
        image = self._loader.image(0)
        if image is not None:
            mime = mime_of([self._source], image)
            QGuiApplication.clipboard().setMimeData(mime)
            # the clipboard has its own copy
            self._loader.set_sources([None], QSize(1, 1))
