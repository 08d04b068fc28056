"""The drawing of a network: boxes for layers, frames for blocks, lines between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from AnyQt.QtCore import QEvent, QPointF, QRectF, Qt, pyqtSignal
from AnyQt.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPalette,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from AnyQt.QtWidgets import (
    QGraphicsItem,
    QGraphicsPathItem,
    QGraphicsScene,
    QGraphicsSceneMouseEvent,
    QGraphicsView,
    QWidget,
)

from orangecontrib.imagemining.compression.described import Described, Times
from orangecontrib.imagemining.widgets.utils.infoboxes import (
    Part,
    inputs_of,
    parts_of,
    visible_detail,
)
from orangecontrib.imagemining.widgets.utils.infolayout import Arranged, arrange
from orangecontrib.imagemining.widgets.utils.infotexts import shape_text

__all__ = ["Drawing"]

#: Hues of kinds of layers, in degrees; others are grey.
_HUES = {
    "convolution": 212,
    "fully connected": 28,
    "normalisation": 52,
    "pooling": 135,
    "mean": 135,
    "sum": 285,
    "concatenation": 285,
}
_WIDEST = 32  # box, in letters
_LEAST, _MOST = 0.1, 4.0  # zoom
_MARK = {False: "▸ ", True: "▾ "}


@dataclass(frozen=True)
class _Colours:
    """What a drawing is painted with, by the theme."""

    text: QColor
    line: QColor
    ground: QColor
    chosen: QColor
    dark: bool

    @staticmethod
    def of(palette: QPalette) -> _Colours:
        role = QPalette.ColorRole
        ground, text = palette.color(role.Base), palette.color(role.Text)
        line = QColor(text)
        line.setAlpha(150)
        chosen = palette.color(role.Highlight)
        return _Colours(text, line, ground, chosen, ground.lightness() < 128)

    def fill(self, kind: str) -> QColor:
        hue = _HUES.get(kind)
        light = 0.26 if self.dark else 0.89
        if hue is None:
            return QColor.fromHslF(0, 0, 0.3 if self.dark else 0.92)
        return QColor.fromHslF(hue / 360, 0.45 if self.dark else 0.7, light)

    def frame(self) -> QColor:
        colour = QColor(self.text)
        colour.setAlpha(18)
        return colour


class _Box(QGraphicsItem):
    """A box with lines of text, or a frame with a title."""

    def __init__(
        self,
        drawing: Drawing,
        part: Part,
        rect: QRectF,
        is_open: bool,
        colours: _Colours,
    ) -> None:
        super().__init__()
        self.part, self.rect, self.is_open = part, rect, is_open
        self.is_chosen = False
        self._drawing, self._colours = drawing, colours
        self.setToolTip(part.tip)
        if part.layers:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setZValue(0 if is_open else 2)

    def boundingRect(self) -> QRectF:
        return self.rect.adjusted(-2, -2, 2, 2)

    def paint(
        self, painter: QPainter, option: Any, widget: QWidget | None = None
    ) -> None:
        colours, drawing = self._colours, self._drawing
        pen = QPen(colours.chosen if self.is_chosen else colours.line)
        pen.setWidthF(2.5 if self.is_chosen else 1)
        if self.is_open:
            pen.setStyle(Qt.PenStyle.DashLine)
        painter.setPen(pen)
        fill = colours.frame() if self.is_open else colours.fill(self.part.kind)
        painter.setBrush(fill)
        painter.drawRoundedRect(self.rect, 5, 5)
        painter.setPen(colours.text)
        line = drawing.line_height
        area = self.rect.adjusted(drawing.margin, drawing.margin / 2, 0, 0)
        title = drawing.title_of(self.part, self.is_open)
        flags = Qt.AlignmentFlag.AlignHCenter
        if self.is_open:
            flags = Qt.AlignmentFlag.AlignLeft
        else:
            area.setRight(self.rect.right() - drawing.margin)
        painter.setFont(drawing.bold)
        painter.drawText(QRectF(area.x(), area.y(), area.width(), line), flags, title)
        if self.is_open:
            return
        painter.setFont(drawing.plain)
        for number, text in enumerate(self.part.lines, 1):
            row = QRectF(area.x(), area.y() + number * line, area.width(), line)
            painter.drawText(row, flags, text)

    def mousePressEvent(self, event: QGraphicsSceneMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.part.layers:
            # the drawing may be made anew, and this box be gone
            self._drawing.pressed(self.part)
            event.accept()
        else:
            event.ignore()


class Drawing(QGraphicsView):
    """Draws a network from the image at the top to the classes at the bottom.

    Boxes are the wider the more channels they give. Ctrl and the wheel, or + and −,
    zoom; 0 shows it in the width of the window.
    """

    #: Places of the layers of a box that was clicked.
    layers_chosen = pyqtSignal(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.setScene(QGraphicsScene(self))
        self.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.setAccessibleName("Drawing of the network")
        self.described: Described | None = None
        self.times: Times | None = None
        self.detail = "auto"
        self.turned: set[str] = set()
        self._is_fitted = True
        self._set_fonts()

    def _set_fonts(self) -> None:
        self.plain = QFont(self.font())
        self.bold = QFont(self.font())
        self.bold.setBold(True)
        self._metrics = QFontMetricsF(self.plain)
        self._bold_metrics = QFontMetricsF(self.bold)
        self.line_height = math.ceil(self._metrics.lineSpacing())
        self.margin = self.line_height / 2

    # what is shown -----------------------------------------------------------

    def show_network(self, described: Described | None, times: Times | None) -> None:
        """Draw a network; what was folded up stays so if it is the same one."""
        if described is not self.described:
            self.turned = set()
            self._is_fitted = True
        self.described, self.times = described, times
        self.draw()

    def set_detail(self, detail: str) -> None:
        """Draw more or less, see `infoboxes.DETAILS`."""
        self.detail = detail
        self.turned = set()
        self.draw()

    def draw(self) -> None:
        """Draw it anew."""
        scene = self.scene()
        scene.clear()
        if self.described is None:
            scene.setSceneRect(QRectF())
            return
        colours = _Colours.of(self.palette())
        parts = parts_of(self.described, self.times)
        shown = visible_detail(parts, self.detail)
        height, width = self.described.size
        image = Part("image", "", "image", (shape_text((3, height, width)),), (), 3)
        classes = f"{self.described.n_classes:,} classes"
        last = Part("classes", "", classes, (), (), self.described.n_classes)
        filters = [
            layer.output[0]
            for layer in self.described.layers
            if layer.kind == "convolution" and layer.output
        ]
        self._widest = max(filters, default=1)
        links = inputs_of(parts, self.described.layers)
        links = [[place + 1 for place in row] for row in links]  # behind the image
        ends = set(range(1, len(parts) + 1)) - {p for row in links for p in row}
        everything = [image, *parts, last]
        self._draw_row(
            everything, [[], *links, sorted(ends) or [0]], QPointF(), shown, colours
        )
        edge = self.line_height
        scene.setSceneRect(scene.itemsBoundingRect().adjusted(-edge, 0, edge, 0))
        if self._is_fitted:
            self.fit_width()

    def _draw_row(
        self,
        parts: Sequence[Part],
        links: Sequence[Sequence[int]],
        origin: QPointF,
        shown: str,
        colours: _Colours,
        is_inside: bool = False,
    ) -> None:
        arranged = self._arranged(parts, links, shown)
        for part, place in zip(parts, arranged.places, strict=True):
            width, height = self._size(part, shown)
            corner = origin + QPointF(*place)
            is_open = self._is_open(part, shown)
            rect = QRectF(corner.x(), corner.y(), width, height)
            self.scene().addItem(_Box(self, part, rect, is_open, colours))
            if is_open:
                assert self.described is not None
                inner = inputs_of(part.parts, self.described.layers)
                own = self._arranged(part.parts, inner, shown).width
                within = corner + QPointF((width - own) / 2, self.line_height)
                self._draw_row(part.parts, inner, within, shown, colours, True)
        for start, end, points in arranged.lines:
            if not is_inside and (start < 0 or end < 0):
                continue
            path = [origin + QPointF(*point) for point in points]
            self._draw_line(path, colours, end >= 0)

    def _draw_line(self, points: list[QPointF], colours: _Colours, tip: bool) -> None:
        path = QPainterPath(points[0])
        for point in points[1:]:
            path.lineTo(point)
        item = QGraphicsPathItem(path)
        item.setPen(QPen(colours.line, 1.3))
        item.setZValue(1)
        self.scene().addItem(item)
        if tip:
            end, side = points[-1], self.line_height / 4
            corners = [
                end,
                end + QPointF(-side, -1.5 * side),
                end + QPointF(side, -1.5 * side),
            ]
            arrow = self.scene().addPolygon(QPolygonF(corners))
            arrow.setPen(QPen(Qt.PenStyle.NoPen))
            solid = QColor(colours.text)
            arrow.setBrush(solid)
            arrow.setZValue(1)

    def _arranged(
        self, parts: Sequence[Part], links: Sequence[Sequence[int]], shown: str
    ) -> Arranged:
        sizes = [self._size(part, shown) for part in parts]
        return arrange(sizes, links, 1.2 * self.line_height, 1.5 * self.line_height)

    def _is_open(self, part: Part, shown: str) -> bool:
        if not part.parts:
            return False
        opened = {"groups": (), "blocks": ("group",)}.get(shown, ("group", "block"))
        return (part.kind in opened) != (part.key in self.turned)

    def _size(self, part: Part, shown: str) -> tuple[float, float]:
        title = self._bold_metrics.horizontalAdvance(
            self.title_of(part, self._is_open(part, shown))
        )
        if self._is_open(part, shown):
            assert self.described is not None
            inner = inputs_of(part.parts, self.described.layers)
            arranged = self._arranged(part.parts, inner, shown)
            width = max(arranged.width, title) + 2 * self.margin
            return width, arranged.height + self.line_height
        texts = [self._metrics.horizontalAdvance(line) for line in part.lines]
        width = max([title, *texts]) + 2 * self.margin
        letter = self._metrics.averageCharWidth()
        by_channels = math.sqrt(min(1.0, part.channels / max(1, self._widest)))
        if part.layers:
            width = max(width, _WIDEST * letter * by_channels)
        return width, (1 + len(part.lines)) * self.line_height + self.margin

    @staticmethod
    def title_of(part: Part, is_open: bool) -> str:
        """Return a title, with a mark on what can be opened."""
        mark = _MARK[is_open] if part.parts else ""
        return f"{mark}{part.title}"

    # boxes -------------------------------------------------------------------

    def boxes(self) -> Iterator[_Box]:
        """Return what is drawn."""
        for item in self.scene().items():
            if isinstance(item, _Box):
                yield item

    def choose(self, layers: set[int]) -> None:
        """Mark the boxes of some layers."""
        for box in self.boxes():
            chosen = bool(layers & {*box.part.layers}) and not box.is_open
            if chosen != box.is_chosen:
                box.is_chosen = chosen
                box.update()

    def pressed(self, part: Part) -> None:
        """Open or fold what has parts; choose layers."""
        if part.parts:
            self.turned ^= {part.key}
            self.draw()
        self.layers_chosen.emit(part.layers)

    # zoom --------------------------------------------------------------------

    def zoom(self, factor: float) -> None:
        """Show it larger or smaller."""
        self._is_fitted = False
        scale = self.transform().m11()
        factor = min(max(factor * scale, _LEAST), _MOST) / scale
        self.scale(factor, factor)

    def larger(self) -> None:
        """Show it larger."""
        self.zoom(1.25)

    def smaller(self) -> None:
        """Show it smaller."""
        self.zoom(0.8)

    def fit_width(self) -> None:
        """Show it as wide as the window, at most in its own size."""
        self._is_fitted = True
        width = self.sceneRect().width()
        if width <= 0:
            return
        room = self.viewport().width() - 4
        scale = min(1.0, max(_LEAST, room / width))
        self.resetTransform()
        self.scale(scale, scale)

    def fit_all(self) -> None:
        """Show all of it."""
        self._is_fitted = False
        self.fitInView(self.sceneRect(), Qt.AspectRatioMode.KeepAspectRatio)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(1.0015 ** event.angleDelta().y())
            event.accept()
        else:
            super().wheelEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {"+": 1.25, "=": 1.25, "-": 0.8}
        if event.text() in steps:
            self.zoom(steps[event.text()])
        elif event.text() == "0":
            self.fit_width()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._is_fitted:
            self.fit_width()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        kinds = (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
        # the constructor changes fonts, too
        if event.type() in kinds and hasattr(self, "turned"):
            self._set_fonts()
            self.draw()
