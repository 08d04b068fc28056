"""Image Grid: similar images side by side."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from AnyQt.QtCore import QPoint, QSize, Qt
from AnyQt.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
)
from numpy.typing import NDArray
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import TaskState
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.tables.placing import ImageGrid, place_images
from orangecontrib.imagemining.tables.projection import PROJECTIONS
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.captions import TableCaptions
from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo, KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import NO_IMAGES, add_row
from orangecontrib.imagemining.widgets.utils.gridview import MAX_ZOOM, GridView
from orangecontrib.imagemining.widgets.utils.imagewidget import ImageWidget
from orangecontrib.imagemining.widgets.utils.legend import Legend
from orangecontrib.imagemining.widgets.utils.report import as_html, picture_of
from orangecontrib.imagemining.widgets.utils.sending import Selection
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

_ZOOM_STEPS = 100  # of the slider, equal by factor

FITS = {"fit": "Whole", "crop": "Cropped, to fill the cell"}


def run(
    data: Table,
    column: Variable,
    projection: str,
    size: tuple[int, int] | None,
    positions: NDArray[np.float64] | None,
    state: TaskState,
) -> ImageGrid:
    return place_images(data, column, projection, size, positions, progress_of(state))


class OWImageGrid(ImageWidget):
    name = "Image Grid"
    description = "Put similar images side by side."
    icon = "icons/ImageGrid.svg"
    priority = 140
    keywords = "similarity, map, mosaic, t-sne, mds, pca, neighbours"
    replaces = ["orangecontrib.imageanalytics.widgets.owimagegrid.OWImageGrid"]

    class Inputs:
        # the ids are the old add-on's: its links name signals by these too
        images = Input(
            "Images", Table, id="data", default=True, replaces=["Embeddings"]
        )
        subset = Input("Data Subset", Table, id="data_subset")

    class Outputs:
        selected_data = Output("Selected Images", Table, default=True)
        data = Output("Images", Table)

    settings_version = 3
    #: Columns by name, "" for none; data without them do not change the choice.
    column: str = Setting("")
    label: str = Setting("")
    #: None: not chosen yet, which shows the class.
    color: str | None = Setting(None)
    projection: str = Setting("tsne")
    auto_size: bool = Setting(True, schema_only=True)
    n_columns: int = Setting(10, schema_only=True)
    n_rows: int = Setting(10, schema_only=True)
    fit: str = Setting("fit")
    #: Values of the image column, with the number of earlier rows that have the same
    #: one, and the group.
    selection: list[tuple[str, int, int]] = Setting([], schema_only=True)
    auto_commit: bool = Setting(True)
    #: What a workflow of Orange3-ImageAnalytics leaves to be settled by the data.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        no_features = Msg(
            "The data have no numbers to compare the images by. Put Image Embedding"
            " before this widget."
        )
        failed = Msg("{}")

    class Warning(OWWidget.Warning):
        left_out = Msg("{} of {} images have no numbers and are left out.")
        no_subset = Msg("None of the rows of Data Subset is among the images.")

    class Information(OWWidget.Information):
        cancelled = Msg("Cancelled. Press Start again to place the images.")
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        super().__init__()
        self.subset: Table | None = None
        self.grid: ImageGrid | None = None
        #: What the known positions are of.
        self._projected: tuple[int, str] | None = None
        self._asked: tuple[int, str] | None = None
        self._make_gui()
        self.settingsAboutToBePacked.connect(self._store_selection)

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        self.column_combo = ColumnCombo(self, "column", self._find_images)
        self.label_combo = ColumnCombo(self, "label", self._show_captions, "(none)")
        self.color_combo = ColumnCombo(self, "color", self._show_captions, "(none)")
        self.fit_combo = KeyCombo(self, "fit", self._on_fit)
        self.fit_combo.set_items(FITS)
        form = self.new_form("Images")
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        add_row(
            form,
            "Tit&le:",
            self.label_combo,
            "Column that is written below the images, once they are large enough",
        )
        add_row(
            form,
            "&Frame colour:",
            self.color_combo,
            "Column that colours the frames around the images",
        )
        add_row(
            form,
            "Fi&t:",
            self.fit_combo,
            "How images that are not square meet their square cells",
        )

        self.zoom_slider = QSlider(Qt.Orientation.Horizontal, maximum=_ZOOM_STEPS)
        add_row(
            form,
            "&Zoom:",
            self.zoom_slider,
            "Size of the cells (also Ctrl and the mouse's wheel)",
        )

        self.projection_combo = KeyCombo(self, "projection", self._place)
        self.projection_combo.set_items(PROJECTIONS)
        self.auto_box = QCheckBox("A&utomatic size", checked=self.auto_size)
        self.auto_box.setToolTip(
            "As many cells as the images need, about as many columns as rows"
        )
        self.auto_box.toggled.connect(self._on_size)
        self.columns_spin = self._new_spin(self.n_columns, "Columns of the grid")
        self.rows_spin = self._new_spin(self.n_rows, "Rows of the grid")
        size = QHBoxLayout()
        for spin in (self.columns_spin, QLabel("×"), self.rows_spin):
            size.addWidget(spin)
        size.addStretch(1)
        form = self.new_form("Grid")
        add_row(
            form,
            "&Similar by:",
            self.projection_combo,
            "What brings similar images together: t-SNE keeps neighbours beside each"
            " other and is usual, MDS keeps distances, PCA is fast",
        )
        form.addRow("", self.auto_box)
        form.addRow("Columns × rows:", size)
        gui.vBox(self.controlArea, "Shown").layout().addWidget(self._new_info())
        gui.rubber(self.controlArea)

        self.cancel_button = QPushButton(
            "Ca&ncel",
            toolTip="Cancel; then start again",
            autoDefault=False,
            enabled=False,
        )
        self.cancel_button.clicked.connect(self._on_cancel)
        self.buttonsArea.layout().addWidget(self.cancel_button)
        gui.auto_send(self.buttonsArea, self, "auto_commit")
        self.legend = Legend()
        self.set_view(GridView())
        self.view.set_crop(self.fit == "crop")
        self.view.zoomed.connect(self._show_zoom)
        self.zoom_slider.valueChanged.connect(self._on_zoom)
        self.view.selection_changed.connect(self._on_selection)
        self.view.menu_requested.connect(self._open_menu)
        self.mainArea.layout().addWidget(self.legend)
        self.mainArea.layout().addWidget(self.view)
        self._show_columns()
        self._show_size()
        self._show_info()

    def _new_spin(self, value: int, tip: str) -> QSpinBox:
        # a number is taken when it has been typed, not at each of its digits
        spin = QSpinBox(
            minimum=1, maximum=1000, value=value, toolTip=tip, keyboardTracking=False
        )
        spin.setAccessibleName(tip)
        spin.valueChanged.connect(self._on_size)
        return spin

    def _new_info(self) -> QLabel:
        self.info_label = QLabel("", wordWrap=True)
        return self.info_label

    def sizeHint(self) -> QSize:
        return QSize(960, 680)

    def _show_columns(self) -> None:
        others = self.show_image_columns()
        self.label_combo.set_columns(others)
        coloured = [v for v in others if v.is_discrete or v.is_continuous]
        self.color_combo.set_columns(coloured)
        category = self.data.domain.class_var if self.data is not None else None
        if self.color is None and category is not None and category in coloured:
            place = self.color_combo.findData(category.name)
            self.color_combo.setCurrentIndex(place)

    def _show_size(self) -> None:
        for spin in (self.columns_spin, self.rows_spin):
            spin.setEnabled(not self.auto_size)
        if self.auto_size and self.grid is not None:
            layout = self.grid.layout
            for spin, number in (
                (self.columns_spin, layout.columns),
                (self.rows_spin, layout.rows),
            ):
                spin.blockSignals(True)
                spin.setValue(number)
                spin.blockSignals(False)

    def _show_info(self) -> None:
        if self.grid is None:
            self.info_label.setText(NO_IMAGES)
            return
        layout, groups = self.grid.layout, self.view.groups
        n = int((layout.cells[:, 0] >= 0).sum())
        text = f"{n:,} image{'s' * (n != 1)} on {layout.columns} × {layout.rows} cells"
        text += f", {int((groups > 0).sum()):,} selected"
        n_groups = int(groups.max(initial=0))
        text += f" in {n_groups} groups" if n_groups > 1 else ""
        text += "\nShift adds a group. Ctrl + wheel zooms. Space shows an image large."
        self.info_label.setText(text)

    # images ------------------------------------------------------------------

    @Inputs.images
    def set_images(self, data: Table | None) -> None:
        self._store_selection()
        self.data = data
        self._projected = self._asked = None
        old_settings.settle(self, data)
        self.auto_box.setChecked(self.auto_size)
        self._show_columns()
        self._find_images()

    @Inputs.subset
    def set_subset(self, subset: Table | None) -> None:
        self.subset = subset
        self._show_subset()

    def _find_images(self) -> None:
        """Show other images: the data or their column have changed."""
        self.cancel()
        self.sender_of_tables.cancel()
        self.clear_messages()
        self.one_image.hide()
        self.grid = None
        self.view.set_images([])
        self._show_captions()
        self._place()

    def _place(self) -> None:
        """Start placing the images."""
        self.cancel()
        for message in (
            self.Error.failed,
            self.Error.no_features,
            self.Information.no_rows,
            self.Information.cancelled,
        ):
            message.clear()
        data, column = self.data, self.image_column
        self.Error.no_image_column(shown=data is not None and column is None)
        if data is None or column is None:
            self._show_nothing()
            return
        numbers = any(variable.is_continuous for variable in data.domain.attributes)
        self.Error.no_features(shown=not numbers)
        self.Information.no_rows(shown=numbers and not len(data))
        if not numbers or not len(data):
            self._show_nothing()
            return
        self._asked = (id(data), self.projection)
        known = None
        if self.grid is not None and self._asked == self._projected:
            known = self.grid.positions
        size = None if self.auto_size else (self.n_rows, self.n_columns)
        self._set_button("Ca&ncel", True)
        self.start(run, data, column, self.projection, size, known)

    def _on_cancel(self) -> None:
        if self.task is None:
            self._place()
            return
        self.cancel()
        if self.grid is None:
            # what went out before is of other data
            self._send(Selection(None, None))
            self._show_info()
        self.Information.cancelled()
        self._set_button("&Start again", True)

    def _set_button(self, text: str, enabled: bool) -> None:
        self.cancel_button.setText(text)
        self.cancel_button.setEnabled(enabled)

    def on_done(self, result: ImageGrid) -> None:
        first = self.grid is None
        self.grid, self._projected = result, self._asked
        self._set_button("Ca&ncel", False)
        layout = result.layout
        if first:
            self.view.set_images(result.sources)
            self._show_captions()
        self.view.arrange(layout.cells, layout.rows, layout.columns)
        if first:
            chosen = {(value, number): group for value, number, group in self.selection}
            groups = [chosen.get(value, 0) for value in result.numbered]
            self.view.set_groups(np.array(groups, np.intp))
            self._show_subset()
        n_left = int((layout.cells[:, 0] < 0).sum())
        n = len(layout.cells)
        self.Warning.left_out(n_left, n, shown=bool(n_left))
        self._show_size()
        self._show_info()
        if first:
            self.commit.now()

    def on_exception(self, ex: Exception) -> None:
        known = isinstance(ex, ImageMiningError)
        if known and self.grid is not None:
            # such as a grid that is too small: the one that was there stays
            self._set_button("Ca&ncel", False)
        else:
            self._show_nothing()
        if not known:
            raise ex
        self.Error.failed(ex)

    def _show_nothing(self) -> None:
        self._set_button("Ca&ncel", False)
        self.grid = None
        self.view.set_images([])
        self._show_info()
        self.commit.now()

    # what is seen ------------------------------------------------------------

    def _on_fit(self) -> None:
        self.view.set_crop(self.fit == "crop")

    def _on_zoom(self, step: int) -> None:
        self.view.set_zoom(MAX_ZOOM ** (step / _ZOOM_STEPS))

    def _show_zoom(self, zoom: float) -> None:
        self.zoom_slider.blockSignals(True)
        self.zoom_slider.setValue(round(_ZOOM_STEPS * log(zoom, MAX_ZOOM)))
        self.zoom_slider.blockSignals(False)

    def _on_size(self) -> None:
        self.auto_size = self.auto_box.isChecked()
        if not self.auto_size:
            self.n_columns = self.columns_spin.value()
            self.n_rows = self.rows_spin.value()
        self._show_size()
        if self.data is not None:
            self._place()

    def _show_captions(self) -> None:
        """Say of each image what the combos ask for."""
        colour, column = self.variable(self.color_combo), self.image_column
        if self.grid is None or self.data is None or column is None:
            self.captions = None
            self.legend.set_variable(None)
            return
        self.captions = TableCaptions(
            self.data,
            column,
            self.variable(self.label_combo),
            colour=colour,
            named=False,
        )
        self.legend.set_variable(colour, self.captions.low, self.captions.high)
        self.view.set_colours(self.captions.colours())
        self.view.set_captions(self.captions.captions())

    def _show_subset(self) -> None:
        self.Warning.no_subset.clear()
        if self.grid is None or self.data is None:
            return
        if self.subset is None:
            self.view.set_subset(None)
            return
        among = np.isin(self.data.ids, self.subset.ids)
        self.Warning.no_subset(shown=not among.any())
        self.view.set_subset(among if among.any() else None)

    # selection ---------------------------------------------------------------

    def _on_selection(self) -> None:
        self._show_info()
        self.commit.deferred()

    @gui.deferred
    def commit(self) -> None:
        groups = self.view.groups
        rows = np.flatnonzero(groups)
        self.sender_of_tables.select(self.data, rows, groups if self.grid else None)
        self.setInvalidated(self.sender_of_tables.task is not None)

    def _store_selection(self) -> None:
        if self.grid is not None:
            numbered, groups = self.grid.numbered, self.view.groups
            self.selection = [
                (*numbered[row], int(groups[row])) for row in np.flatnonzero(groups)
            ]

    # one image ---------------------------------------------------------------

    def source_of(self, row: int) -> str | None:
        return self.grid.sources[row] if self.grid else None

    def _open_menu(self, place: QPoint) -> None:
        if self.grid is None:
            return
        rows = np.flatnonzero(self.view.groups)
        menu = self.one_image.menu([s for r in rows if (s := self.source_of(r))])
        menu.addSeparator()
        menu.addAction("Select &all", self.view.select_all)
        menu.addAction("Show the &whole grid", lambda: self.view.set_zoom(1.0))
        menu.popup(place)

    # end ---------------------------------------------------------------------

    def send_report(self) -> None:
        self.report_items(
            "Grid",
            as_html(
                [
                    ("Image column", self.column_combo.column),
                    ("Similar by", PROJECTIONS.get(self.projection, self.projection)),
                    ("Images", self.info_label.text().split("\n")[0]),
                    ("Title", self.label_combo.column or None),
                    ("Frame colour", self.color_combo.column or None),
                ]
            ),
        )
        if self.grid is not None:
            self.report_raw(picture_of(self.view.viewport()))

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        old_settings.image_grid(settings)


if __name__ == "__main__":
    from orangecontrib.imagemining.specs import EmbedderSpec
    from orangecontrib.imagemining.tables import embed_table, table_from_folder

    images = table_from_folder(".").table
    spec = EmbedderSpec("squeezenet1_1", "features")
    embedded = embed_table(images, images.domain["image"], spec).embedded
    WidgetPreview(OWImageGrid).run(embedded)
