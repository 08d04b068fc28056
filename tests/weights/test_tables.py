"""Tables of frequencies as bytes."""

import numpy as np
import pytest

from orangecontrib.imagemining.weights.packed.rans import PRECISION, frequencies
from orangecontrib.imagemining.weights.packed.tables import (
    bits_of_table,
    read_tables,
    write_tables,
)


def some_tables(seed):
    rng = np.random.default_rng(seed)
    return [
        frequencies(rng.integers(1, high, size))
        for size, high in [(1, 2), (2, 5), (256, 3), (256, 1000), (17, 9), (4000, 4)]
    ]


@pytest.mark.parametrize("seed", range(3))
def test_tables_come_back(seed):
    tables = some_tables(seed)
    data = write_tables(tables)
    for ours, theirs in zip(
        tables, read_tables(data, [len(table) for table in tables]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_bits_are_told_beforehand():
    tables = some_tables(1)
    assert len(write_tables(tables)) == -(-sum(map(bits_of_table, tables)) // 8)


def test_halved_tables_are_shorter():
    counts = np.random.default_rng(0).integers(1, 99, 256)
    exact, rough = frequencies(counts), frequencies(counts, 9)
    assert rough.sum() == exact.sum() == 2**PRECISION
    assert not (rough % 32).any()
    assert bits_of_table(rough) < 0.6 * bits_of_table(exact)
    for table in (exact, rough):
        assert read_tables(write_tables([table]), [256])[0].tolist() == table.tolist()


def test_no_tables():
    assert read_tables(write_tables([]), []) == []


def test_smooth_tables_are_short():
    counts = np.round(1e6 * np.exp(-(((np.arange(256) - 128) / 40) ** 2))) + 1
    # a number of up to 14 bits takes about 4
    assert len(write_tables([frequencies(counts.astype(int))])) < 256 * 5 / 8


def test_damaged_tables_are_told():
    tables = some_tables(0)
    sizes = [len(table) for table in tables]
    data = write_tables(tables)
    for bad in (b"", data[:10], data[:-2], data + b"\0"):
        with pytest.raises(ValueError, match="table"):
            read_tables(bad, sizes)
    rng = np.random.default_rng(0)
    for _ in range(200):
        bad = bytearray(data)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        try:
            found = read_tables(bytes(bad), sizes)
        except ValueError:
            continue
        assert all(table.sum() == 2**PRECISION for table in found)
