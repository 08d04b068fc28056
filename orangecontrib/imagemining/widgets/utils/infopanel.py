"""What is chosen at the left of Network Info."""

from __future__ import annotations

from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QComboBox, QHBoxLayout
from Orange.widgets import gui

from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo, KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    new_form,
)
from orangecontrib.imagemining.widgets.utils.infoboxes import DETAILS
from orangecontrib.imagemining.widgets.utils.infodrawing import Drawing
from orangecontrib.imagemining.widgets.utils.publishednetwork import published_items

__all__ = ["BIGGEST", "InfoPanel"]

#: What is shown where no network is chosen that sizes are held against.
BIGGEST = "The largest one"


class InfoPanel:
    """Boxes of fields and buttons in the widget's control area.

    Parameters
    ----------
    master
        The widget, with the settings `reference`, `measuring`, `column` and `detail`,
        and what is called: `add_published`, `remove_published`, `hold_against`,
        `commit` and `judge`.
    drawing
        That is zoomed.
    """

    def __init__(self, master: Any, drawing: Drawing) -> None:
        self._master, self._drawing = master, drawing
        self._make_networks()
        self._make_accuracy()
        self._make_drawing()
        self.info_label = NoteLabel()
        self.info_label.setMinimumWidth(0)
        self.info_label.setMinimumHeight(3 * drawing.fontMetrics().lineSpacing())
        self.info_label.setAlignment(Qt.AlignmentFlag.AlignTop)
        gui.vBox(master.controlArea, "Result").layout().addWidget(self.info_label)
        gui.rubber(master.controlArea)

    def _make_networks(self) -> None:
        master, form = self._master, new_form()
        gui.vBox(master.controlArea, "Networks").layout().addLayout(form)
        self.published_combo = QComboBox()
        self.published_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.published_combo.setMinimumContentsLength(18)
        for name, title in published_items().items():
            self.published_combo.addItem(title, name)
        add_row(
            form,
            "&Published:",
            self.published_combo,
            "A network to look into without training or loading it",
        )
        self.add_button = button(
            "&Add", "Add it to the comparison", master.add_published
        )
        self.remove_button = button(
            "&Remove", "Take the chosen published network away", master.remove_published
        )
        row = QHBoxLayout()
        row.addWidget(self.add_button)
        row.addWidget(self.remove_button)
        form.addRow("", row)
        self.reference_combo = KeyCombo(master, "reference", master.hold_against)
        add_row(
            form,
            "&Sizes against:",
            self.reference_combo,
            "How many times smaller than this network the others are",
        )
        self.measuring_check = gui.checkBox(
            None,
            master,
            "measuring",
            "&Measure time",
            callback=master.commit,
            tooltip="Run each network some times with one image: about two seconds",
        )
        form.addRow("", self.measuring_check)

    def _make_accuracy(self) -> None:
        master, form = self._master, new_form()
        gui.vBox(master.controlArea, "Accuracy").layout().addLayout(form)
        self.column_combo = ColumnCombo(master, "column", lambda: None)
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        self.judge_button = button(
            "&Try on the images",
            "Have all networks tell the images' classes: top-1 and top-5",
            master.judge,
        )
        form.addRow("", self.judge_button)

    def _make_drawing(self) -> None:
        master, form, drawing = self._master, new_form(), self._drawing
        gui.vBox(master.controlArea, "Drawing").layout().addLayout(form)
        self.detail_combo = KeyCombo(master, "detail", self._on_detail)
        self.detail_combo.set_items(DETAILS)
        add_row(
            form,
            "S&how:",
            self.detail_combo,
            "How much is drawn; a click on a block opens it or folds it up",
        )
        row = QHBoxLayout()
        for text, tip, action in (
            ("+", "Larger (+, or Ctrl and the mouse's wheel)", drawing.larger),
            ("−", "Smaller (−)", drawing.smaller),
            ("&Width", "As wide as the window (0)", drawing.fit_width),
            ("A&ll", "All of the drawing", drawing.fit_all),
        ):
            zoom = button(text, tip, action)
            zoom.setAccessibleName(tip.split(" (")[0])
            width = zoom.fontMetrics().horizontalAdvance(text.replace("&", ""))
            # the style's least width is that of much longer words
            zoom.setFixedWidth(width + 3 * zoom.fontMetrics().averageCharWidth())
            row.addWidget(zoom)
        row.addStretch()
        form.addRow("", row)

    def _on_detail(self) -> None:
        self._drawing.set_detail(self._master.detail)
