"""Image Embedding: a vector of numbers for each image."""

from __future__ import annotations

import time
from typing import Any

from AnyQt.QtCore import Qt, QTimer
from AnyQt.QtWidgets import QLabel
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting, SettingsHandler
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.embedders.engines.choice import AUTO, ENGINES
from orangecontrib.imagemining.exceptions import ImageMiningError, ServerError
from orangecontrib.imagemining.tables import (
    EmbeddingResult,
    image_columns,
    image_sources,
)
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils import bringing, old_settings
from orangecontrib.imagemining.widgets.utils.cachepanel import CachePanel
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.embedderpanel import EmbedderPanel
from orangecontrib.imagemining.widgets.utils.embeddersettings import repair
from orangecontrib.imagemining.widgets.utils.embeddertexts import (
    problem_of,
    short_name,
    title_of,
)
from orangecontrib.imagemining.widgets.utils.embedderwork import (
    Brought,
    Given,
    Inspected,
    main_reasons,
    run,
    run_bringing,
    summary,
    take_given,
)
from orangecontrib.imagemining.widgets.utils.enginepanel import EnginePanel
from orangecontrib.imagemining.widgets.utils.forms import (
    NO_IMAGES,
    add_row,
    button,
    new_form,
)
from orangecontrib.imagemining.widgets.utils.givennetwork import GivenNetwork
from orangecontrib.imagemining.widgets.utils.report import as_html
from orangecontrib.imagemining.widgets.utils.serverpanel import ServerPanel


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
    keywords = "embedder, features, vectors, deep network, squeezenet, profile, server"
    replaces = [
        "orangecontrib.imageanalytics.widgets.owimageembedding.OWImageEmbedding"
    ]

    class Inputs:
        images = Input("Images", Table, default=True)
        network = Input("Network", AnyNetwork, auto_summary=False)

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
    #: What the Network input brought and replaced; see `GivenNetwork`.
    given: dict[str, Any] = Setting({}, schema_only=True)
    classes: bool = Setting(False)
    #: Address of the server that computes, "" for this computer. It is of the workflow:
    #: that images leave the computer is not to be what new widgets begin with.
    server: str = Setting("", schema_only=True)
    #: What computes the networks, and whether less exact numbers will do.
    engine: str = Setting(AUTO)
    fast: bool = Setting(False, schema_only=True)
    auto_apply: bool = Setting(True)
    #: What a workflow of Orange3-ImageAnalytics leaves to be settled by the data.
    old_choices: dict[str, Any] = Setting({}, schema_only=True)

    class Warning(OWWidget.Warning):
        skipped = Msg("{} of {} images skipped. {}")
        cache = Msg("{}")
        question = Msg("{} to be sent to {}: open this widget, and agree or not.")
        server = Msg(
            "The server did not do all. What it did is here; press Go on for the rest."
            " {}"
        )

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        all_skipped = Msg("None of the images could be embedded. {}")
        not_available = Msg(
            "The network {} is not available here. No other was used in its place;"
            " choose one to go on, or connect the Network input if it came by that."
        )
        not_here = Msg(
            "The weights of {} are not on this computer. Press Download{}, or take them"
            " from a file; or choose another network."
        )
        failed = Msg("{}")

    class Information(OWWidget.Information):
        cancelled = Msg(
            "Cancelled. What was computed is kept: press Go on to continue where it"
            " stopped."
        )
        not_brought = Msg("Cancelled. What was downloaded is kept to go on from.")
        no_rows = Msg("The data have no rows.")
        not_sent = Msg(
            "Nothing was sent to {}. Press Go on to be asked again, or let this"
            " computer embed the images."
        )

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.embedding: EmbeddingResult | None = None
        self.shown_column = ""
        self._started = 0.0
        self._arrived: Brought | Inspected | None = None
        self._bringing = False  # weights are on their way; they are not to be stopped
        self._network: AnyNetwork | None = None
        self._network_is_new = False
        self._given = GivenNetwork(self)
        self._make_gui()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        box = gui.vBox(self.controlArea, "Settings")
        form = new_form()
        box.layout().addLayout(form)
        self.column_combo = KeyCombo(self, "shown_column", self._on_choice)
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        self.panel = EmbedderPanel(self, self._on_choice, self._bring)
        box.layout().addWidget(self.panel)
        self.classes_box = gui.checkBox(
            box,
            self,
            "classes",
            "Add the five likeliest ImageNet &classes",
            callback=self._on_choice,
            tooltip="What the network takes the image for, with probabilities; only"
            " networks trained on ImageNet's 1,000 classes tell",
        )
        computing = gui.vBox(self.controlArea, "Computing")
        self.server_panel = ServerPanel(self, self._on_server, self.commit.now)
        computing.layout().addWidget(self.server_panel)
        self.engine_panel = EnginePanel(self, self.commit.deferred)
        computing.layout().addWidget(self.engine_panel)
        self.cache_panel = CachePanel(self._show_cache_message)
        computing.layout().addWidget(self.cache_panel)
        self.panel.refreshed.connect(self._on_refreshed)
        # the forms begin at one line
        column = form.labelForField(self.column_combo)
        for part, combo in (
            (self.panel, self.panel.network_combo),
            (self.server_panel, self.server_panel.field),
            (self.engine_panel, self.engine_panel.engine_combo),
        ):
            part.form.labelForField(combo).setMinimumWidth(column.sizeHint().width())
        self._show_columns()

        info = gui.vBox(self.controlArea, "Result")
        self.info_label = QLabel(NO_IMAGES, wordWrap=True)
        self.info_label.setTextFormat(Qt.TextFormat.PlainText)
        info.layout().addWidget(self.info_label)

        self.cancel_button = button(
            "Ca&ncel", "Cancel; then go on where it was cancelled", self._on_cancel
        )
        self.cancel_button.setEnabled(False)
        self.buttonsArea.layout().addWidget(self.cancel_button)
        gui.auto_apply(self.buttonsArea, self)
        self._on_refreshed()
        self.cache_panel.refresh()

    def _on_refreshed(self) -> None:
        self.engine_panel.refresh()
        self.classes_box.setEnabled(self.panel.any_knows_imagenet())

    def _show_cache_message(self, message: str) -> None:
        self.Warning.cache(message, shown=bool(message))

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        if text and self.task is not None:
            self.info_label.setText(text)

    def _columns(self) -> list[Variable]:
        return image_columns(self.data.domain, self.column) if self.data else []

    def _show_columns(self) -> None:
        columns = self._columns()
        names = [column.name for column in columns]
        self.column_combo.setEnabled(bool(names))
        if not names:
            self.column_combo.clear()
            self.shown_column = ""
            return
        self.shown_column = self.column if self.column in names else names[0]
        self.column_combo.set_items({name: name for name in names})
        for place, column in enumerate(columns):
            self.column_combo.setItemIcon(place, gui.attributeIconDict[column])

    # input -------------------------------------------------------------------

    @Inputs.images
    def set_images(self, data: Table | None) -> None:
        self.data = data
        old_settings.settle(self, data)
        self._show_columns()

    @Inputs.network
    def set_network(self, network: AnyNetwork | None) -> None:
        # whether their numbers are the same takes a moment to see
        self._network_is_new |= network is not self._network
        self._network = network

    def handleNewSignals(self) -> None:
        if self._network_is_new and not self._bringing:
            self._take_network()
        else:
            self.commit.now()

    def _take_network(self) -> None:
        """Choose the network of the input, or what was chosen without it."""
        self._network_is_new = False
        if self._network is not None:
            self._bring(f"Taking {self._network.title}…", take_given(self._network))
            self._set_button("Ca&ncel", False)
            return
        self._given.go()
        self._show_given("")

    def _show_given(self, name: str) -> None:
        self.panel.given = name
        self.panel.settle()
        self.commit.now()

    def _on_server(self) -> None:
        self.panel.refresh()
        self.commit.deferred()

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
        self.server_panel.take_back()
        self.embedding = None
        if not self.data:
            if self.data is not None:
                self.Information.no_rows()
            self._finish(None, NO_IMAGES)
            return
        columns = {column.name: column for column in self._columns()}
        if self.shown_column not in columns:
            self.Error.no_image_column()
            self._finish(None, "No images.")
            return
        specs = self.panel.specs()
        problems = (problem_of(spec, self.server) for spec in specs)
        if problem := next(filter(None, problems), None):
            message, words = problem
            getattr(self.Error, message)(*words)
            self._finish(None, "Choose what is available.")
            return
        column = columns[self.shown_column]
        if self.server and not self._may_send(column):
            return
        n = len(self.data)
        self.info_label.setText(f"Embedding {n:,} image{'s' * (n != 1)}…")
        self._set_button("Ca&ncel", True)
        self._started = time.monotonic()
        engine = self.engine if self.engine in ENGINES else AUTO
        self.start(run, self.data, column, specs, self.classes, engine, self.server)

    def _may_send(self, column: Variable) -> bool:
        """Tell whether the server may be sent the images; else ask, or say so."""
        n_images = len(set(filter(None, image_sources(self.data, column))))
        if self.server_panel.may_send(n_images):
            return True
        if self.server_panel.has_declined:
            self._finish(None, "Nothing was sent.")
            self.Information.not_sent(self.server)
            self._set_button("Go &on", True)
        else:
            self._finish(None, "Waiting for your answer; nothing was sent.")
            images = f"{n_images:,} image{'s' * (n_images != 1)}"
            self.Warning.question(images, self.server)
        return False

    def _bring(self, text: str, job: Any) -> None:
        self.cancel()
        self.clear_messages()
        self.server_panel.take_back()
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
            self.server_panel.ask_again()
            self.commit.now()
            return
        self.cancel()
        if self._bringing:
            self._brought()
            self._finish(None, "Cancelled.")
            self.Information.not_brought()
            if self._network_is_new:
                self._take_network()
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
        text = summary(result, seconds)
        self._finish(result, f"{text}\n{result.trouble}".strip())
        if result.trouble:
            self.Warning.server(result.trouble)
            self._set_button("Go &on", True)

    def _go_on(self) -> None:
        """Ask about an own network, or take what has been brought here."""
        result, self._arrived = self._arrived, None
        if self._network_is_new:
            self._take_network()
        elif isinstance(result, Given):
            self._given.come(result.network, result.fit)
            self._show_given(result.network)
        elif isinstance(result, Inspected):
            if not bringing.ask_about_own(self, result.file, self._bring):
                self.commit.deferred()
        elif result is not None:
            self.info_label.setText(f"{title_of(result.network)} is here.")
            self.panel.choose_network(result.network)

    def on_exception(self, ex: Exception) -> None:
        if self._bringing:
            self._brought()
            QTimer.singleShot(0, self._go_on)
        self._finish(None, "Nothing was embedded.")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)
        if isinstance(ex, ServerError):
            self.info_label.setText(f"{ex}.")  # mostly longer than a message shows
            self._set_button("Go &on", True)

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
        self.server_panel.stop()
        self.engine_panel.background.stop()
        self.cache_panel.background.stop()
        super().onDeleteWidget()

    def send_report(self) -> None:
        classes = "the five likeliest" if self.classes else "no"
        self.report_items(
            "Settings",
            as_html(
                [
                    ("Image column", self.shown_column),
                    *(("Embedder", short_name(spec)) for spec in self.panel.specs()),
                    ("ImageNet classes", classes),
                    ("Computed by", self.server_panel.title),
                    ("Engine", self.engine_panel.note.text().rstrip(".")),
                ]
            ),
        )
        self.report_items("Result", as_html([("Images", self.info_label.text())]))

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
