"""A training's history as a table."""

from __future__ import annotations

import numpy as np

from orangecontrib.imagemining.tables.training import training_log
from orangecontrib.imagemining.training.history import Epoch, History


def test_a_row_an_epoch() -> None:
    history = History(
        [
            Epoch(1, 2.5, 100.0, 0.01, 1.5, 0.25, 1.25, 0.5),
            Epoch(1.5, 1.25, 80.0, 0.005, 1.0, 0.75),
        ]
    )
    log = training_log(history)
    assert log.name == "training log"
    assert [variable.name for variable in log.domain.attributes] == [
        "epoch",
        "learning rate",
        "loss",
        "accuracy",
        "validation loss",
        "validation accuracy",
        "images/s",
        "seconds",
    ]
    expected = [
        [1, 0.01, 1.5, 0.25, 1.25, 0.5, 100, 2.5],
        [1.5, 0.005, 1, 0.75, np.nan, np.nan, 80, 1.25],
    ]
    assert np.array_equal(log.X, expected, equal_nan=True)


def test_nothing_yet() -> None:
    log = training_log(History(), "nothing")
    assert log.X.shape == (0, 8)
    assert log.name == "nothing"
