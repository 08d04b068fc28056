"""Image Viewer: look at a table's images and select some."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence

from AnyQt.QtCore import QBuffer, QIODevice, QSize, Qt
from AnyQt.QtWidgets import QFormLayout, QLabel, QSlider
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.annotated_data import (
    ANNOTATED_DATA_SIGNAL_NAME,
    create_annotated_table,
)
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.tables import image_columns, image_sources
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.imagelist import ImageList
from orangecontrib.imagemining.widgets.utils.preview import Preview

NO_TITLE = ""


class OWImageViewer(OWWidget):
    name = "Image Viewer"
    description = "Look at images and select some."
    icon = "icons/ImageViewer.svg"
    priority = 130
    keywords = "thumbnails, gallery, show, pictures, photos"

    class Inputs:
        data = Input("Data", Table)

    class Outputs:
        selected_data = Output("Selected Images", Table, default=True)
        data = Output(ANNOTATED_DATA_SIGNAL_NAME, Table)

    settings_version = 1
    #: The columns chosen; data without them do not change the choice.
    column: str = Setting("")
    title: str = Setting(NO_TITLE)
    image_size: int = Setting(120)
    #: Values of the image column, with the number of earlier rows that have the same
    #: one: rows change places when the data are sorted.
    selected_images: list[tuple[str, int]] = Setting([], schema_only=True)
    auto_commit: bool = Setting(True)

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )

    class Information(OWWidget.Information):
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        super().__init__()
        self.data: Table | None = None
        self.shown_column = ""
        self.shown_title = NO_TITLE
        self._values: list[str] = []
        self._numbered: list[tuple[str, int]] = []
        self._titles: list[str] = []
        self._preview: Preview | None = None
        self._make_gui()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "Images")
        form = QFormLayout(
            fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
            labelAlignment=Qt.AlignmentFlag.AlignLeft,
        )
        box.layout().addLayout(form)
        self.column_combo = KeyCombo(self, "shown_column", self._on_column)
        self.title_combo = KeyCombo(self, "shown_title", self._on_title)
        self.size_slider = QSlider(
            Qt.Orientation.Horizontal,
            minimum=48,
            maximum=400,
            value=self.image_size,
            toolTip="Size of the thumbnails",
        )
        self.size_slider.valueChanged.connect(self._on_size)
        for label, field in (
            ("&Image column:", self.column_combo),
            ("&Title:", self.title_combo),
            ("&Size:", self.size_slider),
        ):
            form.addRow(label, field)
            form.labelForField(field).setBuddy(field)
        self.info_label = QLabel("", wordWrap=True)
        box.layout().addWidget(self.info_label)
        gui.rubber(self.controlArea)
        gui.auto_send(self.buttonsArea, self, "auto_commit")

        self.view = ImageList()
        self.view.set_image_size(self.image_size)
        self.view.setAccessibleName("Images")
        self.view.selection_changed.connect(self._on_selection)
        self.view.preview_requested.connect(self._open_preview)
        self.mainArea.layout().addWidget(self.view)
        self._show_columns()
        self._show_info()

    def sizeHint(self) -> QSize:
        return QSize(900, 600)

    def _show_columns(self) -> None:
        columns = image_columns(self.data.domain) if self.data is not None else []
        names = [column.name for column in columns]
        self.column_combo.setEnabled(bool(names))
        self.title_combo.setEnabled(bool(names))
        self.column_combo.clear()
        self.title_combo.clear()
        if not names or self.data is None:
            return
        self.shown_column = self.column if self.column in names else names[0]
        self.column_combo.set_items({name: name for name in names})
        domain = self.data.domain
        titles = [*domain.metas, *domain.class_vars]
        labels: dict[object, str] = {NO_TITLE: "(file name)"}
        labels |= {variable.name: variable.name for variable in titles}
        self.shown_title = self.title if self.title in labels else NO_TITLE
        self.title_combo.set_items(labels)

    def _show_info(self) -> None:
        n, k = len(self._values), len(self.view.selected_rows())
        text = f"{n} image{'s' * (n != 1)}, {k} selected" if n else "No images"
        hint = "Space shows the selected image in full size." if n else ""
        self.info_label.setText(f"{text}\n{hint}")

    # input -------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.clear_messages()
        if self._preview is not None:
            self._preview.close()
        self.data = data
        self._show_columns()
        if data is not None and not self.column_combo.count():
            self.Error.no_image_column()
        elif data is not None and not len(data):
            self.Information.no_rows()
        self._show_images()
        self.commit.now()

    def _image_column(self) -> Variable | None:
        if self.data is None or not self.column_combo.count():
            return None
        return self.data.domain[self.shown_column]

    def _show_images(self) -> None:
        column = self._image_column()
        chosen = {(value, number) for value, number in self.selected_images}
        if column is None or self.data is None:
            self._values, self._titles, sources = [], [], []
        else:
            sources = image_sources(self.data, column)
            self._values = texts(self.data, column)
            self._titles = self._make_titles()
        self.view.set_images(sources, self._titles)
        # selecting calls _on_selection, which stores what is selected now
        self._numbered = numbered_values(self._values)
        self.view.select_rows(
            [row for row, value in enumerate(self._numbered) if value in chosen]
        )
        self._show_info()

    def _make_titles(self) -> list[str]:
        if self.data is None or self.shown_title == NO_TITLE:
            return [file_name(value) for value in self._values]
        return texts(self.data, self.data.domain[self.shown_title])

    def _on_column(self) -> None:
        self.column = self.shown_column
        self._show_images()
        self.commit.deferred()

    def _on_title(self) -> None:
        self.title = self.shown_title
        self._titles = self._make_titles()
        self.view.set_titles(self._titles)

    def _on_size(self, size: int) -> None:
        self.image_size = size
        self.view.set_image_size(size)

    # output ------------------------------------------------------------------

    def _on_selection(self) -> None:
        rows = self.view.selected_rows()
        self.selected_images = [self._numbered[row] for row in rows]
        self._show_info()
        self.commit.deferred()

    @gui.deferred
    def commit(self) -> None:
        rows = self.view.selected_rows() if self.data is not None else []
        self.Outputs.selected_data.send(
            self.data[rows] if rows and self.data is not None else None
        )
        self.Outputs.data.send(create_annotated_table(self.data, rows))

    # preview -----------------------------------------------------------------

    def _open_preview(self) -> None:
        row = self.view.currentIndex().row()
        if row < 0 or self.data is None:
            return
        if self._preview is None:
            self._preview = Preview(self)
            self._preview.step.connect(self._step_preview)
        column = self._image_column()
        sources = image_sources(self.data[row : row + 1], column)
        self._preview.show_image(sources[0], self._titles[row])

    def _step_preview(self, places: int) -> None:
        row = self.view.currentIndex().row() + places
        if 0 <= row < len(self._values):
            self.view.setCurrentIndex(self.view.model().index(row, 0))
            self._open_preview()

    def onDeleteWidget(self) -> None:
        self.view.loader.close()
        if self._preview is not None:
            self._preview.close_loader()
            self._preview.close()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Images",
            [
                ("Image column", self.shown_column),
                ("Images", len(self._values)),
                ("Selected", len(self.view.selected_rows())),
            ],
        )
        if len(self._values):
            buffer = QBuffer()
            buffer.open(QIODevice.OpenModeFlag.WriteOnly)
            self.view.viewport().grab().save(buffer, "PNG")
            content = base64.b64encode(bytes(buffer.data())).decode()
            self.report_raw(f'<img src="data:image/png;base64,{content}"/>')


def texts(table: Table, variable: Variable) -> list[str]:
    """Return a column's values as they are shown."""
    return [variable.str_val(value) for value in table.get_column(variable)]


def numbered_values(values: Sequence[str]) -> list[tuple[str, int]]:
    """Tell equal values apart by how many came before."""
    seen: Counter[str] = Counter()
    numbered = []
    for value in values:
        numbered.append((value, seen[value]))
        seen[value] += 1
    return numbered


def file_name(value: str) -> str:
    """Return the last part of a path or address."""
    return value.replace("\\", "/").rstrip("/").rpartition("/")[2]


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWImageViewer).run(table_from_folder(".").table)
