"""The choices of Train Network, in a form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from AnyQt.QtCore import QSignalBlocker
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.training.recipes import recipe_advice
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import (
    HintEdit,
    NoteLabel,
    add_row,
    button,
    new_form,
    titled_box,
)
from orangecontrib.imagemining.widgets.utils.trainchoices import Choices, is_published
from orangecontrib.imagemining.widgets.utils.trainnumbers import NumbersDialog
from orangecontrib.imagemining.widgets.utils.traintexts import (
    AUGMENTATION_LABELS,
    LEARNS_LABELS,
    RECIPE_LABELS,
    describe_design,
    describe_start,
    network_items,
    start_items,
)

__all__ = ["TrainPanel"]

_WIDE = 250  # pixels of a note, at least
_LETTERS = 24  # that the boxes have room for, at least


class TrainPanel(QWidget):
    """Boxes for what is trained and how.

    Parameters
    ----------
    choices
        What is shown, and changed.

    Signals
    -------
    changed()
        The user has changed something that counts.
    renamed()
        The user has given another name.
    """

    changed = Signal()
    renamed = Signal()

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices
        self._given = ""
        self._columns: list[str] = []
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self._network_box())
        box.addWidget(self._training_box())
        self.refresh()

    # parts -------------------------------------------------------------------

    def _network_box(self) -> QGroupBox:
        group, box = titled_box("Network")
        self.form = new_form()
        box.addLayout(self.form)
        self.shown_column = ""
        self.column_combo = KeyCombo(self, "shown_column", self._on_column)
        add_row(
            self.form, "&Images:", self.column_combo, "Column with the images to learn"
        )
        self.network_combo = self._combo(
            "&Network:",
            "network",
            "The deep network that learns. Small ones, such as SqueezeNet, learn fast",
            self._on_network,
        )
        self.start_combo = self._combo(
            "&Begins with:",
            "start",
            "Published weights have learned to see on a million photographs: with them,"
            " a few hundred images are enough",
            self._on_choice,
        )
        self.design_button = button(
            "Desi&gn…", "Change how the network is built", self._ask_design
        )
        self.design_row = self._row(
            "Design:", "As published, or changed", QLabel(), self.design_button
        )
        self.design_label = self.design_row.findChild(QLabel)
        self.learns_combo = KeyCombo(self.choices, "learns", self._on_choice)
        self.stages_spin = QSpinBox(minimum=1, maximum=20)
        self.stages_spin.setToolTip("How many stages are trained, counted from the end")
        self.stages_spin.setAccessibleName("Number of stages that learn")
        self.stages_spin.valueChanged.connect(lambda n: self._set("stages", n))
        self._row(
            "What &learns:",
            "Everything is most exact with some hundred images or more; the last layer"
            " alone takes seconds",
            self.learns_combo,
            self.stages_spin,
        )
        self.note = _note()
        box.addWidget(self.note)
        return group

    def _training_box(self) -> QGroupBox:
        group, box = titled_box("Training")
        form = self.training_form = new_form()
        box.addLayout(form)
        self.recipe_combo = KeyCombo(self.choices, "recipe", self._on_recipe)
        self.recipe_combo.set_items(RECIPE_LABELS)
        add_row(form, "&Recipe:", self.recipe_combo, "How the weights are changed")
        self.augmentation_combo = KeyCombo(
            self.choices, "augmentation", self._on_augmentation
        )
        self.augmentation_combo.set_items(AUGMENTATION_LABELS)
        self.augmentation_combo.setMinimumContentsLength(_LETTERS)
        add_row(
            form,
            "A&ugmentation:",
            self.augmentation_combo,
            "How images are changed anew each time that they are seen, so that the"
            " network learns what matters. Cells may be turned; letters may not",
        )
        self.epochs_spin = QSpinBox(minimum=1, maximum=100_000)
        self.epochs_spin.valueChanged.connect(lambda n: self._set("epochs", n))
        add_row(
            form,
            "Epoc&hs:",
            self.epochs_spin,
            "How often each image is seen; twice as many take twice as long",
        )
        self.limit_box = QCheckBox("at most")
        self.limit_box.setToolTip("End sooner when the time is up")
        self.limit_box.clicked.connect(lambda on: self._set("limited", on))
        self.minutes_spin = QDoubleSpinBox(
            minimum=0.1, maximum=100_000, decimals=1, suffix=" min"
        )
        self.minutes_spin.valueChanged.connect(lambda n: self._set("minutes", n))
        self.minutes_spin.setAccessibleName("Minutes, at most")
        self.time_row = self._row(
            "Time li&mit:",
            "End sooner when the time is up",
            self.limit_box,
            self.minutes_spin,
            form=form,
        )
        self.validation_spin = QSpinBox(minimum=0, maximum=90, suffix=" %")
        self.validation_spin.valueChanged.connect(lambda n: self._set("validation", n))
        add_row(
            form,
            "&Validation:",
            self.validation_spin,
            "Share of the images of each class that is not learned from, but tells how"
            " well it goes, where no Validation Data are given. 0: none",
        )
        self.name_edit = HintEdit(clearButtonEnabled=True)
        self.name_edit.textChanged.connect(self._on_name)
        self.name_edit.editingFinished.connect(self.renamed)
        add_row(
            form,
            "Nam&e:",
            self.name_edit,
            "What the network is to be called; left empty, a name is made up",
        )
        self.weights_box = QCheckBox("Balance rare and &frequent classes")
        self.weights_box.setToolTip(
            "Rare classes count as much as frequent ones: each image is weighted by"
            " how rare its class is"
        )
        self.weights_box.clicked.connect(lambda on: self._set("class_weights", on))
        box.addWidget(self.weights_box)
        self.numbers_button = button(
            "&All settings…",
            "See and change every setting of recipe, augmentation and computing",
            self.ask_numbers,
        )
        self.numbers_label = QLabel()
        row = QHBoxLayout()
        row.addWidget(self.numbers_button)
        row.addWidget(self.numbers_label)
        row.addStretch()
        box.addLayout(row)
        return group

    def _combo(
        self, label: str, name: str, tip: str, callback: Callable[[], None]
    ) -> KeyCombo:
        combo = KeyCombo(self.choices, name, callback)
        add_row(self.form, label, combo, tip)
        return combo

    def _row(self, label: str, tip: str, *parts: QWidget, form: Any = None) -> QWidget:
        """Add several parts beside each other; the label leads to the first."""
        form = form or self.form
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        for place, part in enumerate(parts):
            row.addWidget(part, int(place == 0))
            if not part.toolTip():
                part.setToolTip(tip)
        parts[0].setAccessibleName(label.replace("&", "").rstrip(":"))
        form.addRow(label, holder)
        form.labelForField(holder).setBuddy(parts[0])
        return holder

    # what is chosen ----------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        if getattr(self.choices, name) != value:
            setattr(self.choices, name, value)
            self._on_choice()

    def _on_choice(self) -> None:
        self.refresh()
        self.changed.emit()

    def _on_name(self, text: str) -> None:
        self.choices.title = text.strip()
        self.changed.emit()

    def _on_column(self) -> None:
        self.choices.column = self.shown_column
        self._on_choice()

    def _on_network(self) -> None:
        choices = self.choices
        choices.design = {}
        if choices.start == "published" and not is_published(choices.network):
            choices.start = "nothing"
        elif choices.start == "given":
            choices.start = "published" if is_published(choices.network) else "nothing"
        self._on_choice()

    def _on_recipe(self) -> None:
        self.choices.numbers = {}
        if self.choices.augmentation == "recipe":
            self.choices.changes = {}
        self._on_choice()

    def _on_augmentation(self) -> None:
        self.choices.changes = {}
        self._on_choice()

    def set_given(self, title: str) -> None:
        """Offer the network at the input, "" if there is none."""
        self._given = title
        self.refresh()

    def set_columns(self, names: Sequence[str]) -> None:
        """Offer these image columns."""
        self._columns = list(names)
        self.refresh()

    @property
    def column(self) -> str:
        """The image column that is taken, "" for the first."""
        return self.choices.column if self.choices.column in self._columns else ""

    def ask_numbers(self) -> None:
        """Let the user change every number."""
        self._ask(NumbersDialog(self, self.choices))

    def _ask_design(self) -> None:
        dialog = NumbersDialog(self, self.choices)
        dialog.show_design()
        self._ask(dialog)

    def _ask(self, dialog: NumbersDialog) -> None:
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.take(dialog.choices())
        dialog.deleteLater()

    def take(self, choices: Choices) -> None:
        """Make these the choices."""
        for each in fields(Choices):
            setattr(self.choices, each.name, getattr(choices, each.name))
        self._on_choice()

    # what is shown -----------------------------------------------------------

    def refresh(self) -> None:
        """Show the choices, and what of them counts."""
        choices = self.choices
        self.shown_column = self.column or next(iter(self._columns), "")
        self.column_combo.set_items({name: name for name in self._columns})
        self._show_row(self.column_combo, len(self._columns) > 1)
        self.network_combo.set_items(network_items(choices.network))
        self.network_combo.setEnabled(choices.start != "given")
        self.start_combo.set_items(start_items(choices.network, self._given))
        self._enable("published", is_published(choices.network))
        self._enable("given", bool(self._given))
        design = describe_design(choices) if choices.from_nothing else ""
        self._show_row(self.design_row, bool(design))
        self.design_label.setText(design)
        self.learns_combo.set_items(LEARNS_LABELS)
        self.learns_combo.setEnabled(not choices.from_nothing)
        if choices.from_nothing:
            self.learns_combo.setCurrentIndex(self.learns_combo.findData("all"))
        self.stages_spin.setVisible(choices.learns == "last")
        self.stages_spin.setEnabled(not choices.from_nothing)
        self.note.setText(describe_start(choices, self._given))
        self.recipe_combo.set_items(RECIPE_LABELS)
        self.recipe_combo.setToolTip(recipe_advice(choices.recipe))
        self.augmentation_combo.set_items(AUGMENTATION_LABELS)
        head = choices.is_head
        for part in (
            self.recipe_combo,
            self.augmentation_combo,
            self.epochs_spin,
            self.time_row,
        ):
            part.setEnabled(not head)  # the head needs seconds, and no recipe
        self.minutes_spin.setEnabled(choices.limited)
        for part, value in (
            (self.stages_spin, choices.stages),
            (self.epochs_spin, choices.epochs),
            (self.minutes_spin, choices.minutes),
            (self.validation_spin, choices.validation),
        ):
            blocker = QSignalBlocker(part)
            part.setValue(value)
            blocker.unblock()
        self.limit_box.setChecked(choices.limited)
        self.weights_box.setChecked(choices.class_weights)
        if self.name_edit.text().strip() != choices.title:
            self.name_edit.setText(choices.title)
        n_changed = len(choices.numbers) + len(choices.changes)
        self.numbers_label.setText(f"{n_changed} changed" if n_changed else "")

    def _show_row(self, part: QWidget, visible: bool) -> None:
        part.setVisible(visible)
        self.form.labelForField(part).setVisible(visible)

    def _enable(self, start: str, enabled: bool) -> None:
        combo: QComboBox = self.start_combo
        combo.model().item(combo.findData(start)).setEnabled(enabled)


def _note() -> NoteLabel:
    note = NoteLabel()
    note.setMinimumWidth(_WIDE)
    return note
