"""An entropy coder: symbols that are frequent cost little.

Asymmetric numeral systems in their range form (Duda 2013, arXiv:1311.2540), with many
coders side by side, "lanes", so that numpy does one step of all of them at once: a
million symbols are decoded in a tenth of a second without compiled code.

How often each symbol comes is told beforehand, by tables; which table holds for a
symbol, both sides know from where it stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError

__all__ = ["PRECISION", "decode", "encode", "frequencies"]

#: Frequencies of a table sum up to 2 to this power.
PRECISION = 14

_TOTAL = 1 << PRECISION
_WORD = 16  # bits that go out, or come in, at once
_LEAST = 1 << _WORD  # a state is never below, between symbols
_PER_LANE = 1024  # symbols; a lane costs 4 bytes
_MOST_LANES = 1024

_Codes = NDArray[np.integer]


def frequencies(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the table that codes symbols of these counts in the fewest bits.

    Parameters
    ----------
    counts
        (alphabet,), how often each symbol comes.

    Returns
    -------
    (alphabet,), summing up to 2 ** `PRECISION`; 0 for symbols that never come.

    Raises
    ------
    ValueError
        If there are no symbols, or more kinds than a table can tell apart.
    """
    counts = np.asarray(counts, np.int64)
    present = counts > 0
    n_present = int(present.sum())
    if not 0 < n_present <= _TOTAL:
        raise ValueError(f"{n_present} kinds of symbols cannot be coded")
    share = counts * (_TOTAL / counts.sum())
    table = np.where(present, np.maximum(np.floor(share), 1), 0).astype(np.int64)
    # what rounding leaves over goes, one by one, where a step changes the length most
    while rest := _TOTAL - int(table.sum()):
        step = 1 if rest > 0 else -1
        able = present if step > 0 else table > 1
        after = np.where(able, table + step, 1)
        gain = np.where(able, counts * np.log2(after / np.maximum(table, 1)), -np.inf)
        best = np.argsort(-gain, kind="stable")[: min(abs(rest), int(able.sum()))]
        table[best] += step
    return table


def encode(
    symbols: _Codes, tables: NDArray[np.int64], which: _Codes | None = None
) -> bytes:
    """Return the symbols as bytes.

    Parameters
    ----------
    symbols
        (n,), of 0 to alphabet − 1.
    tables
        (n tables, alphabet), each by `frequencies`.
    which
        (n,), the row of `tables` that holds for each symbol; None: the only one.

    Raises
    ------
    ValueError
        If there is a symbol that its table does not expect.
    """
    n = len(symbols)
    which = np.zeros(n, np.intp) if which is None else which
    first = np.cumsum(tables, axis=1) - tables
    share = tables[which, symbols].astype(np.uint64)
    begin = first[which, symbols].astype(np.uint64)
    if n and not share.all():
        raise ValueError("A symbol comes that its table does not expect")
    lanes = _lanes(n)
    state = np.full(lanes, _LEAST, np.uint64)
    words: list[NDArray[np.uint16]] = []
    for start in reversed(range(0, n, lanes)):
        f, c = share[start : start + lanes], begin[start : start + lanes]
        x = state[: len(f)]
        out = x >= f << np.uint64(32 - PRECISION)
        words.append(x[out].astype(np.uint16))
        x = np.where(out, x >> np.uint64(_WORD), x)
        times, rest = np.divmod(x, f)
        state[: len(f)] = (times << np.uint64(PRECISION)) + rest + c
    return b"".join(
        [state.astype("<u4").tobytes()]
        + [part.astype("<u2").tobytes() for part in reversed(words)]
    )


def decode(
    data: bytes | memoryview,
    n: int,
    tables: NDArray[np.int64],
    which: _Codes | None = None,
) -> NDArray[np.uint16]:
    """Return the symbols again.

    Parameters
    ----------
    data
        What `encode` returned.
    n
        Number of symbols.
    tables, which
        As given to `encode`.

    Returns
    -------
    (n,)

    Raises
    ------
    WeightsError
        If the bytes are not what `encode` makes of so many symbols.
    """
    lanes = _lanes(n)
    if len(data) < 4 * lanes or len(data) % 2:
        raise WeightsError("The file is damaged: its codes break off")
    state = np.frombuffer(data, "<u4", lanes).astype(np.uint64)
    words = np.frombuffer(data, "<u2", offset=4 * lanes).astype(np.uint64)
    kinds = np.arange(tables.shape[1], dtype=np.uint16)
    symbol_at = np.repeat(np.tile(kinds, len(tables)), tables.ravel())
    alphabet = tables.shape[1]
    first = (np.cumsum(tables, axis=1) - tables).astype(np.uint64).ravel()
    share = tables.astype(np.uint64).ravel()
    offsets = np.zeros(n, np.intp) if which is None else np.asarray(which, np.intp)
    symbols = np.empty(n, np.uint16)
    place = 0
    for start in range(0, n, lanes):
        table = offsets[start : start + lanes]
        x = state[: len(table)]
        slot = x & np.uint64(_TOTAL - 1)
        found = symbol_at[table * _TOTAL + slot.astype(np.intp)]
        symbols[start : start + lanes] = found
        at = table * alphabet + found
        x = share[at] * (x >> np.uint64(PRECISION)) + slot - first[at]
        wants = np.flatnonzero(x < _LEAST)
        end = place + len(wants)
        if end > len(words):
            raise WeightsError("The file is damaged: its codes break off")
        x[wants] = x[wants] << np.uint64(_WORD) | words[place:end]
        place = end
        state[: len(table)] = x
    if place != len(words) or (state != _LEAST).any():
        raise WeightsError("The file is damaged: its codes do not end where they ought")
    return symbols


def _lanes(n: int) -> int:
    return min(max(n // _PER_LANE, 1), _MOST_LANES)
