"""Where Import Images gets its images from, and what it says about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QHBoxLayout, QStyle, QVBoxLayout, QWidget
from Orange.data import Table, Variable
from Orange.widgets import gui

from orangecontrib.imagemining.tables.listing import guess_path_column, path_columns
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.folders import ask_folder, name_of
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    folder_combo,
    new_form,
)

__all__ = ["FolderPanel", "MorePanel", "TablePanel", "WorkPanel"]


class FolderPanel(QWidget):
    """The folder, those used lately, and a way to find one that is gone.

    Parameters
    ----------
    on_recent
        Called with the folder that the user chose of those used lately.
    on_browse
        Called when the user wants another one.
    on_find
        Called when the user wants to say where the missing one is.
    """

    def __init__(
        self,
        on_recent: Callable[[str], None],
        on_browse: Callable[[], None],
        on_find: Callable[[], None],
    ) -> None:
        super().__init__()
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.combo = folder_combo()
        self.combo.setToolTip("Folders used lately. A folder can also be dropped here.")
        self.combo.setAccessibleName("Folder")
        self.combo.setPlaceholderText("No folder chosen")
        self.combo.activated.connect(
            lambda index: on_recent(self.combo.itemData(index))
        )
        icon = self.style().standardIcon(QStyle.StandardPixmap.SP_DirOpenIcon)
        self.browse_button = button(
            "&Choose…", "Choose a folder with images", on_browse
        )
        self.browse_button.setIcon(icon)
        row.addWidget(self.combo)
        row.addWidget(self.browse_button)
        layout.addLayout(row)
        self.missing_label = NoteLabel()
        self.missing_label.hide()
        layout.addWidget(self.missing_label)
        self.find_button = button(
            "&Find folder…", "Show where the folder is now", on_find
        )
        self.find_button.setIcon(icon)
        self.find_button.hide()
        layout.addWidget(self.find_button)
        self.setLayout(layout)

    def show_missing(self, folder: str) -> None:
        """Say that there is no such folder, and ask where it is; "" for all is well."""
        self.missing_label.setText(f"There is no folder {folder}. Where is it now?")
        self.missing_label.setVisible(bool(folder))
        self.find_button.setVisible(bool(folder))

    def show_folders(self, current: str, recent: Sequence[str]) -> None:
        """Show the folder chosen, and those used lately."""
        self.combo.clear()
        folders = [*recent]
        if current and current not in folders:
            folders.insert(0, current)
        for folder in folders:
            self.combo.addItem(name_of(folder), folder)
            place = self.combo.count() - 1
            self.combo.setItemData(place, folder, Qt.ItemDataRole.ToolTipRole)
        self.combo.setCurrentIndex(self.combo.findData(current) if current else -1)
        self.combo.setEnabled(bool(folders))


class TablePanel(QWidget):
    """Which column of the table names the images, and where they are.

    Parameters
    ----------
    master
        The widget, with the setting path_column.
    callback
        Called when the user chose another column or base folder.
    """

    def __init__(self, master: QWidget, callback: Callable[[], None]) -> None:
        super().__init__()
        self._master = master
        self._callback = callback
        self._data: Table | None = None
        self.shown_column = ""
        self.chosen_base = ""
        self.workflow_folder = ""
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        note = NoteLabel()
        note.setText(
            "The table that is connected says which images; no folder is read."
        )
        layout.addWidget(note)
        form = new_form()
        self.column_combo = KeyCombo(self, "shown_column", self._on_column)
        add_row(
            form,
            "&Path column:",
            self.column_combo,
            "Column with the paths or addresses of the images",
        )
        row = QHBoxLayout()
        self.base_combo = folder_combo()
        self.base_combo.setMinimumContentsLength(18)
        self.base_combo.setToolTip("Paths that are not whole begin at this folder")
        self.base_combo.setAccessibleName("Base folder")
        self.base_combo.activated.connect(
            lambda index: self.choose_base(self.base_combo.itemData(index))
        )
        self.base_button = button(
            "C&hoose…", "Choose the folder at which the paths begin", self._on_browse
        )
        row.addWidget(self.base_combo)
        row.addWidget(self.base_button)
        form.addRow("&Base folder:", row)
        form.labelForField(row).setBuddy(self.base_combo)
        layout.addLayout(form)
        self.setLayout(layout)

    @property
    def column(self) -> Variable | None:
        """The column of paths; None as long as nobody knows which."""
        if self._data is None or not self.shown_column:
            return None
        return self._data.domain[self.shown_column]

    @property
    def base(self) -> str:
        """Where relative paths begin, "" if that is not known."""
        return self.chosen_base or self._automatic_base()

    def set_table(self, data: Table) -> None:
        """Offer the columns of this table, the likeliest first."""
        self._data = data
        names = [column.name for column in path_columns(data.domain)]
        guess = guess_path_column(data)
        self.shown_column = guess.name if guess else ""
        if self._master.path_column in names:
            self.shown_column = self._master.path_column
        items = {name: name for name in names}
        if not self.shown_column:
            items = {"": "(choose a column)", **items}
        self.column_combo.set_items(items)
        self.column_combo.setEnabled(bool(names))
        self.show_base()

    def show_base(self) -> None:
        """Show the base folder that goes by itself, and the one chosen, if any."""
        automatic = self._automatic_base()
        name = name_of(automatic) if automatic else "not known"
        self.base_combo.clear()
        self.base_combo.addItem(f"Automatic ({name})", "")
        self.base_combo.setItemData(0, automatic, Qt.ItemDataRole.ToolTipRole)
        if self.chosen_base:
            self.base_combo.addItem(name_of(self.chosen_base), self.chosen_base)
            self.base_combo.setItemData(
                1, self.chosen_base, Qt.ItemDataRole.ToolTipRole
            )
            self.base_combo.setCurrentIndex(1)

    def _automatic_base(self) -> str:
        origin = (
            self.column.attributes.get("origin", "") if self.column is not None else ""
        )
        return str(origin) or self.workflow_folder

    def _on_column(self) -> None:
        self._master.path_column = self.shown_column
        self.show_base()
        self._callback()

    def _on_browse(self) -> None:
        folder = ask_folder(
            self, "Choose the folder at which the paths begin", self.base
        )
        if folder:
            self.choose_base(folder)

    def choose_base(self, folder: str) -> None:
        """Let relative paths begin at `folder`, "" for the automatic one."""
        self.chosen_base = folder
        self.show_base()
        self._callback()


class MorePanel(QWidget):
    """What else can be had: the camera's notes, and fewer images.

    Parameters
    ----------
    master
        The widget, with the settings exif, sample and per_category.
    on_typing
        Called at each step of the number.
    on_choice
        Called when the user ticks a box.
    """

    def __init__(
        self,
        master: QWidget,
        on_typing: Callable[[], None],
        on_choice: Callable[[], None],
    ) -> None:
        super().__init__()
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.exif_box = gui.checkBox(
            self,
            master,
            "exif",
            "What the camera &noted: date, camera, place (EXIF)",
            callback=on_choice,
            tooltip="Columns date taken, camera, latitude, longitude and orientation",
        )
        self.sample_box, self.sample_spin = gui.spin(
            self,
            master,
            "per_category",
            1,
            1_000_000,
            label="At &most this many of each category:",
            checked="sample",
            callback=on_typing,
            checkCallback=on_choice,
            tooltip="Images are drawn at random, the same ones each time",
        )
        self.sample_box.setToolTip("For a first look at a large folder")
        self.sample_spin.setAccessibleName("At most, of each category")

    def offer_sample(self, offered: bool) -> None:
        """Show the choice of fewer images, or do not."""
        self.sample_spin.parentWidget().setVisible(offered)


class WorkPanel(QWidget):
    """What was found. Its buttons lie below the other parts.

    Parameters
    ----------
    on_reload, on_cancel
        Called when the user presses a button.
    """

    def __init__(
        self, on_reload: Callable[[], None], on_cancel: Callable[[], None]
    ) -> None:
        super().__init__()
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        self.label = NoteLabel()
        layout.addWidget(self.label)
        self.setLayout(layout)
        self.reload_button = button("&Reload", "Look at the images again", on_reload)
        self.cancel_button = button("C&ancel", "Cancel listing the images", on_cancel)
        self.cancel_button.setEnabled(False)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.reload_button)
        self.buttons.addWidget(self.cancel_button)
