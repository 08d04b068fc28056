"""A training that runs: what callbacks see of it, and how it is continued."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.checkpoint import (
    State,
    grouped,
    like,
    load_optimizer,
    optimizer_tensors,
    read_state,
    write_state,
)
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Plan, plan_to_json
from orangecontrib.imagemining.training.running import Clock, Position, duration
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["Session"]


class Session:
    """What of a training changes while it runs.

    Attributes
    ----------
    plan, classes, start : see `trainer.Trainer`.
    checkpoint : file to write now and then, or None.
    network, optimizer : while it runs.
    history : what has been seen so far.
    position : where it is.
    averages : running averages of the network's numbers by name, or None.
    best : the network's numbers when it was best, or None.
    stopping : whether no more steps are to follow.
    learning_images, validation_images : what is learned from and judged by.
    """

    network: Network
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        plan: Plan,
        classes: Sequence[str],
        images: ImageSet,
        validation: ImageSet | None,
        start: ImageNetwork | None,
        checkpoint: Path | None,
    ) -> None:
        self.plan = plan
        self.classes = tuple(classes)
        self.start = start
        self.checkpoint = checkpoint
        self.history = History()
        self.position = Position()
        self.averages: dict[str, Tensor] | None = None
        self.stopping = False
        self.learning_images = images
        self.validation_images = validation
        self._progress: Progress = no_progress
        self._clock = Clock()
        self._reason = ""
        self._is_broken = False  # the numbers came apart
        self._is_cut_off = False  # an epoch was judged before its end
        self.best: dict[str, Tensor] | None = None
        self._identity: dict[str, Any] = {}
        self._cannot_write = False

    @property
    def loss(self) -> float:
        """Mean loss of the last step."""
        return self.position.loss

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return self.position.rate

    @property
    def seconds(self) -> float:
        """Time spent, over all interruptions, without pauses."""
        return self._clock.seconds

    @property
    def epochs_done(self) -> float:
        """Number of epochs, with a fraction."""
        return self.position.epochs_done

    @property
    def fraction(self) -> float:
        """Share of the run that is over, by steps or by time, whichever is ahead."""
        share = self.epochs_done / self.plan.epochs
        if self.plan.minutes is not None:
            share = max(share, self.seconds / (60 * self.plan.minutes))
        return min(share, 1.0)

    @property
    def seconds_left(self) -> float:
        """Time that it will still take, as far as can be told; NaN at first."""
        if self.fraction <= 0:
            return math.nan
        return self.seconds * (1 - self.fraction) / self.fraction

    def stop(self, reason: str, finished: bool = False) -> None:
        """Have no more steps follow; what is best so far is kept.

        Parameters
        ----------
        reason
            Why, for people.
        finished
            Whether a continued training is over as well, instead of going on.
        """
        if not self.stopping:
            self.stopping = True
            self._reason = reason
            self.position.finished = reason if finished else ""

    def diverged(self, reason: str) -> None:
        """Stop, and keep nothing of the numbers as they are now."""
        self.history.tell(self.epochs_done, reason, "warning")
        self.stop(reason)
        self._is_broken = True

    def report(self, status: str = "") -> None:
        """Tell `progress` how far it is.

        Raises
        ------
        TaskCancelled
            If the user asked to stop.
        """
        self._progress(self.fraction, status)

    def clock_stopped(self) -> AbstractContextManager[None]:
        """Return what time does not count within."""
        return self._clock.stopped()

    def state(self) -> dict[str, Tensor]:
        """Return the network's numbers by name, not copied."""
        return self.network.state_dict()

    def copied_state(self) -> dict[str, Tensor]:
        """Return a copy of the network's numbers by name."""
        return {name: value.clone() for name, value in self.state().items()}

    def write_checkpoint(self) -> None:
        """Write all that is needed to continue; nothing if no file is wanted.

        What prevents it is noted in the history once, and the training goes on. Once
        an epoch that was broken off has been judged it is too late: one that had never
        stopped would not have been.
        """
        path = self.checkpoint
        if path is None or self._is_broken or self._is_cut_off:
            return
        tensors = grouped(
            network=self.state(),
            optimizer=optimizer_tensors(self.optimizer),
            averages=self.averages,
            best=self.best,
        )
        state = State(
            self._identity, self.position, self.seconds, self.history, tensors
        )
        try:
            write_state(path, state)
        except OSError as ex:
            if not self._cannot_write:
                self.history.tell(
                    self.epochs_done,
                    f"{path.name} cannot be written to {path.parent}:"
                    f" {ex.strerror or ex}. The training goes on, but could not be"
                    " continued after a crash",
                    "warning",
                )
            self._cannot_write = True

    def note_identity(self) -> None:
        """Note what training this is, for files; looks at all images."""
        judged = self.validation_images
        self._identity = {
            "plan": plan_to_json(self.plan),
            "classes": list(self.classes),
            "images": self.learning_images.digest(),
            "validation": "" if judged is None else judged.digest(),
            "start": "" if self.start is None else self.start.sha256,
        }

    def continue_from(self, path: Path) -> None:
        """Take everything up from a file, network and optimizer being there.

        Raises
        ------
        TrainingError
            If it is damaged, or of another training.
        """
        state = read_state(path, self._identity)
        own = self.state()
        self.network.load_state_dict(state.group("network"))
        load_optimizer(self.optimizer, state.group("optimizer"))
        self.averages = like(own, state.group("averages"))
        self.best = like(own, state.group("best"))
        self.history = state.history
        self.position = state.position
        self._clock = Clock(state.seconds)
        if self.position.finished:
            self.stop(self.position.finished, finished=True)
        else:
            done = f"{self.epochs_done:.3g} of {self.plan.epochs} epochs"
            self.history.tell(self.epochs_done, f"Continued after {done}")

    @contextmanager
    def averages_in_place(self) -> Iterator[None]:
        """Have the network compute by its averages within, if there are any."""
        if self.averages is None:
            yield
            return
        own = self.copied_state()
        self.network.load_state_dict(self.averages)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    @property
    def merits(self) -> list[tuple[float, float]]:
        """Of the epochs so far; see `Epoch.merit`."""
        return [epoch.merit for epoch in self.history.epochs]

    @property
    def status(self) -> str:
        """How it goes, in a sentence."""
        number = math.ceil(self.epochs_done)
        return (
            f"Epoch {number} of {self.plan.epochs}: loss {self.loss:.3g},"
            f" {self.position.images_per_second:.3g} images/s,"
            f" {duration(self.seconds_left)} left"
        )
