"""Curves of a training, drawn while it runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget
from numpy.typing import NDArray
from Orange.widgets.visualize.utils.plotutils import PlotWidget

__all__ = ["Curves", "Line"]

#: Colours that are told apart on white and on black, also by those who see few.
TRAINING, VALIDATION = "#2f7fd0", "#e07b16"

#: Epochs and values of a curve; values that are not finite are left out.
Line = tuple[Sequence[float], Sequence[float]]

_FAINT = 90  # of 255: the loss of single steps behind that of whole epochs
_POINT = 6  # pixels
_NOTHING: Line = ((), ())


class _Plot(PlotWidget):
    """One plot over epochs, with curves of training and validation."""

    def __init__(self, name: str, share: bool) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(130, 110)
        item = self.getPlotItem()
        item.setMenuEnabled(False)
        item.hideButtons()
        item.showGrid(x=True, y=True, alpha=0.15)
        self.setMouseEnabled(False, False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # there is nothing to be done
        self.viewport().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._share = share
        # not "k" for thousandths and thousands: losses are plain numbers
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(46)
        self.faint = self._curve(TRAINING, 1, _FAINT, "")
        self.training = self._curve(TRAINING, 2, 255, "o")
        self.validation = self._curve(VALIDATION, 2, 255, "s")
        self.plain = self._curve(TRAINING, 2, 255, "")
        self.show_epochs(1)

    def _curve(
        self, colour: str, width: int, opacity: int, symbol: str
    ) -> pg.PlotDataItem:
        shade = pg.mkColor(colour)
        shade.setAlpha(opacity)
        points: dict[str, object] = {}
        if symbol:
            points = {
                "symbol": symbol,
                "symbolSize": _POINT,
                "symbolBrush": shade,
                "symbolPen": None,
            }
        curve = pg.PlotDataItem(pen=pg.mkPen(shade, width=width), **points)
        self.addItem(curve)
        return curve

    def show_epochs(self, epochs: float) -> None:
        """Leave room for so many epochs."""
        self.setXRange(0, max(epochs, 1), padding=0.03)
        if self._share:
            self.setYRange(0, 1, padding=0.04)
        else:
            self.enableAutoRange(axis="y")


class Curves(QWidget):
    """Loss, accuracy and learning rate over epochs.

    All of it is drawn of numbers that are given; nothing is computed here.
    """

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        self.loss = _Plot("Loss over epochs", share=False)
        self.accuracy = _Plot("Accuracy over epochs", share=True)
        self.rate = _Plot("Learning rate over epochs", share=False)
        titles = ("Loss", "Accuracy", "Learning rate")
        plots = (self.loss, self.accuracy, self.rate)
        for column, (title, plot) in enumerate(zip(titles, plots, strict=True)):
            label = QLabel(title)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(label, 0, column)
            grid.addWidget(plot, 1, column)
            grid.setColumnStretch(column, 3 if column < 2 else 2)
        self.legend = QLabel(
            f'<span style="color:{TRAINING}">●</span> training &nbsp; &nbsp;'
            f'<span style="color:{VALIDATION}">■</span> validation'
        )
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.legend.setToolTip(
            "The thin line is the loss of single steps. While images are changed anew"
            " each time (augmentation), training is harder than validation"
        )
        grid.addWidget(self.legend, 2, 0, 1, 2)
        epochs = QLabel("epochs")
        epochs.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        grid.addWidget(epochs, 2, 2)

    def show_lines(
        self,
        epochs: float,
        steps: Line = _NOTHING,
        rate: Line = _NOTHING,
        loss: Line = _NOTHING,
        validation_loss: Line = _NOTHING,
        accuracy: Line = _NOTHING,
        validation_accuracy: Line = _NOTHING,
    ) -> None:
        """Draw these; `epochs` is where the curves are going to end."""
        for plot in (self.loss, self.accuracy, self.rate):
            plot.show_epochs(epochs)
        for curve, line in (
            (self.loss.faint, steps),
            (self.loss.training, loss),
            (self.loss.validation, validation_loss),
            (self.accuracy.training, accuracy),
            (self.accuracy.validation, validation_accuracy),
            (self.rate.plain, rate),
        ):
            curve.setData(*_finite(line))

    def clear(self) -> None:
        """Draw nothing."""
        self.show_lines(1)


def _finite(line: Line) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (np.asarray(values, dtype=float) for values in line)
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]
