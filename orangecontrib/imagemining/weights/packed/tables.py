"""Tables of frequencies as bytes: neighbours are alike, so differences are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.packed.rans import PRECISION

__all__ = ["read_tables", "write_tables"]

_MOST = PRECISION + 2  # bits of a parameter that make sense


def write_tables(tables: list[NDArray[np.int64]]) -> bytes:
    """Return tables, each by `rans.frequencies`, in Rice codes.

    Of each table: 5 bits, the parameter k, then each difference to the entry before,
    its sign folded in (0, −1, 1, −2, … are 0, 1, 2, 3, …): its upper bits as so many
    ones and a zero, its lower k bits as they are.
    """
    bits = [np.zeros(0, np.uint8)]
    for table in tables:
        folded = _folded(np.diff(table, prepend=0))
        k = min(range(_MOST), key=lambda k: int((folded >> k).sum()) + k * len(folded))
        bits.append(_binary(np.array([k]), 5))
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
    WeightsError
        If these are no tables of such lengths.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    zeros = np.flatnonzero(bits == 0)
    tables = []
    place = 0
    for length in alphabets:
        k = int("".join(map(str, bits[place : place + 5])) or "0", 2)
        place += 5
        folded = np.zeros(length, np.int64)
        for entry in range(length):
            nearest = int(np.searchsorted(zeros, place))
            stop = int(zeros[nearest]) if nearest < len(zeros) else len(bits)
            low = bits[stop + 1 : stop + 1 + k]
            if k > _MOST or len(low) < k or stop >= len(bits):
                raise WeightsError("The file is damaged: a table breaks off")
            value = stop - place
            for bit in low:
                value = value << 1 | int(bit)
            folded[entry] = value
            place = stop + 1 + k
        table = np.cumsum(np.where(folded & 1, -(folded + 1 >> 1), folded >> 1))
        if table.min(initial=0) < 0 or table.sum() != 1 << PRECISION:
            raise WeightsError("The file is damaged: a table does not add up")
        tables.append(table)
    if len(bits) - place >= 8 or bits[place:].any():
        raise WeightsError("The file is damaged: its tables are of another length")
    return tables


def _folded(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(values < 0, -2 * values - 1, 2 * values)


def _binary(values: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the bits of each value, highest first, one after another."""
    places = np.arange(width - 1, -1, -1)
    return (values[:, None] >> places & 1).astype(np.uint8).ravel()
