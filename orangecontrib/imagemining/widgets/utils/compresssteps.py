"""The steps of a compression as a list, and a dialog for the numbers of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from AnyQt.QtCore import QSize, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QMenu,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.compression.plan import Densify, Distil, Step
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.training.designs import Knob, design_options
from orangecontrib.imagemining.widgets.utils.compressfields import (
    LAYER_FIELDS,
    fields_of,
)
from orangecontrib.imagemining.widgets.utils.compresstexts import (
    about_step,
    describe_step,
    offered_steps,
)
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, button
from orangecontrib.imagemining.widgets.utils.trainchoices import written
from orangecontrib.imagemining.widgets.utils.trainfields import FieldGrid
from orangecontrib.imagemining.widgets.utils.trainnumbers import design_fields

__all__ = ["Layers", "LayerTable", "StepDialog", "StepList", "new_step"]

#: Names of layers with the shapes of their weights.
Layers = Sequence[tuple[str, tuple[int, ...]]]

_LINES = 6  # of the list of steps, at first
_ROWS = 7  # of the table of layers that are seen at once


def new_step(kind: type[Step]) -> Step:
    """Return a step of a kind as it is added."""
    # it is nothing without any epochs
    return kind(epochs=1) if kind is Densify else kind()


class LayerTable(QTableWidget):
    """A number for single layers; where there is none, that of the step holds.

    Parameters
    ----------
    heading
        Of the numbers.
    least, most
        Their range.
    whole
        Whether they have no fraction.
    """

    def __init__(self, heading: str, least: float, most: float, whole: bool) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["Layer", "Shape", heading])
        self.setAccessibleName(f"{heading} of single layers")
        self.verticalHeader().hide()
        self.horizontalHeader().setStretchLastSection(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._range, self._whole = (least, most), whole
        self._values: dict[str, float] = {}
        rows = self.verticalHeader()
        rows.setDefaultSectionSize(round(1.6 * self.fontMetrics().height()))
        self.setMinimumHeight(_ROWS * rows.defaultSectionSize())
        self.itemChanged.connect(self._on_item)

    def show_layers(self, layers: Layers, values: Mapping[str, float]) -> None:
        """Show a network's layers; what it has not is shown all the same."""
        self._values = dict(values)
        known = {name for name, _ in layers}
        strange = [(n, "not in this network") for n in values if n not in known]
        shapes = [(name, " × ".join(map(str, shape))) for name, shape in layers]
        self.blockSignals(True)
        self.setRowCount(len(shapes) + len(strange))
        for row, (name, shape) in enumerate([*shapes, *strange]):
            for column, text in enumerate((name, shape, self._text(name))):
                item = QTableWidgetItem(text)
                if column < 2:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.setItem(row, column, item)
        self.blockSignals(False)
        self.resizeColumnsToContents()

    def values(self) -> dict[str, float]:
        """Return the numbers of those layers that have one."""
        return dict(self._values)

    def _text(self, name: str) -> str:
        value = self._values.get(name)
        return "" if value is None else written(value)

    def _on_item(self, item: QTableWidgetItem) -> None:
        name = self.item(item.row(), 0).text()
        text = item.text().strip().replace(",", ".")
        least, most = self._range
        if not text:
            self._values.pop(name, None)
        else:
            try:
                number = float(text)
            except ValueError:
                number = least - 1
            if least <= number <= most and (not self._whole or number == int(number)):
                self._values[name] = int(number) if self._whole else number
        self.blockSignals(True)
        item.setText(self._text(name))  # what is none, or out of range, is put back
        self.blockSignals(False)


class StepDialog(QDialog):
    """The numbers of a step.

    Parameters
    ----------
    parent
        The widget.
    step
        What is shown at first; it stays as it is.
    layers
        Of the network; empty if it is not known.
    """

    def __init__(self, parent: QWidget | None, step: Step, layers: Layers = ()) -> None:
        super().__init__(parent)
        kind = type(step)
        self._step = step
        self.setWindowTitle(offered_steps()[kind])
        box = QVBoxLayout(self)
        about = NoteLabel()
        about.setText(about_step(kind))
        box.addWidget(about)
        self.grid = FieldGrid(fields_of(step))
        usual = asdict(new_step(kind))
        self.grid.set_values(asdict(step), usual)
        box.addWidget(self.grid)
        self.design: FieldGrid | None = None
        self._design_holder = QVBoxLayout()
        box.addLayout(self._design_holder)
        self.layers: LayerTable | None = None
        if kind in LAYER_FIELDS:
            name, heading, least, most, whole = LAYER_FIELDS[kind]
            self.layers = LayerTable(heading, least, most, whole)
            values = getattr(step, name)
            self.layers.show_layers(layers, values)
            label = QLabel("Layers that are to have a number of their own:")
            label.setBuddy(self.layers)
            hint = QLabel("Connect a network to set single layers.")
            has_rows = bool(layers or values)
            for part, shown in (
                (label, has_rows),
                (self.layers, has_rows),
                (hint, not has_rows),
            ):
                box.addWidget(part)
                part.setVisible(shown)
        roles = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(roles.Ok | roles.Cancel)
        self.buttons.addButton(
            button(
                "Restore de&faults",
                "Set everything in this step back to what it is by default",
                self._reset,
            ),
            QDialogButtonBox.ButtonRole.ResetRole,
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        box.addWidget(self.buttons)
        if isinstance(step, Distil):
            self._show_design(dict(step.options))
            network: Any = self.grid.editors["network"]
            network.activated.connect(lambda: self._show_design({}))
            self.grid.changed.connect(self._mark_design)

    def step(self) -> Step:
        """Return the step as it is shown."""
        changes: dict[str, Any] = self.grid.values()
        if self.layers is not None:
            changes[LAYER_FIELDS[type(self._step)][0]] = self.layers.values()
        if isinstance(self._step, Distil):
            changes["options"] = self._options()
        return replace(self._step, **changes)

    def _knobs(self) -> Mapping[str, Knob]:
        try:
            return design_options(self.grid.values()["network"])
        except ImageMiningError:
            return {}

    def _options(self) -> dict[str, Any]:
        if self.design is None or not self.design.isEnabled():
            return {}
        knobs = self._knobs()
        shown = self.design.values()
        return {n: v for n, v in shown.items() if v != knobs[n].default}

    def _show_design(self, options: Mapping[str, Any]) -> None:
        """Show how the other network can be built otherwise."""
        if self.design is not None:
            self._design_holder.removeWidget(self.design)
            self.design.deleteLater()
            self.design = None
        if knobs := self._knobs():
            usual = {name: knob.default for name, knob in knobs.items()}
            self.design = FieldGrid(design_fields(knobs))
            known = {name: v for name, v in options.items() if name in knobs}
            self.design.set_values({**usual, **known}, usual)
            self._design_holder.addWidget(self.design)
        self._mark_design()

    def _mark_design(self) -> None:
        if self.design is not None:
            # published weights are of the published design
            self.design.setEnabled(self.grid.values()["start"] == "nothing")

    def _reset(self) -> None:
        self.grid.reset()
        if isinstance(self._step, Distil):
            self._show_design({})
        if self.layers is not None:
            names = range(self.layers.rowCount())
            for row in names:
                self.layers.item(row, 2).setText("")


class _List(QListWidget):
    """A list that needs a few lines only, and takes more where there is room."""

    def sizeHint(self) -> QSize:
        return QSize(180, _LINES * self.fontMetrics().lineSpacing() + 6)


class StepList(QWidget):
    """Steps in their order, to be changed.

    Signals
    -------
    changed()
        The user has changed a step, or which there are.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[Step] = []
        self.layers: Layers = ()
        self.list = _List()
        self.list.setAccessibleName("Steps")
        self.list.setToolTip("What is done, in this order; a double click changes it")
        self.list.setWordWrap(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(4 * self.list.fontMetrics().lineSpacing())
        self.list.itemDoubleClicked.connect(lambda _: self.edit())
        self.list.currentRowChanged.connect(lambda _: self._show_buttons())
        self.add_button = QPushButton("Add", autoDefault=False)
        self.add_button.setToolTip("Add a step below the one that is chosen")
        menu = QMenu(self.add_button)
        menu.setToolTipsVisible(True)
        for kind, title in offered_steps().items():
            action = menu.addAction(title)
            action.setToolTip(about_step(kind))
            action.triggered.connect(
                lambda _=False, kind=kind: self.add(new_step(kind))
            )
        self.add_button.setMenu(menu)
        self.edit_button = button("Chan&ge…", "Change this step's settings", self.edit)
        self.remove_button = button("Remo&ve", "Take this step out", self.remove)
        self.up_button = button("↑", "Do this step earlier", lambda: self.move_by(-1))
        self.down_button = button("↓", "Do this step later", lambda: self.move_by(1))
        for each, name in ((self.up_button, "Earlier"), (self.down_button, "Later")):
            each.setAccessibleName(name)
            each.setFixedWidth(4 * self.fontMetrics().averageCharWidth())
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.list)
        row = QHBoxLayout()
        for each in (
            self.add_button,
            self.edit_button,
            self.remove_button,
            self.up_button,
            self.down_button,
        ):
            row.addWidget(each)
        box.addLayout(row)
        self._show_buttons()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps as they are shown."""
        return tuple(self._steps)

    def set_steps(self, steps: Sequence[Step]) -> None:
        """Show these steps."""
        if list(steps) == self._steps and self.list.count() == len(self._steps):
            return
        self._steps = list(steps)
        self._show(self.list.currentRow())

    def add(self, step: Step) -> None:
        """Put a step behind the one that is chosen, or at the end."""
        place = self.list.currentRow() + 1 or len(self._steps)
        self._steps.insert(place, step)
        self._show(place)
        self.changed.emit()

    def remove(self) -> None:
        """Take the step that is chosen out."""
        place = self.list.currentRow()
        if place >= 0:
            del self._steps[place]
            self._show(min(place, len(self._steps) - 1))
            self.changed.emit()

    def move_by(self, places: int) -> None:
        """Do the step that is chosen earlier or later."""
        place = self.list.currentRow()
        to = place + places
        if place >= 0 and 0 <= to < len(self._steps):
            self._steps.insert(to, self._steps.pop(place))
            self._show(to)
            self.changed.emit()

    def edit(self) -> None:
        """Let the user change the numbers of the step that is chosen."""
        place = self.list.currentRow()
        if place < 0:
            return
        dialog = StepDialog(self, self._steps[place], self.layers)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.replace(place, dialog.step())
        dialog.deleteLater()

    def replace(self, place: int, step: Step) -> None:
        """Put a step in another's place."""
        if step != self._steps[place]:
            self._steps[place] = step
            self._show(place)
            self.changed.emit()

    def _show(self, current: int) -> None:
        self.list.clear()
        for number, step in enumerate(self._steps, 1):
            self.list.addItem(f"{number}. {describe_step(step)}")
            tip = about_step(type(step))
            self.list.item(number - 1).setToolTip(tip)
        self.list.setCurrentRow(current)
        self._show_buttons()

    def _show_buttons(self) -> None:
        place, n = self.list.currentRow(), len(self._steps)
        chosen = 0 <= place < n
        self.edit_button.setEnabled(chosen)
        self.remove_button.setEnabled(chosen)
        self.up_button.setEnabled(chosen and place > 0)
        self.down_button.setEnabled(chosen and place < n - 1)
