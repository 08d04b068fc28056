"""The choices of Compress Network, in a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from AnyQt.QtCore import QSignalBlocker, Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    plan_to_json,
)
from orangecontrib.imagemining.compression.presets import DEFAULT_PRESET, PRESETS
from orangecontrib.imagemining.training.plan import Augmentation, Recipe
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.compresschoices import CUSTOM, Choices
from orangecontrib.imagemining.widgets.utils.compressfields import PLAN_FIELDS
from orangecontrib.imagemining.widgets.utils.compresssteps import Layers, StepList
from orangecontrib.imagemining.widgets.utils.forms import (
    HintEdit,
    NoteLabel,
    add_row,
    button,
    new_form,
    titled_box,
)
from orangecontrib.imagemining.widgets.utils.publishednetwork import PublishedCombo
from orangecontrib.imagemining.widgets.utils.trainfields import FieldGrid
from orangecontrib.imagemining.widgets.utils.trainnumbers import (
    AUGMENTATION_FIELDS,
    RECIPE_FIELDS,
    RUN_FIELDS,
)

__all__ = ["CUSTOM_ABOUT", "GOAL_LABELS", "CompressPanel", "PlanDialog"]

GOAL_LABELS = {
    "points": "Smallest that loses little",
    "size": "Most accurate that is small",
    "any": "What the last step gives",
}

CUSTOM_ABOUT = "Steps of your own: add, change, remove and reorder them below."

_WIDE = 250  # pixels of a note, at least
_LETTERS = 24  # that the boxes have room for, at least
_RUN = ("batch", "precision", "device", "seed")


class PlanDialog(QDialog):
    """Every number of a plan beside its steps and goal.

    Parameters
    ----------
    parent
        The widget.
    plan
        What is shown at first; it stays as it is.
    """

    def __init__(self, parent: QWidget | None, plan: CompressionPlan) -> None:
        super().__init__(parent)
        self.setWindowTitle("All settings")
        self._plan = plan
        run = tuple(field for field in RUN_FIELDS if field.name in _RUN)
        self.grids: dict[str, FieldGrid] = {}
        box = QVBoxLayout(self)
        self.tabs = QTabWidget()
        usual = asdict(CompressionPlan())
        shown = asdict(plan)
        for title, fields, part in (
            ("&Teaching", PLAN_FIELDS, ""),
            ("&Recipe of fine-tuning", RECIPE_FIELDS, "recipe"),
            ("&Augmentation", AUGMENTATION_FIELDS, "augmentation"),
            ("&Computing", run, ""),
        ):
            grid = FieldGrid(fields)
            if part:
                grid.set_values(shown[part], usual[part])
            else:
                grid.set_values(shown, usual)
            self.tabs.addTab(grid, title)
            self.grids[title.replace("&", "").split()[0].lower()] = grid
        box.addWidget(self.tabs)
        roles = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(roles.Ok | roles.Cancel)
        self.buttons.addButton(
            button(
                "Restore de&faults",
                "Set everything on this page back to what it is by default",
                self._reset,
            ),
            QDialogButtonBox.ButtonRole.ResetRole,
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        box.addWidget(self.buttons)

    def plan(self) -> CompressionPlan:
        """Return the plan as it is shown."""
        recipe, augmentation = (
            {**asdict(before), **self.grids[name].values()}
            for name, before in (
                ("recipe", self._plan.recipe),
                ("augmentation", self._plan.augmentation),
            )
        )
        return replace(
            self._plan,
            recipe=Recipe(**recipe),
            augmentation=Augmentation(**augmentation),
            **self.grids["teaching"].values(),
            **self.grids["computing"].values(),
        )

    def _reset(self) -> None:
        grid = self.tabs.currentWidget()
        if isinstance(grid, FieldGrid):
            grid.reset()


class CompressPanel(QWidget):
    """Boxes for what is compressed, how, and what is wanted.

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
        for group in (self._network_box(), self._steps_box(), self._goal_box()):
            box.addWidget(group)
        self.refresh()

    # parts -------------------------------------------------------------------

    def _network_box(self) -> QGroupBox:
        group, box = titled_box("Network")
        form = self.form = new_form()
        box.addLayout(form)
        self.network_combo = PublishedCombo(self.choices, "network", self._on_choice)
        add_row(
            form,
            "&Network:",
            self.network_combo,
            "What is made smaller: the network at the input, or a published one",
        )
        self.shown_column = ""
        self.column_combo = KeyCombo(self, "shown_column", self._on_column)
        add_row(
            form, "&Images:", self.column_combo, "Column with the images to learn from"
        )
        return group

    def _steps_box(self) -> QGroupBox:
        group, box = titled_box("Steps")
        form = new_form()
        box.addLayout(form)
        self.preset_combo = KeyCombo(self.choices, "preset", self._on_preset)
        add_row(form, "P&reset:", self.preset_combo, "Steps that go well together")
        self.preset_combo.setMinimumContentsLength(_LETTERS)
        self.note = NoteLabel()
        self.note.setMinimumWidth(_WIDE)
        box.addWidget(self.note)
        self.steps = StepList()
        self.steps.changed.connect(self._on_steps)
        box.addWidget(self.steps, 1)
        return group

    def _goal_box(self) -> QGroupBox:
        group, box = titled_box("Goal")
        form = new_form()
        box.addLayout(form)
        self.goal_combo = KeyCombo(self.choices, "goal", self._on_choice)
        self.goal_combo.setMinimumContentsLength(_LETTERS)
        self.points_spin = _number(0, 100, " points lost")
        self.size_spin = _number(0.1, 1e9, " kB")
        self.points_spin.setToolTip(
            "Accuracy in points, out of 100, against the network as it was"
        )
        self.size_spin.setToolTip("Size of the file; 1,000 kB are 1 MB")
        add_row(
            form,
            "&Wanted:",
            self.goal_combo,
            "Which of the networks on the way is the result",
        )
        form.addRow("At m&ost:", self.points_spin)
        form.addRow("At m&ost:", self.size_spin)
        self.goal_form = form
        self.limit_box = QCheckBox("at most")
        self.limit_box.clicked.connect(lambda on: self._set("limited", on))
        self.limit_box.setAccessibleName("Time limit")
        tip = "The steps share this time by their epochs"
        self.limit_box.setToolTip(tip)
        self.minutes_spin = _number(0.1, 100_000, " min")
        limit = _beside(self.limit_box, self.minutes_spin)
        self.minutes_spin.setToolTip(tip)
        limit.setToolTip(tip)
        form.addRow("Time li&mit:", limit)
        form.labelForField(limit).setBuddy(self.limit_box)
        self.validation_spin = QSpinBox(minimum=1, maximum=90, suffix=" %")
        self.validation_spin.valueChanged.connect(lambda n: self._set("validation", n))
        add_row(
            form,
            "Va&lidation:",
            self.validation_spin,
            "Share of the images that is not learned from, but tells what is lost,"
            " where no Validation Data are given",
        )
        self.name_edit = HintEdit(clearButtonEnabled=True)
        self.name_edit.textChanged.connect(self._on_name)
        self.name_edit.editingFinished.connect(self.renamed)
        add_row(
            form,
            "Nam&e:",
            self.name_edit,
            "What the network is to be called (what Int8 gives has a name made up)",
        )
        self.numbers_button = button(
            "&All settings…",
            "See and change every setting of fine-tuning and computing",
            self.ask_numbers,
        )
        row = QHBoxLayout()
        row.addWidget(self.numbers_button)
        row.addStretch()
        box.addLayout(row)
        for spin, name in (
            (self.points_spin, "points"),
            (self.size_spin, "kilobytes"),
            (self.minutes_spin, "minutes"),
        ):
            spin.valueChanged.connect(lambda value, name=name: self._set(name, value))
            spin.setAccessibleName(f"{name.capitalize()}, at most")
        return group

    # what is chosen ----------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        if getattr(self.choices, name) != value:
            setattr(self.choices, name, value)
            self._on_choice()

    def _on_choice(self) -> None:
        self.choices.problem = ""
        self.refresh()
        self.changed.emit()

    def _on_column(self) -> None:
        self.choices.column = self.shown_column
        self._on_choice()

    def _on_name(self, text: str) -> None:
        self.choices.title = text.strip()
        self.changed.emit()

    def _on_preset(self) -> None:
        if self.choices.preset == CUSTOM and not self.choices.custom:
            self.choices.preset = self._last_preset
            plan = self.choices.base
            self.choices.preset = CUSTOM
            self.choices.custom = plan_to_json(plan)
        self.choices.take_preset()
        self._on_choice()

    def _on_steps(self) -> None:
        self.take_plan(replace(self.choices.base, steps=self.steps.steps))

    def take_plan(self, plan: CompressionPlan) -> None:
        """Make a changed plan the user's own."""
        self.choices.take_plan(plan)
        self._on_choice()

    def ask_numbers(self) -> None:
        """Let the user change every number beside steps and goal."""
        dialog = PlanDialog(self, self.choices.base)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.take_plan(dialog.plan())
        dialog.deleteLater()

    def set_given(self, title: str) -> None:
        """Offer the network at the input, "" if there is none."""
        self._given = title
        self.refresh()

    def set_columns(self, names: Sequence[str]) -> None:
        """Offer these image columns."""
        self._columns = list(names)
        self.refresh()

    def set_layers(self, layers: Layers) -> None:
        """Offer these layers where steps have numbers for single ones."""
        self.steps.layers = layers

    @property
    def column(self) -> str:
        """The image column that is taken, "" for the first."""
        return self.choices.column if self.choices.column in self._columns else ""

    # what is shown -----------------------------------------------------------

    def refresh(self) -> None:
        """Show the choices, and what of them counts."""
        choices = self.choices
        self.network_combo.show_given(self._given)
        self.shown_column = self.column or next(iter(self._columns), "")
        self.column_combo.set_items({name: name for name in self._columns})
        several = len(self._columns) > 1
        self.column_combo.setVisible(several)
        self.form.labelForField(self.column_combo).setVisible(several)
        names = {name: name for name in PRESETS}
        self.preset_combo.set_items({**names, CUSTOM: "Custom"})
        for place, each in enumerate(PRESETS.values()):
            tip = f"{each.about}\n{each.advice}"
            self.preset_combo.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        preset = PRESETS.get(choices.preset)
        self._last_preset = choices.preset if preset else DEFAULT_PRESET
        self.note.setText(preset.about if preset is not None else CUSTOM_ABOUT)
        self.note.setToolTip(preset.advice if preset is not None else "")
        self.steps.set_steps(choices.base.steps)
        self.goal_combo.set_items(GOAL_LABELS)
        for part, goal in ((self.points_spin, "points"), (self.size_spin, "size")):
            part.setVisible(choices.goal == goal)
            self.goal_form.labelForField(part).setVisible(choices.goal == goal)
        self.minutes_spin.setEnabled(choices.limited)
        for part, value in (
            (self.points_spin, choices.points),
            (self.size_spin, choices.kilobytes),
            (self.minutes_spin, choices.minutes),
            (self.validation_spin, choices.validation),
        ):
            blocker = QSignalBlocker(part)
            part.setValue(value)
            blocker.unblock()
        self.limit_box.setChecked(choices.limited)
        if self.name_edit.text().strip() != choices.title:
            self.name_edit.setText(choices.title)


def _number(least: float, most: float, suffix: str) -> QDoubleSpinBox:
    return QDoubleSpinBox(minimum=least, maximum=most, decimals=1, suffix=suffix)


def _beside(*parts: QWidget) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for place, part in enumerate(parts):
        row.addWidget(part, int(place == 0))
    return holder
