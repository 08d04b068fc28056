"""What a view of thumbnails lets one do with the current image."""

from __future__ import annotations

from collections.abc import Callable

from AnyQt.QtCore import QObject
from AnyQt.QtWidgets import QMenu, QWidget

from orangecontrib.imagemining.widgets.utils.imageactions import ImageActions
from orangecontrib.imagemining.widgets.utils.preview import Preview
from orangecontrib.imagemining.widgets.utils.thumbnailview import ThumbnailView

__all__ = ["OneImage"]


class OneImage(QObject):
    """Shows the current image in full size, and hands it to other programs.

    Parameters
    ----------
    widget
        The window that the view is in.
    view
        The thumbnails.
    source_of
        Returns a row's path or address.
    title_of
        Returns a row's title.
    """

    def __init__(
        self,
        widget: QWidget,
        view: ThumbnailView,
        source_of: Callable[[int], str | None],
        title_of: Callable[[int], str],
    ) -> None:
        super().__init__(widget)
        self._widget, self._view = widget, view
        self._source_of, self._title_of = source_of, title_of
        self._actions = ImageActions(self)
        self.preview: Preview | None = None
        view.preview_requested.connect(self.show)

    def show(self) -> None:
        """Show the current image in a window of its own."""
        row = self._view.current_row
        if row < 0:
            return
        if self.preview is None:
            self.preview = Preview(self._widget)
            self.preview.step.connect(self._step)
        self.preview.show_image(self._source_of(row), self._title_of(row))

    def _step(self, places: int) -> None:
        if self._view.step(places):
            self.show()

    def menu(self, selected: list[str]) -> QMenu:
        """Return a context menu for the current image and those selected."""
        row = self._view.current_row
        source = self._source_of(row) if row >= 0 else None
        return self._actions.menu(self._widget, selected, source)

    def hide(self) -> None:
        """Close the window: the image is no longer there."""
        if self.preview is not None:
            self.preview.close()

    def close(self) -> None:
        """Stop reading."""
        self.hide()
        self._actions.close()
        if self.preview is not None:
            self.preview.close_loader()
