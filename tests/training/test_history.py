"""What a training saw, to JSON and back."""

from __future__ import annotations

import json
import math

import numpy as np
from small_trainings import RESNET, curve, train

from orangecontrib.imagemining.training.history import Epoch, History, Mistake


def test_there_and_back():
    history = train(RESNET).history
    history.stopped = "Enough"
    again = History.from_json(json.loads(json.dumps(history.to_json())))
    assert curve(again) == curve(history)
    assert (again.events, again.stopped, again.best) == (
        history.events,
        "Enough",
        history.best,
    )
    for one, other in zip(again.epochs, history.epochs, strict=True):
        assert one.worst == other.worst
        assert np.array_equal(one.confusion, other.confusion)
        assert (one.seconds, one.images_per_second) == (
            other.seconds,
            other.images_per_second,
        )


def test_without_validation():
    epoch = Epoch(1, 2.0, 50.0, 0.1, 0.7, 0.6)
    content = json.loads(json.dumps(epoch.to_json(), allow_nan=False))
    again = Epoch.from_json(content)
    assert not again.is_validated
    assert math.isnan(again.validation_loss)
    assert again.confusion is None
    assert again.merit == (0.6, -0.7)


def test_merit_is_of_the_validation():
    epoch = Epoch(1, 2.0, 50.0, 0.1, 0.7, 0.6, 0.3, 0.9, None, [Mistake(3, 0, 1, 0.1)])
    assert epoch.merit == (0.9, -0.3)
    assert Epoch.from_json(epoch.to_json()).worst == [Mistake(3, 0, 1, 0.1)]


def test_things_are_told_once():
    history = History()
    history.tell(0.5, "It rains")
    history.tell(0.7, "It rains", "warning")
    history.tell(0.9, "It pours")
    assert [(e.epoch, e.kind) for e in history.events] == [(0.5, "note"), (0.9, "note")]
