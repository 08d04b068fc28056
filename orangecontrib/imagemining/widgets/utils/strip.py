"""A few thumbnails in a row."""

from __future__ import annotations

from collections.abc import Sequence

from AnyQt.QtCore import QRect, QSize, Qt
from AnyQt.QtGui import QPainter, QPaintEvent
from AnyQt.QtWidgets import QSizePolicy, QWidget

from orangecontrib.imagemining.widgets.utils.cells import faint_text
from orangecontrib.imagemining.widgets.utils.thumbnails import (
    ImageLoader,
    shared_store,
)

__all__ = ["N_SHOWN", "Strip"]

#: How many images there is room for.
N_SHOWN = 5

_SIDE = 68
_GAP = 6


class Strip(QWidget):
    """Shows some of a table's images as they are read; nothing while it is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_SIDE)
        self.setMinimumWidth(N_SHOWN * (_SIDE + _GAP) - _GAP)
        self.setAccessibleName("Some of the images, as they are read")
        self._sources: list[str | None] = []
        # the viewer is going to ask for the same: projections are not read twice
        self.loader = ImageLoader(self, shared_store())
        self.loader.loaded.connect(lambda _: self.update())

    def show_some(self, sources: Sequence[str | None]) -> None:
        """Show the first of these."""
        some = list(sources[:N_SHOWN])
        if some == self._sources:
            return
        self._sources = some
        side = round(_SIDE * self.devicePixelRatioF())
        self.loader.set_sources(some, QSize(side, side))
        self.setToolTip("")
        self.update()

    def close_loader(self) -> None:
        """Stop reading."""
        self.loader.close()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        place = QRect(0, 0, _SIDE, _SIDE)
        for row in range(len(self._sources)):
            image = self.loader.image(row)
            if image is not None:
                size = image.size().scaled(
                    place.size(), Qt.AspectRatioMode.KeepAspectRatio
                )
                target = QRect(place.topLeft(), size)
                target.moveCenter(place.center())
                painter.drawImage(target, image)
            else:
                painter.setPen(faint_text(self.palette(), 150))
                painter.drawRect(place.adjusted(0, 0, -1, -1))
                if reason := self.loader.reason(row):
                    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, "?")
                    self.setToolTip(reason)
            place.translate(_SIDE + _GAP, 0)
