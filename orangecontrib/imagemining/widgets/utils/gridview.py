"""A view of thumbnails on a grid, in which groups of them are selected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from AnyQt.QtCore import QPoint, QRect, QSize, Qt, QTimer
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QColor, QImage, QPainter, QPaintEvent, QPalette, QResizeEvent
from AnyQt.QtWidgets import QWidget
from numpy.typing import NDArray
from Orange.widgets.utils.colorpalettes import Dark2Colors

from orangecontrib.imagemining.widgets.utils.cells import MARGIN, draw_picture
from orangecontrib.imagemining.widgets.utils.gridmouse import GridInput
from orangecontrib.imagemining.widgets.utils.thumbnailview import (
    MAX_SIZE,
    ThumbnailView,
)

__all__ = ["MAX_ZOOM", "GridView", "group_colour"]

MAX_ZOOM = 32.0  # of the size at which the whole grid fits the window
_MAX_DRAWN = 600  # more cells than these in view are drawn as one picture
_MAX_PIXELS = 12_000_000  # of that picture
_MAX_TILE = 48  # side of a cell in it
_SMALLEST_WITH_TEXT = 48  # side of a cell that has room for a label
_FAINT = 0.2  # opacity of images that are not in the subset
_N_LOOKED = 2000  # thumbnails asked for at a time


def group_colour(group: int) -> QColor:
    """Return the colour of a group of selected images, from 1 on."""
    # not the colours of categories, which frames have
    return QColor(*Dark2Colors.palette[(group - 1) % len(Dark2Colors.palette)])


class GridView(ThumbnailView):
    """Shows thumbnails in the cells of a grid.

    With few cells in view each is drawn with its label and frame; with many, they come
    from one picture of the whole grid that grows as thumbnails are made, so that
    20,000 images move as easily as 20.

    Signals
    -------
    zoomed(float)
        The cells are so many times as large as fits the window.
    """

    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.groups: NDArray[np.intp] = np.zeros(0, np.intp)
        self.cells: NDArray[np.intp] = np.empty((0, 2), np.intp)
        self.n_rows, self.n_columns = 1, 1
        self.band = QRect()  # of the mouse, in the viewport
        self._owner: NDArray[np.intp] = np.full((1, 1), -1)
        self._subset: NDArray[np.bool_] | None = None
        self._zoom = 1.0
        self._zoomed_at: QPoint | None = None
        self._image_size = 1
        self._cell = QSize(1, 1)
        self._colours: NDArray[np.uint8] | None = None
        self._mosaic = QImage()
        self._on_mosaic: NDArray[np.bool_] = np.zeros(0, bool)
        self._again = QTimer(self, singleShot=True, interval=50)
        self._again.timeout.connect(self._look)
        self._input = GridInput(self)

    # content -----------------------------------------------------------------

    def set_images(self, sources: Sequence[str | None]) -> None:
        """Take other images, of which none is selected; `arrange` shows them."""
        self.show_images(sources)
        self.groups = np.zeros(len(sources), np.intp)
        self._subset = None
        self._colours = None
        self.arrange(np.full((len(sources), 2), -1), 1, 1)

    def arrange(self, cells: NDArray[np.intp], n_rows: int, n_columns: int) -> None:
        """Put the images into cells, (n, 2) of line and column; -1 for nowhere."""
        self.cells = cells
        self.n_rows, self.n_columns = n_rows, n_columns
        self._owner = np.full((n_rows, n_columns), -1)
        placed = np.flatnonzero(cells[:, 0] >= 0)
        self._owner[cells[placed, 0], cells[placed, 1]] = placed
        self._forget_mosaic()
        self.set_zoom(1.0)

    def set_subset(self, subset: NDArray[np.bool_] | None) -> None:
        """Show the other images faintly; None for no subset."""
        self._subset = subset
        self.viewport().update()

    def set_colours(self, colours: NDArray[np.uint8] | None) -> None:
        """Set the colours of the frames, (n, 3); None for no frames."""
        self._colours = colours
        self.viewport().update()

    def set_crop(self, crop: bool) -> None:
        """Fill the cells with the middle of each image, or show it whole."""
        self.crop = crop
        self._forget_mosaic()
        self.viewport().update()
        self._look_timer.start()

    def _forget_mosaic(self) -> None:
        n = max(1, self.n_rows * self.n_columns)
        side = min(_MAX_TILE, int((_MAX_PIXELS / n) ** 0.5))
        size = QSize(self.n_columns * max(side, 1), self.n_rows * max(side, 1))
        self._mosaic = QImage(size, QImage.Format.Format_ARGB32_Premultiplied)
        self._mosaic.fill(Qt.GlobalColor.transparent)
        self._on_mosaic = np.zeros(len(self.cells), bool)

    @property
    def _tile(self) -> int:
        return self._mosaic.width() // self.n_columns

    # selection ---------------------------------------------------------------

    def is_selected(self, row: int) -> bool:
        return bool(self.groups[row])

    def select_rows(self, rows: Sequence[int] | NDArray[np.intp]) -> None:
        groups = np.zeros_like(self.groups)
        groups[np.asarray(rows, np.intp)] = 1
        self.set_groups(groups)

    def set_groups(self, groups: NDArray[np.intp]) -> None:
        """Select rows in groups, numbered from 1; 0 is not selected."""
        used = np.unique(groups[groups > 0])
        # no number is left out, whatever was taken away
        numbered = np.where(groups > 0, np.searchsorted(used, groups) + 1, 0)
        changed = not np.array_equal(numbered, self.groups)
        self.groups = numbered
        self.viewport().update()
        if changed:
            self.selection_changed.emit()

    def select_all(self) -> None:
        """Select all images on the grid as one group."""
        self.select_rows(np.flatnonzero(self.cells[:, 0] >= 0))

    # places ------------------------------------------------------------------

    @property
    def image_size(self) -> int:
        return self._image_size

    def offset(self) -> QPoint:
        """Return what place of the content is in the viewport's corner."""
        left = (self.viewport().width() - self.n_columns * self._cell.width()) // 2
        top = (self.viewport().height() - self.n_rows * self._cell.height()) // 2
        return QPoint(
            self.horizontalScrollBar().value() - max(left, 0),
            self.verticalScrollBar().value() - max(top, 0),
        )

    def rect_of(self, row: int) -> QRect:
        if not 0 <= row < len(self.cells) or self.cells[row, 0] < 0:
            return QRect()
        line, column = (int(place) for place in self.cells[row])
        corner = QPoint(column * self._cell.width(), line * self._cell.height())
        return QRect(corner - self.offset(), self._cell)

    def row_at(self, point: QPoint) -> int:
        place = point + self.offset()
        column, line = (
            place.x() // self._cell.width(),
            place.y() // self._cell.height(),
        )
        if 0 <= line < self.n_rows and 0 <= column < self.n_columns:
            return int(self._owner[line, column])
        return -1

    def rows_in(self, area: QRect) -> NDArray[np.intp]:
        """Return the rows whose cells reach into a part of the viewport."""
        first, last = area.topLeft() + self.offset(), area.bottomRight() + self.offset()
        width, height = self._cell.width(), self._cell.height()
        lines = slice(max(0, first.y() // height), max(0, last.y() // height + 1))
        columns = slice(max(0, first.x() // width), max(0, last.x() // width + 1))
        owners = self._owner[lines, columns].ravel()
        return owners[owners >= 0]

    def neighbour(self, row: int, lines: int, columns: int) -> int:
        """Return the next row in a direction, the row itself if there is none."""
        line, column = (int(place) for place in self.cells[row])
        while True:
            line, column = line + lines, column + columns
            if not (0 <= line < self.n_rows and 0 <= column < self.n_columns):
                return row
            if self._owner[line, column] >= 0:
                return int(self._owner[line, column])

    def step(self, places: int) -> bool:
        # line by line
        rows = self._owner[self._owner >= 0]
        (found,) = np.nonzero(rows == self.current_row)
        if not len(found) or not 0 <= found[0] + places < len(rows):
            return False
        self.go_to(int(rows[found[0] + places]))
        return True

    def go_to(self, row: int) -> None:
        """Make a row the current one and bring it into view."""
        self.current_row = row
        rect, window = self.rect_of(row), self.viewport().rect()
        for bar, before, behind in (
            (
                self.horizontalScrollBar(),
                rect.left(),
                rect.right() - window.right(),
            ),
            (self.verticalScrollBar(), rect.top(), rect.bottom() - window.bottom()),
        ):
            if before < 0:
                bar.setValue(bar.value() + before)
            elif behind > 0:
                bar.setValue(bar.value() + behind)
        self.viewport().update()

    # layout ------------------------------------------------------------------

    def zoom(self, factor: float, at: QPoint | None = None) -> None:
        self.set_zoom(self._zoom * factor, at)

    def set_zoom(self, zoom: float, at: QPoint | None = None) -> None:
        """Make the cells so many times as large as fits the window.

        Parameters
        ----------
        zoom
            1 or more.
        at
            What is at this point of the viewport stays; by default its centre.
        """
        self._zoom = min(max(zoom, 1.0), MAX_ZOOM)
        self._zoomed_at = at
        self.lay_out()
        self._zoomed_at = None
        self.zoomed.emit(self._zoom)

    def lay_out(self) -> None:
        fixed = self._zoomed_at or self.viewport().rect().center()
        centre = fixed + self.offset()
        across = centre.x() / max(1, self._cell.width())
        down = centre.y() / max(1, self._cell.height())
        space = self.maximumViewportSize()
        text = self.captions.n_lines * self.fontMetrics().height()
        side = min(
            space.width() / self.n_columns,
            max(space.height() / self.n_rows - text, 1),
        )
        if side < _SMALLEST_WITH_TEXT:
            side = min(space.width() / self.n_columns, space.height() / self.n_rows)
            # as large as may be without captions
            side = min(side, _SMALLEST_WITH_TEXT - 1) if text else side
        side = min(max(side * self._zoom, 1), MAX_SIZE)
        self._image_size = max(1, int(side) - 2 * self._margin(side))
        height = int(side) + (text if side >= _SMALLEST_WITH_TEXT else 0)
        self._cell = QSize(max(1, int(side)), max(1, height))
        self._elided.clear()
        for bar, content, size in (
            (
                self.horizontalScrollBar(),
                self.n_columns * self._cell.width(),
                space.width(),
            ),
            (
                self.verticalScrollBar(),
                self.n_rows * self._cell.height(),
                space.height(),
            ),
        ):
            bar.setRange(0, max(0, content - size))
            bar.setPageStep(size)
            bar.setSingleStep(max(16, self._cell.width() // 2))
        middle = self._zoomed_at or self.viewport().rect().center()
        self.horizontalScrollBar().setValue(
            round(across * self._cell.width()) - middle.x()
        )
        self.verticalScrollBar().setValue(
            round(down * self._cell.height()) - middle.y()
        )
        self.viewport().update()
        self._look_timer.start()

    @staticmethod
    def _margin(side: float) -> int:
        return MARGIN if side >= _SMALLEST_WITH_TEXT else 1 if side >= 10 else 0

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.lay_out()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().update()
        self._look_timer.start()

    # thumbnails --------------------------------------------------------------

    def _is_overview(self) -> bool:
        """Tell whether there are too many cells in view to draw one by one."""
        window = self.viewport().size()
        across = min(self.n_columns, window.width() // self._cell.width() + 2)
        down = min(self.n_rows, window.height() // self._cell.height() + 2)
        return across * down > _MAX_DRAWN

    def _look(self) -> None:
        rows = self.rows_in(self.viewport().rect())
        if not self.isVisible() or not len(rows):
            return
        overview = self._is_overview()
        if overview:
            rows = rows[~self._on_mosaic[rows]]
        middle = self.viewport().rect().center() + self.offset()
        centre = np.array(
            [middle.y() / self._cell.height(), middle.x() / self._cell.width()]
        )
        far = np.abs(self.cells[rows] + 0.5 - centre).max(axis=1)
        nearest = rows[np.argsort(far, kind="stable")][:_N_LOOKED]
        side = self._tile if overview else self._wanted_side()
        self.loader.look_at(nearest.tolist(), side)

    def _wanted_side(self) -> int:
        # of a cropped image the shorter side fills the cell
        return self.device_side() * (2 if self.crop else 1)

    def _on_loaded(self, row: int) -> None:
        rect = self.rect_of(row)
        if rect.isNull():
            return
        if self._is_overview():
            self._add_to_mosaic(row)
            self._again.start()
        if rect.intersects(self.viewport().rect()):
            self.viewport().update(rect)

    def _add_to_mosaic(self, row: int) -> None:
        image = self.loader.image(row, self._tile)
        self._on_mosaic[row] = True
        painter = QPainter(self._mosaic)
        line, column = (int(place) for place in self.cells[row])
        tile = self._tile
        inset = tile // 12 + 1 if tile >= 6 else 0  # leaves room for the frame
        frame = QRect(column * tile, line * tile, tile, tile)
        frame.adjust(inset, inset, -inset, -inset)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        reason = self.loader.reason(row)
        draw_picture(painter, frame, image, reason, self.palette(), None, self.crop)

    # painting ----------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        if self._is_overview():
            self._paint_overview(painter)
        else:
            for row in self.rows_in(event.rect()):
                self._paint_one(painter, int(row))
        if not self.band.isNull():
            colour = QColor(self.palette().color(QPalette.ColorRole.Highlight))
            painter.setPen(colour)
            colour.setAlpha(50)
            painter.setBrush(colour)
            painter.drawRect(self.band)

    def _paint_one(self, painter: QPainter, row: int) -> None:
        group = int(self.groups[row])
        highlight = group_colour(group) if group else None
        faint = self._subset is not None and not self._subset[row]
        painter.setOpacity(_FAINT if faint else 1.0)
        self.paint_cell(painter, self.rect_of(row), row, highlight)
        painter.setOpacity(1.0)

    def _frame(self, rect: QRect) -> QRect:
        margin, side = self._margin(rect.width()), self._image_size
        return QRect(rect.left() + margin, rect.top() + margin, side, side)

    def has_room_for_captions(self) -> bool:
        return self._cell.width() >= _SMALLEST_WITH_TEXT

    def _paint_overview(self, painter: QPainter) -> None:
        """Draw the picture of the grid, between colours behind and before it."""
        width = self.n_columns * self._cell.width()
        height = self.n_rows * self._cell.height()
        whole = QRect(-self.offset(), QSize(width, height))
        if self._colours is not None:
            painter.drawImage(whole, self._one_pixel_a_cell(self._colours, 255))
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(whole, self._mosaic)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        n = len(self.groups)
        if self._subset is not None:
            base = self.palette().color(QPalette.ColorRole.Base).getRgb()[:3]
            alpha = np.where(self._subset, 0, round(255 * (1 - _FAINT)))
            colours = np.tile(np.array(base, np.uint8), (n, 1))
            painter.drawImage(whole, self._one_pixel_a_cell(colours, alpha))
        if self.groups.any():
            palette = Dark2Colors.palette
            colours = palette[(self.groups - 1) % len(palette)].astype(np.uint8)
            alpha = np.where(self.groups > 0, 150, 0)
            painter.drawImage(whole, self._one_pixel_a_cell(colours, alpha))

    def _one_pixel_a_cell(
        self, colours: NDArray[np.uint8], alpha: int | NDArray[np.int_]
    ) -> QImage:
        """Return an image of the grid with a pixel for each cell.

        Parameters
        ----------
        colours
            (n, 3) red, green, blue of each row.
        alpha
            0–255, of all rows or of each.
        """
        pixels = np.zeros((self.n_rows, self.n_columns, 4), np.uint8)
        placed = np.flatnonzero(self.cells[:, 0] >= 0)
        lines, columns = self.cells[placed].T
        pixels[lines, columns, :3] = colours[placed]
        pixels[lines, columns, 3] = np.broadcast_to(alpha, len(self.cells))[placed]
        return QImage(
            pixels.tobytes(),
            self.n_columns,
            self.n_rows,
            4 * self.n_columns,
            QImage.Format.Format_RGBA8888,
        ).copy()
