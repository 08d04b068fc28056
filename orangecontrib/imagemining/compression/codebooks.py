"""Few values that stand for many: k-means of numbers on a line.

On a line each cluster is an interval, so numbers are sorted once, and each round of
Lloyd's algorithm is a search for the intervals' ends and differences of running sums.
More than a million numbers are counted in 65,536 bins of equal width instead, each with
the exact mean of what is in it: no bin is then divided between clusters, and little
memory is needed. Numbers are assigned to the codebook one by one in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codebook", "codebook_of", "thrifty_codebook_of"]

_SORTED = 2**20  # so many numbers are sorted, more are counted in bins
_BINS = 2**16
_CHUNK = 2**18
_ROUNDS = 300
_THRIFTY_ROUNDS = 60

_Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Values, and where the numbers of one end and those of the next begin.

    Attributes
    ----------
    values : (k,) float32, ascending, no two alike.
    borders : (k − 1,) float64, ascending: a number from border i on is of value i + 1
        or a later one.
    """

    values: NDArray[np.float32]
    borders: _Numbers

    def codes(self, numbers: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return which value each number gets, of the numbers' shape, uint8."""
        flat = numbers.reshape(-1)
        codes = np.empty(len(flat), np.uint8)
        # float32 borders, which are searched fast, that divide float32 numbers alike
        borders = self.borders.astype(np.float32)
        low = borders < self.borders
        borders[low] = np.nextafter(borders[low], np.float32(np.inf))
        for start in range(0, len(flat), _CHUNK):
            part = slice(start, start + _CHUNK)
            codes[part] = np.searchsorted(borders, flat[part], "right")
        return codes.reshape(numbers.shape)


@dataclass(frozen=True, eq=False)
class _Points:
    """Places on a line, ascending; how many numbers are before each, and their sum."""

    at: _Numbers
    counts: NDArray[np.int64]
    sums: _Numbers

    def shares(self, borders: _Numbers) -> tuple[NDArray[np.int64], _Numbers]:
        """Return how many numbers are between borders, and their sums."""
        inner = np.searchsorted(self.at, borders)
        edges = np.concatenate([[0], inner, [len(self.at)]])
        return np.diff(self.counts[edges]), np.diff(self.sums[edges])


def codebook_of(
    numbers: NDArray[np.float32], k: int, start: str = "linear", seed: int = 0
) -> Codebook:
    """Return at most k values near which the numbers are, by k-means.

    Clusters that nothing belongs to are left out; numbers of at most k kinds are their
    own codebook.

    Parameters
    ----------
    numbers
        Any shape, float32, finite, at least one.
    k
        1–256.
    start
        Where the values begin (Han et al. 2016, section 3.2). "linear": at equal
        distances from the least to the largest number; "density": at equal shares of
        the numbers; "random": at some of the numbers.
    seed
        For "random".
    """
    points, kinds = _points(numbers.reshape(-1), k)
    if kinds is not None:
        return _nearest(kinds)
    values = _start(points, k, start, seed)
    before: NDArray[np.int64] | None = None
    for _ in range(_ROUNDS):
        counts, sums = points.shares(_middles(values))
        values = np.where(counts > 0, sums / np.maximum(counts, 1), values)
        if before is not None and np.array_equal(before, counts):
            break
        before = counts
    counts, _ = points.shares(_middles(values))
    return _nearest(values[counts > 0])


def thrifty_codebook_of(
    numbers: NDArray[np.float32], k: int, price: float, zeros: int = 0
) -> Codebook:
    """Return at most k values, 0 among them, that cost few bits for their distances.

    A number goes to the value of which squared distance and bits, by how often it
    comes, cost least together (entropy-constrained quantisation: Chou, Lookabaugh and
    Gray 1989), which the coder behind makes a smaller file of. It begins with values at
    equal distances; those that do not pay are left out. Many small numbers become 0.

    Parameters
    ----------
    numbers
        Any shape, float32, finite, at least one.
    k
        2–256.
    price
        Of a bit, as squared distance; above 0.
    zeros
        So many more numbers are 0.
    """
    points, _ = _points(numbers.reshape(-1), 0)
    values = _start(points, k, "linear", 0)
    borders = _middles(values)
    for _ in range(_THRIFTY_ROUNDS):
        counts, sums = points.shares(borders)
        at_zero = np.searchsorted(borders, 0.0, "right")
        counts[at_zero] += zeros
        there = counts > 0
        there[at_zero] = True
        counts = np.maximum(counts, 1)
        before = values
        values = sums / counts
        values[at_zero] = 0.0
        values, counts = values[there], counts[there]
        values, borders = _envelope(values, price * np.log2(counts.sum() / counts))
        if len(values) == len(before):
            if np.abs(values - before).max() <= 1e-6 * np.abs(values).max():
                break
    if not (values == 0).any():
        values[np.abs(values).argmin()] = 0.0
    return Codebook(values.astype(np.float32), borders)


def _points(numbers: NDArray[np.float32], k: int) -> tuple[_Points, _Numbers | None]:
    """Return the points, and the kinds of numbers where there are at most k."""
    if len(numbers) <= _SORTED:
        at = np.sort(numbers)
        first = np.flatnonzero(np.concatenate([[True], at[1:] > at[:-1]]))
        kinds = at[first].astype(np.float64) if len(first) <= k else None
        counts = np.arange(len(at) + 1)
        sums = np.concatenate([[0.0], np.cumsum(at, dtype=np.float64)])
        return _Points(at.astype(np.float64), counts, sums), kinds
    kinds = None
    if len(np.unique(numbers[:_BINS])) <= k:
        every = np.unique(numbers)
        kinds = every.astype(np.float64) if len(every) <= k else None
    low, high = float(numbers.min()), float(numbers.max())
    width = (high - low) / _BINS or 1.0
    n, sum_ = np.zeros(_BINS, np.int64), np.zeros(_BINS)
    for start in range(0, len(numbers), _CHUNK):
        part = numbers[start : start + _CHUNK].astype(np.float64)
        bins = np.minimum((part - low) / width, _BINS - 1).astype(np.intp)
        n += np.bincount(bins, minlength=_BINS)
        sum_ += np.bincount(bins, part, _BINS)
    n, sum_ = n[n > 0], sum_[n > 0]
    counts = np.concatenate([[0], np.cumsum(n)])
    return _Points(sum_ / n, counts, np.concatenate([[0.0], np.cumsum(sum_)])), kinds


def _start(points: _Points, k: int, start: str, seed: int) -> _Numbers:
    n = int(points.counts[-1])
    if start == "linear":
        return np.unique(np.linspace(points.at[0], points.at[-1], k))
    ranks: NDArray[Any]
    if start == "density":
        ranks = (np.arange(k) + 0.5) * n / k
    else:
        ranks = np.random.default_rng(seed).choice(n, min(k, n), replace=False)
    places = np.searchsorted(points.counts, ranks, "right") - 1
    return np.unique(points.at[places])


def _middles(values: _Numbers) -> _Numbers:
    return (values[1:] + values[:-1]) / 2


def _nearest(values: _Numbers) -> Codebook:
    rounded = np.unique(values.astype(np.float32))
    return Codebook(rounded, _middles(rounded.astype(np.float64)))


def _envelope(values: _Numbers, costs: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Return the values that are best of all somewhere, and where each begins to be.

    Squared distances to two values differ by a straight line, so those that are best
    somewhere are the corners of a lower envelope, found from left to right.
    """
    kept: list[int] = []
    begins: list[float] = []
    for i in range(len(values)):
        begin = -np.inf
        while kept:
            j = kept[-1]
            rise = values[i] ** 2 + costs[i] - values[j] ** 2 - costs[j]
            begin = rise / (2 * (values[i] - values[j]))
            if begin > begins[-1]:
                break
            kept.pop()
            begins.pop()
            begin = -np.inf
        kept.append(i)
        begins.append(float(begin))
    return values[kept], np.array(begins[1:])
