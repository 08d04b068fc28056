"""Import Images: a folder of images, or a table that names them, as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from AnyQt.QtCore import QTimer
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from AnyQt.QtWidgets import QGroupBox, QWidget
from Orange.data import Table
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import (
    FolderNotFoundError,
    ImageMiningError,
    NoImagesError,
)
from orangecontrib.imagemining.images import FileFilter, Measures
from orangecontrib.imagemining.tables.folder import (
    FolderMemory,
    FolderOptions,
    FolderTable,
)
from orangecontrib.imagemining.tables.listing import ListedTable, path_columns
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.filterpanels import (
    CategoriesPanel,
    FilesPanel,
)
from orangecontrib.imagemining.widgets.utils.folders import (
    FolderSettings,
    ask_folder,
    dropped_folder,
    name_of,
    remember,
    resolve,
    to_store,
)
from orangecontrib.imagemining.widgets.utils.importinfo import (
    describe,
    report_items,
    shortened,
)
from orangecontrib.imagemining.widgets.utils.importpanels import (
    FolderPanel,
    MorePanel,
    TablePanel,
    WorkPanel,
)
from orangecontrib.imagemining.widgets.utils.importwork import (
    FolderJob,
    FolderResult,
    SetRange,
    TableJob,
    TableResult,
    run_folder,
    run_table,
)
from orangecontrib.imagemining.widgets.utils.readingpanel import (
    ReadingPanel,
    reading_of,
)
from orangecontrib.imagemining.widgets.utils.report import as_html

_TYPING_MS = 500  # without a letter, until the list is made anew
_N_EXAMPLES = 500  # names on which a pattern is tried while it is typed
_N_REASONS = 3  # that a message has
_MANY = 200  # categories that are more than most people mean to have


class OWImportImages(OWWidget, ConcurrentWidgetMixin):
    name = "Import Images"
    description = "List the images of a folder, or those that a table names."
    icon = "icons/ImportImages.svg"
    priority = 110
    keywords = (
        "folder, directory, photos, pictures, microscopy, load images, paths, url, exif"
    )
    replaces = ["orangecontrib.imageanalytics.widgets.owimageimport.OWImportImages"]

    class Inputs:
        data = Input("Data", Table)

    class Outputs:
        data = Output("Data", Table)

    want_main_area = False
    resizing_enabled = False

    settingsHandler = FolderSettings()
    settings_version = 3
    #: The folder, relative to the workflow's if it lies beside it.
    folder: str = Setting("", schema_only=True)
    recent_folders: list[str] = Setting([])
    include: str = Setting("", schema_only=True)
    exclude: str = Setting("", schema_only=True)
    #: Endings with their dots; empty for all.
    file_types: list[str] = Setting([], schema_only=True)
    #: "folder", "path", "pattern" or "none".
    category_from: str = Setting("folder", schema_only=True)
    category_pattern: str = Setting("", schema_only=True)
    sample: bool = Setting(False, schema_only=True)
    per_category: int = Setting(100, schema_only=True)
    exif: bool = Setting(False, schema_only=True)
    #: What becomes of a stack: "first", "middle", "max", "mean", "planes", "channels".
    stacks: str = Setting("first", schema_only=True)
    every_series: bool = Setting(False, schema_only=True)
    #: "thumbnail" or "tiles".
    slides: str = Setting("thumbnail", schema_only=True)
    tile_side: int = Setting(512, schema_only=True)
    no_background: bool = Setting(True, schema_only=True)
    #: Per cent of a tile, at least.
    tissue: int = Setting(10, schema_only=True)
    #: "auto", "grey", "rgb" or "chosen".
    channels: str = Setting("auto", schema_only=True)
    #: Names of channels and colours.
    shown_channels: list[list[str]] = Setting([], schema_only=True)
    #: "auto", "stored", "full", "percentiles" or "range".
    contrast: str = Setting("auto", schema_only=True)
    low_percentile: float = Setting(0.1, schema_only=True)
    high_percentile: float = Setting(99.9, schema_only=True)
    #: For "range": names of channels, black and white; empty until computed.
    ranges: list[list[str | float]] = Setting([], schema_only=True)
    #: What stands for the images they were computed of; "typed" if the user typed them.
    ranges_of: str = Setting("", schema_only=True)
    show_reading: bool = Setting(False)
    #: The column chosen; data without it do not change the choice. "" is automatic.
    path_column: str = Setting("", schema_only=True)
    #: Like `folder`; "" is automatic.
    base_folder: str = Setting("", schema_only=True)

    class Warning(OWWidget.Warning):
        unreadable = Msg("{} sub-folders may not be read, the first is {}")
        not_there = Msg("{} of {} images not there: {}")
        many_categories = Msg("{} categories for {} images. Is that what you mean?")
        not_read = Msg("{} of {} files cannot be read, the first is {}: {}")
        no_tiles = Msg("{} slides cannot be cut into tiles. {}")
        no_channel = Msg("No file has the channel {}.")
        other_order = Msg(
            "Channels are taken by their place in the first file; in {} they are at"
            " other places."
        )
        no_range = Msg("There is no range for all images: {}")
        range_unreadable = Msg("{} of {} images are not in the range; unreadable.")

    class Error(OWWidget.Error):
        failed = Msg("{}")
        missing = Msg("There is no folder {}. Where is it now? Press Find folder….")
        bad_pattern = Msg("Pattern of the categories: {}")
        no_text = Msg("The data have no column of texts that could be paths of images.")
        no_paths = Msg("No column looks like paths of images. Choose one.")

    class Information(OWWidget.Information):
        cancelled = Msg("Cancelled. Press Reload to start again.")
        moved = Msg("{} is not there; took the folder beside the workflow: {}")
        changed = Msg("Since the last look: {}")
        no_rows = Msg("The data have no rows.")
        no_base = Msg("{} paths are not whole. Choose the base folder they begin at.")
        other_images = Msg(
            "The range was computed of other images. Press Recompute to use these."
        )

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.current_folder = ""
        self.data: Table | None = None
        self.listed: FolderTable | ListedTable | None = None
        self._memory = FolderMemory()
        self._measures = Measures()
        self._is_stored = False  # the folder was not chosen here
        self._again = False
        self._timer = QTimer(self, singleShot=True, interval=_TYPING_MS)
        self._timer.timeout.connect(self.update_list)
        self._make_gui()
        self.setAcceptDrops(True)
        self.settingsAboutToBePacked.connect(self._store_folders)
        place = self._workflow_folder()
        self.table_panel.workflow_folder = place
        self.table_panel.chosen_base = resolve(self.base_folder, place)
        if self.folder:
            self.current_folder = resolve(self.folder, place)
            self._is_stored = True
        self._show_source()
        self.reload()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        columns = gui.hBox(self.controlArea)
        column = gui.vBox(columns)

        def add(title: str, panel: QWidget) -> QGroupBox:
            box = gui.vBox(column, title)
            box.layout().addWidget(panel)
            return box

        later, now = self._timer.start, self.update_list
        self.folder_panel = FolderPanel(self.choose, self.browse, self.find_folder)
        self.files_panel = FilesPanel(self, later, now)
        self.categories_panel = CategoriesPanel(self, later, now)
        self.table_panel = TablePanel(self, now)
        self.more_panel = MorePanel(self, later, now)
        self.work_panel = WorkPanel(self.reload, self._on_cancel)
        self._folder_boxes = [
            add("Folder", self.folder_panel),
            add("Which files", self.files_panel),
            add("Categories", self.categories_panel),
        ]
        self._table_box = add("Images of the table", self.table_panel)
        self.reading_panel = ReadingPanel(self, later, now)
        add("Reading", self.reading_panel)
        add("More", self.more_panel)
        add("Result", self.work_panel)
        # beside the others: below them, small screens would have no room for it
        column = gui.vBox(columns)
        self.reading_panel.unfold(
            add("Stacks, channels, contrast", self.reading_panel.choices)
        )
        column.layout().addStretch()
        self.buttonsArea.layout().addLayout(self.work_panel.buttons)
        self.folder_combo = self.folder_panel.combo
        self.info_label = self.work_panel.label
        self.reload_button = self.work_panel.reload_button
        self.cancel_button = self.work_panel.cancel_button

    def _show_source(self) -> None:
        """Show what belongs to a folder, or what belongs to a table."""
        by_table = self.data is not None
        for box in self._folder_boxes:
            box.setHidden(by_table)
        self._table_box.setVisible(by_table)
        self.more_panel.offer_sample(not by_table)
        self.folder_panel.show_folders(self.current_folder, self.recent_folders)
        self.reload_button.setEnabled(by_table or bool(self.current_folder))

    # choosing ----------------------------------------------------------------

    def browse(self) -> None:
        """Let the user choose a folder."""
        self._ask("Choose a folder with images")

    def find_folder(self) -> None:
        """Let the user show where the missing folder is now."""
        self._ask(f"Where is the folder {name_of(self.current_folder)} now?")

    def _ask(self, title: str) -> None:
        folder = ask_folder(self, title, self.current_folder)
        if folder:
            self.choose(folder)

    def choose(self, folder: str) -> None:
        """Take `folder`, and list it."""
        self.recent_folders = remember(self.recent_folders, folder)
        self.current_folder = os.path.abspath(folder)
        self._is_stored = False
        # what was found in another folder is no example for this one
        self.files_panel.types_button.show_types({})
        self.categories_panel.show_names([], 0, 0)
        self.reading_panel.show_nothing()
        self._show_source()
        self.reload()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self.data is None and dropped_folder(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        folder = dropped_folder(event.mimeData())
        if folder:
            event.acceptProposedAction()
            self.choose(folder)

    # the workflow ------------------------------------------------------------

    def _workflow_folder(self) -> str:
        return self.workflowEnv().get("basedir") or ""

    def _store_folders(self) -> None:
        place = self._workflow_folder()
        self.folder = to_store(self.current_folder, place)
        self.base_folder = to_store(self.table_panel.chosen_base, place)

    def workflowEnvChanged(self, key: str, value: str, oldvalue: str) -> None:
        super().workflowEnvChanged(key, value, oldvalue)
        if key == "basedir":
            before = self.table_panel.base
            self.table_panel.workflow_folder = value or ""
            self.table_panel.show_base()
            if self.data is not None and self.table_panel.base != before:
                self.update_list()

    # input -------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        """Take the images from a table; without one, from the folder."""
        self.data = data
        if data is not None:
            self.table_panel.set_table(data)
        self._show_source()
        self.reload()

    # work --------------------------------------------------------------------

    def reload(self) -> None:
        """Look at the folder, or the images of the table, again."""
        self._start(again=True)

    def update_list(self) -> None:
        """Make the list as the settings are now, of what is known already."""
        # what was to be looked at again, and was stopped by this, still is
        self._start(again=self._again and self.task is not None)

    def _start(self, again: bool) -> None:
        self._timer.stop()
        self.cancel()
        self.clear_messages()
        self.folder_panel.show_missing("")
        self._again = again
        if self.data is not None:
            self._start_table(self.data)
        elif not self.current_folder:
            self._finish(None, "Choose a folder, or drop one on this window.")
        else:
            self._start_folder()

    def _start_folder(self) -> None:
        error = self.categories_panel.pattern_error
        self.categories_panel.show_example()
        if error:
            self.Error.bad_pattern(error)
            self._finish(None, "No images, until the pattern is clear.")
            return
        beside = self._workflow_folder() if self._is_stored else ""
        job = FolderJob(
            self.current_folder, beside, self._options(), self._memory, self._again
        )
        self._begin("Looking for images…", run_folder, job)

    def _options(self) -> FolderOptions:
        return FolderOptions(
            FileFilter(self.include, self.exclude, tuple(self.file_types)),
            self.category_from,  # type: ignore[arg-type]
            self.category_pattern,
            self.per_category if self.sample else 0,
            self.exif,
            reading_of(self),
        )

    def _start_table(self, data: Table) -> None:
        column = self.table_panel.column
        if not path_columns(data.domain):
            self.Error.no_text()
        elif column is None and len(data):
            self.Error.no_paths()
        elif column is None:
            self.Information.no_rows()
        else:
            base = self.table_panel.base
            job = TableJob(
                data,
                column,
                base,
                self.exif,
                self._measures,
                self._again,
                reading_of(self),
            )
            self._begin("Looking at the images…", run_table, job)
            return
        self._finish(None, "No images.")

    def _begin(self, text: str, run: Callable[..., Any], job: object) -> None:
        self.info_label.setText(text)
        self.cancel_button.setEnabled(True)
        self.start(run, job)
        self.task.status_changed.connect(self._show_progress)

    def _show_progress(self, text: str) -> None:
        if self.task is not None:  # it may come after the user cancelled
            self.info_label.setText(text)

    def _on_cancel(self) -> None:
        self._timer.stop()
        self.cancel()
        self.Information.cancelled()
        self._finish(None, "Cancelled.")

    def on_done(self, result: FolderResult | TableResult) -> None:
        self._take_range(result.range)
        self._show_reading(result.listed, result.some)
        if isinstance(result, TableResult):
            self._on_table(result.listed)
        else:
            self._on_folder(result)

    def _take_range(self, result: SetRange) -> None:
        if result.is_new:
            self.ranges = [list(each) for each in result.ranges]
            if self.ranges_of != "typed":
                self.ranges_of = result.images
        elif result.ranges and self.ranges_of not in ("typed", result.images):
            self.Information.other_images()
        if result.n_unreadable:
            n = result.n_images + result.n_unreadable
            self.Warning.range_unreadable(f"{result.n_unreadable:,}", f"{n:,}")
        if result.failure:
            self.Warning.no_range(result.failure)

    def _show_reading(
        self, result: FolderTable | ListedTable, some: Sequence[str | None]
    ) -> None:
        """Show what the files hold, and what could not be read of it."""
        found = result.inside
        if found.reasons:
            self.Warning.not_read(
                f"{found.reasons.total():,}",
                f"{found.n_files:,}",
                shortened(found.unreadable),
                ". ".join(list(found.reasons)[:_N_REASONS])
                + ". …" * (len(found.reasons) > _N_REASONS),
            )
        if result.reasons:
            n = sum(result.reasons.values())
            self.Warning.no_tiles(f"{n:,}", next(iter(result.reasons)))
        if self.channels == "chosen":
            names = [name for name, _ in self.shown_channels]
            missing = [name for name in names if name not in found.channels]
            if missing:
                self.Warning.no_channel(", ".join(missing))
        # a range, too, is that of a channel, unless they are made one
        by_name = self.channels == "chosen" or (
            self.contrast == "range" and any(reading_of(self).layers(found.channels))
        )
        if found.n_other_order and by_name:
            n = found.n_other_order
            self.Warning.other_order(f"{n:,} file{'s' * (n != 1)}")
        self.reading_panel.show_found(found, some)

    def _on_folder(self, result: FolderResult) -> None:
        listed = result.listed
        if result.folder != self.current_folder:
            self.Information.moved(self.current_folder, result.folder)
            self.current_folder = result.folder
            self._show_source()
        found = listed.found
        if found.unreadable:
            self.Warning.unreadable(len(found.unreadable), found.unreadable[0])
        n, k, n_rows = len(found.paths), listed.n_categories, len(listed.table)
        if k > max(_MANY, n_rows / 2):
            self.Warning.many_categories(f"{k:,}", f"{n_rows:,}")
        self.files_panel.types_button.show_types(found.types)
        self.categories_panel.show_names(
            found.paths[:_N_EXAMPLES], n - listed.n_without_category, n
        )
        text = describe(listed)
        if self._again and listed.changes is not None:
            if listed.changes:
                self.Information.changed(listed.changes.describe())
            else:
                text += "\nNothing changed since the last look."
        self._finish(listed, text)

    def _on_table(self, result: ListedTable) -> None:
        n, missing = len(result.table), result.not_there
        if missing:
            different = list(dict.fromkeys(missing))
            names = ", ".join(shortened(name) for name in different[:3])
            names += ", …" * (len(different) > 3)
            self.Warning.not_there(f"{len(missing):,}", f"{n:,}", names)
        if result.n_relative:
            self.Information.no_base(f"{result.n_relative:,}")
        self._finish(result, describe(result))

    def on_exception(self, ex: Exception) -> None:
        self._finish(None, "No images.")
        if not isinstance(ex, ImageMiningError):
            raise ex
        if isinstance(ex, NoImagesError):
            # so that one of the types there are can be chosen
            self.files_panel.types_button.show_types(ex.types)
        if isinstance(ex, FolderNotFoundError):
            self.Error.missing(self.current_folder)
            self.folder_panel.show_missing(self.current_folder)
        else:
            self.Error.failed(ex)
            self.info_label.setText(f"{ex}.")

    def _finish(self, result: FolderTable | ListedTable | None, text: str) -> None:
        self.listed = result
        self.cancel_button.setEnabled(False)
        self.info_label.setText(text)
        self.Outputs.data.send(result.table if result else None)

    def onDeleteWidget(self) -> None:
        self._timer.stop()
        self.reading_panel.close_loader()
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        if self.listed is None:
            self.report_paragraph("No images.")
            return
        place = self.current_folder if self.data is None else self.table_panel.base
        items = report_items(self.listed, place, self._options())
        self.report_items("Import", as_html(items))

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        is_old = "recent_paths" in settings
        old_settings.import_images(settings)
        if is_old:
            # the workflow's folders come first, and do not push out the user's own
            own = cls.settingsHandler.defaults.get("recent_folders", [])
            settings["recent_folders"] += own


if __name__ == "__main__":
    WidgetPreview(OWImportImages).run()
