"""Judging logits, by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orangecontrib.imagemining.training.evaluation import in_given, judged
from orangecontrib.imagemining.training.history import Mistake


def logits(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log().float()


def test_judged():
    labels = np.array([9, 0, 1, 9, 2, 0])  # of all; rows 1, 2, 4 and 5 are looked at
    rows = np.array([1, 2, 4, 5])
    found = judged(
        logits([0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.6, 0.3], [0.1, 0.8, 0.1]),
        labels,
        rows,
        3,
    )
    assert found.accuracy == 0.25
    expected = -np.log([0.7, 0.4, 0.3, 0.1]).mean()
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert found.confusion.tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert [(m.row, m.truth, m.predicted) for m in found.worst] == [
        (5, 0, 1),
        (4, 2, 1),
        (2, 1, 0),
    ]
    assert [m.probability for m in found.worst] == pytest.approx([0.1, 0.3, 0.4])
    moved = in_given(found.worst, np.arange(10, 20))
    assert [m.row for m in moved] == [15, 14, 12]
    assert in_given(found.worst, None) == found.worst


def test_only_the_worst_are_kept():
    shares = np.linspace(0.01, 0.4, 30)
    found = judged(
        logits(*[[share, 1 - share] for share in shares[::-1]]),
        np.zeros(30, int),
        np.arange(30),
        2,
    )
    assert len(found.worst) == 12
    assert [m.row for m in found.worst] == list(range(29, 17, -1))


def test_numbers_that_are_none():
    """A network that came apart is judged all the same."""
    found = judged(torch.full((2, 2), torch.nan), np.array([0, 1]), np.arange(2), 2)
    assert np.isnan(found.loss)
    assert all(mistake.probability == 0 for mistake in found.worst)
    assert isinstance(found.worst[0], Mistake)
