"""Evaluate Networks: how well trained networks do, alone and together."""

from __future__ import annotations

from AnyQt.QtCore import QSize, Qt, QTimer
from AnyQt.QtGui import QResizeEvent
from AnyQt.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget
from AnyQt.QtWidgets import QTableWidgetItem as Cell
from Orange.base import Model
from Orange.data import Table, Variable
from Orange.widgets import gui
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, MultiInput, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.tables.evaluating import ENSEMBLE, Evaluation
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.combos import ColumnCombo, KeyCombo
from orangecontrib.imagemining.widgets.utils.embeddertexts import views_items
from orangecontrib.imagemining.widgets.utils.evaluatework import (
    HEADERS,
    Evaluated,
    Views,
    cells,
    run_evaluate,
    run_views,
)
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    new_form,
)
from orangecontrib.imagemining.widgets.utils.report import as_html, texts_of

_N_REASONS = 2  # that a message has


class _ScoresTable(QTableWidget):
    """Scores, a row a network, whose name is read whole whatever the window's size.

    Networks are told apart by the ends of their names too ("…, compressed").
    """

    def __init__(self) -> None:
        super().__init__(0, len(HEADERS))
        self.setAccessibleName("How well each network does")
        self.setHorizontalHeaderLabels(HEADERS)
        self.horizontalHeaderItem(len(HEADERS) - 1).setToolTip(
            "As the network computes; Save Network and Network Info tell the file's"
        )
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setMinimumSectionSize(8 * self.fontMetrics().averageCharWidth())
        self.setMinimumHeight(10 * self.fontMetrics().lineSpacing())

    def fit_names(self) -> None:
        """Make the first column as wide as its names, and as there is room."""
        header = self.horizontalHeader()
        others = sum(map(header.sectionSize, range(1, self.columnCount())))
        names = max(self.sizeHintForColumn(0), header.sectionSizeHint(0))
        header.resizeSection(0, max(names, self.viewport().width() - others))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit_names()


class OWEvaluateNetworks(OWWidget, ConcurrentWidgetMixin):
    name = "Evaluate Networks"
    description = "Try trained networks on labelled images, alone and as an ensemble."
    icon = "icons/EvaluateNetworks.svg"
    priority = 185
    keywords = (
        "test, score, accuracy, top-5, ensemble, crops, multi-crop, dense, compare"
    )

    class Inputs:
        data = Input("Data", Table)
        networks = MultiInput(
            "Networks", AnyNetwork, filter_none=True, auto_summary=False
        )

    class Outputs:
        evaluation = Output("Evaluation", Table, default=True)
        predictions = Output("Predictions", Table)
        model = Output("Model", Model)

    settings_version = 1
    #: The column chosen; data without it do not change the choice.
    column: str = Setting("", schema_only=True)
    #: One of `specs.VIEWS` or `DENSE_VIEWS`.
    views: int | str = Setting(1)
    auto_apply: bool = Setting(True)

    class Warning(OWWidget.Warning):
        left_out = Msg("{:,} of {:,} images are left out. {}")

    class Error(OWWidget.Error):
        no_image_column = Msg(
            "The data have no column with images. Use Import Images to make them."
        )
        failed = Msg("{}")

    class Information(OWWidget.Information):
        no_ensemble = Msg("{}.")
        cancelled = Msg("Cancelled. Press Go on to continue where it stopped.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.networks: list[AnyNetwork] = []
        self.evaluation: Evaluation | None = None
        self._networks_changed = False
        self._offered: Views | None = None
        # a task must not be started from `on_done`
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self.commit.now)
        self._make_gui()
        self._finish(None, "Connect networks and labelled images.")

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        form = new_form()
        gui.vBox(self.controlArea, "Images").layout().addLayout(form)
        self.column_combo = ColumnCombo(self, "column", self.commit.deferred)
        add_row(form, "&Image column:", self.column_combo, "Column with the images")
        self.views_combo = KeyCombo(self, "views", self.commit.deferred)
        add_row(
            form,
            "&Views:",
            self.views_combo,
            "How often each image is looked at; what networks say is averaged",
        )
        self.views_combo.setMinimumContentsLength(26)
        self.views_combo.setEnabled(False)
        self.info_label = NoteLabel()
        self.info_label.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        self.info_label.setAlignment(Qt.AlignmentFlag.AlignTop)
        gui.vBox(self.controlArea, "Result").layout().addWidget(self.info_label)
        gui.rubber(self.controlArea)
        self.cancel_button = button(
            "Ca&ncel", "Cancel; then go on where it was cancelled", self._on_cancel
        )
        self.buttonsArea.layout().addWidget(self.cancel_button)
        gui.auto_apply(self.buttonsArea, self)

        self.table = _ScoresTable()
        self.mainArea.layout().addWidget(self.table)

    def sizeHint(self) -> QSize:
        # wide enough for all columns, whatever the size of the letters
        table = 116 * self.fontMetrics().averageCharWidth()
        return QSize(self.controlArea.sizeHint().width() + table, 420)

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        if text and self.task is not None:
            self.info_label.setText(text)

    def _show_scores(self) -> None:
        scores = self.evaluation.scores if self.evaluation else []
        self.table.setRowCount(len(scores))
        for row, each in enumerate(scores):
            is_together = len(scores) > 1 and row == len(scores) - 1
            is_together = is_together and each.title == ENSEMBLE
            for column, text in enumerate(cells(each)):
                cell = Cell(text)
                cell.setToolTip(text)
                if column:
                    cell.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                font = cell.font()
                font.setBold(is_together)
                cell.setFont(font)
                self.table.setItem(row, column, cell)
        self.table.fit_names()

    # input -------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.data = data
        self.column_combo.set_columns([] if data is None else self._columns(data))

    def _columns(self, data: Table) -> list[Variable]:
        return image_columns(data.domain, self.column)

    @Inputs.networks
    def set_network(self, index: int, network: AnyNetwork) -> None:
        self.networks[index] = network
        self._networks_changed = True

    @Inputs.networks.insert
    def insert_network(self, index: int, network: AnyNetwork) -> None:
        self.networks.insert(index, network)
        self._networks_changed = True

    @Inputs.networks.remove
    def remove_network(self, index: int) -> None:
        del self.networks[index]
        self._networks_changed = True

    def handleNewSignals(self) -> None:
        self.commit.now()

    # work --------------------------------------------------------------------

    @gui.deferred
    def commit(self) -> None:
        self.cancel()
        self._next.stop()
        self.clear_messages()
        if not self.networks:
            self._offer(None)
            self._finish(None, "Connect networks and labelled images.")
            return
        self._set_button("Ca&ncel", True)
        if self._networks_changed or self._offered is None:
            self._forget()
            self.info_label.setText("Looking at the networks…")
            self.start(run_views, [*self.networks])
            return
        data = self.data if self.data else None
        columns = [] if data is None else self._columns(data)
        if data is not None and not columns:
            self.Error.no_image_column()
            self._finish(None, "No images.")
            return
        chosen = {column.name: column for column in columns}
        column = chosen.get(self.column_combo.column)
        self.info_label.setText("Evaluating…")
        self.start(run_evaluate, [*self.networks], data, column, self.views)

    def _offer(self, offered: Views | None) -> None:
        """Offer the views that all networks have."""
        self._offered = offered
        self._networks_changed = False
        self.views_combo.setEnabled(offered is not None)
        if offered is not None:
            items = views_items(offered.network)
            self.views_combo.set_items({key: items[key] for key in offered.views})

    def on_done(self, result: Views | Evaluated) -> None:
        if isinstance(result, Views):
            self._offer(result)
            self._next.start()
            return
        evaluation = result.evaluation
        if evaluation is None:
            self._finish(result, "Connect labelled images.")
            return
        n_left_out = sum(count for _, count in evaluation.left_out)
        if n_left_out:
            reasons = [
                f"{reason} ({count:,} ×)"
                for reason, count in evaluation.left_out[:_N_REASONS]
            ]
            n_more = len(evaluation.left_out) - len(reasons)
            more = f"; and {n_more:,} other reasons" if n_more else ""
            n = n_left_out + evaluation.n_images
            self.Warning.left_out(n_left_out, n, "; ".join(reasons) + more)
        if evaluation.why_no_ensemble:
            self.Information.no_ensemble(evaluation.why_no_ensemble)
        n = evaluation.n_images
        self._finish(result, f"Tried on {n:,} image{'s' * (n != 1)}.")

    def on_exception(self, ex: Exception) -> None:
        self._finish(None, "Nothing was evaluated.")
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _on_cancel(self) -> None:
        if self.task is None and not self._next.isActive():  # it says "Go on"
            self.commit.now()
            return
        self.cancel()
        self._next.stop()
        self._finish(None, "Cancelled.")
        self._set_button("Go &on", True)
        self.Information.cancelled()

    def _set_button(self, text: str, enabled: bool) -> None:
        self.cancel_button.setText(text)
        self.cancel_button.setEnabled(enabled)

    def _forget(self) -> None:
        self.evaluation = None
        self._show_scores()
        self.Outputs.evaluation.send(None)
        self.Outputs.predictions.send(None)
        self.Outputs.model.send(None)

    def _finish(self, result: Evaluated | None, text: str) -> None:
        self._forget()
        self._set_button("Ca&ncel", False)
        self.info_label.setText(text)
        self.setStatusMessage("")
        if result is None:
            return
        self.Outputs.model.send(result.model)
        self.evaluation = result.evaluation
        if self.evaluation is not None:
            self._show_scores()
            self.Outputs.evaluation.send(self.evaluation.table)
            self.Outputs.predictions.send(self.evaluation.predictions)

    def onDeleteWidget(self) -> None:
        self._next.stop()
        self.shutdown()
        super().onDeleteWidget()

    def send_report(self) -> None:
        self.report_items(
            "Settings",
            as_html(
                [
                    ("Image column", self.column_combo.column),
                    ("Views", self.views_combo.currentText()),
                    ("Result", self.info_label.text()),
                ]
            ),
        )
        if self.evaluation is not None:
            self.report_table("Networks", texts_of(self.table), header_rows=1)


if __name__ == "__main__":
    WidgetPreview(OWEvaluateNetworks).run()
