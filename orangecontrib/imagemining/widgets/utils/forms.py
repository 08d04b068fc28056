"""Labels, fields and buttons, as the widgets have them."""

from __future__ import annotations

import re
from collections.abc import Callable

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

__all__ = ["NoteLabel", "add_row", "button", "folder_combo", "new_form", "text_field"]

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
    return combo


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
    edit = QLineEdit(getattr(master, setting), clearButtonEnabled=True)

    def typed(text: str) -> None:
        setattr(master, setting, text)
        on_typing()

    edit.textChanged.connect(typed)
    edit.returnPressed.connect(on_choice)
    return edit
