"""Codebooks, against all that could be chosen instead."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from orangecontrib.imagemining.compression import codebooks
from orangecontrib.imagemining.compression.codebooks import (
    codebook_of,
    thrifty_codebook_of,
)

NUMBERS = np.random.default_rng(3).laplace(size=(20, 50)).astype(np.float32)


def error(numbers, book):
    return float(((book.values[book.codes(numbers)] - numbers) ** 2).sum())


def best_error(numbers, k):
    """Return the least error of all ways to cut sorted numbers into k."""
    numbers = np.sort(numbers)
    return min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(numbers, cuts))
        for cuts in combinations(range(1, len(numbers)), k - 1)
    )


def lloyd(numbers, values):
    """Return what plain k-means ends with, one distance after another."""
    numbers = numbers.ravel().astype(np.float64)
    for _ in range(300):
        nearest = np.abs(numbers[:, None] - values).argmin(1)
        values = np.array(
            [
                numbers[nearest == i].mean() if (nearest == i).any() else value
                for i, value in enumerate(values)
            ]
        )
    return values[np.isin(np.arange(len(values)), nearest)]


def test_clear_clusters_are_found_as_by_trying_all():
    rng = np.random.default_rng(0)
    for _ in range(10):
        centres = np.array([-3.0, -1.0, 0.5, 2.0])
        numbers = (centres[rng.permutation(np.arange(16) % 4)]).astype(np.float32)
        numbers += rng.normal(0, 0.1, 16).astype(np.float32)
        book = codebook_of(numbers, 4)
        assert error(numbers, book) == pytest.approx(best_error(numbers, 4), rel=1e-4)


@pytest.mark.parametrize("k", [2, 7, 32])
def test_linear_start_ends_as_plain_k_means_does(k):
    first = np.linspace(NUMBERS.min(), NUMBERS.max(), k)
    book = codebook_of(NUMBERS, k)
    assert book.values == pytest.approx(lloyd(NUMBERS, first), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("start", ["linear", "density", "random"])
def test_each_number_gets_the_nearest_value(start):
    book = codebook_of(NUMBERS, 16, start)
    distances = np.abs(NUMBERS[..., None].astype(np.float64) - book.values)
    own = np.take_along_axis(distances, book.codes(NUMBERS)[..., None].astype(int), -1)
    assert (own[..., 0] == distances.min(-1)).all()
    assert (np.diff(book.values) > 0).all()


def test_starts_differ_and_a_seed_decides_the_random_one():
    linear, density, first, again, other = (
        codebook_of(NUMBERS, 16, *how).values
        for how in (
            ("linear",),
            ("density",),
            ("random", 1),
            ("random", 1),
            ("random", 2),
        )
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # values at equal distances reach further out (Han et al. 2016, section 3.2)
    assert np.abs(linear).max() > np.abs(density).max()


@pytest.mark.parametrize("most", [2**20, 4])
def test_few_kinds_of_numbers_are_their_own_codebook(monkeypatch, most):
    monkeypatch.setattr(codebooks, "_SORTED", most)
    numbers = np.array([0.25, -1, 0.25, 7, -1, -1], np.float32)
    book = codebook_of(numbers, 8)
    assert book.values.tolist() == [-1, 0.25, 7]
    assert book.codes(numbers).tolist() == [1, 0, 1, 2, 0, 0]
    assert codebook_of(np.full(9, 3, np.float32), 4).values.tolist() == [3]


def test_bins_of_many_numbers_lose_next_to_nothing(monkeypatch):
    exact = error(NUMBERS, codebook_of(NUMBERS, 8))
    monkeypatch.setattr(codebooks, "_SORTED", 10)
    monkeypatch.setattr(codebooks, "_CHUNK", 64)
    assert error(NUMBERS, codebook_of(NUMBERS, 8)) == pytest.approx(exact, rel=0.01)


def entropy(codes):
    _, counts = np.unique(codes, return_counts=True)
    return float(np.log2(counts.sum() / counts) @ counts)


def test_thrifty_numbers_get_what_costs_least_in_all():
    price = 0.02
    book = thrifty_codebook_of(NUMBERS, 64, price)
    codes = book.codes(NUMBERS)
    values, counts = np.unique(codes, return_counts=True)
    assert len(values) == len(book.values)
    bits = np.log2(NUMBERS.size / counts)
    costs = (NUMBERS[..., None] - book.values) ** 2 + price * bits
    own = np.take_along_axis(costs, codes[..., None].astype(int), -1)[..., 0]
    assert own == pytest.approx(costs.min(-1), abs=2e-3)
    # and so fewer bits than k-means needs for as small an error
    for k in range(2, 64):
        plain = codebook_of(NUMBERS, k, "density")
        if error(NUMBERS, plain) <= error(NUMBERS, book):
            break
    assert entropy(codes) < 0.95 * entropy(plain.codes(NUMBERS))


def test_thrift_has_a_zero_and_more_of_it_where_bits_are_dear():
    shares = []
    for price in (0.001, 0.1, 1.0):
        book = thrifty_codebook_of(NUMBERS, 64, price)
        decoded = book.values[book.codes(NUMBERS)]
        shares.append(float((decoded == 0).mean()))
    assert 0 < shares[0] < shares[1] < shares[2]
    with_zeros = thrifty_codebook_of(NUMBERS, 64, 0.1, zeros=5000)
    assert (with_zeros.values[with_zeros.codes(NUMBERS)] == 0).mean() > shares[1]
