"""The entropy coder: what goes in comes out, in as few bytes as entropy allows."""

import numpy as np
import pytest

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.weights.packed.rans import (
    PRECISION,
    count,
    decode,
    encode,
    frequencies,
)


def grouped(symbols, which, n_groups, alphabet):
    """Cut symbols into groups, of which some are empty."""
    groups = [symbols[which == row] for row in range(n_groups)]
    # a table that is not used has to be one all the same
    return groups, [
        frequencies(np.bincount(group, minlength=alphabet) + (not len(group)))
        for group in groups
    ]


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 2047, 2048, 5000, 300_001])
@pytest.mark.parametrize("seed", [0, 1])
def test_symbols_come_back(n, seed):
    rng = np.random.default_rng(seed)
    symbols = np.minimum(rng.geometric(0.05 + 0.5 * seed, n), 300) - 1
    groups, tables = grouped(symbols, rng.integers(0, 4, n) * 2, 8, 300)
    data = encode(groups, tables)
    found = decode(data, [len(group) for group in groups], tables)
    for ours, theirs in zip(groups, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_groups_of_several_alphabets():
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, k, 700) for k in (1, 2, 256, 257, 4096)]
    tables = [frequencies(np.ones(k, int)) for k in (1, 2, 256, 257, 4096)]
    found = decode(encode(groups, tables), [700] * 5, tables)
    assert [str(group.dtype) for group in found] == ["uint8"] * 3 + ["uint16"] * 2
    for ours, theirs in zip(groups, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_symbols():
    assert decode(encode([], []), [], []) == []
    tables = [frequencies(np.array([1]))]
    assert len(decode(encode([np.zeros(0, np.uint8)], tables), [0], tables)[0]) == 0


def test_length_is_the_entropy():
    rng = np.random.default_rng(0)
    n = 200_000
    symbols = rng.choice(4, n, p=[0.9, 0.06, 0.03, 0.01])
    counts = count(symbols, 4)
    entropy = -(counts * np.log2(counts / n)).sum() / 8
    data = encode([symbols], [frequencies(counts)])
    # a lane for 1,024 symbols costs 4 bytes
    assert entropy < len(data) < 1.003 * entropy + 4 * (n // 1024) + 4


def test_one_kind_of_symbol_costs_nothing():
    data = encode([np.zeros(10_000, np.uint8)], [frequencies(np.array([7]))])
    assert len(data) == 4 * (10_000 // 1024)


def test_work_can_be_ended_and_tells_how_far_it_is():
    symbols, tables = np.zeros(600_000, np.uint8), [frequencies(np.array([7]))]
    told = []
    data = encode([symbols], tables, lambda part, text="": told.append(part))
    assert len(told) > 2
    assert told == sorted(told)
    again = []
    decode(data, [600_000], tables, lambda part, text="": again.append(part))
    assert again == sorted(again)
    assert 0 == again[0] < again[-1] < 1

    def stop(part, text=""):
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        decode(data, [600_000], tables, stop)


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
        encode([np.array([0, 1])], [frequencies(np.array([3, 0]))])


def test_damaged_codes_are_told():
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 200, 3000)
    tables = [frequencies(np.bincount(symbols))]
    data = encode([symbols], tables)
    for bad in (data[:-2], data[:5], data + b"\0\0", data[:-1], b""):
        with pytest.raises(ValueError, match="its codes"):
            decode(bad, [3000], tables)
    with pytest.raises(ValueError, match="its codes"):
        decode(data, [2999], tables)
    # nothing is made room for that so few bytes cannot tell
    with pytest.raises(ValueError, match="break off"):
        decode(data, [2**50], tables)
