"""Ranges of what goes through a network, and the whole numbers that stand for them.

8 bits tell 256 values apart, as far apart from the smallest to the largest, 0 among
them. Few large numbers make all steps large; so it may pay to cut them off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.exceptions import UnknownNameError

__all__ = ["LEVELS", "METHODS", "Scale", "Seen", "scale_for"]

#: Ways to make a range of what was seen, in words.
METHODS = {
    "minmax": "from the smallest to the largest",
    "percentile": "all but the most extreme 0.001 %",
    "entropy": "what loses least information",
}

#: Whole numbers are 0 to this one.
LEVELS = 255

_BINS = 2048
_COUNTED = 2**16  # numbers of a batch that are looked at
_SHARE = 0.99999  # of the numbers that a range by percentiles holds
_WIDTHS = 64  # ranges that are tried for entropy


@dataclass(frozen=True)
class Scale:
    """What whole numbers stand for: step × (number − zero).

    Attributes
    ----------
    step : distance of two neighbours.
    zero : the number that stands for 0.
    """

    step: float
    zero: int

    @property
    def low(self) -> float:
        """The smallest number there is."""
        return -self.step * self.zero

    @property
    def high(self) -> float:
        """The largest number there is."""
        return self.step * (LEVELS - self.zero)


def scale_for(low: float, high: float) -> Scale:
    """Return the scale that holds a range, and 0, which it tells exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = float(np.float32((high - low) / LEVELS))
    if not np.isfinite(step) or step < np.finfo(np.float32).tiny:
        return Scale(1.0, 0)  # nothing but 0 was seen
    return Scale(step, round(min(max(-low / step, 0), LEVELS)))


class Seen:
    """What has come by at a place: first its ends, then how numbers spread.

    Attributes
    ----------
    low, high : the smallest and the largest so far.
    counts : (2048,) of numbers between these, once `spread` was called.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts: NDArray[np.float64] = np.zeros(_BINS)

    def stretch(self, x: Tensor) -> None:
        """Look at some numbers' ends; all images come by before `spread`."""
        low, high = x.detach().aminmax()
        self.low = min(self.low, float(low))
        self.high = max(self.high, float(high))

    def spread(self, x: Tensor) -> None:
        """Count the same numbers."""
        if self.high > self.low:
            # of many numbers some tell how all are spread
            x = x.detach().float().flatten()
            x = x[:: max(x.numel() // _COUNTED, 1)]
            self.counts += x.histc(_BINS, self.low, self.high).double().numpy()

    def scale(self, method: str) -> Scale:
        """Return the scale of all that was seen.

        Parameters
        ----------
        method
            One of `METHODS`.

        Raises
        ------
        UnknownNameError
            If there is no such method.
        """
        if method not in METHODS:
            raise UnknownNameError(
                f"Ranges are made by {', '.join(METHODS)}, not by '{method}'"
            )
        if method == "minmax" or not self.counts.any():
            return scale_for(self.low, self.high)
        edges = np.linspace(self.low, self.high, _BINS + 1)
        if method == "percentile":
            return scale_for(*_percentiles(self.counts, edges))
        return scale_for(*_least_lost(self.counts, edges))


def _percentiles(
    counts: NDArray[np.float64], edges: NDArray[np.float64]
) -> tuple[float, float]:
    # on a side where nothing but 0 ends there is nothing to cut off
    cut = 1 - _SHARE
    below = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    low, high = np.interp([cut, 1 - cut], below, edges)
    return float(low), float(high)


def _least_lost(
    counts: NDArray[np.float64], edges: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the range whose rounded numbers tell most of the distribution.

    Of ranges that are cut at some size, it is the one where the distribution differs
    least from what its whole numbers tell of it, by relative entropy.
    """
    furthest = max(-edges[0], edges[-1], 0.0)
    # 0 is told exactly, and there is no end of it behind ReLUs
    counts = np.where((edges[:-1] <= 0) & (edges[1:] > 0), 0.0, counts)
    middles = (edges[1:] + edges[:-1]) / 2
    best, least = (float(edges[0]), float(edges[-1])), np.inf
    for part in range(_WIDTHS // 8, _WIDTHS + 1):
        size = furthest * part / _WIDTHS
        low, high = max(edges[0], -size), min(edges[-1], size)
        scale = scale_for(low, high)
        levels = np.clip(np.rint(middles / scale.step) + scale.zero, 0, LEVELS)
        inside = (middles >= low) & (middles <= high)
        # what is cut off goes to the ends
        truth = np.where(inside, counts, 0.0)
        places = np.flatnonzero(inside)
        if not len(places):
            continue
        truth[places[0]] += counts[: places[0]].sum()
        truth[places[-1]] += counts[places[-1] + 1 :].sum()
        # a level tells the mean of what was seen within it
        level = levels[inside].astype(int)
        seen = counts[inside] > 0
        sums = np.bincount(level, counts[inside], LEVELS + 1)
        n_seen = np.bincount(level, seen, LEVELS + 1)
        told = np.where(seen, sums[level] / np.maximum(n_seen[level], 1), 0.0)
        lost = _divergence(truth[inside], told)
        if lost < least:
            best, least = (float(low), float(high)), lost
    return best


def _divergence(truth: NDArray[np.float64], told: NDArray[np.float64]) -> float:
    p, q = truth / max(truth.sum(), 1e-300), told / max(told.sum(), 1e-300)
    there = p > 0
    # what is there and not told would be lost without end
    return float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-9))).sum())
