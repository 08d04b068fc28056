"""Save Network: a trained network as a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QMessageBox, QPushButton
from Orange.widgets import gui
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.save.owsavebase import OWSaveBase
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.weights.image_network import AnyNetwork, OnnxNetwork
from orangecontrib.imagemining.widgets.utils.forms import NO_NETWORK, NoteLabel, button
from orangecontrib.imagemining.widgets.utils.networkfiles import (
    Measured,
    Saved,
    describe_network,
    is_compressed,
    is_onnx,
    megabytes,
    run_measure,
    run_save,
    signature,
    written_by,
)
from orangecontrib.imagemining.widgets.utils.report import as_html

_OWN = "Network with its card (*.safetensors)"
_COMPRESSED = "Compressed network with its card (*.imnet)"
_ONNX = "ONNX, for other programs (*.onnx)"
_SUFFIXES = {_OWN: ".safetensors", _COMPRESSED: ".imnet", _ONNX: ".onnx"}


class OWSaveNetwork(OWSaveBase, ConcurrentWidgetMixin):
    name = "Save Network"
    description = "Save a trained network to a file, also for other programs."
    icon = "icons/SaveNetwork.svg"
    priority = 190
    keywords = "export, write, safetensors, imnet, onnx, trained network, model"

    class Inputs:
        network = Input("Network", AnyNetwork, auto_summary=False)

    settings_version = 1
    filters = [_OWN, _COMPRESSED, _ONNX]

    class Warning(OWSaveBase.Warning):
        exists = Msg("Not saved: {} is there already. Press Save to decide.")

    class Error(OWSaveBase.Error):
        failed = Msg("{}")
        no_folder = Msg("The folder {} is not there. Choose another with Save as….")

    def __init__(self) -> None:
        OWSaveBase.__init__(self, 1)
        ConcurrentWidgetMixin.__init__(self)
        self._asked = False  # the dialog has asked about the file
        self._automatic = False
        self._saving = False
        self._measured: Measured | None = None
        #: What was saved by this widget, and what then stood there.
        self._own: dict[Path, tuple[int, int] | None] = {}
        self._say_as_elsewhere()
        self.network_label, self.info_label = NoteLabel(), NoteLabel()
        for label, n_lines in ((self.network_label, 6), (self.info_label, 2)):
            # as high as its longest text, so that the window keeps its size
            label.setMinimumHeight(n_lines * self.fontMetrics().lineSpacing() + 2)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
        box = gui.vBox(self.controlArea, "Network")
        box.layout().addWidget(self.network_label)
        box = gui.vBox(self.controlArea, "Result")
        box.layout().addWidget(self.info_label)
        self.cancel_button = button(
            "Ca&ncel",
            "Cancel; the file that was there stays as it was",
            self._on_cancel,
        )
        self.buttonsArea.layout().addWidget(self.cancel_button)
        self.info_label.setText("Nothing saved yet.")
        self._show_network()

    def _say_as_elsewhere(self) -> None:
        """Have Orange's own parts look and speak as those of Save Images."""
        box = self.controls.auto_save
        holder = box.parentWidget()
        box.setText("Save a&utomatically")
        box.setToolTip("Save each network that comes; a file of yours is left alone")
        self.buttonsArea.layout().insertWidget(0, box)
        holder.hide()  # it has no other part
        self.bt_save.setToolTip("Save the network; the first time, ask where")
        _, save_as = self.buttonsArea.findChildren(QPushButton)
        save_as.setText("Save &as…")
        save_as.setToolTip("Choose a file to save the network in")
        for each in (self.bt_save, save_as):
            each.setAutoDefault(False)

    def _show_network(self) -> None:
        if self.data is None:
            self.network_label.setText(NO_NETWORK)
        else:
            items = describe_network(self.data)
            names = ("Name", "Network", "Classes", "Size")
            lines = [f"{name}: {items[name]}" for name in names if name in items]
            if is_compressed(self.data):
                lines.append(f"Compressed: {self._size_text()}")
            self.network_label.setText("\n".join(lines))
        self._show_buttons()

    def _size_text(self) -> str:
        if self._measured is not None:
            return self._measured.words
        is_measuring = self.task is not None and not self._saving
        return "its size is being measured…" if is_measuring else "yes"

    def _show_buttons(self) -> None:
        self.cancel_button.setEnabled(self.task is not None)
        self.bt_save.setEnabled(self.data is not None and not self._saving)

    @classmethod
    def get_filters(cls) -> list[str]:
        return cls.filters

    def valid_filters(self) -> list[str]:
        return [_ONNX] if isinstance(self.data, OnnxNetwork) else self.filters

    def default_valid_filter(self) -> str:
        valid = self.valid_filters()
        if not self.filename and len(valid) > 1:
            if is_compressed(self.data):
                return _COMPRESSED
            if self.filter == _COMPRESSED:  # of no use for this network
                return _OWN
        return self.filter if self.filter in valid else valid[0]

    def initial_start_dir(self) -> str:
        if self.filename or self.data is None:
            return str(super().initial_start_dir())
        name = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", self.data.title).strip(" .")
        suffix = _SUFFIXES[self.default_valid_filter()]
        folder = self.last_dir or os.path.expanduser("~")
        return os.path.join(folder, f"{name[:80] or 'network'}{suffix}")

    @Inputs.network
    def set_network(self, network: AnyNetwork | None) -> None:
        self.cancel()  # a file is written whole or not at all
        self._saving, self._measured = False, None
        self.data = network
        self.info_label.setText("Nothing saved yet.")
        self._automatic = True
        try:
            self.on_new_input()
        finally:
            self._automatic = False
        if is_compressed(network) and not self._saving:
            self.start(run_measure, network)
        self._show_network()

    def save_file_as(self) -> None:
        self._asked = True
        try:
            super().save_file_as()
        finally:
            self._asked = False

    def do_save(self) -> None:
        path = Path(self.filename)
        self.Error.clear()
        self.Warning.clear()
        if not path.parent.is_dir():
            self.Error.no_folder(str(path.parent))
            return
        existing = [
            each for each in written_by(path) if not self._may_replace(each, path)
        ]
        if existing and self._automatic:
            self.Warning.exists(existing[0].name)
            return
        if existing and not self._ask(existing):
            self.info_label.setText("Nothing was saved.")
            return
        self.info_label.setText(f"Saving {path.name}…")
        self.start(run_save, self.data, path)
        self._saving = True
        self._show_network()

    def _may_replace(self, path: Path, chosen: Path) -> bool:
        """Tell whether nothing of the user's is lost that was not asked about."""
        if not os.path.lexists(path) or (self._asked and path == chosen):
            return True
        return path in self._own and self._own[path] == signature(path)

    def _ask(self, existing: list[Path]) -> bool:
        names = " and ".join(path.name for path in existing)
        are = "are" if len(existing) > 1 else "is"
        answer = QMessageBox.question(
            self,
            "Save Network",
            f"{names} {are} in this folder already. Replace?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_cancel(self) -> None:
        self.cancel()
        if self._saving:
            self._saving = False
            self.info_label.setText("Cancelled. Nothing was saved.")
        self.setStatusMessage("")
        self._show_network()

    def on_done(self, result: Saved | Measured) -> None:
        self.setStatusMessage("")
        if isinstance(result, Measured):
            self._measured = result
            self._show_network()
            return
        self._saving = False
        for path in written_by(result.path):
            self._own[path] = signature(path)
        card = " and its card" if is_onnx(result.path) else ""
        self.info_label.setText(
            f"Saved {result.path.name}{card}, {megabytes(result.n_bytes)}."
        )
        self._show_buttons()

    def on_exception(self, ex: Exception) -> None:
        self.setStatusMessage("")
        if self._saving:
            self._saving = False
            self.info_label.setText("Nothing was saved.")
        self._show_network()
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def onDeleteWidget(self) -> None:
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        items = describe_network(self.data) if self.data is not None else {}
        if self._measured is not None:
            items["Compressed"] = self._measured.words
        self.report_items("Network", as_html(items.items() or [("Name", "")]))
        result = self.info_label.text()
        self.report_items(
            "File", as_html([("Name", self.filename or ""), ("Result", result)])
        )


if __name__ == "__main__":
    WidgetPreview(OWSaveNetwork).run()
