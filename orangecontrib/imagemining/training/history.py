"""What a training saw: a line an epoch, a thin curve of steps, and what happened.

Numpy and the standard library only, so that widgets can show it without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Epoch", "Event", "History", "Mistake", "Step"]

#: How many points the curve of steps has at most.
MAX_STEPS = 2000


class Step(NamedTuple):
    """A point of the curve within epochs.

    Attributes
    ----------
    epoch : how many epochs are done, with a fraction.
    loss : mean over the images since the point before.
    learning_rate : that was used last.
    """

    epoch: float
    loss: float
    learning_rate: float


class Mistake(NamedTuple):
    """An image that is read wrongly.

    Attributes
    ----------
    row : which one, counted in the validation images; where these were split off the
        images for training, in those, before the split.
    truth, predicted : numbers of classes.
    probability : what the network gives the truth, 0–1.
    """

    row: int
    truth: int
    predicted: int
    probability: float


class Event(NamedTuple):
    """Something to be told.

    Attributes
    ----------
    epoch : when: how many epochs were done, with a fraction.
    kind : "note", "warning" or "stopped".
    text : a sentence or two, for people.
    """

    epoch: float
    kind: str
    text: str


@dataclass(frozen=True, eq=False)
class Epoch:
    """What an epoch came to.

    Attributes
    ----------
    epoch : number of epochs done, with a fraction if it was broken off.
    seconds : what it took, validation included.
    images_per_second : images trained on, in the time of training alone.
    learning_rate : that was used last.
    loss, accuracy : means over the images as they were trained on: augmented, with
        dropout, while the weights changed.
    validation_loss, validation_accuracy : of the network as it was then (its running
        averages where the recipe has them); NaN without validation images. The loss is
        the plain cross-entropy, without smoothing and class weights.
    confusion : (k, k) numbers of validation images by truth (rows) and prediction, or
        None.
    worst : the validation images read wrongly, those with the least probability for
        the truth first, a dozen at most.
    """

    epoch: float
    seconds: float
    images_per_second: float
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    confusion: NDArray[np.int64] | None = None
    worst: list[Mistake] = field(default_factory=list)

    @property
    def is_validated(self) -> bool:
        """Whether there were images to validate with."""
        return not math.isnan(self.validation_accuracy)

    @property
    def merit(self) -> tuple[float, float]:
        """By which epochs are compared: the larger, the better.

        Accuracy, then loss, of the validation; without validation images those of the
        training.
        """
        if self.is_validated:
            return self.validation_accuracy, -self.validation_loss
        return self.accuracy, -self.loss

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in content.items():
            if isinstance(value, float) and not math.isfinite(value):
                content[name] = None  # JSON knows no NaN
        if self.confusion is not None:
            content["confusion"] = self.confusion.tolist()
        content["worst"] = [list(mistake) for mistake in self.worst]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Epoch:
        """Make one of what `to_json` returned."""
        known = dict(content)
        for name, value in known.items():
            if value is None and name != "confusion":
                known[name] = math.nan
        if known.get("confusion") is not None:
            known["confusion"] = np.array(known["confusion"], np.int64)
        known["worst"] = [Mistake(*mistake) for mistake in known.get("worst", ())]
        return cls(**known)


@dataclass
class History:
    """What a training saw, from its beginning, over all interruptions.

    Attributes
    ----------
    epochs : a line each.
    steps : a thin curve, `MAX_STEPS` points at most.
    events : what there was to be told.
    stopped : why it ended before its time, in words; "" if it did not.
    best : place in `epochs` of the one whose weights were kept; None for the last.
    """

    epochs: list[Epoch] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stopped: str = ""
    best: int | None = None

    def tell(self, epoch: float, text: str, kind: str = "note") -> None:
        """Add an event, unless it was told already."""
        if all(event.text != text for event in self.events):
            self.events.append(Event(epoch, kind, text))

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return {
            "epochs": [epoch.to_json() for epoch in self.epochs],
            "steps": [list(step) for step in self.steps],
            "events": [list(event) for event in self.events],
            "stopped": self.stopped,
            "best": self.best,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> History:
        """Make one of what `to_json` returned."""
        return cls(
            epochs=[Epoch.from_json(epoch) for epoch in content["epochs"]],
            steps=[Step(*step) for step in content["steps"]],
            events=[Event(*event) for event in content["events"]],
            stopped=content["stopped"],
            best=content["best"],
        )
