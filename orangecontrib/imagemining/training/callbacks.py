"""What happens beside the loop: stopping early, pausing, averaging, looking after it.

A callback is told when a training begins, after each step (a change of the weights),
after each epoch and at the end. It may read all of the trainer, call `Trainer.stop`
and `Trainer.history.tell`; what it raises ends the training.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orangecontrib.imagemining.training.history import Epoch
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.schedules import stalled

if TYPE_CHECKING:
    from orangecontrib.imagemining.training.trainer import Trainer

__all__ = [
    "Averaging",
    "Callback",
    "Checkpoint",
    "DivergenceGuard",
    "EarlyStopping",
    "Pause",
    "StopOnRequest",
    "TimeBudget",
    "with_those_of",
]


class Callback:
    """Told what happens; does nothing by itself."""

    def on_begin(self, trainer: Trainer) -> None:
        """The network is ready; nothing has been trained, or it is to be continued."""

    def on_step(self, trainer: Trainer) -> None:
        """The weights have changed; `trainer.loss` is that of the step."""

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        """An epoch is over and validated; it is the last in `trainer.history`."""

    def on_end(self, trainer: Trainer) -> None:
        """No more steps follow, whatever the reason; errors excepted."""


class EarlyStopping(Callback):
    """End when the validation has not become better for some epochs.

    Parameters
    ----------
    patience
        How many.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        merits = [each.merit for each in trainer.history.epochs]
        if stalled(merits) >= self.patience:
            trainer.stop(
                f"It has not become better for {self.patience} epochs", finished=True
            )


class TimeBudget(Callback):
    """End when the time is up; pauses do not count, interruptions neither.

    Parameters
    ----------
    minutes
        How long it may take.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes

    def on_step(self, trainer: Trainer) -> None:
        if trainer.seconds >= 60 * self.minutes:
            trainer.stop(f"The {self.minutes:g} minutes are over", finished=True)


class DivergenceGuard(Callback):
    """End when the loss is no number any more, or far above what it began with.

    Parameters
    ----------
    times
        A loss that is as many times that of guessing is not on its way down again, if
        it stays there over `steps` steps.
    steps
        How many.
    """

    def __init__(self, times: float = 20.0, steps: int = 10) -> None:
        self.times = times
        self.steps = steps
        self._above = 0

    def on_step(self, trainer: Trainer) -> None:
        limit = self.times * math.log(max(len(trainer.classes), 2))
        self._above = self._above + 1 if trainer.loss > limit else 0
        if not math.isfinite(trainer.loss):
            what = "the loss is no number any more"
        elif self._above >= self.steps:
            what = f"the loss is {trainer.loss:.3g}, and stays far above guessing"
        else:
            return
        trainer.diverged(
            f"The training came apart in epoch {math.ceil(trainer.epochs_done)}:"
            f" {what}. A smaller learning rate helps, or gradients clipped; it was"
            f" {trainer.rate:.3g}"
        )


class Averaging(Callback):
    """Keep running averages of the network's numbers, to be evaluated and kept.

    Means and variances of batch normalisation are averaged as well; counters are taken
    as they are. After t steps the decay is (1 + t) / (10 + t) at most.

    Parameters
    ----------
    decay
        A step.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def on_begin(self, trainer: Trainer) -> None:
        if trainer.averages is None:
            trainer.averages = trainer.copied_state()

    def on_step(self, trainer: Trainer) -> None:
        assert trainer.averages is not None
        step = trainer.position.step
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in trainer.state().items():
            average = trainer.averages[name]
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)


class Checkpoint(Callback):
    """Write all that is needed to continue, so that a crash costs little.

    At the ends of epochs, and between them when some time has gone; never more often
    than that writing takes a twentieth of the time. Once more when the training stops,
    at exactly that step, and at the end. A disk that is full is told, and the training
    goes on.

    Parameters
    ----------
    seconds
        How long, at least, between two writings within an epoch.
    share
        Of the time that writing may take.
    """

    def __init__(self, seconds: float = 60.0, share: float = 0.05) -> None:
        self.seconds = seconds
        self.share = share
        self._last = 0.0
        self._took = 0.0

    def on_begin(self, trainer: Trainer) -> None:
        self._last = trainer.seconds
        self._took = 0.0

    def on_step(self, trainer: Trainer) -> None:
        if trainer.stopping or self._since(trainer) >= self.seconds:
            self._write(trainer, at_once=trainer.stopping)

    def on_epoch(self, trainer: Trainer, epoch: Epoch) -> None:
        self._write(trainer, at_once=trainer.stopping)

    def on_end(self, trainer: Trainer) -> None:
        if trainer.position.epoch == trainer.plan.epochs:
            self._write(trainer, at_once=True)

    def _since(self, trainer: Trainer) -> float:
        return trainer.seconds - self._last

    def _write(self, trainer: Trainer, at_once: bool) -> None:
        if at_once or self._since(trainer) * self.share >= self._took:
            begun = trainer.seconds
            trainer.write_checkpoint()
            self._last = trainer.seconds
            self._took = self._last - begun


class StopOnRequest(Callback):
    """End when asked to, and keep the best; from another thread, at any time."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def stop(self) -> None:
        """Ask for the end; returns at once."""
        self._asked.set()

    def on_step(self, trainer: Trainer) -> None:
        if self._asked.is_set():
            trainer.stop("Stopped as asked")


class Pause(Callback):
    """Wait, when asked to, until asked to go on; from another thread, at any time.

    The time does not count. A checkpoint is written first, if there is to be one.
    """

    def __init__(self) -> None:
        self._may_go = threading.Event()
        self._may_go.set()

    @property
    def is_paused(self) -> bool:
        """Whether it has been asked to wait."""
        return not self._may_go.is_set()

    def pause(self) -> None:
        """Ask to wait; returns at once."""
        self._may_go.clear()

    def resume(self) -> None:
        """Ask to go on."""
        self._may_go.set()

    def on_step(self, trainer: Trainer) -> None:
        if self.is_paused:
            trainer.write_checkpoint()
            with trainer.clock_stopped():
                while not self._may_go.wait(0.1):
                    trainer.report("Paused")
                    if trainer.stopping:
                        return


def with_those_of(
    plan: Plan, callbacks: Sequence[Callback], checkpoint: Path | None
) -> list[Callback]:
    """Return callbacks in the order of their calls, with those that a plan wants.

    Parameters
    ----------
    plan
        What it asks for comes first.
    callbacks
        Of the caller. A `DivergenceGuard` or `Checkpoint` among them takes the place of
        the one that would be there by itself.
    checkpoint
        Where to write, if at all. What writes comes last: it is to see what the others
        have decided.
    """
    listeners: list[Callback] = []
    if plan.recipe.averaging is not None:
        listeners.append(Averaging(plan.recipe.averaging))
    if not any(isinstance(each, DivergenceGuard) for each in callbacks):
        listeners.append(DivergenceGuard())
    if plan.patience:
        listeners.append(EarlyStopping(plan.patience))
    if plan.minutes is not None:
        listeners.append(TimeBudget(plan.minutes))
    writers = [each for each in callbacks if isinstance(each, Checkpoint)]
    listeners += [each for each in callbacks if not isinstance(each, Checkpoint)]
    if checkpoint is not None and not writers:
        writers.append(Checkpoint())
    return [*listeners, *writers]
