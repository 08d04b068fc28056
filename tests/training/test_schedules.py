"""How learning rates go, by value."""

from __future__ import annotations

import math

import pytest

from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.schedules import (
    exponential,
    linear,
    one_cycle,
    plateau,
    rate_factor,
    stalled,
)


def merits(*accuracies):
    return [(accuracy, 0.0) for accuracy in accuracies]


def test_linear():
    assert [linear(p) for p in (0, 0.25, 1, 1.2)] == [1, 0.75, 0, 0]


def test_exponential_goes_in_steps():
    """0.94 every two epochs (Inception-v3, section 8)."""
    values = [exponential(epoch, 0.94, 2) for epoch in (0, 1.99, 2, 3.5, 4)]
    assert values == pytest.approx([1, 1, 0.94, 0.94, 0.94**2])


def test_one_cycle():
    assert one_cycle(0, 0.2) == pytest.approx(1 / 25)
    assert one_cycle(0.1, 0.2) == pytest.approx((1 + 1 / 25) / 2)
    assert one_cycle(0.2, 0.2) == 1
    assert one_cycle(0.6, 0.2) == pytest.approx(0.5)
    assert one_cycle(0.4, 0.2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert one_cycle(1, 0.2) == pytest.approx(0)
    assert one_cycle(0, 0) == 1
    assert one_cycle(1, 1) == 1


def test_plateau_drops_three_times_then_ends():
    """VGG, section 3.1."""
    course = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    reached = [plateau(merits(*course[:n]), 2, 3) for n in range(len(course) + 1)]
    assert reached == [
        (0, False),
        (0, False),
        (0, False),
        (0, False),
        (1, False),
        (1, False),
        (1, False),
        (2, False),
        (2, False),
        (3, False),
        (3, False),
        (3, True),
    ]


def test_plateau_takes_equal_accuracy_with_less_loss_for_better():
    course = [(0.5, -1.0), (0.5, -0.9), (0.5, -0.8)]
    assert plateau(course, 1, 3) == (0, False)
    assert plateau(course[::-1], 1, 3) == (2, False)


def test_stalled():
    assert stalled([]) == 0
    assert stalled(merits(0.3, 0.5, 0.4)) == 1
    assert stalled(merits(0.5, 0.5, 0.5)) == 2


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", 1.0),
        ("linear", 0.5),
        ("plateau", 0.1),
        ("exponential", 0.1**2),
        ("one-cycle", (1 + math.cos(math.pi * 0.375)) / 2),
    ],
)
def test_of_a_recipe(schedule, expected):
    recipe = Recipe(schedule=schedule, decay=0.1, stall=2, every=2, warmup=0.2)
    factor = rate_factor(recipe, 0.5, 5.0, merits(0.5, 0.4, 0.4))
    assert factor == pytest.approx(expected)
