"""The dialog about an own network: what its ONNX file does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.weights.cards import MAX_SIDE
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, add_row, new_form

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile

__all__ = ["OwnNetworkDialog"]

_COLOURS = {
    "RGB": "Red, green, blue",
    "BGR": "Blue, green, red",
    "grey": "Grey, one channel",
}
_SCALES = {"1": "0 to 255", "1/255": "0 to 1"}
_LAYOUTS = {
    "NCHW": "Channels first (PyTorch)",
    "NHWC": "Channels last (TensorFlow)",
}
_USUAL_SIDE = 224


class OwnNetworkDialog(QDialog):
    """Asks how images come into an own network, and what comes out.

    Parameters
    ----------
    parent
        The widget.
    file
        What the ONNX file says about itself.
    """

    def __init__(self, parent: QWidget, file: NetworkFile) -> None:
        super().__init__(parent)
        self.setWindowTitle("Own Network")
        self._file = file
        box = QVBoxLayout(self)
        note = NoteLabel()
        note.setText(
            f"{file.path.name} takes {file.image.describe()}. Its makers say what is"
            " asked for here. It is written beside the file, as"
            f" {file.path.name}.json."
        )
        box.addWidget(note)
        form = new_form()
        box.addLayout(form)
        self.title_edit = QLineEdit(file.path.stem)
        add_row(form, "&Name:", self.title_edit, "What the network is called here")
        self.outputs = QListWidget()
        for port in file.outputs:
            if port.is_numeric:
                item = QListWidgetItem(port.describe(), self.outputs)
                item.setData(Qt.ItemDataRole.UserRole, port.name)
                item.setCheckState(Qt.CheckState.Checked)
        self.outputs.setFixedHeight(
            self.outputs.sizeHintForRow(0) * min(max(self.outputs.count(), 2), 6) + 6
        )
        add_row(form, "&Outputs:", self.outputs, "Those to be had as layers")
        height, width = file.size
        self.width_spin, self.height_spin = _side(width), _side(height)
        sides = QWidget()
        row = QHBoxLayout(sides)
        row.setContentsMargins(0, 0, 0, 0)
        self.height_spin.setAccessibleName("Height")
        for part in (self.width_spin, QLabel("×"), self.height_spin, QLabel("pixels")):
            row.addWidget(part)
        row.addStretch()
        add_row(form, "&Image size:", sides, "Width and height that the network takes")
        form.labelForField(sides).setBuddy(self.width_spin)
        colours = [
            key
            for key in _COLOURS
            if file.n_channels in (None, 1 if key == "grey" else 3)
        ]
        self.colours_combo = _combo({key: _COLOURS[key] for key in colours})
        add_row(form, "&Colours:", self.colours_combo, "Order of the channels")
        layouts = [file.layout] if file.layout else list(_LAYOUTS)
        self.layout_combo = _combo({key: _LAYOUTS[key] for key in layouts})
        self.layout_combo.setEnabled(len(layouts) > 1)
        add_row(form, "A&xes:", self.layout_combo, "Order of channels, rows, columns")
        self.scale_combo = _combo(_SCALES)
        add_row(form, "&Pixels from:", self.scale_combo, "Before mean and deviation")
        self.mean_edit, self.deviation_edit = QLineEdit("0"), QLineEdit("1")
        tip = "One number, or one for each channel, of pixels on the scale above"
        add_row(form, "&Mean:", self.mean_edit, f"Subtracted. {tip}")
        add_row(form, "&Deviation:", self.deviation_edit, f"Divided by. {tip}")
        self.licence_edit = QLineEdit()
        add_row(form, "&Licence:", self.licence_edit, "For you to remember")
        self.problem = NoteLabel()
        box.addWidget(self.problem)
        roles = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(roles.Ok | roles.Cancel)
        buttons.accepted.connect(self._on_ok)
        buttons.rejected.connect(self.reject)
        box.addWidget(buttons)

    def settings(self) -> dict[str, Any]:
        """Return what `catalog.make_card` takes beside the file.

        Raises
        ------
        ValueError
            If something is missing or is no number; the text says what.
        """
        items = [self.outputs.item(row) for row in range(self.outputs.count())]
        names = [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        ]
        if not names:
            raise ValueError("Tick at least one output.")
        colours = self.colours_combo.currentData()
        n_channels = 1 if colours == "grey" else 3
        return {
            "outputs": {name: name for name in names},
            "size": (self.height_spin.value(), self.width_spin.value()),
            "colours": colours,
            "layout": self.layout_combo.currentData(),
            "mean": _numbers("mean", self.mean_edit.text(), n_channels),
            "deviation": _numbers("deviation", self.deviation_edit.text(), n_channels),
            "scale": 1.0 if self.scale_combo.currentData() == "1" else 1 / 255,
            "title": self.title_edit.text().strip(),
            "licence": self.licence_edit.text().strip(),
        }

    def _on_ok(self) -> None:
        try:
            self.settings()
        except ValueError as ex:
            self.problem.setText(str(ex))
            return
        self.accept()


def _side(fixed: int | None) -> QSpinBox:
    spin = QSpinBox(minimum=1, maximum=MAX_SIDE, value=fixed or _USUAL_SIDE)
    spin.setEnabled(fixed is None)
    return spin


def _combo(items: dict[Any, str]) -> QComboBox:
    combo = QComboBox()
    for key, label in items.items():
        combo.addItem(label, key)
    return combo


def _numbers(what: str, text: str, n_channels: int) -> list[float]:
    """Return a number a channel, given that many, or one for all."""
    parts = re.split(r"[\s;,]+", text.strip())
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ValueError(f"The {what} “{text}” is no number.") from None
    if len(numbers) == 1:
        numbers *= n_channels
    if len(numbers) != n_channels:
        raise ValueError(f"The {what} needs one number, or {n_channels}.")
    if what == "deviation" and min(numbers) <= 0:
        raise ValueError("The deviation has to be above 0.")
    return numbers
