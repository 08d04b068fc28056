"""Image Embedding: a vector of numbers for each image."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting, SettingsHandler
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin, TaskState
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.embedders import check_spec
from orangecontrib.imagemining.exceptions import ImageMiningError, UnknownNameError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import (
    EmbeddingResult,
    embed_table,
    image_columns,
)
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

VIEWS_LABELS = {
    1: "1: the image as it is",
    8: "8: turned and mirrored (8 × the time)",
}


def run(
    data: Table, column: Variable, spec: EmbedderSpec, state: TaskState
) -> EmbeddingResult:
    return embed_table(data, column, spec, progress_of(state))


class _Settings(SettingsHandler):
    """Keeps old workflows' embedders from becoming what new widgets begin with."""

    def update_defaults(self, widget: OWImageEmbedding) -> None:
        weights = WEIGHTS.get(widget.network)
        if weights is not None and not weights.plain_columns:
            super().update_defaults(widget)


class OWImageEmbedding(OWWidget, ConcurrentWidgetMixin):
    name = "Image Embedding"
    description = "Describe each image by numbers from a deep network."
    icon = "icons/ImageEmbedding.svg"
    priority = 120
    keywords = "embedder, features, vectors, deep network, squeezenet, profile"
    replaces = [
        "orangecontrib.imageanalytics.widgets.owimageembedding.OWImageEmbedding"
    ]

    class Inputs:
        images = Input("Images", Table)

    class Outputs:
        embeddings = Output("Embeddings", Table, default=True)
        # the id is the old add-on's: its links name signals by it, in any language
        skipped = Output("Skipped Images", Table, id="skipped_images")

    want_main_area = False
    resizing_enabled = False

    settingsHandler = _Settings()
    settings_version = 3
    #: The column chosen; data without it do not change the choice.
    column: str = Setting("")
    network: str = Setting("squeezenet1_1")
    layer: str = Setting("features")
    views: int = Setting(1)
    auto_apply: bool = Setting(True)
    #: What a workflow of Orange3-ImageAnalytics leaves to be settled by the data.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Warning(OWWidget.Warning):
        skipped = Msg("{} of {} images skipped. {}")

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        all_skipped = Msg("None of the images could be embedded. {}")
        not_available = Msg(
            "The embedder {} is not available here. No other was used in its place;"
            " choose one to go on."
        )
        failed = Msg("{}")

    class Information(OWWidget.Information):
        cancelled = Msg("Cancelled. Press Go on to continue where it stopped.")
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.result: EmbeddingResult | None = None
        self.shown_column = ""
        self._started = 0.0
        self._make_gui()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "Settings")
        form = QFormLayout(
            fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
            labelAlignment=Qt.AlignmentFlag.AlignLeft,
        )
        box.layout().addLayout(form)

        def add(label: str, setting: str, tip: str) -> KeyCombo:
            callback = self._on_network if setting == "network" else self._on_choice
            combo = KeyCombo(self, setting, callback)
            combo.setToolTip(tip)
            form.addRow(label, combo)
            # the label's & letter leads to its box
            form.labelForField(combo).setBuddy(combo)
            return combo

        self.column_combo = add(
            "&Image column:", "shown_column", "Column with the images"
        )
        self.network_combo = add("&Embedder:", "network", "The deep network")
        self.layer_combo = add(
            "&Layer:", "layer", "Where in the network the numbers are taken"
        )
        self.views_combo = add(
            "&Views:",
            "views",
            "Eight views suit images that have no up and down, such as cells",
        )
        networks = {name: weights.title for name, weights in WEIGHTS.items()}
        if self.network not in networks:
            networks[self.network] = f"{self._network_title()} (not available)"
        self.network_combo.set_items(networks)
        # long titles begin alike, so they must not be cut
        self.network_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToContents
        )
        self._show_layers()
        self._show_columns()
        self.embedder_label = QLabel("", wordWrap=True, minimumWidth=340)
        box.layout().addWidget(self.embedder_label)
        self._show_embedder()

        info = gui.vBox(self.controlArea, "Result")
        self.info_label = QLabel("No images yet.", wordWrap=True)
        self.info_label.setTextFormat(Qt.TextFormat.PlainText)
        info.layout().addWidget(self.info_label)

        self.cancel_button = QPushButton(
            "Ca&ncel",
            toolTip="Stop embedding, or go on",
            autoDefault=False,
            enabled=False,
        )
        self.cancel_button.clicked.connect(self._on_cancel)
        self.buttonsArea.layout().addWidget(self.cancel_button)
        gui.auto_apply(self.buttonsArea, self)

    def _network_title(self) -> str:
        weights = WEIGHTS.get(self.network)
        return weights.title if weights else old_settings.title_of(self.network)

    def _show_layers(self) -> None:
        weights = WEIGHTS.get(self.network)
        self.layer_combo.setEnabled(weights is not None)
        self.views_combo.setEnabled(weights is not None)
        layers = weights.layers if weights else ()
        items = {layer.name: f"{layer.name} ({layer.size} numbers)" for layer in layers}
        self.layer_combo.set_items(items or {self.layer: self.layer})
        views = weights.views if weights else VIEWS_LABELS
        self.views_combo.set_items({n: VIEWS_LABELS[n] for n in views})

    def _columns(self) -> list[Variable]:
        return image_columns(self.data.domain, self.column) if self.data else []

    def _show_columns(self) -> None:
        names = [column.name for column in self._columns()]
        self.column_combo.setEnabled(bool(names))
        if not names:
            self.column_combo.clear()
            self.shown_column = ""
            return
        self.shown_column = self.column if self.column in names else names[0]
        self.column_combo.set_items({name: name for name in names})

    def _show_embedder(self) -> None:
        weights = WEIGHTS.get(self.network)
        text = (
            f"{self._network_title()} does not run here. Nothing is computed until you"
            " choose another embedder."
        )
        if weights:
            text = ""
            layers = {layer.name: layer.description for layer in weights.layers}
            if self.layer in layers:
                text = f"{self.layer}: {layers[self.layer]}.\n"
            text += (
                f"Trained on {weights.trained_on}. Runs on this computer; no image"
                " leaves it."
            )
            if weights.advice:
                text += f"\n{weights.advice}"
        self.embedder_label.setText(text)

    # input -------------------------------------------------------------------

    @Inputs.images
    def set_images(self, data: Table | None) -> None:
        self.cancel()
        self.data = data
        old_settings.settle(self, data)
        self._show_columns()
        self.commit.now()

    def _on_network(self) -> None:
        if weights := WEIGHTS.get(self.network):
            if self.layer not in [layer.name for layer in weights.layers]:
                self.layer = weights.layers[0].name
            if self.views not in weights.views:
                self.views = weights.views[0]
        self._on_choice()

    def _on_choice(self) -> None:
        self.column = self.shown_column or self.column
        self._show_layers()
        self._show_embedder()
        self.commit.deferred()

    # work --------------------------------------------------------------------

    @gui.deferred
    def commit(self) -> None:
        self.cancel()
        self.clear_messages()
        self.result = None
        if not self.data:
            if self.data is not None:
                self.Information.no_rows()
            self._finish(None, "No images yet.")
            return
        columns = {column.name: column for column in self._columns()}
        if self.shown_column not in columns:
            self.Error.no_image_column()
            self._finish(None, "No images.")
            return
        if self.network not in WEIGHTS:
            self.Error.not_available(self._network_title())
            self._finish(None, "Choose what is available.")
            return
        spec = EmbedderSpec(self.network, self.layer, self.views)
        try:
            check_spec(spec)
        except UnknownNameError as ex:
            self.Error.failed(ex)
            self._finish(None, "Choose what is available.")
            return
        n = len(self.data)
        self.info_label.setText(f"Embedding {n} image{'s' * (n != 1)}…")
        self._set_button("Ca&ncel", True)
        self._started = time.monotonic()
        self.start(run, self.data, columns[self.shown_column], spec)

    def _on_cancel(self) -> None:
        if self.task is None:  # it says "Go on"
            self.commit.now()
            return
        self.cancel()
        self._finish(None, "Cancelled.")
        self._set_button("Go &on", True)
        self.Information.cancelled()

    def _set_button(self, text: str, enabled: bool) -> None:
        self.cancel_button.setText(text)
        self.cancel_button.setEnabled(enabled)

    def on_done(self, result: EmbeddingResult) -> None:
        seconds = time.monotonic() - self._started
        n_good = len(result.embedded) if result.embedded else 0
        n_bad = len(result.skipped) if result.skipped else 0
        text = f"{n_good} image{'s' * (n_good != 1)} embedded"
        if n_bad:
            text += f", {n_bad} skipped"
            why = main_reasons(result.skipped)
            if n_good:
                self.Warning.skipped(n_bad, n_good + n_bad, why)
            else:
                self.Error.all_skipped(why)
        if seconds >= 1:
            text += f" in {seconds:.0f} s ({n_good / seconds:.0f} images/s)"
        self._finish(result, text + ".")

    def on_exception(self, ex: Exception) -> None:
        self._finish(None, "")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _finish(self, result: EmbeddingResult | None, text: str) -> None:
        self.result = result
        self._set_button("Ca&ncel", False)
        self.info_label.setText(text)
        self.setStatusMessage("")
        self.Outputs.embeddings.send(result.embedded if result else None)
        self.Outputs.skipped.send(result.skipped if result else None)

    def onDeleteWidget(self) -> None:
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Settings",
            [
                ("Image column", self.shown_column),
                ("Embedder", self.network_combo.currentText()),
                ("Layer", self.layer_combo.currentText()),
                ("Views", self.views),
            ],
        )
        self.report_items("Result", [("Images", self.info_label.text())])

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        old_settings.image_embedding(settings)


def main_reasons(skipped: Table) -> str:
    """Return the commonest reasons, with how often each."""
    reasons = Counter(str(row.metas[-1]) for row in skipped)
    texts = [f"{reason} ({count} ×)" for reason, count in reasons.most_common(2)]
    if len(reasons) > 2:
        texts.append("… see Skipped Images")
    return "; ".join(texts)


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWImageEmbedding).run(table_from_folder(".").table)
