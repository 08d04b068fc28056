"""Losses, by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from orangecontrib.imagemining.training.task import Classification, class_weights

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])
LABELS = torch.tensor([0, 2])


def by_hand(smoothing, weights):
    p = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(1, keepdims=True)
    losses = []
    for row, label in enumerate(LABELS.tolist()):
        truth = np.full(3, smoothing / 3)
        truth[label] += 1 - smoothing
        losses.append(-(truth * np.log(p[row])).sum() * weights[label])
    return np.mean(losses)


class Fixed(nn.Module):
    """Gives the same logits for any images; others from an auxiliary classifier."""

    def forward(self, x):
        return LOGITS

    def forward_training(self, x):
        return [LOGITS, LOGITS.flip(1)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 3.0]])
def test_loss(smoothing, weights):
    result = Classification(weights, smoothing)(Fixed(), torch.zeros(2), LABELS)
    expected = by_hand(smoothing, weights or [1, 1, 1])
    assert result["loss"].item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(result["logits"], LOGITS)


def test_loss_is_exact_whatever_the_network_computes_in():
    loss = Classification().loss(LOGITS.bfloat16(), LABELS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(0, [1, 1, 1]), rel=1e-6)


def test_auxiliary_loss():
    plain = Classification()
    with_it = Classification(auxiliary=0.3)(Fixed(), torch.zeros(2), LABELS)
    expected = plain.loss(LOGITS, LABELS) + 0.3 * plain.loss(LOGITS.flip(1), LABELS)
    assert with_it["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_halves_make_a_whole():
    """What accumulation relies on; torch's own weighted mean would not do."""
    task = Classification([0.5, 1.0, 4.0])
    whole = task.loss(LOGITS, LABELS)
    halves = [task.loss(LOGITS[i : i + 1], LABELS[i : i + 1]) for i in range(2)]
    assert sum(halves).item() / 2 == pytest.approx(whole.item(), rel=1e-6)


def test_class_weights():
    weights = class_weights(np.array([6, 3, 0, 1]))
    assert weights == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert np.dot(weights, [6, 3, 0, 1]) / 10 == pytest.approx(1)
