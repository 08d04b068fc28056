"""Tables of Network Info: networks compared, and the layers of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from AnyQt.QtCore import Qt, pyqtSignal
from AnyQt.QtGui import QKeyEvent, QKeySequence
from AnyQt.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from orangecontrib.imagemining.compression.described import Described, Times
from orangecontrib.imagemining.tables.networkinfo import Compared
from orangecontrib.imagemining.widgets.utils.infotexts import (
    NONE,
    count,
    shape_text,
    share,
    size_text,
    time_text,
    times,
)

__all__ = ["COMPARED", "LAYERS", "ComparisonTable", "InfoTable", "LayersTable"]

COMPARED = {
    "Network": "",
    "Size": "Of its file: coded, if it is compressed; 32 bits a number otherwise",
    "Smaller": "How many times smaller than the network that sizes are held against",
    "Parameters": "Numbers that are learned",
    "Not zero": "How many of them are not 0",
    "Mult-adds": "Multiplications, each with an addition, for one image",
    "Time": "For one image, on this computer's processor",
    "Top-1": "Share of images whose class is the likeliest one",
    "Top-5": "Share of images whose class is among the five likeliest",
}

LAYERS = {
    "#": "In which order they run",
    "Layer": "Its name in the network",
    "Kind": "",
    "Weights": "Filters × channels × height × width",
    "Output": "Channels × height × width, for one image of the network's size",
    "Parameters": "Numbers that are learned",
    "Zeros": "Share of the weights that are 0",
    "Bits": "Of a weight",
    "Size": "Share in the file; of coded ones an estimate",
    "Mult-adds": "Multiplications, each with an addition, for one image",
    "Time": "For one image, on this computer's processor",
}


class _Cell(QTableWidgetItem):
    """A text that is sorted by a value."""

    def __init__(self, text: str, value: Any = None) -> None:
        super().__init__(text)
        self.value = text if value is None else value
        if value is not None:
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            self.setTextAlignment(right)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        first, second = self.value, getattr(other, "value", "")
        if isinstance(first, float) and isinstance(second, float):
            # what is not known comes first
            return (not math.isnan(first), first) < (not math.isnan(second), second)
        return bool(str(first) < str(second))


class InfoTable(QTableWidget):
    """A table to read; Ctrl+C copies the chosen rows, or all, for spreadsheets.

    Parameters
    ----------
    columns
        Their titles, and what they are.
    wide
        Title of the column that takes the room that is left.
    """

    def __init__(self, columns: dict[str, str], wide: str) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels([*columns])
        for place, tip in enumerate(columns.values()):
            self.horizontalHeaderItem(place).setToolTip(tip)
        rows = self.verticalHeader()
        rows.hide()
        line = self.fontMetrics().lineSpacing()
        rows.setMinimumSectionSize(line)
        rows.setDefaultSectionSize(round(1.4 * line))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        place = [*columns].index(wide)
        header.setSectionResizeMode(place, QHeaderView.ResizeMode.Stretch)
        letter = self.fontMetrics().averageCharWidth()
        header.setMinimumSectionSize(4 * letter)
        header.setHighlightSections(False)
        self._wide = place

    def resizeEvent(self, event: Any) -> None:
        self._fit()
        super().resizeEvent(event)

    def _fit(self) -> None:
        """Have the wide column stretch where there is room for all of it."""
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

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QApplication.clipboard().setText(self.as_text())
            event.accept()
        else:
            super().keyPressEvent(event)

    def as_text(self) -> str:
        """Return the chosen rows, or all, with titles, between tabulators."""
        rows = sorted({index.row() for index in self.selectedIndexes()})
        columns = range(self.columnCount())
        lines = [[self.horizontalHeaderItem(column).text() for column in columns]]
        for row in rows or range(self.rowCount()):
            cells = [self.item(row, column) for column in columns]
            lines.append([cell.text() if cell is not None else "" for cell in cells])
        return "\n".join("\t".join(line) for line in lines)

    def _set_row(self, row: int, cells: Sequence[_Cell], tip: str = "") -> None:
        for column, cell in enumerate(cells):
            cell.setToolTip(tip or cell.text())
            self.setItem(row, column, cell)


class ComparisonTable(InfoTable):
    """Networks side by side, as in SqueezeNet's Table 2."""

    def __init__(self) -> None:
        super().__init__(COMPARED, "Network")
        self.setAccessibleName("Networks compared")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(5 * self.fontMetrics().lineSpacing())

    def show_rows(
        self,
        rows: Sequence[tuple[str, str, Compared | None]],
        reference: int | None,
        chosen: int,
    ) -> None:
        """Show networks.

        Parameters
        ----------
        rows
            Title, problem, and what is known of each, None as long as it is not.
        reference
            Which of them the ratios are of; None for none.
        chosen
            Row that is marked.
        """
        self.blockSignals(True)
        self.setRowCount(len(rows))
        largest = math.nan
        held_against = rows[reference][2] if reference is not None else None
        if held_against is not None:
            largest = held_against.described.file_bytes
        for row, (title, problem, known) in enumerate(rows):
            self._set_row(row, _comparison_cells(title, problem, known, largest))
            if known is not None and known.judged and not math.isnan(known.top1):
                for column in (7, 8):
                    cell = self.item(row, column)
                    cell.setToolTip(f"{cell.text()}: {known.judged}")
                    font = cell.font()
                    # only of the data's images, their number is told
                    font.setItalic(not any(map(str.isdigit, known.judged)))
                    cell.setFont(font)
            notes = [problem, *(known.described.notes if known is not None else ())]
            text = "\n".join(filter(None, [title, *notes]))
            self.item(row, 0).setToolTip(text)
        if 0 <= chosen < len(rows):
            self.selectRow(chosen)
        self.blockSignals(False)
        self._fit()


def _comparison_cells(
    title: str, problem: str, known: Compared | None, largest: float
) -> list[_Cell]:
    cells = [_Cell(title)]
    if known is None:
        waiting = NONE if problem else "…"
        return cells + [_Cell(waiting, math.nan) for _ in range(len(COMPARED) - 1)]
    network = known.described
    nonzero = network.nonzero if network.has_weights else math.nan
    ratio = largest / network.file_bytes if network.file_bytes else math.nan
    return [
        *cells,
        _Cell(size_text(network.file_bytes), float(network.file_bytes)),
        _Cell(times(ratio), ratio),
        _Cell(_whole(network.parameters), float(network.parameters)),
        _Cell(_whole(nonzero), float(nonzero)),
        _Cell(count(network.multiply_adds), float(network.multiply_adds)),
        _Cell(time_text(known.seconds), known.seconds),
        _Cell(share(known.top1), known.top1),
        _Cell(share(known.top5), known.top5),
    ]


class LayersTable(InfoTable):
    """The layers of a network; a click on a title sorts by it."""

    #: Places of the layers that are chosen.
    chosen = pyqtSignal(set)

    def __init__(self) -> None:
        super().__init__(LAYERS, "Layer")
        self.setAccessibleName("Layers of the network")
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.itemSelectionChanged.connect(self._on_selection)

    def show_layers(self, described: Described | None, measured: Times | None) -> None:
        """Show a network's layers."""
        self.setSortingEnabled(False)
        self.blockSignals(True)
        layers = described.layers if described is not None else ()
        seconds = measured.layers if measured is not None else ()
        self.setRowCount(len(layers))
        for row, layer in enumerate(layers):
            kind = " ".join(filter(None, [layer.kind, layer.detail]))
            has_weights = described is not None and described.has_weights
            sparsity = layer.sparsity if has_weights else math.nan
            taken = seconds[row] if seconds else math.nan
            cells = [
                _Cell(f"{row + 1}", float(row)),
                _Cell(layer.name),
                _Cell(kind if layer.runs else f"{kind} (training only)"),
                _Cell(shape_text(layer.shape)),
                _Cell(shape_text(layer.output)),
                _number(layer.parameters),
                _Cell(share(sparsity, 1), sparsity),
                _Cell(f"{layer.bits}" if layer.bits else "", float(layer.bits)),
                _Cell(
                    size_text(layer.stored_bytes) if layer.stored_bytes else "",
                    float(layer.stored_bytes),
                ),
                _Cell(
                    count(layer.multiply_adds) if layer.multiply_adds else "",
                    float(layer.multiply_adds),
                ),
                _Cell("" if math.isnan(taken) else time_text(taken), float(taken)),
            ]
            if math.isnan(sparsity):
                cells[6].setText("")
            self._set_row(row, cells)
        self.blockSignals(False)
        self.setSortingEnabled(True)
        self._fit()

    def choose(self, layers: Sequence[int]) -> None:
        """Mark these layers and show the first of them."""
        wanted = set(layers)
        self.blockSignals(True)
        self.clearSelection()
        mode = self.selectionMode()
        self.setSelectionMode(QAbstractItemView.SelectionMode.MultiSelection)
        first = None
        for row in range(self.rowCount()):
            if self._place(row) in wanted:
                self.selectRow(row)
                first = first if first is not None else self.item(row, 0)
        self.setSelectionMode(mode)
        self.blockSignals(False)
        if first is not None:
            self.scrollToItem(first)

    def _place(self, row: int) -> int:
        return int(self.item(row, 0).value)

    def _on_selection(self) -> None:
        self.chosen.emit({self._place(i.row()) for i in self.selectedIndexes()})


def _number(value: int) -> _Cell:
    return _Cell(f"{value:,}" if value else "", float(value))


def _whole(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:,.0f}"
