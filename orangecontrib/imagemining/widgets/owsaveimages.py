"""Save Images: a table's images as files in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Literal

from AnyQt.QtCore import Qt, QTimer
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from AnyQt.QtWidgets import QHBoxLayout
from Orange.data import Table
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError, UnknownNameError
from orangecontrib.imagemining.images.saving.write import Policy
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.folders import (
    ask_folder,
    dropped_folder,
    resolve,
    to_store,
)
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, button
from orangecontrib.imagemining.widgets.utils.report import as_html
from orangecontrib.imagemining.widgets.utils.savepanels import (
    ColumnsPanel,
    FolderRow,
    FormatPanel,
    make_possible,
)
from orangecontrib.imagemining.widgets.utils.savequestion import ask_about_files
from orangecontrib.imagemining.widgets.utils.savework import (
    FolderCheck,
    Planned,
    Saved,
    SaveJob,
    describe_job,
    run_check,
    run_plan,
    run_save,
)


class OWSaveImages(OWWidget, ConcurrentWidgetMixin):
    name = "Save Images"
    description = "Save images as files, into one folder or one for each category."
    icon = "icons/SaveImages.svg"
    priority = 150
    keywords = "export, write, convert, resize, png, jpeg, tiff, webp, bmp, files"
    replaces = ["orangecontrib.imageanalytics.widgets.owsaveimages.OWSaveImages"]

    class Inputs:
        data = Input("Data", Table)

    class Outputs:
        skipped = Output("Skipped Images", Table)

    want_main_area = False
    resizing_enabled = False

    settings_version = 3
    #: The folder, relative to the workflow's if it lies beside it.
    folder: str = Setting("", schema_only=True)
    #: Columns by name; "" for the file's own name, and for one folder for all.
    column: str = Setting("")
    name_column: str = Setting("", schema_only=True)
    category_column: str = Setting("", schema_only=True)
    file_format: str = Setting("original")
    quality: int = Setting(90)
    #: "none", "size" or "network".
    resizing: str = Setting("none")
    pixel_width: int = Setting(256)
    pixel_height: int = Setting(256)
    keep_aspect: bool = Setting(True)
    network: str = Setting("squeezenet1_1")
    auto_save: bool = Setting(False, schema_only=True)
    #: What a workflow of Orange3-ImageAnalytics leaves to be settled by the data.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Warning(OWWidget.Warning):
        not_saved = Msg("{} of {} images were not saved. {}")
        exist = Msg("Nothing saved: {} there already. Press Save to decide.")
        no_list = Msg("The list of saved images could not be written: {}")
        no_folder = Msg("Not saved: no folder is chosen.")

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        folder_gone = Msg("The folder {} is not there any more. Choose another.")
        none_saved = Msg("None of the images could be saved. {}")
        stopped = Msg("{}. {} of {} images were saved before.")
        failed = Msg("{}")

    class Information(OWWidget.Information):
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.current_folder = ""
        self.saved: Saved | None = None
        self._stage: Literal["", "plan", "save"] = ""
        self._planned: Planned | None = None
        self._again = False  # data to be saved automatically came meanwhile
        self._stop = threading.Event()
        self._deleted = False
        # a task must not be started, nor a question asked, from `on_done`
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._go_on)
        self._make_gui()
        self.setAcceptDrops(True)
        self.settingsAboutToBePacked.connect(self._store_folder)
        if self.folder:
            self.current_folder = resolve(self.folder, self._workflow_folder())
            self.start(run_check, self.current_folder)
        self._show_state()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        self.columns_panel = ColumnsPanel(self, self._show_state)
        self.column_combo = self.columns_panel.column_combo
        self.name_combo = self.columns_panel.name_combo
        self.category_combo = self.columns_panel.category_combo
        gui.vBox(self.controlArea, "Images").layout().addWidget(self.columns_panel)
        self.format_panel = FormatPanel(self, self._show_state)
        gui.vBox(self.controlArea, "Files").layout().addWidget(self.format_panel)

        box = gui.vBox(self.controlArea, "Folder")
        self.folder_row = FolderRow(self.browse)
        self.preview_label, self.info_label = NoteLabel(), NoteLabel()
        for label, n_lines in ((self.preview_label, 3), (self.info_label, 2)):
            # as high as its longest text, so that the window keeps its size
            label.setMinimumHeight(n_lines * self.fontMetrics().lineSpacing() + 2)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
        box.layout().addWidget(self.folder_row)
        box.layout().addWidget(self.preview_label)
        gui.vBox(self.controlArea, "Result").layout().addWidget(self.info_label)
        self.info_label.setText("Nothing saved yet.")

        self.auto_box = gui.checkBox(
            self.buttonsArea,
            self,
            "auto_save",
            "Save a&utomatically",
            tooltip="Save new data when they come; files that exist are left alone",
        )
        self.save_button = button("&Save", "Save the images", self.save)
        self.cancel_button = button(
            "Ca&ncel", "Cancel; what has been saved stays", self._on_cancel
        )
        row = QHBoxLayout()
        row.addWidget(self.save_button)
        row.addWidget(self.cancel_button)
        self.buttonsArea.layout().addLayout(row)

    def _show_state(self) -> None:
        self.folder_row.show_folder(self.current_folder)
        self.save_button.setEnabled(self._has_images and not self._stage)
        self.cancel_button.setEnabled(bool(self._stage))
        text = "No images."
        if self.data and self.columns_panel.has_images:
            try:
                job = self._make_job(self.data)
                text = describe_job(job, self.format_panel.describe())
            except UnknownNameError as ex:
                text = str(ex)
        self.preview_label.setText(text)

    @property
    def _has_images(self) -> bool:
        return bool(self.data) and self.columns_panel.has_images

    # the folder --------------------------------------------------------------

    def browse(self) -> None:
        """Let the user choose a folder."""
        start = self.current_folder or os.path.expanduser("~")
        folder = ask_folder(self, "Choose a folder to save images in", start)
        if folder:
            self.choose(folder)

    def choose(self, folder: str) -> None:
        """Take `folder`; nothing is saved before the user says so."""
        self.current_folder = os.path.abspath(folder)
        self.Error.folder_gone.clear()
        self.Warning.no_folder.clear()
        self._show_state()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_folder(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        folder = dropped_folder(event.mimeData())
        if folder:
            event.acceptProposedAction()
            self.choose(folder)

    def _workflow_folder(self) -> str:
        return self.workflowEnv().get("basedir") or ""

    def _store_folder(self) -> None:
        self.folder = to_store(self.current_folder, self._workflow_folder())

    # input -------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.data = data
        old_settings.settle(self, data)
        self.columns_panel.set_domain(None if data is None else data.domain)
        has_column = self.columns_panel.has_images
        self.Error.no_image_column(shown=data is not None and not has_column)
        self.Information.no_rows(shown=data is not None and not len(data))
        if not self._stage:  # what is being saved is told when it is done
            self._forget_result()
        self._show_state()
        self._save_automatically()

    def _forget_result(self) -> None:
        self.Warning.clear()
        for message in ("none_saved", "stopped", "failed"):
            getattr(self.Error, message).clear()
        self.saved = None
        self.info_label.setText("Nothing saved yet.")
        self.Outputs.skipped.send(None)

    # saving: first a plan, then perhaps a question, then the work -------------

    def save(self) -> None:
        """Save the images, as the button does."""
        if not self.current_folder:
            self.browse()
        if self.current_folder:
            self._begin(automatic=False)

    def _save_automatically(self) -> None:
        if self.auto_save and self._has_images:
            if self._stage:
                self._again = True
            else:
                self._begin(automatic=True)

    def _begin(self, automatic: bool) -> None:
        if self._stage or not self.data or not self.columns_panel.has_images:
            return
        self._forget_result()
        if not self.current_folder:
            self.Warning.no_folder()
            return
        self.Error.folder_gone.clear()
        if not os.path.isabs(self.current_folder):
            self.Error.folder_gone(self.current_folder)
            return
        try:
            job = self._make_job(self.data, automatic)
        except UnknownNameError as ex:
            self.Error.failed(ex)
            return
        self._stop = threading.Event()
        self._set_stage("plan", "Looking at the folder…")
        self._start(run_plan, job)

    def _make_job(self, data: Table, automatic: bool = False) -> SaveJob:
        columns = self.columns_panel.columns(data.domain)
        options = self.format_panel.options()
        return SaveJob(data, *columns, self.current_folder, options, automatic)

    def _start(self, task: Callable[..., object], *args: object) -> None:
        self.start(task, *args)
        self.task.status_changed.connect(self._show_progress)

    def _show_progress(self, text: str) -> None:
        if self.task is not None and not self._stop.is_set():
            self.info_label.setText(text)

    def on_done(self, result: FolderCheck | Planned | Saved) -> None:
        if isinstance(result, Planned):
            self._planned = result
            self._next.start()
        elif isinstance(result, Saved):
            self._show_saved(result)
        elif not result.is_there and result.folder == self.current_folder:
            self.Error.folder_gone(result.folder)

    def _go_on(self) -> None:
        planned, self._planned = self._planned, None
        if planned is not None:
            policy = self._policy(planned)
            if policy is None:
                self._set_stage("", "Nothing was saved.")
            elif not self._deleted:  # while the question was open
                self._set_stage("save", "Saving…")
                self._start(run_save, planned, policy, self._stop)
        elif self._again and not self._stage:
            self._again = False
            self._save_automatically()

    def _policy(self, planned: Planned) -> Policy | None:
        """Return what to do about existing files; None if nothing may be saved."""
        plan = planned.plan
        existing = plan.existing
        if not existing and not plan.manifest_exists:
            return "refuse"
        if not planned.job.automatic:
            return ask_about_files(self, plan)
        if existing:
            k = len(existing) - 1
            more = f" and {k:,} more files are" if k else " is"
            self.Warning.exist(existing[0] + more)
            return None
        return "number"  # only the list of other images is there: one beside it

    def _on_cancel(self) -> None:
        self._again = False
        if self._stage == "save":
            self._stop.set()
            self.cancel_button.setEnabled(False)
            self.info_label.setText("Cancelling…")
        else:
            self.cancel()
            self._planned = None
            self._set_stage("", "Cancelled. Nothing was saved.")

    def _set_stage(self, stage: Literal["", "plan", "save"], text: str) -> None:
        self._stage = stage
        self.info_label.setText(text)
        self.setStatusMessage("")
        self._show_state()
        if not stage and self._again:
            self._next.start()

    def _show_saved(self, saved: Saved) -> None:
        self.saved = saved
        result = saved.result
        n, n_saved, n_failed = len(result.images), saved.n_saved, saved.n_failed
        if result.stopped:
            self.Error.stopped(result.stopped, n_saved, n)
        elif n_failed == n:
            self.Error.none_saved(saved.main_reasons())
        elif n_failed:
            self.Warning.not_saved(n_failed, n, saved.main_reasons())
        if result.manifest_failure:
            self.Warning.no_list(result.manifest_failure)
        self.Outputs.skipped.send(saved.skipped)
        self._set_stage("", saved.describe())

    def on_exception(self, ex: Exception) -> None:
        self._set_stage("", "Nothing was saved.")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def onDeleteWidget(self) -> None:
        self._deleted = True
        self._next.stop()
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Settings",
            as_html(
                [
                    ("Image column", self.column_combo.currentText()),
                    ("Names", self.name_combo.currentText()),
                    ("Sub-folders", self.category_combo.currentText()),
                    ("Images", self.format_panel.describe()),
                    ("Folder", self.current_folder or "none"),
                ]
            ),
        )
        self.report_items("Result", as_html([("Images", self.info_label.text())]))

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        old_settings.save_images(settings)
        make_possible(settings)


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWSaveImages).run(table_from_folder(".").table)
