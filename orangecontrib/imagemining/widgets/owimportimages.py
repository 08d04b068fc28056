"""Import Images: a folder of images as a table."""

from __future__ import annotations

import os
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from AnyQt.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
)
from Orange.data import Table
from Orange.widgets import gui
from Orange.widgets.settings import Setting, SettingsHandler
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin, TaskState
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.tables.folder import FolderTable, table_from_folder
from orangecontrib.imagemining.widgets.utils.folders import (
    dropped_folder,
    remember,
    resolve,
    to_store,
)
from orangecontrib.imagemining.widgets.utils.tasks import progress_of


def run(folder: str, state: TaskState) -> FolderTable:
    return table_from_folder(folder, progress_of(state))


class _Settings(SettingsHandler):
    """Keeps the folders used lately out of workflows, which are given to others."""

    def pack_data(self, widget: OWWidget) -> dict[str, Any]:
        data: dict[str, Any] = super().pack_data(widget)
        data.pop("recent_folders", None)
        return data


class OWImportImages(OWWidget, ConcurrentWidgetMixin):
    name = "Import Images"
    description = "List the images of a folder; its sub-folders are their categories."
    icon = "icons/ImportImages.svg"
    priority = 110
    keywords = "folder, directory, photos, pictures, microscopy, load images"

    class Outputs:
        data = Output("Data", Table)

    want_main_area = False
    resizing_enabled = False

    settingsHandler = _Settings()
    settings_version = 1
    #: The folder, relative to the workflow's if it lies in there.
    folder: str = Setting("", schema_only=True)
    recent_folders: list[str] = Setting([])

    class Warning(OWWidget.Warning):
        unreadable = Msg("{} sub-folders may not be read, the first is {}")

    class Error(OWWidget.Error):
        failed = Msg("{}")

    class Information(OWWidget.Information):
        cancelled = Msg("Cancelled. Press Reload to start again.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.current_folder = ""
        self.result: FolderTable | None = None
        self._make_gui()
        self.setAcceptDrops(True)
        self.settingsAboutToBePacked.connect(self._store_folder)
        if self.folder:
            self._set_folder(resolve(self.folder, self._workflow_folder()))
        self._show_folders()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "Folder")
        row = QHBoxLayout()
        self.folder_combo = QComboBox(
            toolTip="Folders used lately. A folder can also be dropped here.",
            sizePolicy=QSizePolicy(
                QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed
            ),
            minimumContentsLength=32,
        )
        self.folder_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.folder_combo.activated.connect(self._on_recent_chosen)
        self.browse_button = QPushButton(
            "&Choose…",
            icon=self.style().standardIcon(QStyle.StandardPixmap.SP_DirOpenIcon),
            toolTip="Choose a folder with images",
            autoDefault=False,
        )
        self.browse_button.clicked.connect(self.browse)
        row.addWidget(self.folder_combo)
        row.addWidget(self.browse_button)
        box.layout().addLayout(row)

        info = gui.vBox(self.controlArea, "Images")
        self.info_label = QLabel("", wordWrap=True, minimumWidth=380)
        self.info_label.setTextFormat(Qt.TextFormat.PlainText)
        info.layout().addWidget(self.info_label)

        self.reload_button = QPushButton(
            "&Reload", toolTip="List the folder again", autoDefault=False
        )
        self.reload_button.clicked.connect(self.reload)
        self.cancel_button = QPushButton(
            "Ca&ncel", toolTip="Stop listing", autoDefault=False, enabled=False
        )
        self.cancel_button.clicked.connect(self._on_cancel)
        buttons = QHBoxLayout()
        buttons.addWidget(self.reload_button)
        buttons.addWidget(self.cancel_button)
        self.buttonsArea.layout().addLayout(buttons)

    def _show_folders(self) -> None:
        self.folder_combo.clear()
        folders = self.recent_folders
        if self.current_folder and self.current_folder not in folders:
            folders = [self.current_folder, *folders]
        for folder in folders:
            self.folder_combo.addItem(os.path.basename(folder) or folder, folder)
            self.folder_combo.setItemData(
                self.folder_combo.count() - 1, folder, Qt.ItemDataRole.ToolTipRole
            )
        self.folder_combo.setPlaceholderText("No folder chosen")
        self.folder_combo.setCurrentIndex(
            self.folder_combo.findData(self.current_folder)
        )
        self.folder_combo.setEnabled(bool(folders))
        self.reload_button.setEnabled(bool(self.current_folder))
        if not self.current_folder:
            self.info_label.setText("Choose a folder, or drop one on this window.")

    # choosing ----------------------------------------------------------------

    def browse(self) -> None:
        """Let the user choose a folder."""
        start = self.current_folder or os.path.expanduser("~")
        folder = QFileDialog.getExistingDirectory(
            self, "Choose a folder with images", start
        )
        if folder:
            self.choose(folder)

    def choose(self, folder: str) -> None:
        """Take `folder`, and list it."""
        self.recent_folders = remember(self.recent_folders, folder)
        self._set_folder(folder)
        self._show_folders()

    def _on_recent_chosen(self, index: int) -> None:
        self.choose(self.folder_combo.itemData(index))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_folder(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        folder = dropped_folder(event.mimeData())
        if folder:
            event.acceptProposedAction()
            self.choose(folder)

    # the folder in the workflow ----------------------------------------------

    def _workflow_folder(self) -> str:
        return self.workflowEnv().get("basedir") or ""

    def _store_folder(self) -> None:
        self.folder = to_store(self.current_folder, self._workflow_folder())

    def _set_folder(self, folder: str) -> None:
        self.current_folder = os.path.abspath(folder)
        self.reload()

    # work --------------------------------------------------------------------

    def reload(self) -> None:
        """List the current folder."""
        self.cancel()
        self.clear_messages()
        self.info_label.setText("Looking for images…")
        self.cancel_button.setEnabled(True)
        self.start(run, self.current_folder)

    def _on_cancel(self) -> None:
        self.cancel()
        self.Information.cancelled()
        self._finish(None, "Cancelled.")

    def on_done(self, result: FolderTable) -> None:
        if result.found.unreadable:
            folders = result.found.unreadable
            self.Warning.unreadable(len(folders), folders[0])
        self._finish(result, describe(result))

    def on_exception(self, ex: Exception) -> None:
        self._finish(None, "")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)
        self.info_label.setText("No images. Choose another folder.")

    def _finish(self, result: FolderTable | None, text: str) -> None:
        self.result = result
        self.cancel_button.setEnabled(False)
        self.info_label.setText(text)
        self.setStatusMessage("")
        self.Outputs.data.send(result.table if result else None)

    def onDeleteWidget(self) -> None:
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        if self.result is None:
            self.report_paragraph("No images")
            return
        items = [("Folder", self.current_folder), ("Images", len(self.result.table))]
        category = self.result.table.domain.class_var
        if category:
            items.append(("Categories", ", ".join(category.values)))
        self.report_items("Import", items)


def describe(result: FolderTable) -> str:
    """Say in a few lines what was found."""
    table, found = result.table, result.found
    n = len(table)
    lines = [f"{n} image{'s' * (n != 1)}"]
    category = table.domain.class_var
    if category:
        k = len(category.values)
        lines[0] += f" in {k} categor{'ies' if k != 1 else 'y'}"
        names = ", ".join(category.values[:8])
        lines.append(names + (", …" if k > 8 else ""))
    if found.n_others:
        lines.append(f"{found.describe_others()} left out")
    return "\n".join(lines)


if __name__ == "__main__":
    WidgetPreview(OWImportImages).run()
