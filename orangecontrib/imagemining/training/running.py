"""Where a training is: clock, counters, sums. Standard library only."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from orangecontrib.imagemining.training.history import MAX_STEPS, History, Step

__all__ = ["Clock", "Position", "duration"]


class Clock:
    """Counts the seconds of a training, over all interruptions, without pauses.

    Parameters
    ----------
    seconds
        What it has taken before.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """What it has taken so far."""
        return self._before + (time.perf_counter() - self._begun)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time within."""
        self._before = self.seconds
        try:
            yield
        finally:
            self._begun = time.perf_counter()


@dataclass
class Position:
    """Where a training is, to the step; what of it decides how it goes on.

    Attributes
    ----------
    epoch : number of the epoch that runs, from 0.
    batch : how many of its batches are done.
    n_batches : how many it has.
    step : how often the weights have changed.
    loss, rate : of the last step.
    n_parts : in how many a batch goes through.
    finished : why no more is to be trained; "" if there is.
    loss_sum, right, images, seconds : of the epoch so far.
    point_loss, point_images, point_steps : of the curve's next point so far.
    stride : steps between two points of the curve.
    """

    epoch: int = 0
    batch: int = 0
    n_batches: int = 1
    step: int = 0
    loss: float = math.nan
    rate: float = math.nan
    n_parts: int = 1
    finished: str = ""
    loss_sum: float = 0.0
    right: int = 0
    images: int = 0
    seconds: float = 0.0
    point_loss: float = 0.0
    point_images: int = 0
    point_steps: int = 0
    stride: int = 1

    @property
    def epochs_done(self) -> float:
        """Number of epochs, with a fraction."""
        return self.epoch + self.batch / self.n_batches

    @property
    def is_epoch_over(self) -> bool:
        """Whether all batches of the epoch are done."""
        return self.batch == self.n_batches

    def count(
        self, loss_sum: float, right: int, n_images: int, arrived: int, history: History
    ) -> None:
        """Note a step.

        Parameters
        ----------
        loss_sum, right, n_images
            Sum of the loss over the images, how many were read right, and of how many.
        arrived
            How many batches of the epoch are done now.
        history
            Whose curve gets a point, when it is time.
        """
        self.step += 1
        self.batch = arrived
        self.loss = loss_sum / n_images
        self.loss_sum += loss_sum
        self.right += right
        self.images += n_images
        self.point_loss += loss_sum
        self.point_images += n_images
        self.point_steps += 1
        if self.point_steps >= self.stride:
            self._add_point(history.steps)

    def _add_point(self, steps: list[Step]) -> None:
        loss = self.point_loss / self.point_images
        steps.append(Step(self.epochs_done, loss, self.rate))
        self.point_loss, self.point_images, self.point_steps = 0.0, 0, 0
        if len(steps) >= MAX_STEPS:
            # half as many points, each the mean of two
            pairs = zip(steps[::2], steps[1::2], strict=True)
            steps[:] = [
                Step(b.epoch, (a.loss + b.loss) / 2, b.learning_rate) for a, b in pairs
            ]
            self.stride *= 2

    def begin_epoch(self) -> None:
        """Go on to the next epoch, or begin the broken one's count anew."""
        if self.is_epoch_over:
            self.epoch += 1
        self.batch = 0
        self.loss_sum, self.right, self.images, self.seconds = 0.0, 0, 0, 0.0

    @property
    def images_per_second(self) -> float:
        """Of the epoch so far."""
        return self.images / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return {**asdict(self), "epochs_done": self.epochs_done}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Position:
        """Make one of what `to_json` returned."""
        return cls(**{k: v for k, v in content.items() if k != "epochs_done"})


def duration(seconds: float) -> str:
    """Return a time in words: "40 s", "12 min", "1.5 h"."""
    if math.isnan(seconds):
        return "some time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
