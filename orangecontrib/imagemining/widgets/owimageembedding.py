"""Image Embedding: a vector of numbers for each image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from AnyQt.QtCore import Qt, QTimer
from AnyQt.QtWidgets import QFileDialog, QInputDialog, QLabel
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting, SettingsHandler
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.embedders import check_spec
from orangecontrib.imagemining.embedders.engines.choice import AUTO, ENGINES
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import EmbeddingResult, image_columns
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.widgets.utils import old_settings
from orangecontrib.imagemining.widgets.utils.cachepanel import CachePanel
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.embedderpanel import EmbedderPanel
from orangecontrib.imagemining.widgets.utils.embeddersettings import repair
from orangecontrib.imagemining.widgets.utils.embeddertexts import (
    card_or_none,
    download_label,
    has_weights,
    short_name,
    title_of,
)
from orangecontrib.imagemining.widgets.utils.embedderwork import (
    Brought,
    Inspected,
    add_own,
    fetch_weights,
    look_into,
    main_reasons,
    run,
    run_bringing,
    summary,
    take_file,
    take_timm,
)
from orangecontrib.imagemining.widgets.utils.enginepanel import EnginePanel
from orangecontrib.imagemining.widgets.utils.forms import add_row, button, new_form
from orangecontrib.imagemining.widgets.utils.ownnetwork import OwnNetworkDialog


class _Settings(SettingsHandler):
    """Keeps old workflows' embedders from becoming what new widgets begin with."""

    def update_defaults(self, widget: OWImageEmbedding) -> None:
        weights = WEIGHTS.get(widget.network)
        if weights and not weights.plain_columns and is_here(weights):
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
    fit: str = Setting("stretch")
    views: int | str = Setting(1)
    #: Further embedders (network, layer, views, fit), and where among them that of the
    #: settings above stands.
    others: list[tuple[str, str, int | str, str]] = Setting([], schema_only=True)
    place: int = Setting(0, schema_only=True)
    classes: bool = Setting(False)
    #: What computes the networks, and whether less exact numbers will do.
    engine: str = Setting(AUTO)
    fast: bool = Setting(False, schema_only=True)
    auto_apply: bool = Setting(True)
    #: What a workflow of Orange3-ImageAnalytics leaves to be settled by the data.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Warning(OWWidget.Warning):
        skipped = Msg("{} of {} images skipped. {}")
        cache = Msg("{}")

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        all_skipped = Msg("None of the images could be embedded. {}")
        not_available = Msg(
            "The embedder {} is not available here. No other was used in its place;"
            " choose one to go on."
        )
        not_here = Msg(
            "The weights of {} are not here. Press Download{}, or take them from a"
            " file; or choose another embedder."
        )
        failed = Msg("{}")

    class Information(OWWidget.Information):
        cancelled = Msg(
            "Cancelled. What was computed is kept: press Go on to continue where it"
            " stopped."
        )
        not_brought = Msg("Cancelled. What was downloaded is kept to go on from.")
        no_rows = Msg("The data have no rows.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.embedding: EmbeddingResult | None = None
        self.shown_column = ""
        self._started = 0.0
        self._arrived: Brought | Inspected | None = None
        self._bringing = False  # weights are on their way; they are not to be stopped
        self._make_gui()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "Settings")
        form = new_form()
        box.layout().addLayout(form)
        self.column_combo = KeyCombo(self, "shown_column", self._on_choice)
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        self.panel = EmbedderPanel(
            self,
            self._on_choice,
            self._download,
            self._take_file,
            self._add_own,
            self._add_timm,
        )
        box.layout().addWidget(self.panel)
        gui.checkBox(
            box,
            self,
            "classes",
            "Add the five likeliest ImageNet &classes",
            callback=self._on_choice,
            tooltip="What the network takes the image for, with probabilities; only"
            " networks trained on ImageNet's 1,000 classes tell",
        )
        computing = gui.vBox(self.controlArea, "Computing")
        self.engine_panel = EnginePanel(self, self.commit.deferred)
        computing.layout().addWidget(self.engine_panel)
        self.cache_panel = CachePanel(self._show_cache_message)
        computing.layout().addWidget(self.cache_panel)
        self.panel.refreshed.connect(self.engine_panel.refresh)
        # the forms begin at one line
        column = form.labelForField(self.column_combo)
        for part, combo in (
            (self.panel, self.panel.network_combo),
            (self.engine_panel, self.engine_panel.engine_combo),
        ):
            part.form.labelForField(combo).setMinimumWidth(column.sizeHint().width())
        self._show_columns()

        info = gui.vBox(self.controlArea, "Result")
        self.info_label = QLabel("No images yet.", wordWrap=True)
        self.info_label.setTextFormat(Qt.TextFormat.PlainText)
        info.layout().addWidget(self.info_label)

        self.cancel_button = button("Ca&ncel", "Stop, or go on", self._on_cancel)
        self.cancel_button.setEnabled(False)
        self.buttonsArea.layout().addWidget(self.cancel_button)
        gui.auto_apply(self.buttonsArea, self)
        self.engine_panel.refresh()
        self.cache_panel.refresh()

    def _show_cache_message(self, message: str) -> None:
        self.Warning.cache(message, shown=bool(message))

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        if text and self.task is not None:
            self.info_label.setText(text)

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

    # input -------------------------------------------------------------------

    @Inputs.images
    def set_images(self, data: Table | None) -> None:
        self.data = data
        old_settings.settle(self, data)
        self._show_columns()
        self.commit.now()

    def _on_choice(self) -> None:
        self.column = self.shown_column or self.column
        self.commit.deferred()

    # work --------------------------------------------------------------------

    @gui.deferred
    def commit(self) -> None:
        if self._bringing:  # it is done when they are here
            return
        self.cancel()
        self.clear_messages()
        self.embedding = None
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
        specs = self.panel.specs()
        if not self._can_run(specs):
            self._finish(None, "Choose what is available.")
            return
        n = len(self.data)
        self.info_label.setText(f"Embedding {n:,} image{'s' * (n != 1)}…")
        self._set_button("Ca&ncel", True)
        self._started = time.monotonic()
        column = columns[self.shown_column]
        engine = self.engine if self.engine in ENGINES else AUTO
        self.start(run, self.data, column, specs, self.classes, engine)

    def _can_run(self, specs: list[EmbedderSpec]) -> bool:
        """Tell whether the embedders are here, and show what is missing."""
        for spec in specs:
            card = card_or_none(spec.network)
            if card is None:
                self.Error.not_available(title_of(spec.network))
                return False
            if not has_weights(spec.network, card):
                size = download_label(card)
                self.Error.not_here(card.title, f" ({size})" if size else "")
                return False
            try:
                check_spec(spec)
            except ImageMiningError as ex:
                self.Error.failed(ex)
                return False
        return True

    def _download(self) -> None:
        job = fetch_weights(self.network)
        self._bring(f"Downloading {title_of(self.network)}…", job)

    def _take_file(self) -> None:
        title = f"Weights of {title_of(self.network)}"
        kinds = "Weights (*.pth *.pt *.safetensors *.caffemodel *.net);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, title, "", kinds)
        if path:
            self._bring("Reading the file…", take_file(self.network, Path(path)))

    def _add_own(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Own Network", "", "ONNX networks (*.onnx);;All files (*)"
        )
        if path:
            self._bring("Reading the network…", look_into(Path(path)))

    def _add_timm(self) -> None:
        name, accepted = QInputDialog.getText(
            self,
            "Network of timm",
            "Name, such as convnext_tiny.fb_in22k. If its weights are not here, timm\n"
            "fetches them, and does not say how far it is.",
        )
        if accepted and name.strip():
            self._bring(f"timm gets {name.strip()}…", take_timm(name.strip()))

    def _ask_about_own(self, file: Any) -> None:
        dialog = OwnNetworkDialog(self, file)
        if dialog.exec() == OwnNetworkDialog.DialogCode.Accepted:
            self._bring("Trying the network…", add_own(file, dialog.settings()))
        else:
            self.commit.deferred()

    def _bring(self, text: str, job: Any) -> None:
        self.cancel()
        self.clear_messages()
        self._finish(None, text)
        self._bringing = True
        self.panel.setEnabled(False)
        self._set_button("Ca&ncel", True)
        self.start(run_bringing, job)

    def _brought(self) -> None:
        """Take the choice up again when weights are here, or not."""
        self._bringing = False
        self.panel.setEnabled(True)
        self.panel.refresh()

    def _on_cancel(self) -> None:
        if self.task is None:  # it says "Go on"
            self.commit.now()
            return
        self.cancel()
        if self._bringing:
            self._brought()
            self._finish(None, "Cancelled.")
            self.Information.not_brought()
            return
        self._finish(None, "Cancelled.")
        self._set_button("Go &on", True)
        self.Information.cancelled()

    def _set_button(self, text: str, enabled: bool) -> None:
        self.cancel_button.setText(text)
        self.cancel_button.setEnabled(enabled)

    def on_done(self, result: EmbeddingResult | Brought | Inspected) -> None:
        if not isinstance(result, EmbeddingResult):
            self._brought()
            self._finish(None, "")
            # Orange lets no task begin while another one is being ended
            self._arrived = result
            QTimer.singleShot(0, self._go_on)
            return
        seconds = time.monotonic() - self._started
        if result.skipped:
            n_good = len(result.embedded) if result.embedded else 0
            n_bad = len(result.skipped)
            why = main_reasons(result.skipped)
            if n_good:
                self.Warning.skipped(n_bad, n_good + n_bad, why)
            else:
                self.Error.all_skipped(why)
        if self.place < len(result.engines):
            self.engine_panel.tell(result.engines[self.place])
        self._finish(result, summary(result, seconds))

    def _go_on(self) -> None:
        """Ask about an own network, or take what has been brought here."""
        result, self._arrived = self._arrived, None
        if isinstance(result, Inspected):
            self._ask_about_own(result.file)
        elif result is not None:
            self.info_label.setText(f"{title_of(result.network)} is here.")
            self.panel.choose_network(result.network)

    def on_exception(self, ex: Exception) -> None:
        if self._bringing:
            self._brought()
        self._finish(None, "Nothing was embedded.")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _finish(self, result: EmbeddingResult | None, text: str) -> None:
        self.embedding = result
        self._set_button("Ca&ncel", False)
        self.info_label.setText(text)
        self.setStatusMessage("")
        self.Outputs.embeddings.send(result.embedded if result else None)
        self.Outputs.skipped.send(result.skipped if result else None)
        self.cache_panel.refresh()

    def onDeleteWidget(self) -> None:
        self.shutdown()
        self.engine_panel.background.stop()
        self.cache_panel.background.stop()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Settings",
            [
                ("Image column", self.shown_column),
                *(("Embedder", short_name(spec)) for spec in self.panel.specs()),
                ("ImageNet classes", "the five likeliest" if self.classes else "no"),
                ("Engine", self.engine_panel.note.text().rstrip(".")),
            ],
        )
        self.report_items("Result", [("Images", self.info_label.text())])

    @classmethod
    def migrate_settings(cls, settings: dict[str, Any], version: int | None) -> None:
        old_settings.image_embedding(settings)
        if "network" in settings:
            # what was made before there was a choice is to stay as it was
            settings.setdefault("fit", "stretch")
            settings.setdefault("classes", False)
        repair(settings)


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWImageEmbedding).run(table_from_folder(".").table)
