"""Which files Import Images takes from a folder, and their categories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from AnyQt.QtWidgets import QWidget

from orangecontrib.imagemining.exceptions import PatternError, UnknownNameError
from orangecontrib.imagemining.tables.folder import category_reader
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.filetypes import TypesButton
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    new_form,
    text_field,
)

__all__ = ["CATEGORY_SOURCES", "CategoriesPanel", "FilesPanel"]

CATEGORY_SOURCES = {
    "folder": "First folder",
    "path": "Whole path of folders",
    "pattern": "Pattern in the file name",
    "none": "No categories",
}


class FilesPanel(QWidget):
    """Which files of the folder are wanted.

    Parameters
    ----------
    master
        The widget, with the settings include, exclude and file_types.
    on_typing
        Called at each letter.
    on_choice
        Called when the user is done with a field.
    """

    def __init__(
        self,
        master: QWidget,
        on_typing: Callable[[], None],
        on_choice: Callable[[], None],
    ) -> None:
        super().__init__()
        form = new_form()
        form.setContentsMargins(0, 0, 0, 0)
        help_text = (
            "<p>Patterns with ; between them. * stands for any letters, ? for one.</p>"
            "<p><tt>*_red.tif</tt> – names that end so<br>"
            "<tt>mask</tt> – names with this word anywhere<br>"
            "<tt>1.png</tt> – files of this name<br>"
            "<tt>raw/</tt> – folders of this name, with all that is in there<br>"
            "<tt>plate1/*.png</tt> – by the place below the folder</p>"
        )
        self.include_edit = text_field(master, "include", on_typing, on_choice)
        self.include_edit.setPlaceholderText("all images")
        add_row(form, "&Include:", self.include_edit, help_text)
        self.exclude_edit = text_field(master, "exclude", on_typing, on_choice)
        self.exclude_edit.setPlaceholderText("none")
        add_row(
            form,
            "E&xclude:",
            self.exclude_edit,
            f"{help_text}<p>Folders whose names fit are passed over.</p>",
        )
        self.types_button = TypesButton(master, "file_types", on_choice)
        add_row(form, "&Types:", self.types_button, "Kinds of files that were found")
        self.setLayout(form)


class CategoriesPanel(QWidget):
    """Where the categories come from, with an example of what a pattern yields.

    Parameters
    ----------
    master
        The widget, with the settings category_from and category_pattern.
    on_typing
        Called at each letter.
    on_choice
        Called when the user is done with a field.
    """

    def __init__(
        self,
        master: QWidget,
        on_typing: Callable[[], None],
        on_choice: Callable[[], None],
    ) -> None:
        super().__init__()
        self._master = master
        self._on_choice = on_choice
        self._paths: Sequence[str] = ()
        self._counts = ""
        form = new_form()
        form.setContentsMargins(0, 0, 0, 0)
        self.combo = KeyCombo(master, "category_from", self._on_source)
        self.combo.set_items(CATEGORY_SOURCES)
        add_row(form, "Fr&om:", self.combo, "What tells the category of an image")

        def typed() -> None:
            self._counts = ""
            self.show_example()
            on_typing()

        self.pattern_edit = text_field(master, "category_pattern", typed, on_choice)
        self.pattern_edit.setPlaceholderText("such as {category}_*")
        add_row(
            form,
            "&Pattern:",
            self.pattern_edit,
            "<p>The name of a file, with {category} in the place of the category,"
            " {number} for a number, * for any letters and ? for one.</p>"
            "<p><tt>{category}_*</tt> – up to the first _<br>"
            "<tt>*_{category}</tt> – after the last _<br>"
            "<tt>{category}{number}</tt> – without the number at the end<br>"
            "<tt>*/{category}/*</tt> – the second folder</p>",
        )
        self.example_label = NoteLabel()
        self.example_label.setAccessibleName("Example")
        form.addRow(self.example_label)
        self.setLayout(form)
        self._on_shown()

    @property
    def pattern_error(self) -> str:
        """What is wrong with the pattern; "" if nothing is, or it is not used."""
        try:
            category_reader(self._master.category_from, self._master.category_pattern)
        except (PatternError, UnknownNameError) as ex:
            return str(ex)
        return ""

    def show_names(self, paths: Sequence[str], n_fit: int, n: int) -> None:
        """Take examples from these images, of which so many fit the pattern."""
        self._paths = paths
        self._counts = f"{n_fit:,} of {n:,} names fit" if n else ""
        self.show_example()

    def show_example(self) -> None:
        """Show what the pattern yields, or what is wrong with it."""
        self.example_label.setText(self.pattern_error or self._example())

    def _example(self) -> str:
        if self._master.category_from != "pattern" or not self._paths:
            return ""
        pattern = self._master.category_pattern
        category_of = category_reader("pattern", pattern)

        def shown(path: str) -> str:
            return path if "/" in pattern else path.rpartition("/")[2]

        examples: dict[str, str] = {}
        for path in self._paths:
            category = category_of(path)
            if category and len(examples) < 2:
                examples.setdefault(category, f"{shown(path)} → {category}")
        texts = list(examples.values()) or [f"{shown(self._paths[0])} does not fit"]
        return "\n".join([*texts, self._counts] if self._counts else texts)

    def _on_source(self) -> None:
        self._counts = ""
        self._on_shown()
        self.show_example()
        if self._master.category_from == "pattern":
            self.pattern_edit.setFocus()
        self._on_choice()

    def _on_shown(self) -> None:
        used = self._master.category_from == "pattern"
        self.pattern_edit.setEnabled(used)
        self.example_label.setVisible(used)
