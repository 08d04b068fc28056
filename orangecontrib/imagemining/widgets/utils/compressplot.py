"""Size against accuracy: a point for each network on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from AnyQt.QtCore import QEvent, QRectF, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QColor, QFontMetricsF, QPalette, QResizeEvent
from AnyQt.QtWidgets import QSizePolicy
from Orange.widgets.visualize.utils.plotutils import AxisItem, PlotWidget

from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.widgets.utils.compresstexts import per_cent, size
from orangecontrib.imagemining.widgets.utils.traincurves import TRAINING, VALIDATION

__all__ = ["CompressPlot", "tip_of"]

_POINT, _LARGE = 11, 17  # pixels
_APART = 6  # pixels between texts beside one another
_BAND = 34  # of 255
_ROOM = 0.14  # of the plot's sides, around the points
_LEAST = 0.02  # of accuracy that the axis spans at least
_STEPS = (1, 2, 5)


class _SizeAxis(AxisItem):
    """An axis of logarithms of bytes, with sizes at its ticks."""

    def tickValues(
        self, low: float, high: float, pixels: float
    ) -> list[tuple[float, list[float]]]:
        values = [
            math.log10(step) + power
            for power in range(math.floor(low), math.ceil(high) + 1)
            for step in _STEPS
        ]
        seen = [value for value in values if low <= value <= high]
        wide = QFontMetricsF(self.font()).horizontalAdvance("500 MB")
        if len(seen) * wide * 1.5 > pixels:
            seen = [v for v in seen if abs(v - round(v)) < 1e-9] or seen[::2]
        return [(1.0, seen)]

    def tickStrings(
        self, values: Sequence[float], scale: float, spacing: float
    ) -> list[str]:
        return [size(round(10**value)) for value in values]


class CompressPlot(PlotWidget):
    """The candidates of a compression; those whose network is there can be taken.

    Signals
    -------
    clicked(int)
        The user has clicked on the candidate at this place of the trail.
    """

    clicked = Signal(int)

    def __init__(self) -> None:
        # axes of Orange: those of pyqtgraph are grey on any ground
        super().__init__(
            axisItems={"left": AxisItem("left"), "bottom": _SizeAxis("bottom")}
        )
        self.setAccessibleName("Size of the file against accuracy")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(220, 130)
        self.setMouseEnabled(False, False)
        item = self.getPlotItem()
        item.setMenuEnabled(False)
        item.hideButtons()
        item.showGrid(x=True, y=True, alpha=0.15)
        item.setLabel("bottom", "size of the file")
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").enableAutoSIPrefix(False)
        self.trail: Sequence[Candidate] = ()
        self.chosen: int | None = None
        self.is_judged = False  # whether accuracies are known
        #: Lines are drawn, not focused; choosing by keys is the table's.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        band = QColor(TRAINING)
        band.setAlpha(_BAND)
        self.band = pg.LinearRegionItem(
            orientation="horizontal", movable=False, brush=band, pen=pg.mkPen(None)
        )
        dashes = pg.mkPen("#888888", width=1, style=Qt.PenStyle.DashLine)
        self.as_it_was = pg.InfiniteLine(angle=0, pen=dashes)
        self.least = pg.InfiniteLine(
            angle=0, pen=pg.mkPen(TRAINING, width=1, style=Qt.PenStyle.DashLine)
        )
        self.most = pg.InfiniteLine(
            angle=90, pen=pg.mkPen(TRAINING, width=1, style=Qt.PenStyle.DashLine)
        )
        self.path = pg.PlotDataItem(pen=pg.mkPen("#88888888", width=1))
        self.points = pg.ScatterPlotItem(hoverable=True, tip=None)
        self.points.sigClicked.connect(self._on_click)
        self.points.sigHovered.connect(self._on_hover)
        for part in (
            self.band,
            self.as_it_was,
            self.least,
            self.most,
            self.path,
            self.points,
        ):
            self.addItem(part)
        self._labels: list[pg.TextItem] = []
        self.clear_trail()

    def clear_trail(self) -> None:
        """Show nothing."""
        self.show_trail((), None)

    def show_trail(
        self,
        trail: Sequence[Candidate],
        chosen: int | None,
        tolerance: float | None = None,
        target_bytes: int | None = None,
    ) -> None:
        """Show networks and what is wanted.

        Parameters
        ----------
        trail
            The candidates; the first is the network as it was.
        chosen
            Place of the one that goes out, None if none does yet.
        tolerance
            Accuracy (0–1) that may be lost; None: any.
        target_bytes
            How large the file may be; None: any.
        """
        self.trail, self.chosen = trail, chosen
        # without any images, sizes alone are shown, on a line
        self.is_judged = not all(math.isnan(each.accuracy) for each in trail)
        self.getPlotItem().getAxis("left").setStyle(
            showValues=self.is_judged or not trail
        )
        where = {place: p for place in range(len(trail)) if (p := self._place(place))}
        drawn = list(where)
        x, y = ([where[place][axis] for place in drawn] for axis in (0, 1))
        self.path.setData(x, y)
        # the chosen one may lie upon others
        above = sorted(drawn, key=lambda place: place == chosen)
        self.points.setData([self._spot(place, where[place]) for place in above])
        first = 100 * trail[0].accuracy if trail else math.nan
        known = math.isfinite(first)
        self.as_it_was.setVisible(known)
        limits = known and tolerance is not None
        self.band.setVisible(limits)
        self.least.setVisible(limits)
        low = first
        if known:
            self.as_it_was.setValue(first)
        if limits:
            assert tolerance is not None
            low = first - 100 * tolerance
            self.least.setValue(low)
            self.band.setRegion((low, first))
        self.most.setVisible(target_bytes is not None and bool(drawn))
        if target_bytes is not None:
            self.most.setValue(math.log10(max(target_bytes, 1)))
            x = [*x, math.log10(max(target_bytes, 1))]
        self._show_range(x, [*y, low] if known else y)
        self._write_labels()

    def _place(self, place: int) -> tuple[float, float] | None:
        """Return where a candidate is drawn, None where it cannot be."""
        each = self.trail[place]
        accuracy = 100 * each.accuracy if self.is_judged else 0.0
        if each.n_bytes <= 0 or not math.isfinite(accuracy):
            return None
        return math.log10(each.n_bytes), accuracy

    def _spot(self, place: int, where: tuple[float, float]) -> dict[str, Any]:
        colour = QColor(VALIDATION if place == self.chosen else TRAINING)
        if place == 0 and place != self.chosen:
            colour = QColor("#888888")
        kept = self.trail[place].network is not None
        ground = self.palette().color(QPalette.ColorRole.Base)
        return {
            "pos": where,
            "size": _LARGE if place == self.chosen else _POINT,
            "symbol": "s" if place == 0 else "o",
            "brush": colour if kept else ground,
            "pen": pg.mkPen(colour, width=2),
            "data": place,
        }

    def _show_range(self, x: Sequence[float], y: Sequence[float]) -> None:
        if not len(x) or not len(y):
            self.setXRange(4, 7, padding=0)
            self.setYRange(0, 100, padding=0)
            return
        for low, high, least, show in (
            (min(x), max(x), 0.5, self.setXRange),
            (min(y), max(y), 100 * _LEAST, self.setYRange),
        ):
            more = max(least - (high - low), 0) / 2
            low, high = low - more, high + more
            room = _ROOM * (high - low)
            show(low - room, high + room, padding=0)

    # labels ------------------------------------------------------------------

    def _write_labels(self) -> None:
        """Write numbers, and what was done where there is room, beside the points."""
        for label in self._labels:
            self.removeItem(label)
        self._labels = []
        box = self.getViewBox()
        inside = QRectF(box.rect())
        if not len(self.trail) or inside.width() < 2:
            return
        metrics = QFontMetricsF(self.font())
        taken: list[QRectF] = []
        places: dict[int, Any] = {}
        for place in range(len(self.trail)):
            if point := self._place(place):
                centre = box.mapFromView(pg.Point(*point))
                places[place] = centre
                spot = QRectF(0, 0, _POINT, _POINT)
                spot.moveCenter(centre)
                taken.append(spot)
        colour = self.palette().color(QPalette.ColorRole.Text)
        for place in _by_weight(self.trail, self.chosen):
            if place not in places:
                continue
            words = f"{place}  {self.trail[place].what}"
            for text in (words, str(place)):
                found = _free(text, places[place], metrics, taken, inside)
                if found is None:
                    continue
                taken.append(found.adjusted(-_APART, 0, _APART, 0))
                label = pg.TextItem(text, color=colour, anchor=(0, 0))
                label.setFont(self.font())
                # the item has a margin around its text
                label.setPos(box.mapToView(found.topLeft()))
                label.textItem.document().setDocumentMargin(0)
                self.addItem(label)
                self._labels.append(label)
                break

    @property
    def label_texts(self) -> list[str]:
        """What is written beside points."""
        return [label.textItem.toPlainText() for label in self._labels]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_labels"):
            self._write_labels()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        kinds = (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
        if event.type() in kinds and hasattr(self, "_labels"):
            self._write_labels()

    # mouse -------------------------------------------------------------------

    def _on_click(self, _: object, points: Sequence[Any], *__: object) -> None:
        if len(points):
            self.clicked.emit(int(points[0].data()))

    def _on_hover(self, _: object, points: Sequence[Any], *__: object) -> None:
        tip = tip_of(self.trail, int(points[0].data())) if len(points) else ""
        self.setToolTip(tip)


def tip_of(trail: Sequence[Candidate], place: int) -> str:
    """Return what is to be known of a candidate, in lines."""
    each = trail[place]
    lines = [f"{place}  {each.what}", size(each.n_bytes)]
    lines.append(f"accuracy {per_cent(each.accuracy)}")
    if each.network is None:
        lines.append("Its network was not kept")
    return "\n".join(lines)


def _by_weight(trail: Sequence[Candidate], chosen: int | None) -> list[int]:
    """Return places, those first that are to be named before others."""
    last_of_step = {each.step: place for place, each in enumerate(trail)}
    ends = sorted(set(last_of_step.values()), reverse=True)
    first = [place for place in (chosen, 0) if place is not None]
    return list(dict.fromkeys([*first, *ends, *range(len(trail))]))


def _free(
    text: str,
    centre: Any,
    metrics: QFontMetricsF,
    taken: Sequence[QRectF],
    inside: QRectF,
) -> QRectF | None:
    """Return where a text fits beside a point, None if it does not."""
    width, height = metrics.horizontalAdvance(text) + 2, metrics.height()
    gap = _LARGE / 2 + 4
    x, y = centre.x(), centre.y()
    for left, top in (
        (x + gap, y - height / 2),
        (x - gap - width, y - height / 2),
        (x - width / 2, y - gap - height),
        (x - width / 2, y + gap),
        (x + gap / 2, y - gap - height / 2),
        (x + gap / 2, y + gap - height / 2),
    ):
        rect = QRectF(left, top, width, height)
        if inside.contains(rect) and not any(rect.intersects(r) for r in taken):
            return rect
    return None
