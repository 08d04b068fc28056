"""Tables of frequencies as bytes: neighbours are alike, so differences are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.weights.packed.rans import PRECISION

__all__ = ["bits_of_table", "read_tables", "write_tables"]

_MOST = PRECISION + 2  # bits of a parameter that make sense


def write_tables(tables: list[NDArray[np.int64]]) -> bytes:
    """Return tables, each by `rans.frequencies`, in Rice codes.

    Of each table: 4 bits, how many times its entries can be halved; 5 bits, the
    parameter k; then each difference to the entry before, so halved, its sign folded in
    (0, −1, 1, −2, … are 0, 1, 2, 3, …): its upper bits as so many ones and a zero, its
    lower k bits as they are.
    """
    bits = [np.zeros(0, np.uint8)]
    for table in tables:
        shift, k, folded = _parameters(table)
        bits += [_binary(np.array([shift]), 4), _binary(np.array([k]), 5)]
        ones = folded >> k
        lengths = ones + 1 + k
        ends = np.cumsum(lengths)
        code = np.ones(int(ends[-1]) if len(ends) else 0, np.uint8)
        stops = ends - k - 1
        code[stops] = 0
        low = _binary(folded & ((1 << k) - 1), k).reshape(len(folded), k)
        for place in range(k):
            code[stops + 1 + place] = low[:, place]
        bits.append(code)
    return np.packbits(np.concatenate(bits)).tobytes()


def bits_of_table(table: NDArray[np.int64]) -> int:
    """Return how many bits `write_tables` makes of a table."""
    _, k, folded = _parameters(table)
    return 9 + int((folded >> k).sum()) + (1 + k) * len(folded)


def _parameters(table: NDArray[np.int64]) -> tuple[int, int, NDArray[np.int64]]:
    halved = int(np.bitwise_or.reduce(table)) | 1 << PRECISION
    shift = (halved & -halved).bit_length() - 1
    folded = _folded(np.diff(table >> shift, prepend=0))
    k = min(range(_MOST), key=lambda k: int((folded >> k).sum()) + k * len(folded))
    return shift, k, folded


def read_tables(
    data: bytes | memoryview, alphabets: list[int]
) -> list[NDArray[np.int64]]:
    """Return the tables again.

    Parameters
    ----------
    data
        What `write_tables` returned.
    alphabets
        Number of entries of each.

    Raises
    ------
    ValueError
        If these are no tables of such lengths.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    text = bits.tobytes()
    tables = []
    place = 0
    for length in alphabets:
        shift, k = _number(bits[place : place + 4]), _number(bits[place + 4 :][:5])
        place += 9
        begins, stops = [], []
        for _ in range(length):
            stop = text.find(0, place)
            if k > _MOST or stop < 0 or stop + k >= len(bits):
                raise ValueError("a table breaks off")
            begins.append(place)
            stops.append(stop)
            place = stop + 1 + k
        after = np.array(stops, np.int64)
        folded = after - np.array(begins, np.int64)
        if folded.max(initial=0) > 2 << PRECISION:
            raise ValueError("a table does not add up")
        for low in range(1, k + 1):
            folded = folded << 1 | bits[after + low]
        table = np.cumsum(np.where(folded & 1, -(folded + 1 >> 1), folded >> 1))
        table = table << shift
        if table.min(initial=0) < 0 or table.sum() != 1 << PRECISION:
            raise ValueError("a table does not add up")
        tables.append(table)
    if len(bits) - place >= 8 or bits[place:].any():
        raise ValueError("its tables are of another length")
    return tables


def _number(bits: NDArray[np.uint8]) -> int:
    return int("".join(map(str, bits)) or "0", 2)


def _folded(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(values < 0, -2 * values - 1, 2 * values)


def _binary(values: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the bits of each value, highest first, one after another."""
    places = np.arange(width - 1, -1, -1)
    return (values[:, None] >> places & 1).astype(np.uint8).ravel()
