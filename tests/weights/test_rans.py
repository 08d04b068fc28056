"""The entropy coder: what goes in comes out, in as few bytes as entropy allows."""

import numpy as np
import pytest

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.packed.rans import (
    PRECISION,
    decode,
    encode,
    frequencies,
)


def tables_for(symbols, which, n_tables, alphabet):
    return np.stack(
        [
            # a table that is not used has to be one all the same
            frequencies(
                np.bincount(symbols[which == row], minlength=alphabet) + (n_tables > 2)
            )
            for row in range(n_tables)
        ]
    )


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 2047, 2048, 5000, 70_001])
@pytest.mark.parametrize("seed", [0, 1])
def test_symbols_come_back(n, seed):
    rng = np.random.default_rng(seed)
    symbols = np.minimum(rng.geometric(0.05 + 0.5 * seed, n), 300) - 1
    which = rng.integers(0, 3, n)
    tables = tables_for(symbols, which, 3, 300)
    data = encode(symbols, tables, which)
    np.testing.assert_array_equal(decode(data, n, tables, which), symbols)


def test_no_symbols():
    tables = frequencies(np.array([1]))[None]
    data = encode(np.zeros(0, np.uint8), tables)
    assert len(decode(data, 0, tables)) == 0


def test_length_is_the_entropy():
    rng = np.random.default_rng(0)
    n = 200_000
    symbols = rng.choice(4, n, p=[0.9, 0.06, 0.03, 0.01])
    counts = np.bincount(symbols)
    entropy = -(counts * np.log2(counts / n)).sum() / 8
    data = encode(symbols, frequencies(counts)[None])
    # a lane for 1,024 symbols costs 4 bytes
    assert entropy < len(data) < 1.003 * entropy + 4 * (n // 1024) + 4


def test_one_kind_of_symbol_costs_nothing():
    data = encode(np.zeros(10_000, np.uint8), frequencies(np.array([7]))[None])
    assert len(data) == 4 * (10_000 // 1024)


@pytest.mark.parametrize("seed", range(5))
def test_frequencies_add_up_and_keep_rare_symbols(seed):
    rng = np.random.default_rng(seed)
    counts = (rng.pareto(0.3, 4000) * rng.integers(0, 2, 4000)).astype(np.int64)
    table = frequencies(counts)
    assert table.sum() == 2**PRECISION
    np.testing.assert_array_equal(table > 0, counts > 0)


def test_frequencies_are_the_best_ones():
    counts = np.array([5, 3, 1])
    table = frequencies(counts)

    def bits(row):
        return -(counts * np.log2(row / row.sum())).sum()

    for gives in range(3):
        for takes in range(3):
            other = table.copy()
            other[gives] -= 1
            other[takes] += 1
            assert bits(table) <= bits(other) + 1e-9


@pytest.mark.parametrize("counts", [[0, 0], np.ones(2**PRECISION + 1, int)])
def test_impossible_tables(counts):
    with pytest.raises(ValueError, match="cannot be coded"):
        frequencies(np.array(counts))


def test_unexpected_symbol():
    with pytest.raises(ValueError, match="does not expect"):
        encode(np.array([0, 1]), frequencies(np.array([3, 0]))[None])


def test_damaged_codes_are_told():
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 200, 3000)
    tables = frequencies(np.bincount(symbols))[None]
    data = encode(symbols, tables)
    for bad in (data[:-2], data[:5], data + b"\0\0", data[:-1], b""):
        with pytest.raises(WeightsError, match="damaged"):
            decode(bad, 3000, tables)
    with pytest.raises(WeightsError, match="damaged"):
        decode(data, 2999, tables)
