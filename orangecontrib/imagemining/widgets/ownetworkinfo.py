"""Network Info: what networks consist of, and what they cost, side by side."""

from __future__ import annotations

import html

from AnyQt.QtCore import QSize, Qt
from AnyQt.QtWidgets import QSplitter
from Orange.data import Table, Variable
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, MultiInput, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.tables.networkinfo import (
    Compared,
    comparison_table,
    layers_table,
)
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.forms import button
from orangecontrib.imagemining.widgets.utils.infodrawing import Drawing
from orangecontrib.imagemining.widgets.utils.infopanel import BIGGEST, InfoPanel
from orangecontrib.imagemining.widgets.utils.infotables import (
    ComparisonTable,
    LayersTable,
)
from orangecontrib.imagemining.widgets.utils.infowork import (
    Entry,
    Judged,
    compared,
    forgotten,
    run_info,
    run_judge,
)
from orangecontrib.imagemining.widgets.utils.report import as_html, picture_of, texts_of

_NOTHING = "Connect networks, or add a published one."


class OWNetworkInfo(OWWidget, ConcurrentWidgetMixin):
    name = "Network Info"
    description = "Look into networks, and compare their sizes, work and accuracy."
    icon = "icons/NetworkInfo.svg"
    priority = 186
    keywords = (
        "layers, parameters, architecture, drawing, size, flops, multiply-adds, macs,"
        " speed, time, compare, summary"
    )

    class Inputs:
        networks = MultiInput(
            "Networks", AnyNetwork, filter_none=True, auto_summary=False
        )
        data = Input("Data", Table)

    class Outputs:
        layers = Output("Layers", Table, default=True)
        comparison = Output("Comparison", Table)

    settings_version = 1
    #: Names of published networks that are compared, too.
    published: list[str] = Setting([], schema_only=True)
    #: Title of the network that sizes are held against; "" for the biggest one.
    reference: str = Setting("", schema_only=True)
    #: Title of the network whose layers are shown.
    shown: str = Setting("", schema_only=True)
    #: One of `infoboxes.DETAILS`.
    detail: str = Setting("auto")
    measuring: bool = Setting(True)
    #: The column chosen; data without it do not change the choice.
    column: str = Setting("", schema_only=True)

    graph_name = "drawing"  # what Save Image saves

    class Warning(OWWidget.Warning):
        left_out = Msg("Images are left out. {}")
        not_tried = Msg("{}")

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        failed = Msg("{}")

    class Information(OWWidget.Information):
        architecture_only = Msg(
            "The weights of {} are not on this computer: what is shown is the"
            " architecture."
        )

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.networks: list[AnyNetwork] = []
        self.entries: list[Entry] = []
        self._asked: list[Entry] = []
        self._row = -1
        self._make_gui()
        self._make_entries()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        self.drawing = Drawing()
        self.drawing.set_detail(self.detail)
        self.panel = InfoPanel(self, self.drawing)
        self.cancel_button = button(
            "Ca&ncel", "Cancel; then go on where it was cancelled", self._on_cancel
        )
        self.buttonsArea.layout().addWidget(self.cancel_button)

        self.comparison = ComparisonTable()
        self.comparison.itemSelectionChanged.connect(self._on_row)
        self.layers = LayersTable()
        self.drawing.layers_chosen.connect(self._on_boxes)
        self.layers.chosen.connect(self.drawing.choose)
        below = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        below.addWidget(self.drawing)
        below.addWidget(self.layers)
        below.setSizes([380, 560])
        self.splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self.splitter.addWidget(self.comparison)
        self.splitter.addWidget(below)
        line = self.fontMetrics().lineSpacing()
        self.splitter.setSizes([11 * line, 33 * line])
        self.splitter.setStretchFactor(1, 1)
        self.mainArea.layout().addWidget(self.splitter)

    def sizeHint(self) -> QSize:
        letter = self.fontMetrics().averageCharWidth()
        line = self.fontMetrics().lineSpacing()
        return QSize(self.controlArea.sizeHint().width() + 130 * letter, 44 * line)

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        if text and self.task is not None:
            self.panel.info_label.setText(text)

    def hold_against(self) -> None:
        """Tell sizes against another network."""
        if self.task is None:
            self._finish()
        else:
            self._show()

    # input -------------------------------------------------------------------

    @Inputs.networks
    def set_network(self, index: int, network: AnyNetwork) -> None:
        self.networks[index] = network

    @Inputs.networks.insert
    def insert_network(self, index: int, network: AnyNetwork) -> None:
        self.networks.insert(index, network)

    @Inputs.networks.remove
    def remove_network(self, index: int) -> None:
        del self.networks[index]

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.data = data
        columns = self._columns()
        self.panel.column_combo.set_columns(columns)
        self.Error.no_image_column(shown=bool(data) and not columns)
        self.Warning.left_out.clear()
        self.entries = [forgotten(entry) for entry in self.entries]

    def _columns(self) -> list[Variable]:
        return [] if not self.data else image_columns(self.data.domain, self.column)

    def handleNewSignals(self) -> None:
        self._make_entries()

    def _make_entries(self) -> None:
        """Have an entry for each network, those that are known as they are."""
        by_network = {id(e.network): e for e in self.entries if e.network is not None}
        by_name = {e.published: e for e in self.entries if e.published}
        entries = [by_network.get(id(n), Entry(network=n)) for n in self.networks]
        entries += [by_name.get(n, Entry(published=n)) for n in self.published]
        self.entries = entries
        self.commit()

    def add_published(self) -> None:
        """Compare the published network that is chosen, too."""
        name = self.panel.published_combo.currentData()
        if name and name not in self.published:
            self.published = [*self.published, name]
            self.shown = Entry(published=name).title
            self._make_entries()

    def remove_published(self) -> None:
        """Take the published network away whose layers are shown."""
        entry = self._chosen()
        if entry is not None and entry.published:
            self.published = [n for n in self.published if n != entry.published]
            self._make_entries()

    # work --------------------------------------------------------------------

    def commit(self) -> None:
        """Find out what is not known yet of the networks."""
        self.cancel()
        self._asked = [
            entry
            for entry in self.entries
            if (entry.described is None and not entry.problem)
            or (self.measuring and entry.times is None and not entry.problem)
        ]
        if self._asked:
            self.panel.info_label.setText("Looking at the networks…")
            self.start(run_info, [*self._asked], self.measuring)
            self._show()
        else:
            self._finish()

    def on_partial_result(self, result: tuple[int, Entry]) -> None:
        place, entry = result
        self._replace(self._asked[place], entry)
        self._asked[place] = entry
        self._show()

    def _replace(self, old: Entry, new: Entry) -> None:
        self.entries = [new if entry is old else entry for entry in self.entries]

    def on_done(self, result: Judged | None) -> None:
        if result is not None:
            for old, new in zip(self._asked, result.entries, strict=True):
                self._replace(old, new)
            if result.left_out:
                self.Warning.left_out("; ".join(result.left_out))
        self._finish()

    def on_exception(self, ex: Exception) -> None:
        self._finish()
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def judge(self) -> None:
        """Have all networks tell the classes of the images."""
        chosen = {column.name: column for column in self._columns()}
        column = chosen.get(self.panel.column_combo.column)
        if self.task is not None or column is None:
            return
        self.Warning.left_out.clear()
        self._asked = [forgotten(entry) for entry in self.entries]
        self.entries = [*self._asked]
        self._asked = [entry for entry in self.entries if entry.described is not None]
        if self._asked:
            self.panel.info_label.setText("Trying the networks…")
            self.start(run_judge, [*self._asked], self.data, column)
            self._show()

    def _on_cancel(self) -> None:
        if self.task is None:  # it says "Go on"
            self.commit()
            return
        self.cancel()
        self._finish("Cancelled.")

    def _finish(self, text: str = "") -> None:
        self.setStatusMessage("")
        n = len(self.entries)
        if not text:
            text = f"{n} network{'s' * (n != 1)}." if n else _NOTHING
        self.panel.info_label.setText(text)
        self._show()
        entry = self._chosen()
        rows = [compared(entry) for entry in self.entries]
        place = self._reference_of(rows)
        reference = None if place is None else rows[place]
        table = None
        if reference is not None:
            known = [row for row in rows if row is not None]
            table = comparison_table(known, known.index(reference))
        self.Outputs.comparison.send(table)
        self._send_layers(entry)

    def _send_layers(self, entry: Entry | None) -> None:
        table = None
        if entry is not None and entry.described is not None:
            table = layers_table(entry.described, entry.times)
        self.Outputs.layers.send(table)

    # what is seen ------------------------------------------------------------

    def _chosen(self) -> Entry | None:
        """Return the network whose layers are shown."""
        entries = self.entries
        # two may have the same title
        if 0 <= self._row < len(entries) and entries[self._row].title == self.shown:
            return entries[self._row]
        for entry in entries:
            if entry.title == self.shown:
                return entry
        return entries[0] if entries else None

    def _reference_of(self, rows: list[Compared | None]) -> int | None:
        """Return the row that sizes are held against; None if nothing is known."""
        sizes = {
            place: row.described.file_bytes
            for place, row in enumerate(rows)
            if row is not None
        }
        for place in sizes:
            if self.entries[place].title == self.reference:
                return place
        return max(sizes, key=sizes.__getitem__, default=None)

    def _show(self) -> None:
        """Show what is known by now."""
        entries, chosen = self.entries, self._chosen()
        rows = [compared(entry) for entry in entries]
        titles = [entry.title for entry in entries]
        place = entries.index(chosen) if chosen is not None else -1
        self.comparison.show_rows(
            [(e.title, e.problem, row) for e, row in zip(entries, rows, strict=True)],
            self._reference_of(rows),
            place,
        )
        self.panel.reference_combo.set_items(
            {"": BIGGEST, **{title: title for title in titles}}
        )
        self._show_layers(chosen)
        is_busy = self.task is not None
        unknown = any(e.described is None and not e.problem for e in entries)
        self.cancel_button.setText("Go &on" if unknown and not is_busy else "Ca&ncel")
        self.cancel_button.setEnabled(is_busy or unknown)
        self.panel.remove_button.setEnabled(
            chosen is not None and bool(chosen.published)
        )
        can_judge = bool(self._columns()) and any(e.described for e in entries)
        self.panel.judge_button.setEnabled(can_judge and not is_busy)
        for message, known in (
            (self.Error.failed, False),
            (self.Warning.not_tried, True),
        ):
            told = [e.complaint for e in entries if known is (e.described is not None)]
            text = "\n".join(filter(None, told))
            message(text, shown=bool(text))
        absent = [e.title for e in entries if e.published and _is_bare(e)]
        names = ", ".join(absent)
        self.Information.architecture_only(names, shown=bool(absent))

    def _show_layers(self, entry: Entry | None) -> None:
        described = entry.described if entry is not None else None
        times = entry.times if entry is not None else None
        shown = self.drawing
        if described is shown.described and times is shown.times:
            return
        self.layers.show_layers(described, times)
        self.drawing.show_network(described, times)

    def _on_row(self) -> None:
        rows = self.comparison.selectionModel().selectedRows()
        if not rows:
            return
        self._row = rows[0].row()
        entry = self.entries[self._row]
        self.shown = entry.title
        self._show_layers(entry)
        self.panel.remove_button.setEnabled(bool(entry.published))
        if self.task is None:
            self._send_layers(entry)

    def _on_boxes(self, layers: tuple[int, ...]) -> None:
        self.layers.choose(layers)
        self.drawing.choose({*layers})

    def onDeleteWidget(self) -> None:
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Settings",
            as_html(
                [
                    ("Sizes against", self.panel.reference_combo.currentText()),
                    ("Networks", self.panel.info_label.text()),
                ]
            ),
        )
        entry = self._chosen()
        if entry is None:
            return
        self.report_table("Networks", texts_of(self.comparison), header_rows=1)
        layers = texts_of(self.layers)
        title = f"Layers of {html.escape(entry.title)}"
        self.report_table(title, layers, header_rows=1)
        self.report_raw("Drawing", picture_of(self.drawing))


def _is_bare(entry: Entry) -> bool:
    return entry.described is not None and not entry.described.has_weights


if __name__ == "__main__":
    WidgetPreview(OWNetworkInfo).run()
