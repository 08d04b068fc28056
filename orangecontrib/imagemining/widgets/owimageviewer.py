"""Image Viewer: look at a table's images and select some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from AnyQt.QtCore import QPoint, QSize, Qt, QTimer
from AnyQt.QtWidgets import QCheckBox, QLabel, QSlider
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.annotated_data import ANNOTATED_DATA_SIGNAL_NAME
from Orange.widgets.utils.concurrent import TaskState
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.tables import image_sources
from orangecontrib.imagemining.tables.arrange import (
    Arrangement,
    ArrangeSpec,
    arrange,
    numbered_rows,
)
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.captions import TableCaptions
from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo
from orangecontrib.imagemining.widgets.utils.desktop import drag_away
from orangecontrib.imagemining.widgets.utils.forms import NO_IMAGES, HintEdit, add_row
from orangecontrib.imagemining.widgets.utils.gallery import (
    MAX_SIZE,
    MIN_SIZE,
    ImageGallery,
)
from orangecontrib.imagemining.widgets.utils.imagewidget import ImageWidget
from orangecontrib.imagemining.widgets.utils.legend import Legend
from orangecontrib.imagemining.widgets.utils.report import as_html, picture_of
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

_TYPING_PAUSE = 250  # ms without a key until the filter is applied


@dataclass
class Images:
    """A table's images, ready to be shown.

    Attributes
    ----------
    sources : each row's path or address; None if those shown stay.
    arrangement : which are shown, and in what order.
    numbered : what tells each row from the others, where the images are new.
    selected : rows to be selected, where the images are new.
    """

    sources: Sequence[str | None] | None
    arrangement: Arrangement
    numbered: Sequence[tuple[str, int]] = ()
    selected: Sequence[int] = ()


def run(
    data: Table,
    column: Variable,
    spec: ArrangeSpec,
    chosen: set[tuple[str, int]] | None,
    state: TaskState,
) -> Images:
    """Arrange the images; where they are new (`chosen` given), find them too."""
    arrangement = arrange(data, column, spec, progress_of(state))
    if chosen is None:
        return Images(None, arrangement)
    numbered = numbered_rows(data, column)
    selected = [row for row, value in enumerate(numbered) if value in chosen]
    return Images(image_sources(data, column), arrangement, numbered, selected)


class OWImageViewer(ImageWidget):
    name = "Image Viewer"
    description = "Look at images and select some."
    icon = "icons/ImageViewer.svg"
    priority = 130
    keywords = "thumbnails, gallery, show, pictures, photos"
    replaces = ["orangecontrib.imageanalytics.widgets.owimageviewer.OWImageViewer"]

    class Inputs:
        data = Input("Data", Table)

    class Outputs:
        selected_data = Output("Selected Images", Table, default=True)
        data = Output(ANNOTATED_DATA_SIGNAL_NAME, Table)

    settings_version = 3
    #: Columns by name, "" for none; data without them do not change the choice.
    column: str = Setting("")
    title: str = Setting("")
    subtitle: str = Setting("")
    color: str = Setting("")
    group: str = Setting("")
    sort: str = Setting("")
    descending: bool = Setting(False)
    words: str = Setting("", schema_only=True)
    image_size: int = Setting(120)
    #: Values of the image column, with the number of earlier rows that have the same
    #: one: rows change places when the data are sorted.
    selected_images: list[tuple[str, int]] = Setting([], schema_only=True)
    auto_commit: bool = Setting(True)
    #: What a workflow of Orange3-ImageAnalytics chose by position; see `old_settings`.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )

    class Information(OWWidget.Information):
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        super().__init__()
        self.sources: Sequence[str | None] = []
        self._found = False
        self._numbered: Sequence[tuple[str, int]] = []
        self._typing = QTimer(self, singleShot=True, interval=_TYPING_PAUSE)
        self._typing.timeout.connect(self._on_words)
        self._make_gui()
        self.settingsAboutToBePacked.connect(self._store_selection)

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        self.column_combo = ColumnCombo(self, "column", self._on_column)
        self.title_combo = ColumnCombo(
            self, "title", self._show_captions, "(file name)"
        )
        self.subtitle_combo = ColumnCombo(
            self, "subtitle", self._show_captions, "(none)"
        )
        self.color_combo = ColumnCombo(self, "color", self._show_captions, "(none)")
        self.group_combo = ColumnCombo(self, "group", self._rearrange, "(none)")
        self.sort_combo = ColumnCombo(self, "sort", self._rearrange, "(order of rows)")
        self.size_slider = QSlider(
            Qt.Orientation.Horizontal,
            minimum=MIN_SIZE,
            maximum=MAX_SIZE,
            value=self.image_size,
        )
        self.size_slider.valueChanged.connect(self._on_size)
        form = self.new_form("Images")
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        add_row(
            form, "&Title:", self.title_combo, "Column that is written below each image"
        )
        add_row(
            form,
            "S&ubtitle:",
            self.subtitle_combo,
            "Column that is written below the title",
        )
        add_row(
            form,
            "&Frame colour:",
            self.color_combo,
            "Column that colours the frames around the images",
        )
        add_row(
            form,
            "Si&ze:",
            self.size_slider,
            "Size of the thumbnails (also Ctrl and the mouse's wheel)",
        )
        form = self.new_form("Order")
        add_row(
            form,
            "&Group by:",
            self.group_combo,
            "Column that divides the images; each of its values gets a heading",
        )
        add_row(
            form,
            "S&ort by:",
            self.sort_combo,
            "Column that the images are ordered by, within each group",
        )
        self.descending_box = QCheckBox("&Largest first", checked=self.descending)
        self.descending_box.setToolTip(
            "The largest number, or the last in the alphabet, comes first"
        )
        self.descending_box.toggled.connect(self._on_descending)
        form.addRow("", self.descending_box)

        self.info_label = QLabel("", wordWrap=True)
        gui.vBox(self.controlArea, "Shown").layout().addWidget(self.info_label)
        gui.rubber(self.controlArea)
        gui.auto_send(self.buttonsArea, self, "auto_commit")

        self.filter_edit = HintEdit(
            self.words,
            placeholderText="Show only rows with these words…",
            clearButtonEnabled=True,
            toolTip="Words in any column of text or categories, or in the path",
        )
        self.filter_edit.setAccessibleName("Filter")
        self.filter_edit.textChanged.connect(self._typing.start)
        self.legend = Legend()
        self.set_view(ImageGallery())
        self.view.set_image_size(self.image_size)
        self.view.selection_changed.connect(self._on_selection)
        self.view.menu_requested.connect(self._open_menu)
        self.view.drag_requested.connect(self._drag)
        self.view.size_changed.connect(self.size_slider.setValue)
        for part in (self.filter_edit, self.legend, self.view):
            self.mainArea.layout().addWidget(part)
        self._show_columns()
        self._show_info()

    def sizeHint(self) -> QSize:
        return QSize(960, 640)

    def _show_columns(self) -> None:
        others = self.show_image_columns()
        for combo in (self.title_combo, self.subtitle_combo, self.sort_combo):
            combo.set_columns(others)
        coloured = [v for v in others if v.is_discrete or v.is_continuous]
        self.color_combo.set_columns(coloured)
        self.group_combo.set_columns([v for v in others if v.is_discrete])
        self.descending_box.setEnabled(bool(self.sort_combo.column))
        self.filter_edit.setEnabled(bool(others))

    def _show_info(self) -> None:
        n, shown = len(self.sources), len(self.view.order)
        n_selected = int(self.view.selected.sum())
        hidden = n_selected - int(self.view.selected[self.view.order].sum())
        text = f"{n:,} image{'s' * (n != 1)}" if n else NO_IMAGES
        if shown < n:
            text = f"{shown:,} of {text}"
        if n:
            text += f", {n_selected:,} selected"
            text += f" ({hidden:,} of them not shown)" if hidden else ""
            text += "\nSpace or a double click shows an image in full size."
        self.info_label.setText(text)

    # images ------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self._store_selection()
        self.sender_of_tables.cancel()
        self.clear_messages()
        self.one_image.hide()
        self.data = data
        old_settings.settle(self, data)
        self._show_columns()
        if data is not None and not self.column_combo.column:
            self.Error.no_image_column()
        elif data is not None and not len(data):
            self.Information.no_rows()
        self._find_images()

    def _find_images(self) -> None:
        """Show other images: the data or their column have changed."""
        self.cancel()
        self.sources, self._numbered, self._found = [], [], False
        self.view.set_images([])
        self._show_captions()
        self._show_info()
        if self.image_column is None:
            self.commit.now()
        else:
            self._rearrange()

    def _rearrange(self) -> None:
        """Show the images in another order, or others of them."""
        column = self.image_column
        self.descending_box.setEnabled(bool(self.sort_combo.column))
        if column is None:
            return
        spec = ArrangeSpec(
            self.group_combo.column, self.sort_combo.column, self.descending, self.words
        )
        chosen = None if self._found else {(v, n) for v, n in self.selected_images}
        self.start(run, self.data, column, spec, chosen)

    def on_done(self, result: Images) -> None:
        if result.sources is not None:
            self._found = True
            self.sources, self._numbered = result.sources, result.numbered
            self.view.set_images(result.sources)
            self.view.selected[result.selected] = True
        self.view.arrange(result.arrangement.order, result.arrangement.groups)
        self._show_info()
        if result.sources is not None:
            self.commit.now()

    def _on_column(self) -> None:
        self.selected_images = []
        self._find_images()

    def _on_descending(self, descending: bool) -> None:
        self.descending = descending
        self._rearrange()

    def _on_words(self) -> None:
        self.words = self.filter_edit.text()
        self._rearrange()

    def _on_size(self, size: int) -> None:
        self.image_size = size
        self.view.set_image_size(size)

    # captions ----------------------------------------------------------------

    def _show_captions(self) -> None:
        """Say of each image what the combos ask for."""
        colour, column = self.variable(self.color_combo), self.image_column
        if self.data is None or column is None:
            self.captions = None
            self.legend.set_variable(None)
            return
        self.captions = TableCaptions(
            self.data,
            column,
            self.variable(self.title_combo),
            self.variable(self.subtitle_combo),
            colour,
        )
        self.legend.set_variable(colour, self.captions.low, self.captions.high)
        self.view.set_captions(self.captions.captions())

    # selection ---------------------------------------------------------------

    def _on_selection(self) -> None:
        self._show_info()
        self.commit.deferred()

    @gui.deferred
    def commit(self) -> None:
        self.sender_of_tables.select(self.data, self.view.selected_rows())
        self.setInvalidated(self.sender_of_tables.task is not None)

    def _store_selection(self) -> None:
        if not self._found:
            return
        rows = self.view.selected_rows()
        self.selected_images = [self._numbered[row] for row in rows]

    # one image ---------------------------------------------------------------

    def source_of(self, row: int) -> str | None:
        return self.sources[row]

    def _selected_sources(self) -> list[str]:
        rows = self.view.order[self.view.selected[self.view.order]]
        return [source for row in rows if (source := self.sources[row])]

    def _open_menu(self, place: QPoint) -> None:
        menu = self.one_image.menu(self._selected_sources())
        menu.addSeparator()
        menu.addAction("Select &all", self.view.select_all)
        menu.addAction("&Invert selection", self.view.invert_selection)
        menu.popup(place)

    def _drag(self) -> None:
        row = self.view.current_row
        side = self.view.device_side()
        picture = self.view.loader.image(row, side) if row >= 0 else None
        sources = self._selected_sources()
        if sources:
            drag_away(self, sources, picture)

    # end ---------------------------------------------------------------------

    def send_report(self) -> None:
        self.report_items(
            "Images",
            as_html(
                [
                    ("Image column", self.column_combo.column),
                    ("Images", len(self.sources)),
                    ("Filter", self.words or None),
                    ("Grouped by", self.group_combo.column or None),
                    ("Sorted by", self.sort_combo.column or None),
                    ("Frame colour", self.color_combo.column or None),
                    ("Selected", int(self.view.selected.sum())),
                ]
            ),
        )
        if len(self.view.order):
            self.report_raw(picture_of(self.view.viewport()))

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        old_settings.image_viewer(settings)


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWImageViewer).run(table_from_folder(".").table)
