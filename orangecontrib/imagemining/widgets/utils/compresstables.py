"""The networks on the way of a compression, and the layers of the result, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from AnyQt.QtCore import Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtGui import QFont, QKeyEvent, QResizeEvent
from AnyQt.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from orangecontrib.imagemining.compression.results import Candidate, LayerReport
from orangecontrib.imagemining.widgets.utils.compressplot import tip_of
from orangecontrib.imagemining.widgets.utils.compresstexts import (
    per_cent,
    points,
    size,
    times,
)
from orangecontrib.imagemining.widgets.utils.pacetext import duration

__all__ = ["LayersTable", "TrailTable", "layer_cells", "trail_cells"]

_TRAIL = {
    "#": "In which order they came; 0 is the network as it was",
    "What was done": "",
    "Size": "Of the file that Save Network writes of it (*.imnet; of Int8 *.onnx)",
    "Smaller": "How many times smaller than the network's numbers, 32 bits each",
    "Accuracy": "On the validation images; without classes, the share of same answers",
    "Points lost": "Of accuracy, out of 100, against the network as it was",
    "Time": "From the start until it was there",
}
_LAYERS = {
    "Layer": "Its name in the network",
    "Kind": "",
    "Shape": "Of its weights",
    "Output": "Channels × height × width that come out",
    "Numbers": "Weights and biases before",
    "Not 0": "How many of them are left",
    "Zeros": "Share of the weights that are 0",
    "Bits": "Of a weight",
    "Bytes": "In the file; of coded layers an estimate",
}
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def trail_cells(trail: Sequence[Candidate], place: int, before: int) -> list[str]:
    """Return a row of the table of networks on the way.

    Parameters
    ----------
    trail, place
        The networks, and which of them.
    before
        Bytes of the network's numbers as they were.
    """
    each, first = trail[place], trail[0]
    return [
        str(place),
        each.what,
        size(each.n_bytes),
        times(before / max(each.n_bytes, 1)),
        per_cent(each.accuracy),
        points(first.accuracy - each.accuracy) if place else "",
        duration(each.seconds) if place else "",
    ]


def layer_cells(layer: LayerReport) -> list[str]:
    """Return a row of the table of layers."""
    return [
        layer.name,
        layer.kind,
        " × ".join(map(str, layer.shape)),
        " × ".join(map(str, layer.output)),
        f"{layer.parameters:,}",
        f"{layer.kept:,}",
        f"{100 * layer.sparsity:.0f} %" if math.isfinite(layer.sparsity) else "–",
        str(layer.bits),
        f"{layer.n_bytes:,}",
    ]


class _Table(QTableWidget):
    """Rows of texts; those from some column on are numbers."""

    def __init__(
        self,
        headers: Mapping[str, str],
        numbers_from: int,
        wide: int | None = None,
    ) -> None:
        super().__init__(0, len(headers))
        self.setHorizontalHeaderLabels([*headers])
        for place, tip in enumerate(headers.values()):
            self.horizontalHeaderItem(place).setToolTip(tip)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(3 * self.fontMetrics().averageCharWidth())
        header.setHighlightSections(False)
        self._numbers_from, self._wide = numbers_from, wide
        self._set_height()

    def _set_height(self) -> None:
        rows = self.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(round(1.5 * self.fontMetrics().height()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()
        super().resizeEvent(event)

    def _fit(self) -> None:
        """Have the wide column stretch where there is room for all of it."""
        if self._wide is None:
            return
        header = self.horizontalHeader()
        widths = [
            max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in range(self.columnCount())
        ]
        mode = QHeaderView.ResizeMode.Stretch
        if sum(widths) > self.viewport().width():
            mode = QHeaderView.ResizeMode.ResizeToContents
        if header.sectionResizeMode(self._wide) != mode:
            header.setSectionResizeMode(self._wide, mode)

    def write(self, row: int, cells: Sequence[str], tip: str = "") -> None:
        """Show a row."""
        for column, text in enumerate(cells):
            item = self.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                if column >= self._numbers_from:
                    item.setTextAlignment(_RIGHT)
                self.setItem(row, column, item)
            if item.text() != text:
                item.setText(text)
            item.setToolTip(tip or text)

    def embolden(self, bold_row: int | None) -> None:
        """Show one row in bold letters."""
        for row in range(self.rowCount()):
            for column in range(self.columnCount()):
                if (item := self.item(row, column)) is not None:
                    font = QFont(self.font())
                    font.setBold(row == bold_row)
                    item.setFont(font)
        self._fit()


class TrailTable(_Table):
    """A row for each network on the way.

    Signals
    -------
    taken(int)
        The user wants the network at this place: a double click, or Enter.
    """

    taken = Signal(int)

    def __init__(self) -> None:
        super().__init__(_TRAIL, numbers_from=2, wide=1)
        self.setAccessibleName("Networks on the way, and what they cost")
        self.cellDoubleClicked.connect(lambda row, _: self.taken.emit(row))

    def show_trail(
        self, trail: Sequence[Candidate], chosen: int | None, before: int = 0
    ) -> None:
        """Show the candidates, the chosen one in bold letters."""
        self.setRowCount(len(trail))
        for row in range(len(trail)):
            self.write(row, trail_cells(trail, row, before), tip_of(trail, row))
        self.embolden(chosen)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and self.currentRow() >= 0:
            self.taken.emit(self.currentRow())
            return
        super().keyPressEvent(event)


class LayersTable(_Table):
    """A row for each layer of the result, and their sum."""

    def __init__(self) -> None:
        super().__init__(_LAYERS, numbers_from=2)
        self.setAccessibleName("Layers of the compressed network")

    def show_layers(self, layers: Sequence[LayerReport]) -> None:
        """Show layers; none: an empty table."""
        self.setRowCount(len(layers) + bool(layers))
        for row, layer in enumerate(layers):
            self.write(row, layer_cells(layer))
        if layers:
            numbers = sum(layer.parameters for layer in layers)
            kept = sum(layer.kept for layer in layers)
            n_bytes = sum(layer.n_bytes for layer in layers)
            cells = ["All", "", "", "", f"{numbers:,}", f"{kept:,}", "", ""]
            self.write(len(layers), [*cells, f"{n_bytes:,}"])
        self.embolden(len(layers) if layers else None)
