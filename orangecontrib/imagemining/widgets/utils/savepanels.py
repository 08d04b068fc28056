"""Parts of Save Images: which columns, how images are written, and where to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from AnyQt.QtCore import QUrl
from AnyQt.QtGui import QDesktopServices
from AnyQt.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QStackedLayout,
    QStyle,
    QWidget,
)
from Orange.data import Domain, Variable

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.images.saving.encode import FORMATS, Resize
from orangecontrib.imagemining.images.saving.plan import ORIGINAL, SaveOptions
from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.tables.saving import category_columns, name_columns
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo, KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import add_row, button, new_form

__all__ = ["ColumnsPanel", "FolderRow", "FormatPanel", "make_possible"]

#: Settings that are numbers from 1 on, and how large they may be.
_LARGEST = {"quality": 100, "pixel_width": 20_000, "pixel_height": 20_000}

_FORMAT_LABELS = {
    ORIGINAL: "As they are (exact copies)",
    **{name: file_format.title for name, file_format in FORMATS.items()},
}
_RESIZE_LABELS = {
    "none": "As it is",
    "size": "A size of your own",
    "network": "The input of a network",
}


class ColumnsPanel(QWidget):
    """The columns that have the images, their names and their categories.

    Parameters
    ----------
    master
        The widget with the settings ``column``, ``name_column``, ``category_column``.
    callback
        Called after the user changed one of them.
    """

    def __init__(self, master: Any, callback: Callable[[], None]) -> None:
        super().__init__()
        self._master = master
        self.column_combo = ColumnCombo(master, "column", callback)
        self.name_combo = ColumnCombo(master, "name_column", callback, "(file name)")
        self.category_combo = ColumnCombo(
            master, "category_column", callback, "(none, all in one folder)"
        )
        form = new_form()
        form.setContentsMargins(0, 0, 0, 0)
        self.setLayout(form)
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        add_row(
            form,
            "Na&mes:",
            self.name_combo,
            "Column with the names of the files; left as it is, they keep theirs",
        )
        add_row(
            form,
            "Sub-&folders:",
            self.category_combo,
            "Column with the categories; each gets a folder of its own",
        )

    def set_domain(self, domain: Domain | None) -> None:
        """Offer the columns of these data."""
        images = (
            image_columns(domain, self._master.column) if domain is not None else []
        )
        self.column_combo.set_columns(images)
        for combo, chosen, columns in (
            (self.name_combo, self._master.name_column, name_columns),
            (self.category_combo, self._master.category_column, category_columns),
        ):
            combo.set_columns(columns(domain) if images else [])
            if images and combo.column != chosen:
                # not passed over: the files would lie where nobody looks for them
                combo.addItem(f"{chosen} (not available)", chosen)
                combo.setCurrentIndex(combo.count() - 1)

    @property
    def has_images(self) -> bool:
        """Whether the data have a column with images."""
        return self.column_combo.count() > 0

    def columns(
        self, domain: Domain
    ) -> tuple[Variable, Variable | None, Variable | None]:
        """Return the columns of images, names and categories, None where not used.

        Raises
        ------
        UnknownNameError
            If the data do not have a column that was chosen.
        """
        combos = (self.column_combo, self.name_combo, self.category_combo)
        for combo in combos:
            if combo.column and combo.column not in domain:
                raise UnknownNameError(
                    f"The data have no column “{combo.column}”. Choose another."
                )
        images, names, categories = (
            domain[combo.column] if combo.column else None for combo in combos
        )
        return images, names, categories


class FormatPanel(QWidget):
    """Format, quality and size of the files.

    Parameters
    ----------
    master
        The widget with the settings ``file_format``, ``quality``, ``resizing``,
        ``pixel_width``, ``pixel_height``, ``keep_aspect`` and ``network``.
    callback
        Called after the user changed one of them.
    """

    def __init__(self, master: Any, callback: Callable[[], None]) -> None:
        super().__init__()
        self._master = master
        self._callback = callback
        self.format_combo = KeyCombo(master, "file_format", self._on_change)
        self.format_combo.set_items(_FORMAT_LABELS)
        self.quality_spin = self._spin("quality")
        self.resize_combo = KeyCombo(master, "resizing", self._on_change)
        self.resize_combo.set_items(_RESIZE_LABELS)
        self.width_spin = self._spin("pixel_width")
        self.height_spin = self._spin("pixel_height")
        self.aspect_box = QCheckBox(
            "&Keep proportions",
            checked=master.keep_aspect,
            toolTip="The image just fits into this size. Otherwise it is stretched.",
        )
        self.aspect_box.toggled.connect(lambda on: self._set("keep_aspect", on))
        self.network_combo = KeyCombo(master, "network", self._on_change)
        self.network_combo.setAccessibleName("Network")
        self.network_combo.setToolTip(
            "The image is stretched, as the network sees it in Image Embedding"
        )
        self._show_networks()

        form = new_form()
        form.setContentsMargins(0, 0, 0, 0)
        self.setLayout(form)
        add_row(form, "Save &as:", self.format_combo, "Format of the files")
        add_row(
            form,
            "&Quality:",
            self.quality_spin,
            "Of JPEG and WebP: 100 is the best and makes the largest files",
        )
        add_row(form, "Si&ze:", self.resize_combo, "Number of pixels of the images")
        self._details = QStackedLayout()
        for page in (QWidget(), self._size_page(), self._network_page()):
            self._details.addWidget(page)
        form.addRow("", self._details)
        self.show_state()

    def _spin(self, setting: str) -> QSpinBox:
        spin = QSpinBox(
            minimum=1,
            maximum=_LARGEST[setting],
            value=getattr(self._master, setting),
        )
        spin.valueChanged.connect(lambda value: self._set(setting, value))
        return spin

    def _size_page(self) -> QWidget:
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        for text, spin in (("&Width", self.width_spin), ("&Height", self.height_spin)):
            label = QLabel(text)
            label.setBuddy(spin)
            spin.setAccessibleName(text.replace("&", ""))
            spin.setToolTip("Of the saved images, in pixels")
            row.addWidget(label)
            row.addWidget(spin)
        row.addWidget(self.aspect_box)
        row.addStretch()
        return page

    def _network_page(self) -> QWidget:
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.network_combo)
        return page

    def _show_networks(self) -> None:
        labels = {}
        for name, weights in WEIGHTS.items():
            height, width = weights.preprocess.size
            labels[name] = f"{weights.title}: {width} × {height}"
        network = self._master.network
        if network not in labels:
            labels[network] = f"{old_settings.title_of(network)} (not available)"
        self.network_combo.set_items(labels)

    def _set(self, setting: str, value: Any) -> None:
        setattr(self._master, setting, value)
        self._on_change()

    def _on_change(self) -> None:
        self.show_state()
        self._callback()

    def show_state(self) -> None:
        """Let be changed what has a meaning with the other choices."""
        master = self._master
        file_format = FORMATS.get(master.file_format)
        self.quality_spin.setEnabled(bool(file_format and file_format.has_quality))
        self.resize_combo.setEnabled(master.file_format != ORIGINAL)
        pages = list(_RESIZE_LABELS)
        page = pages.index(master.resizing) if master.resizing in pages else 0
        self._details.setCurrentIndex(0 if master.file_format == ORIGINAL else page)

    def options(self) -> SaveOptions:
        """Return the choices.

        Raises
        ------
        UnknownNameError
            If the format or the network is not there.
        """
        master = self._master
        resize = None
        if master.file_format != ORIGINAL and master.resizing == "size":
            resize = Resize(
                master.pixel_width, master.pixel_height, not master.keep_aspect
            )
        elif master.file_format != ORIGINAL and master.resizing == "network":
            if master.network not in WEIGHTS:
                title = old_settings.title_of(master.network)
                raise UnknownNameError(
                    f"The network {title} is not available here. Choose another size."
                )
            resize = Resize.for_network(WEIGHTS[master.network].preprocess)
        return SaveOptions(master.file_format, master.quality, resize)

    def describe(self) -> str:
        """Say in words how the images are written."""
        master = self._master
        if master.file_format == ORIGINAL:
            return "copied byte for byte"
        text = f"as {self.format_combo.currentText()}"
        if self.quality_spin.isEnabled():
            text += f" of quality {master.quality}"
        if master.resizing == "size":
            how = "fitted into" if master.keep_aspect else "stretched to"
            text += f", {how} {master.pixel_width} × {master.pixel_height} pixels"
        elif master.resizing == "network":
            text += f", stretched for {self.network_combo.currentText()}"
        return text.replace(" × ", "\u00a0×\u00a0")  # a size stays on one line


def make_possible(settings: dict[str, Any]) -> None:
    """Put what may be stored into numbers that `FormatPanel` has, in place."""
    for name in _LARGEST.keys() & settings.keys():
        try:
            number = int(settings[name])
        except (TypeError, ValueError, OverflowError):
            del settings[name]
        else:
            settings[name] = max(1, min(_LARGEST[name], number))


class FolderRow(QWidget):
    """Shows the folder chosen, and lets another be chosen.

    Parameters
    ----------
    browse
        Called to let the user choose one.
    """

    def __init__(self, browse: Callable[[], None]) -> None:
        super().__init__()
        self._folder = ""
        self.edit = QLineEdit(readOnly=True)
        self.edit.setAccessibleName("Folder")
        self.edit.setMinimumWidth(240)
        self.choose_button = button(
            "&Choose…", "Choose a folder, or make a new one", browse
        )
        self.choose_button.setIcon(
            self.style().standardIcon(QStyle.StandardPixmap.SP_DirOpenIcon)
        )
        self.open_button = button("&Open", "Show what is in the folder", self._open)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit)
        row.addWidget(self.choose_button)
        row.addWidget(self.open_button)

    def show_folder(self, folder: str) -> None:
        """Show this folder; "" for none."""
        self._folder = folder
        # not as a placeholder, which is hardly seen on dark ground
        self.edit.setText(folder or "No folder chosen")
        # of a long path, the end tells more
        self.edit.setCursorPosition(len(folder))
        self.edit.setToolTip(folder or "A folder can also be dropped on this window")
        self.open_button.setEnabled(bool(folder))

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._folder))
