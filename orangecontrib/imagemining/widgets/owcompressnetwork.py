"""Compress Network: a network made smaller, and what it costs."""

from __future__ import annotations

from concurrent.futures import wait
from typing import Any

from AnyQt.QtCore import QSize, QTimer
from Orange.data import Table
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.training.ahead import load_ahead
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.background import Background
from orangecontrib.imagemining.widgets.utils.compresschoices import Choices
from orangecontrib.imagemining.widgets.utils.compressfacts import (
    Facts,
    Request,
    facts_of,
)
from orangecontrib.imagemining.widgets.utils.compresspanel import CompressPanel
from orangecontrib.imagemining.widgets.utils.compressreport import report_compression
from orangecontrib.imagemining.widgets.utils.compressstore import find
from orangecontrib.imagemining.widgets.utils.compressview import CompressView
from orangecontrib.imagemining.widgets.utils.compresswork import (
    Job,
    Outcome,
    Restored,
    Taken,
    Trail,
    missed_goals,
    named,
    restore,
    run,
    take,
)
from orangecontrib.imagemining.widgets.utils.publishednetwork import GIVEN
from orangecontrib.imagemining.widgets.utils.trainbuttons import (
    ButtonTips,
    TrainButtons,
)
from orangecontrib.imagemining.widgets.utils.traintexts import day
from orangecontrib.imagemining.widgets.utils.trainwork import main_reasons

_PATIENCE = 1.0  # seconds that removing the widget may wait for a step
_SIZE = QSize(1080, 660)  # of the window at first
_LOOK_MS = 150  # without another choice, until the facts are looked up
_TIPS = ButtonTips(
    automatic="Otherwise it begins when you press Start: it may take long",
    start="Begin to make the network smaller",
    stop="End it; the best network so far goes out",
)


class OWCompressNetwork(OWWidget, ConcurrentWidgetMixin):
    name = "Compress Network"
    description = "Make a network many times smaller, and see what it costs."
    icon = "icons/CompressNetwork.svg"
    priority = 187
    keywords = (
        "prune, pruning, quantize, quantization, deep compression, distill,"
        " distillation, ternary, int8, half, sparse, low rank, small, size, apprentice"
    )

    class Inputs:
        network = Input("Network", AnyNetwork, default=True, auto_summary=False)
        data = Input("Data", Table, default=True)
        validation = Input("Validation Data", Table)

    class Outputs:
        network = Output(
            "Compressed Network", AnyNetwork, default=True, auto_summary=False
        )
        report = Output("Report", Table)
        trail = Output("Steps", Table)

    settings_version = 1
    #: What is chosen; see `compresschoices.Choices`.
    choices: dict[str, Any] = Setting({}, schema_only=True)
    #: Whether a network was at the input, and "Network" was set to it.
    was_given: bool = Setting(False, schema_only=True)
    automatic: bool = Setting(False, schema_only=True)

    class Warning(OWWidget.Warning):
        settings = Msg("{}.")
        left_out = Msg("{} of {} images left out: {}")
        missed = Msg("{}")
        not_kept = Msg("{}")

    class Error(OWWidget.Error):
        network = Msg("{}.")
        data = Msg("{}.")
        plan = Msg("{}.")
        failed = Msg("{}")

    class Information(OWWidget.Information):
        no_network = Msg("{}.")
        notes = Msg("{}")
        restored = Msg("Compressed {}. Press Start to compress anew.")
        other_settings = Msg(
            "What goes out was made with other settings. Press Start to compress with"
            " these."
        )
        not_held = Msg(
            "That network is not there any more. Its steps alone, as a plan of their"
            " own, give it again."
        )
        other_data = Msg("What comes in has changed, so the work was stopped.")

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.validation: Table | None = None
        self.given: AnyNetwork | None = None
        choices = Choices.of(self.choices)
        self.facts = Facts(Request(None, None, None, GIVEN, choices.plan()))
        self.job: Job | None = None  # the compression that runs
        self.outcome: Outcome | None = None  # what goes out
        self.chosen: int | None = None  # place of the network that goes out
        self.sent: AnyNetwork | None = None  # held: others find it by its name
        self._inputs_of_outcome = ""  # key of network and images
        self._damaged = ""  # key of a compression that cannot be read
        self._is_waiting = False  # it starts once the facts are known
        self.background = Background(self)
        self._timer = QTimer(self, singleShot=True, interval=_LOOK_MS)
        self._timer.timeout.connect(self._ask)
        self._make_gui(choices)
        self.settingsAboutToBePacked.connect(self._store)
        self._ask()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self, choices: Choices) -> None:
        self.panel = CompressPanel(choices)
        self.panel.changed.connect(self._on_choice)
        self.panel.renamed.connect(self._send)
        self.controlArea.layout().addWidget(self.panel, 1)
        self.buttons = TrainButtons(
            self._on_start, self._on_stop, lambda: None, self._on_automatic, _TIPS
        )
        self.buttons.automatic_box.setChecked(self.automatic)
        self.start_button = self.buttons.start_button
        self.stop_button = self.buttons.stop_button
        self.controlArea.layout().addWidget(self.buttons)
        self.view = CompressView()
        self.view.taken.connect(self._on_taken)
        self.mainArea.layout().addWidget(self.view)

    def sizeHint(self) -> QSize:
        return _SIZE

    def _show_state(self) -> None:
        """Show what can be pressed, and what will happen."""
        job, facts = self.job, self.facts
        self.panel.setEnabled(job is None)
        self.buttons.show_state(
            facts.can_start and not self.background.is_busy,
            resumable=False,
            running=job is not None,
            paused=job is not None and job.is_paused,
            ends=job is not None and job.is_stopped,
        )
        problem = self.panel.choices.problem
        self.Warning.settings(problem, shown=bool(problem))
        nothing_given = facts.request.network == GIVEN and facts.request.given is None
        text = facts.network_problem
        self.Information.no_network(text, shown=bool(text) and nothing_given)
        self.Error.network(text, shown=bool(text) and not nothing_given)
        self.Error.data(facts.data_problem, shown=bool(facts.data_problem))
        self.Error.plan(facts.plan_problem, shown=bool(facts.plan_problem))
        self.view.facts_label.setText(facts.summary())
        key = self.outcome.key if self.outcome is not None and job is None else ""
        self.Information.other_settings(shown=bool(key) and key != facts.key)

    # input -------------------------------------------------------------------

    @Inputs.network
    def set_network(self, network: AnyNetwork | None) -> None:
        if network is not None and not self.was_given:
            self.panel.choices.network = GIVEN  # that is what it was connected for
        self.was_given = network is not None or (self.was_given and self.given is None)
        self.given = network
        self.panel.set_given(network.title if network is not None else "")
        if network is not None:
            load_ahead()

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.data = data
        names = [] if data is None else [c.name for c in image_columns(data.domain)]
        self.panel.set_columns(names)

    @Inputs.validation
    def set_validation(self, data: Table | None) -> None:
        self.validation = data

    def handleNewSignals(self) -> None:
        self._ask(starts=self.automatic)

    # choices -----------------------------------------------------------------

    def _store(self) -> None:
        self.choices = self.panel.choices.to_store()

    def _on_choice(self) -> None:
        self._store()
        self._timer.start()

    def _on_automatic(self, checked: bool) -> None:
        self.automatic = checked
        if checked:
            self._ask(starts=True)

    # facts -------------------------------------------------------------------

    def _ask(self, starts: bool = False) -> None:
        """Look what is at the inputs, and what is kept of its compression."""
        self._timer.stop()
        self._is_waiting = self._is_waiting or starts
        choices, facts = self.panel.choices, self.facts
        # reading a large one anew at each choice would take seconds
        is_read = choices.network != GIVEN and choices.network == facts.request.network
        request = Request(
            self.data,
            self.validation,
            self.given,
            choices.network,
            choices.plan(),
            self.panel.column,
            facts.network if is_read else None,
        )
        self.background.ask(lambda: facts_of(request), self._on_facts)
        self._show_state()

    def _on_facts(self, facts: Facts) -> None:
        before, self.facts = self.facts, facts
        starts, self._is_waiting = self._is_waiting, False
        self.panel.set_layers(facts.layers)
        if self.job is not None and facts.key != self.job.key:
            self._leave()
            self.view.state_label.setText("Stopped.")
            self.Information.other_data()
        elif self.job is None and facts.inputs_key != before.inputs_key:
            self._clear_outcome_messages()
        elif facts.key != before.key:
            self.Error.failed.clear()
        if self.job is None:
            self._take_up(facts, starts)
        self._show_state()

    def _take_up(self, facts: Facts, starts: bool) -> None:
        """Show the outcome of what is at the inputs, or begin."""
        outcome = self.outcome
        if outcome is not None and facts.key == outcome.key:
            return
        key = facts.key
        if key and key != self._damaged and find(key) is not None:
            self.cancel()
            self.view.state_label.setText("Reading what was compressed…")
            n_images = len(facts.request.data or ())
            self.start(restore, key, facts.request.plan, facts.network, n_images)
            return
        # other settings leave it; another network or other images do not
        if outcome is not None and facts.inputs_key != self._inputs_of_outcome:
            self._finish(None)
            self.view.clear()
        if starts and facts.can_start:
            self._begin()

    # work --------------------------------------------------------------------

    def _on_start(self) -> None:
        if self.job is None and self._timer.isActive():
            self._ask(starts=True)  # with what has just been chosen
        elif self.job is None:
            self._begin()
        elif self.job.is_paused:
            self.job.resume()
        else:
            self.job.pause()
            self.view.state_label.setText("Paused.")
        self._show_state()

    def _on_stop(self) -> None:
        if self.job is None:
            return
        if len(self.view.trail) < 2:
            self._leave()  # there is nothing to keep
            self.view.clear()
            self.view.state_label.setText("Stopped before anything became smaller.")
        else:
            self.job.stop_and_keep()
            self.view.state_label.setText("Stopping; the best so far is kept…")
        self._show_state()

    def _begin(self) -> None:
        facts = self.facts
        if not facts.can_start or facts.network is None:
            return
        self.cancel()
        self._clear_outcome_messages()
        self._finish(None)
        self.view.clear()
        self.view.state_label.setText("Reading the images…")
        request = facts.request
        self.job = Job(
            facts.network,
            request.plan,
            request.data,
            request.validation,
            request.column,
            facts.key,
        )
        self._inputs_of_outcome = facts.inputs_key
        self.start(run, self.job)
        self._show_state()

    def _leave(self) -> None:
        """End the compression that runs; nothing of it is shown any more."""
        self.cancel()
        self.job = None

    def progressBarSet(self, value: float) -> None:
        super().progressBarSet(value)
        self.view.show_fraction(value / 100)

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        job = self.job
        if text and job is not None and not (job.is_paused or job.is_stopped):
            self.view.state_label.setText(text)

    def on_partial_result(self, result: Trail) -> None:
        job = self.job
        if job is not None:
            self.view.show_trail(
                result.candidates,
                None,
                job.plan,
                job.network.n_bytes,
                self.facts.is_labelled,
            )

    def on_done(self, result: Outcome | Taken) -> None:
        if isinstance(result, Taken):
            self._choose(result)
            return
        self.job = None
        self._clear_outcome_messages()
        self._inputs_of_outcome = self.facts.inputs_key
        self._finish(result)
        self.view.show_fraction(1)
        if result.left_out:
            self.Warning.left_out(
                len(result.left_out), result.n_images, main_reasons(result.left_out)
            )
        self.Warning.not_kept(result.problem, shown=bool(result.problem))
        missed = missed_goals(result)
        others = [note for note in result.notes if note not in missed]
        for message, notes in (
            (self.Warning.missed, missed),
            (self.Information.notes, others),
        ):
            text = ". ".join(note.rstrip(".") for note in notes)
            message(f"{text}.", shown=bool(text))
        when = find(result.key)
        if isinstance(result, Restored) and when is not None:
            self.Information.restored(day(when))
        self._show_state()
        self._timer.start()

    def on_exception(self, ex: Exception) -> None:
        if self.job is None:  # it was read, and would be again and again
            self._damaged = self.facts.key
        self.job = None
        self.view.state_label.setText("Nothing was compressed.")
        self._finish(None)
        self._timer.start()
        self._show_state()
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _clear_outcome_messages(self) -> None:
        self.Error.failed.clear()
        for message in ("left_out", "not_kept", "missed"):
            getattr(self.Warning, message).clear()
        for message in ("notes", "restored", "other_data", "not_held"):
            getattr(self.Information, message).clear()

    # what goes out -----------------------------------------------------------

    def _finish(self, outcome: Outcome | None) -> None:
        """Have something else go out."""
        self.outcome = outcome
        self.chosen = None
        if outcome is not None:
            compressed = outcome.compressed
            self.chosen = compressed.chosen
            self.view.show_layers(compressed.layers)
            self.view.state_label.setText(
                "Stopped; the best so far goes out." if outcome.stopped else "Done."
            )
            self.Outputs.report.send(outcome.report)
            self.Outputs.trail.send(outcome.trail)
        else:
            self.Outputs.report.send(None)
            self.Outputs.trail.send(None)
        self._send()

    def _send(self) -> None:
        """Send the network that is chosen, under the name that it is to have."""
        if self.outcome is None or self.chosen is None:
            self.sent = None
            self.Outputs.network.send(None)
            return
        compressed = self.outcome.compressed
        self.view.show_trail(
            compressed.trail,
            self.chosen,
            self.outcome.plan,
            compressed.bytes_before,
            compressed.labelled,
        )
        network = compressed.trail[self.chosen].network or compressed.network
        self.sent = named(network, self.panel.choices.title)
        self.Outputs.network.send(self.sent)

    def _on_taken(self, place: int) -> None:
        """Have another network on the way go out."""
        outcome = self.outcome
        if self.job is not None or outcome is None or place == self.chosen:
            return
        if outcome.compressed.trail[place].network is None:
            self.Information.not_held()
            return
        self.start(take, outcome, place)

    def _choose(self, taken: Taken) -> None:
        self.chosen = taken.place
        self.Information.not_held.clear()
        self.view.show_layers(taken.layers)
        self.Outputs.report.send(taken.report)
        self.Outputs.trail.send(taken.trail)
        self._send()

    def onDeleteWidget(self) -> None:
        self._timer.stop()
        self.background.stop()
        future = self.task.future if self.task is not None else None
        self.cancel()
        if future is not None:
            wait([future], timeout=_PATIENCE)  # it comes to its end by itself
        super().onDeleteWidget()

    def send_report(self) -> None:
        report_compression(self, self.panel.choices, self.facts, self.view)


if __name__ == "__main__":
    WidgetPreview(OWCompressNetwork).run()
