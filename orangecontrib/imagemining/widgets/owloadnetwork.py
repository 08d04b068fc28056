"""Load Network: a trained network from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from AnyQt.QtCore import QMimeData, Qt, QTimer
from AnyQt.QtGui import QDragEnterEvent, QDropEvent
from AnyQt.QtWidgets import QComboBox, QFileDialog, QHBoxLayout
from Orange.base import Model
from Orange.widgets import gui
from Orange.widgets.settings import Setting, SettingsHandler
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.folders import (
    nearest_folder,
    remember,
    resolve,
    to_store,
)
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, button
from orangecontrib.imagemining.widgets.utils.networkfiles import (
    SUFFIXES,
    Loaded,
    NoCard,
    run_describe,
    run_load,
)
from orangecontrib.imagemining.widgets.utils.ownnetwork import OwnNetworkDialog
from orangecontrib.imagemining.widgets.utils.report import as_html

_KINDS = f"Networks (*{' *'.join(SUFFIXES)});;All files (*)"


def _dropped(data: QMimeData) -> str | None:
    """Return the one network's file that is being dropped."""
    urls = data.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = urls[0].toLocalFile()
    return path if path.lower().endswith(SUFFIXES) else None


class _Settings(SettingsHandler):
    """Keeps the files used lately out of workflows, which are given to others."""

    def pack_data(self, widget: OWWidget) -> dict[str, Any]:
        data: dict[str, Any] = super().pack_data(widget)
        data.pop("recent_files", None)
        return data


class OWLoadNetwork(OWWidget, ConcurrentWidgetMixin):
    name = "Load Network"
    description = "Load a trained network from a file, to predict or embed with it."
    icon = "icons/LoadNetwork.svg"
    priority = 195
    keywords = "open, read, safetensors, imnet, onnx, trained network, model, weights"

    class Outputs:
        network = Output("Network", AnyNetwork, auto_summary=False)
        model = Output("Model", Model)

    want_main_area = False
    resizing_enabled = False

    settingsHandler = _Settings()
    settings_version = 1
    #: The file, relative to the workflow's folder if it lies beside it.
    path: str = Setting("", schema_only=True)
    recent_files: list[str] = Setting([])

    class Warning(OWWidget.Warning):
        no_classes = Msg(
            "It is not known which classes this network tells apart. It can embed"
            " images, but there is no model to predict with."
        )

    class Error(OWWidget.Error):
        no_card = Msg(
            "{} does not tell how images are to be fed to it. Press Describe and say"
            " it once; it is written beside the file."
        )
        failed = Msg("{}")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.current_path = ""
        self.loaded: Loaded | None = None
        self._undescribed: NoCard | None = None
        self._make_gui()
        self.setAcceptDrops(True)
        self.settingsAboutToBePacked.connect(self._store_path)
        if self.path:
            self.current_path = resolve(self.path, self._workflow_folder())
        self._show_files()
        self._finish(None, "No network yet. Choose a file, or drop one here.")
        if self.current_path:
            QTimer.singleShot(0, self.reload)

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "File")
        self.file_combo = QComboBox(toolTip="Files used lately")
        self.file_combo.setAccessibleName("File")
        self.file_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.file_combo.setMinimumContentsLength(26)
        self.file_combo.activated.connect(
            lambda index: self.choose(self.file_combo.itemData(index) or "")
        )
        self.browse_button = button("&Choose…", "Choose a file", self.browse)
        self.reload_button = button(
            "&Reload", "Read the file again, if it has changed", self.reload
        )
        row = QHBoxLayout()
        row.addWidget(self.file_combo, 1)
        row.addWidget(self.browse_button)
        row.addWidget(self.reload_button)
        box.layout().addLayout(row)
        self.info_label = NoteLabel()
        # as high as most cards, so that the window keeps its size
        self.info_label.setMinimumHeight(8 * self.fontMetrics().lineSpacing())
        self.info_label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.info_label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        gui.vBox(self.controlArea, "Network").layout().addWidget(self.info_label)
        self.describe_button = button(
            "&Describe…", "Say how images are fed to this network", self.describe
        )
        self.cancel_button = button(
            "Ca&ncel", "Cancel reading the file", self._on_cancel
        )
        self.buttonsArea.layout().addWidget(self.describe_button)
        self.buttonsArea.layout().addWidget(self.cancel_button)

    def _show_files(self) -> None:
        self.file_combo.clear()
        files = self.recent_files
        if self.current_path:
            files = remember(files, self.current_path)
        for path in files:
            self.file_combo.addItem(os.path.basename(path), path)
            place = self.file_combo.count() - 1
            self.file_combo.setItemData(place, path, Qt.ItemDataRole.ToolTipRole)
        if not self.current_path:
            self.file_combo.setCurrentIndex(-1)
        self.file_combo.setEnabled(bool(files))
        self.file_combo.setToolTip(self.current_path or "Files used lately")
        self.reload_button.setEnabled(bool(self.current_path))

    # the file ----------------------------------------------------------------

    def browse(self) -> None:
        """Let the user choose a file."""
        start = nearest_folder(os.path.dirname(self.current_path) or "~")
        path, _ = QFileDialog.getOpenFileName(self, "Load Network", start, _KINDS)
        if path:
            self.choose(path)

    def choose(self, path: str) -> None:
        """Load this file."""
        if path:
            self.current_path = os.path.abspath(path)
            self.recent_files = remember(self.recent_files, path)
            self._show_files()
            self.reload()

    def reload(self) -> None:
        """Read the file, again."""
        if self.current_path:
            self._begin(run_load, Path(self.current_path))

    def describe(self) -> None:
        """Ask how images are fed to an ONNX network that has no card."""
        if self._undescribed is None:
            return
        file = self._undescribed.file
        dialog = OwnNetworkDialog(self, file)
        if dialog.exec() == OwnNetworkDialog.DialogCode.Accepted:
            self._begin(run_describe, file, dialog.settings())

    def _begin(self, task: Any, *args: Any) -> None:
        self.cancel()
        self.clear_messages()
        self.start(task, *args)
        self.cancel_button.setEnabled(True)
        self.describe_button.setVisible(False)
        self.info_label.setText(f"Reading {os.path.basename(self.current_path)}…")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped(event.mimeData())
        if path:
            event.acceptProposedAction()
            self.choose(path)

    def _workflow_folder(self) -> str:
        return self.workflowEnv().get("basedir") or ""

    def _store_path(self) -> None:
        self.path = to_store(self.current_path, self._workflow_folder())

    # what was read -----------------------------------------------------------

    def _finish(self, loaded: Loaded | None, text: str = "No network.") -> None:
        self.loaded = loaded
        self.cancel_button.setEnabled(False)
        self.describe_button.setVisible(self._undescribed is not None)
        self.setStatusMessage("")
        if loaded is not None:
            text = "\n".join(f"{name}: {what}" for name, what in loaded.items.items())
        self.info_label.setText(text)
        self.Outputs.network.send(loaded.network if loaded else None)
        self.Outputs.model.send(loaded.model if loaded else None)

    def on_done(self, result: Loaded | NoCard) -> None:
        self._undescribed = result if isinstance(result, NoCard) else None
        if isinstance(result, NoCard):
            self.Error.no_card(result.file.path.name)
            self._finish(None)
            return
        self.Warning.no_classes(shown=result.model is None)
        self._finish(result)

    def on_exception(self, ex: Exception) -> None:
        self._undescribed = None
        self._finish(None)
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _on_cancel(self) -> None:
        self.cancel()
        self._finish(None, "Cancelled. Press Reload to read the file.")

    def onDeleteWidget(self) -> None:
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items("File", as_html([("Name", self.current_path)]))
        if self.loaded is not None:
            self.report_items("Network", as_html(self.loaded.items.items()))


if __name__ == "__main__":
    WidgetPreview(OWLoadNetwork).run()
