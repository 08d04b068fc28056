"""What Train Network does in a thread, and what it tells of it meanwhile."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.exceptions import TaskCancelled, WeightsError
from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.tables.labelled import LabelledImages
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.tables.training import (
    Prepared,
    train_on_table,
    training_log,
)
from orangecontrib.imagemining.training.callbacks import Callback, Pause, StopOnRequest
from orangecontrib.imagemining.training.history import Epoch, History
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.widgets.utils.tasks import progress_of
from orangecontrib.imagemining.widgets.utils.traincurves import Line
from orangecontrib.imagemining.widgets.utils.trainmistakes import Mistake
from orangecontrib.imagemining.widgets.utils.trainstore import (
    Result,
    checkpoint_of,
    clean,
    keep_result,
    load_result,
)

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.trainer import Trainer

__all__ = [
    "Job",
    "Outcome",
    "Restored",
    "View",
    "main_reasons",
    "renamed",
    "restore",
    "run",
    "view_of",
]

_BETWEEN = 0.2  # seconds between two views: as often as anybody can follow
_SECONDS_SEEN = 10.0  # the pace is that of so long


@dataclass(eq=False)
class Job:
    """A training that is to run.

    Attributes
    ----------
    data, validation, plan, given, column, title : as for `train_on_table`.
    key : of the training, in `trainstore`.
    pause, stop : what the buttons press.
    """

    data: Table
    validation: Table | None
    plan: Plan
    given: ImageNetwork | None
    column: str
    title: str
    key: str
    pause: Pause = field(default_factory=Pause)
    stop: StopOnRequest = field(default_factory=StopOnRequest)
    is_stopped: bool = False

    def stop_and_keep(self) -> None:
        """Have it end soon; the best is kept."""
        self.is_stopped = True
        self.pause.resume()
        self.stop.stop()


@dataclass(eq=False)
class View:
    """All that the window shows of a training at a moment.

    Attributes
    ----------
    epochs : that are planned.
    done : that are over, with a fraction.
    rate, speed, seconds_left : learning rate, images a second; NaN if not known.
    steps, rates, loss, validation_loss, accuracy, validation_accuracy : curves.
    classes, confusion, mistakes : of the last validation.
    best : accuracy of the best epoch, its number; None without one.
    warnings : what went wrong so far, in sentences.
    """

    epochs: float
    done: float = 0.0
    rate: float = math.nan
    speed: float = math.nan
    seconds_left: float = math.nan
    steps: Line = ((), ())
    rates: Line = ((), ())
    loss: Line = ((), ())
    validation_loss: Line = ((), ())
    accuracy: Line = ((), ())
    validation_accuracy: Line = ((), ())
    classes: tuple[str, ...] = ()
    confusion: NDArray[np.int64] | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    best: tuple[float, float] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        """Share of the epochs that is over."""
        return min(self.done / self.epochs, 1.0) if self.epochs else 0.0


@dataclass(eq=False)
class Outcome:
    """What came of a training.

    Attributes
    ----------
    key : of the training.
    network, model, log : for the outputs.
    view : to be shown.
    n_images : that there were.
    left_out : rows that were not learned from, and why.
    notes : sentences for the user.
    stopped : why it ended before its time, "" if it did not.
    seconds, speed : that it took, and images a second; NaN if not measured.
    problem : why it cannot be kept for the next time, "" if it is.
    """

    key: str
    network: ImageNetwork
    model: ImageNetworkModel
    log: Table
    view: View
    n_images: int
    left_out: list[tuple[int, str]]
    notes: list[str]
    stopped: str = ""
    seconds: float = math.nan
    speed: float = math.nan
    problem: str = ""


class Restored(Outcome):
    """What came of a training some time ago."""


def view_of(
    history: History,
    epochs: float,
    classes: Sequence[str],
    mistakes: Sequence[Mistake] = (),
) -> View:
    """Return what a history shows."""
    lines = history.epochs
    x = [epoch.epoch for epoch in lines]

    def line(name: str) -> Line:
        return x, [getattr(epoch, name) for epoch in lines]

    at = [step.epoch for step in history.steps]
    best = None
    if history.best is not None and 0 <= history.best < len(lines):
        epoch = lines[history.best]
        if epoch.is_validated:
            best = (epoch.validation_accuracy, epoch.epoch)
    judged = _judged(history)
    done = at[-1] if at else 0.0
    return View(
        epochs=epochs,
        done=max([done, *x[-1:]]),
        rate=lines[-1].learning_rate if lines else math.nan,
        speed=lines[-1].images_per_second if lines else math.nan,
        steps=(at, [step.loss for step in history.steps]),
        rates=(at, [step.learning_rate for step in history.steps]),
        loss=line("loss"),
        validation_loss=line("validation_loss"),
        accuracy=line("accuracy"),
        validation_accuracy=line("validation_accuracy"),
        classes=tuple(classes),
        confusion=judged.confusion if judged is not None else None,
        mistakes=list(mistakes),
        best=best,
        warnings=[e.text for e in history.events if e.kind == "warning"],
    )


def _judged(history: History) -> Epoch | None:
    """Return the last epoch that was validated, None if none was."""
    for epoch in reversed(history.epochs):
        if epoch.confusion is not None:
            return epoch
    return None


class _Publisher(Callback):
    """Makes views of a training that runs, a few a second.

    Parameters
    ----------
    job
        The training.
    show
        Given each view, in the thread of the training.
    """

    def __init__(self, job: Job, show: Callable[[View], None]) -> None:
        self._job = job
        self._show = show
        self._last = -math.inf
        self._pace: list[tuple[float, float]] = []
        self.prepared: Prepared | None = None

    def prepare(self, prepared: Prepared) -> None:
        """Remember which images it is."""
        self.prepared = prepared

    def mistakes(self, history: History) -> list[Mistake]:
        """Return the worst mistakes of the last validation."""
        judged, prepared = _judged(history), self.prepared
        if judged is None or prepared is None:
            return []
        return [
            Mistake(
                prepared.validation[row],
                prepared.classes[truth],
                prepared.classes[predicted],
                probability,
            )
            for row, truth, predicted, probability in judged.worst
            if row < len(prepared.validation)
        ]

    def on_begin(self, trainer: Trainer) -> None:
        self._publish(trainer)

    def on_step(self, trainer: Trainer) -> None:
        if time.monotonic() - self._last >= _BETWEEN:
            self._publish(trainer)

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        self._publish(trainer)

    def _publish(self, trainer: Trainer) -> None:
        self._last = time.monotonic()
        history = trainer.history
        view = view_of(
            history, self._job.plan.epochs, trainer.classes, self.mistakes(history)
        )
        view.done = max(view.done, trainer.epochs_done)
        if math.isfinite(trainer.rate):
            view.rate = trainer.rate
        view.speed = self._speed(trainer, view.speed)
        view.seconds_left = trainer.seconds_left
        self._show(view)

    def _speed(self, trainer: Trainer, before: float) -> float:
        now = trainer.seconds
        seen = trainer.epochs_done * len(trainer.learning_images)
        self._pace.append((now, seen))
        while len(self._pace) > 2 and now - self._pace[1][0] >= _SECONDS_SEEN:
            del self._pace[0]
        seconds = now - self._pace[0][0]
        n_images = seen - self._pace[0][1]
        return n_images / seconds if seconds > 0.5 and n_images else before


def run(job: Job, state: TaskState) -> Outcome:
    """Train, and keep what came of it."""
    begun = time.monotonic()
    publisher = _Publisher(job, lambda view: _publish(state, view))
    clean(keep=job.key)
    training = train_on_table(
        job.data,
        job.plan,
        validation=job.validation,
        start=job.given,
        column=job.column,
        title=job.title,
        callbacks=(job.pause, job.stop, publisher),
        checkpoint=checkpoint_of(job.key),
        prepared=publisher.prepare,
        progress=_progress(state),
    )
    history: History = training.history
    mistakes = publisher.mistakes(history)
    view = view_of(history, job.plan.epochs, training.network.classes, mistakes)
    measured = [epoch.images_per_second for epoch in history.epochs]
    values = training.model.domain.class_var.values
    result = Result(
        training.network,
        history,
        training.left_out,
        training.notes,
        [(m.source, m.truth, m.predicted, m.probability) for m in mistakes],
        dict(zip(values, training.model.shares or (), strict=False)),
    )
    problem = ""
    try:
        keep_result(job.key, result, is_whole=not job.is_stopped)
    except WeightsError as ex:
        problem = str(ex)
    return Outcome(
        job.key,
        training.network,
        training.model,
        training.log,
        view,
        len(job.data),
        training.left_out,
        training.notes,
        history.stopped,
        time.monotonic() - begun,
        float(np.median(measured)) if measured else math.nan,
        problem,
    )


def restore(
    key: str,
    images: LabelledImages,
    n_images: int,
    plan: Plan,
    title: str,
    state: TaskState,
) -> Restored:
    """Read what came of a training some time ago."""
    result = load_result(key)
    network = titled(result.network, title)
    mistakes = [Mistake(*mistake) for mistake in result.mistakes]
    history = result.history
    return Restored(
        key,
        network,
        ImageNetworkModel(
            network,
            images.class_var,
            images.column,
            shares=[result.shares.get(v, 0.0) for v in images.class_var.values],
        ),
        training_log(history),
        view_of(history, plan.epochs, network.classes, mistakes),
        n_images,
        result.left_out,
        result.notes,
        history.stopped,
    )


def titled(network: ImageNetwork, title: str) -> ImageNetwork:
    """Return a network under another name; "": as it is called."""
    if title in ("", network.title):
        return network
    card = replace(network.card, title=title)
    other = ImageNetwork(card, network.tensors, network.stored)
    # titles do not count for it, and of large networks it takes a second
    other.__dict__["sha256"] = network.sha256
    return other


def renamed(outcome: Outcome, title: str) -> None:
    """Give what goes out another name."""
    network = titled(outcome.network, title)
    if network is not outcome.network:
        outcome.network = network
        model = outcome.model
        outcome.model = ImageNetworkModel(
            network, model.domain.class_var, model.column, shares=model.shares
        )


def main_reasons(left_out: Sequence[tuple[int, str]]) -> str:
    """Return the commonest reasons, with how often each."""
    reasons = Counter(why.rstrip(".") for _, why in left_out)
    texts = [f"{why} ({count:,} ×)" for why, count in reasons.most_common(2)]
    if len(reasons) > 2:
        texts.append("…")
    return "; ".join(texts)


def _progress(state: TaskState) -> Progress:
    report = progress_of(state)

    def progress(fraction: float, status: str = "") -> None:
        try:
            report(fraction, status)
        except RuntimeError as ex:  # the widget, and with it Qt's half, is gone
            raise TaskCancelled("The widget was removed") from ex

    return progress


def _publish(state: TaskState, view: View) -> None:
    if state.is_interruption_requested():
        return
    try:
        state.set_partial_result(view)
    except RuntimeError:  # as above; the next call of progress ends the training
        pass
