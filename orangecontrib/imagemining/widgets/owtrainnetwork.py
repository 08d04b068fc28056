"""Train Network: a network of one's own from images with classes."""

from __future__ import annotations

from concurrent.futures import wait
from typing import Any

from AnyQt.QtCore import QSize, QTimer
from Orange.data import Table
from Orange.widgets.settings import Setting
from Orange.widgets.utils.concurrent import ConcurrentWidgetMixin
from Orange.widgets.utils.widgetpreview import WidgetPreview
from Orange.widgets.widget import Input, Msg, Output, OWWidget

from orangecontrib.imagemining.exceptions import ImageMiningError, WeightsError
from orangecontrib.imagemining.tables import image_columns
from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.training.ahead import load_ahead
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.background import Background
from orangecontrib.imagemining.widgets.utils.trainbuttons import TrainButtons
from orangecontrib.imagemining.widgets.utils.trainchoices import Choices
from orangecontrib.imagemining.widgets.utils.trainestimate import speed_key
from orangecontrib.imagemining.widgets.utils.trainfacts import Facts, Request, facts_of
from orangecontrib.imagemining.widgets.utils.trainpanel import TrainPanel
from orangecontrib.imagemining.widgets.utils.trainreport import report_training
from orangecontrib.imagemining.widgets.utils.trainstore import forget
from orangecontrib.imagemining.widgets.utils.traintexts import day, epochs_text
from orangecontrib.imagemining.widgets.utils.trainview import TrainView, ended
from orangecontrib.imagemining.widgets.utils.trainwork import (
    Job,
    Outcome,
    Restored,
    View,
    main_reasons,
    renamed,
    restore,
    run,
)

_PATIENCE = 1.0  # seconds that removing the widget may wait for a checkpoint
_SIZE = QSize(1080, 660)  # of the window at first
_LOOK_MS = 150  # without another choice, until the facts are looked up


class OWTrainNetwork(OWWidget, ConcurrentWidgetMixin):
    name = "Train Network"
    description = "Train a deep network to tell classes of images apart."
    icon = "icons/TrainNetwork.svg"
    priority = 180
    keywords = (
        "fine-tune, finetune, transfer learning, deep learning, cnn, classify images,"
        " squeezenet, resnet, vgg, inception, epochs"
    )

    class Inputs:
        data = Input("Data", Table, default=True)
        validation = Input("Validation Data", Table)
        network = Input("Network", AnyNetwork, auto_summary=False)

    class Outputs:
        learner = Output("Learner", TrainNetworkLearner)
        model = Output("Model", ImageNetworkModel)
        network = Output("Network", AnyNetwork, auto_summary=False)
        log = Output("Training Log", Table)

    settings_version = 1
    #: What is chosen; see `trainchoices.Choices`.
    choices: dict[str, Any] = Setting({}, schema_only=True)
    #: Whether a network was at the input, and "Begins with" was set to it.
    was_given: bool = Setting(False, schema_only=True)
    automatic: bool = Setting(False, schema_only=True)
    #: Images a second that were measured on this computer, by network and size.
    speeds: dict[str, float] = Setting({})

    class Warning(OWWidget.Warning):
        left_out = Msg("{} of {} images left out: {}")
        stopped = Msg("{}")
        not_kept = Msg("{}")

    class Error(OWWidget.Error):
        data = Msg("{}")
        plan = Msg("{}")
        failed = Msg("{}")

    class Information(OWWidget.Information):
        notes = Msg("{}")
        to_continue = Msg(
            "A training of these images stopped at epoch {} of {} ({}). Press Continue"
            " to go on there, or Start anew."
        )
        restored = Msg("Trained {}. Press Start to train anew.")
        other_settings = Msg(
            "What goes out was trained with other settings. Press Start to train with"
            " these."
        )
        other_data = Msg(
            "What comes in has changed, so the training was stopped. Give the same"
            " again to continue it."
        )

    def __init__(self) -> None:
        OWWidget.__init__(self)
        ConcurrentWidgetMixin.__init__(self)
        self.data: Table | None = None
        self.validation: Table | None = None
        self.given: AnyNetwork | None = None
        self.facts = Facts(Request(None, None, None, Choices().plan()))
        self.job: Job | None = None  # the training that runs
        self.outcome: Outcome | None = None  # what goes out
        self._images_of_outcome = ""  # their key
        self._learner: TrainNetworkLearner | None = None  # that goes out
        self._damaged = ""  # key of a training whose result cannot be read
        self._start_before = Choices.start  # without a network at the input
        self._is_waiting = False  # it starts once the facts are known
        self.background = Background(self)
        self._timer = QTimer(self, singleShot=True, interval=_LOOK_MS)
        self._timer.timeout.connect(self._on_timer)
        self._make_gui()
        self.settingsAboutToBePacked.connect(self._store)
        self._send_learner()
        self._show_state()

    # GUI ---------------------------------------------------------------------

    def _make_gui(self) -> None:
        self.panel = TrainPanel(Choices.of(self.choices))
        self.panel.changed.connect(self._on_choice)
        self.panel.renamed.connect(self._on_renamed)
        self.controlArea.layout().addWidget(self.panel)
        self.controlArea.layout().addStretch()
        self.buttons = TrainButtons(
            self._on_start, self._on_stop, self._on_anew, self._on_automatic
        )
        self.buttons.automatic_box.setChecked(self.automatic)
        self.start_button = self.buttons.start_button
        self.stop_button = self.buttons.stop_button
        self.anew_button = self.buttons.anew_button
        self.controlArea.layout().addWidget(self.buttons)
        self.view = TrainView(self)
        self.mainArea.layout().addWidget(self.view)

    def sizeHint(self) -> QSize:
        return _SIZE

    def _show_state(self) -> None:
        """Show what can be pressed, and what will happen."""
        job, found = self.job, self.facts.found
        stopped = found.checkpoint if found is not None and job is None else None
        resumable = stopped is not None
        self.panel.setEnabled(job is None)
        self.buttons.show_state(
            self.facts.can_start and not self.background.is_busy,
            resumable,
            running=job is not None,
            paused=job is not None and job.pause.is_paused,
            ends=job is not None and job.is_stopped,
        )
        self.Error.data(self.facts.data_problem, shown=bool(self.facts.data_problem))
        self.Error.plan(self.facts.plan_problem, shown=bool(self.facts.plan_problem))
        self.view.facts_label.setText(self.facts.summary())
        self.Information.to_continue.clear()
        if stopped is not None:
            self.Information.to_continue(
                epochs_text(self.facts.epochs_done),
                self.facts.request.plan.epochs,
                day(stopped),
            )
        key = self.outcome.key if self.outcome is not None and job is None else ""
        other = bool(key and self.facts.key) and key != self.facts.key
        self.Information.other_settings(shown=other)

    # input -------------------------------------------------------------------

    @Inputs.data
    def set_data(self, data: Table | None) -> None:
        self.data = data
        names = [] if data is None else [c.name for c in image_columns(data.domain)]
        self.panel.set_columns(names)
        if data is not None:
            load_ahead()

    @Inputs.validation
    def set_validation(self, data: Table | None) -> None:
        self.validation = data

    @Inputs.network
    def set_network(self, network: AnyNetwork | None) -> None:
        choices = self.panel.choices
        if network is not None and not self.was_given:
            self._start_before = choices.start
            choices.start = "given"  # that is what it was connected for
        elif network is None and self.given is not None and choices.start == "given":
            choices.start = self._start_before
        self.was_given = network is not None or (self.was_given and self.given is None)
        self.given = network
        self.panel.set_given(network.title if network is not None else "")
        self._send_learner()

    def handleNewSignals(self) -> None:
        self._send_learner()  # the data may have the column that was chosen
        self._ask(starts=self.automatic)

    # choices -----------------------------------------------------------------

    def _store(self) -> None:
        self.choices = self.panel.choices.to_store()

    def _on_choice(self) -> None:
        self._store()
        self._timer.start()  # what takes the learner trains it: not at every key

    def _on_timer(self) -> None:
        self._send_learner()
        self._ask()

    def _on_automatic(self, checked: bool) -> None:
        self.automatic = checked
        if checked:
            self._ask(starts=True)

    def _send_learner(self) -> None:
        choices = self.panel.choices
        before, learner = (
            self._learner,
            TrainNetworkLearner(
                choices.plan(),
                self.given if isinstance(self.given, ImageNetwork) else None,
                self.panel.column,
            ),
        )
        learner.name = choices.title or self.captionTitle or self.name
        if before is not None:
            same_start = before.start is learner.start
            if same_start and (before.name, before.plan, before.column) == (
                learner.name,
                learner.plan,
                learner.column,
            ):
                return
            # Test & Score drops what it makes of it, but could not end it by itself
            before.give_up()
        self._learner = learner
        self.Outputs.learner.send(learner)

    # facts -------------------------------------------------------------------

    def _ask(self, starts: bool = False) -> None:
        """Look what is at the inputs, and what is kept of its training."""
        self._timer.stop()
        self._is_waiting = starts
        request = Request(
            self.data,
            self.validation,
            self.given,
            self.panel.choices.plan(),
            self.panel.column,
            dict(self.speeds),
        )
        self.background.ask(lambda: facts_of(request), self._on_facts)
        self._show_state()

    def _on_facts(self, facts: Facts) -> None:
        before, self.facts = self.facts, facts
        starts, self._is_waiting = self._is_waiting, False
        if self.job is not None and facts.key != self.job.key:
            self._leave()
            self.Information.other_data()
        elif self.job is None and facts.request.data is not before.request.data:
            self.Information.other_data.clear()
        if self.job is None:
            self._take(facts, starts)
        self._show_state()

    def _take(self, facts: Facts, starts: bool) -> None:
        """Show the outcome of what is at the inputs, or begin to train."""
        if self.outcome is not None and facts.key == self.outcome.key:
            return
        found = facts.found
        if (
            found is not None
            and found.result is not None
            and found.key != self._damaged
        ):
            self.view.state_label.setText("Reading what was trained…")
            self.start(
                restore,
                facts.key,
                facts.images,
                len(facts.request.data or ()),
                facts.request.plan,
                self.panel.choices.title,
            )
            self._images_of_outcome = facts.images_key
            return
        if self.outcome is not None and facts.images_key != self._images_of_outcome:
            self._send(None)
            self.view.clear()
        if starts and facts.can_start:
            self._begin()

    # work --------------------------------------------------------------------

    def _on_start(self) -> None:
        if self.job is None:
            self._begin()  # what came of it before stays until there is another
        elif self.job.pause.is_paused:
            self.job.pause.resume()
            self._show_state()
        else:
            self.job.pause.pause()
            self._show_state()

    def _on_anew(self) -> None:
        try:
            forget(self.facts.key)
        except WeightsError as ex:  # it would be continued instead
            self.Error.failed(ex)
            return
        self._begin()

    def _on_stop(self) -> None:
        if self.job is None:
            return
        if self.view.view is None:
            self._leave()  # there is nothing to keep
            self.view.state_label.setText("Stopped before anything was learned.")
            self._show_state()
            self._timer.start()  # what came of it another time is here again
        else:
            self.job.stop_and_keep()
            self.view.state_label.setText("Stopping; the best is looked for…")
            self._show_state()

    def _on_renamed(self) -> None:
        if self.outcome is not None:
            before = self.outcome.network
            renamed(self.outcome, self.panel.choices.title)
            if self.outcome.network is not before:
                self._send(self.outcome)

    def _begin(self) -> None:
        facts = self.facts
        if not facts.can_start:
            return
        self.cancel()
        self._clear_outcome_messages()
        self._send(None)
        self.view.clear()
        self.view.state_label.setText("Reading the images…")
        request = facts.request
        given = request.given if isinstance(request.given, ImageNetwork) else None
        self.job = Job(
            request.data,
            request.validation,
            request.plan,
            given,
            request.column,
            self.panel.choices.title,
            facts.key,
        )
        self._images_of_outcome = facts.images_key
        for output in (self.Outputs.model, self.Outputs.network, self.Outputs.log):
            output.invalidate()  # what is behind them waits; what takes the learner not
        self.start(run, self.job)
        self._show_state()

    def setInvalidated(self, state: bool) -> None:
        """Leave all outputs together valid: see `_begin`."""

    def setStatusMessage(self, text: str) -> None:
        super().setStatusMessage(text)
        if text and self.job is not None and self.view.view is None:
            self.view.state_label.setText(text)

    def on_partial_result(self, view: View) -> None:
        if self.job is None:
            return
        state = "Paused." if self.job.pause.is_paused else ""
        if self.job.is_stopped:
            state = "Stopping; the best is looked for…"
        self.view.show_view(view, state)
        self._tell(view.warnings)  # a full disk is of interest now, not in two hours

    def on_done(self, outcome: Outcome) -> None:
        job, self.job = self.job, None
        self._clear_outcome_messages()
        renamed(outcome, self.panel.choices.title)
        self._send(outcome)
        self.view.show_view(outcome.view, ended(outcome))
        if job is not None and job.plan.learns != "head" and outcome.speed > 0:
            key = speed_key(job.plan, job.given)
            self.speeds = {**self.speeds, key: outcome.speed}
        if outcome.left_out:
            self.Warning.left_out(
                len(outcome.left_out), outcome.n_images, main_reasons(outcome.left_out)
            )
        # the end of the time, or what the user asked for, is no surprise
        went_wrong = outcome.stopped in outcome.view.warnings
        self.Warning.stopped(outcome.stopped, shown=went_wrong)
        self.Warning.not_kept(outcome.problem, shown=bool(outcome.problem))
        self._tell([note for note in outcome.notes if note != outcome.stopped])
        found = self.facts.found
        if isinstance(outcome, Restored) and found is not None and found.result:
            self.Information.restored(day(found.result))
        self._show_state()
        self._timer.start()

    def _tell(self, notes: list[str]) -> None:
        text = ". ".join(note.rstrip(".") for note in notes)
        self.Information.notes(text, shown=bool(text))

    def on_exception(self, ex: Exception) -> None:
        if self.job is None:  # it was read, and would be again and again
            self._damaged = self.facts.key
        self.job = None
        self.view.state_label.setText("Nothing was trained.")
        self._send(None)
        self._timer.start()
        self._show_state()
        if not isinstance(ex, ImageMiningError):
            raise ex
        self.Error.failed(ex)

    def _leave(self) -> None:
        """Stop the training at once; its checkpoint is written meanwhile."""
        self.job = None
        self.cancel()
        self.view.clear()
        self._send(None)

    def _clear_outcome_messages(self) -> None:
        self.Error.failed.clear()
        self.Warning.clear()
        for message in ("notes", "restored", "other_data"):
            getattr(self.Information, message).clear()

    def _send(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.Outputs.model.send(outcome.model if outcome else None)
        self.Outputs.network.send(outcome.network if outcome else None)
        self.Outputs.log.send(outcome.log if outcome else None)

    def onDeleteWidget(self) -> None:
        self._timer.stop()
        self.background.stop()
        if self._learner is not None:
            self._learner.give_up()
        future = self.task.future if self.task is not None else None
        self.cancel()
        if future is not None:
            # a step may take longer; it comes to its end by itself, with a checkpoint
            wait([future], timeout=_PATIENCE)
        self.view.close_loader()
        super().onDeleteWidget()

    def send_report(self) -> None:
        report_training(self, self.panel.choices, self.facts, self.outcome, self.view)


if __name__ == "__main__":
    from orangecontrib.imagemining.tables import table_from_folder

    WidgetPreview(OWTrainNetwork).run(table_from_folder(".").table)
