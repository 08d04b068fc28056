"""How the learning rate goes: pure functions, so that nothing has to be remembered.

Each gives the share of the highest rate. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orangecontrib.imagemining.training.plan import Recipe

__all__ = [
    "exponential",
    "linear",
    "one_cycle",
    "plateau",
    "rate_factor",
    "stalled",
]

#: With which share of the highest rate a cycle begins.
_COLD = 1 / 25


def linear(progress: float) -> float:
    """Fall in a straight line to 0.

    Parameters
    ----------
    progress
        Share of the run that is over, 0–1.
    """
    return 1 - min(progress, 1.0)


def one_cycle(progress: float, warmup: float) -> float:
    """Rise in a straight line, then fall along half a cosine to 0.

    Parameters
    ----------
    progress
        Share of the run that is over, 0–1.
    warmup
        Share of the run in which it rises, from a twenty-fifth of the highest rate.
    """
    if progress < warmup:
        return _COLD + (1 - _COLD) * progress / warmup
    if warmup >= 1:
        return 1.0
    falling = (min(progress, 1.0) - warmup) / (1 - warmup)
    return (1 + math.cos(math.pi * falling)) / 2


def exponential(epochs: float, decay: float, every: float) -> float:
    """Fall by the same factor every so many epochs, in steps.

    Parameters
    ----------
    epochs
        Number of epochs that are over.
    decay
        The factor.
    every
        Epochs between two steps.
    """
    return float(decay ** math.floor(epochs / every))


def plateau(
    merits: Sequence[tuple[float, float]], stall: int, drops: int
) -> tuple[int, bool]:
    """Return how often the rate has dropped, and whether the training is over.

    It drops when no epoch has been better than the best for a while, counted anew
    after each drop; where it would drop once too often, the training is over.

    Parameters
    ----------
    merits
        Of the epochs so far; see `history.Epoch.merit`.
    stall
        How many epochs are a while.
    drops
        How often it may drop.
    """
    best = None
    dropped = waited = 0
    for merit in merits:
        if best is None or merit > best:
            best, waited = merit, 0
        else:
            waited += 1
        if waited == stall:
            if dropped == drops:
                return dropped, True
            dropped, waited = dropped + 1, 0
    return dropped, False


def stalled(merits: Sequence[tuple[float, float]]) -> int:
    """Return how many epochs have gone since the best one (the first, of equals)."""
    if not merits:
        return 0
    return len(merits) - 1 - merits.index(max(merits))


def rate_factor(
    recipe: Recipe,
    progress: float,
    epochs: float,
    merits: Sequence[tuple[float, float]] = (),
) -> float:
    """Return the share of the highest rate that a recipe's schedule has come to.

    Parameters
    ----------
    recipe
        Its schedule and what belongs to it.
    progress
        Share of the run that is over, 0–1.
    epochs
        Number of epochs that are over, with a fraction.
    merits
        Of the epochs so far, for "plateau".
    """
    if recipe.schedule == "linear":
        return linear(progress)
    if recipe.schedule == "one-cycle":
        return one_cycle(progress, recipe.warmup)
    if recipe.schedule == "exponential":
        return exponential(epochs, recipe.decay, recipe.every)
    if recipe.schedule == "plateau":
        dropped, _ = plateau(merits, recipe.stall, recipe.drops)
        return float(recipe.decay**dropped)
    return 1.0
