"""Labels, fields and buttons, as the widgets have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from AnyQt.QtCore import QEvent, QObject, Qt
from AnyQt.QtGui import QColor, QPalette
from AnyQt.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

__all__ = [
    "NO_IMAGES",
    "NO_NETWORK",
    "HintEdit",
    "NoteLabel",
    "add_row",
    "button",
    "folder_combo",
    "new_form",
    "text_field",
    "titled_box",
]

#: What is said before anything is connected.
NO_IMAGES = "No images yet. Connect Import Images."
NO_NETWORK = "No network yet. Connect Train Network or Load Network."

_HINT_OPACITY = 140  # of 255
_BREAK = "\u200b"  # not seen; a line may end there
_LONG_WORD = re.compile(r"\S{30,}")


class NoteLabel(QLabel):
    """Sentences as they are, never taken for markup; long names of files wrap."""

    def __init__(self) -> None:
        super().__init__(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.setMinimumWidth(380)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def setText(self, text: str) -> None:
        super().setText(_LONG_WORD.sub(_with_breaks, text))

    def text(self) -> str:
        return super().text().replace(_BREAK, "")


class _HintColour(QObject):
    """Keeps a field's hint visible: Orange's dark theme leaves hints black on black."""

    def __init__(self, field: QWidget) -> None:
        super().__init__(field)
        self._field = field
        field.installEventFilter(self)
        self._set()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.PaletteChange:
            self._set()
        return False

    def _set(self) -> None:
        role = QPalette.ColorRole
        colour = QColor(self._field.palette().color(role.Text))
        colour.setAlpha(_HINT_OPACITY)
        if self._field.palette().color(role.PlaceholderText) != colour:
            palette = QPalette()  # the other colours stay the theme's
            palette.setColor(role.PlaceholderText, colour)
            self._field.setPalette(palette)


class HintEdit(QLineEdit):
    """A line of text whose `placeholderText` is seen on dark ground too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hint_colour = _HintColour(self)


def _with_breaks(word: re.Match[str]) -> str:
    return re.sub(r"[^\W_]{1,20}[\W_]*|[\W_]+", rf"\g<0>{_BREAK}", word[0])


def new_form() -> QFormLayout:
    """Return a layout of labels with fields beside them."""
    return QFormLayout(
        fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
        labelAlignment=Qt.AlignmentFlag.AlignLeft,
    )


def add_row(form: QFormLayout, label: str, field: QWidget, tip: str) -> None:
    """Add a field with its label and what is said when the mouse rests on it."""
    field.setToolTip(tip)
    field.setAccessibleName(label.replace("&", "").rstrip(":"))
    form.addRow(label, field)
    # the label's & letter leads to its field
    form.labelForField(field).setBuddy(field)


def folder_combo() -> QComboBox:
    """Return a box for folders, whose names may be longer than it is wide."""
    combo = QComboBox(
        sizePolicy=QSizePolicy(
            QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed
        ),
        minimumContentsLength=24,
    )
    combo.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    combo.hint_colour = _HintColour(combo)
    return combo


def titled_box(title: str) -> tuple[QGroupBox, QVBoxLayout]:
    """Return a box with its title, and its layout, as ``gui.vBox`` makes them."""
    group = QGroupBox(f" {title} ")
    box = QVBoxLayout(group)
    box.setContentsMargins(4, 4, 4, 4)
    return group, box


def button(text: str, tip: str, on_click: Callable[[], None]) -> QPushButton:
    """Return a button that Enter in a field does not press."""
    result = QPushButton(text, toolTip=tip, autoDefault=False)
    result.clicked.connect(lambda: on_click())
    return result


def text_field(
    master: QWidget,
    setting: str,
    on_typing: Callable[[], None],
    on_choice: Callable[[], None],
) -> QLineEdit:
    """Return a field for a setting that is a text."""
    edit = HintEdit(getattr(master, setting), clearButtonEnabled=True)

    def typed(text: str) -> None:
        setattr(master, setting, text)
        on_typing()

    edit.textChanged.connect(typed)
    edit.returnPressed.connect(on_choice)
    return edit
