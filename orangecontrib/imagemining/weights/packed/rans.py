"""An entropy coder: symbols that are frequent cost little.

Asymmetric numeral systems in their range form (Duda 2013, arXiv:1311.2540), with many
coders side by side, "lanes", so that numpy does one step of all of them at once: a
million symbols are decoded in a tenth of a second without compiled code.

Symbols come in groups. How often each symbol comes in a group is told beforehand, by a
table; which group a symbol belongs to, both sides know from where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["PRECISION", "count", "decode", "encode", "frequencies"]

#: Frequencies of a table sum up to 2 to this power.
PRECISION = 14

_TOTAL = 1 << PRECISION
_WORD = 16  # bits that go out, or come in, at once
_LEAST = 1 << _WORD  # a state is never below, between symbols
_AT_ONCE = 2**18  # symbols whose tables are looked up together

_Codes = NDArray[Any]
_Table = NDArray[np.int64]


def count(symbols: _Codes, alphabet: int) -> _Table:
    """Return how often each symbol comes, without a copy of them all."""
    total = np.zeros(alphabet, np.int64)
    for start in range(0, len(symbols), _AT_ONCE):
        part = symbols[start : start + _AT_ONCE]
        total += np.bincount(part, minlength=alphabet)
    return total


def frequencies(counts: NDArray[np.integer], precision: int = PRECISION) -> _Table:
    """Return the table that codes symbols of these counts in the fewest bits.

    Parameters
    ----------
    counts
        (alphabet,), how often each symbol comes.
    precision
        Entries are multiples of 2 ** (`PRECISION` − `precision`), which are told in
        fewer bits.

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
    total = 1 << precision
    if not 0 < n_present <= total:
        raise ValueError(f"{n_present} kinds of symbols cannot be coded")
    share = counts * (total / counts.sum())
    table = np.where(present, np.maximum(np.floor(share), 1), 0).astype(np.int64)
    # what rounding leaves over goes, one by one, where a step changes the length most
    while rest := total - int(table.sum()):
        step = 1 if rest > 0 else -1
        able = present if step > 0 else table > 1
        after = np.where(able, table + step, 1)
        gain = np.where(able, counts * np.log2(after / np.maximum(table, 1)), -np.inf)
        best = np.argsort(-gain, kind="stable")[: min(abs(rest), int(able.sum()))]
        table[best] += step
    return table << (PRECISION - precision)


def encode(
    groups: Sequence[_Codes],
    tables: Sequence[_Table],
    progress: Progress = no_progress,
) -> bytes:
    """Return symbols as bytes.

    Parameters
    ----------
    groups
        Each (n,), of 0 to alphabet − 1.
    tables
        Of each group, by `frequencies`.
    progress
        Told how much is done.

    Raises
    ------
    ValueError
        If there is a symbol that its table does not expect.
    """
    n = sum(map(len, groups))
    lanes = _lanes(n)
    state = np.full(lanes, _LEAST, np.uint64)
    words: list[NDArray[np.uint16]] = []
    for start, stop in reversed(_spans(n, lanes)):
        progress(1 - stop / n)
        share, begin = _looked_up(groups, tables, start, stop)
        for step in reversed(range(0, stop - start, lanes)):
            f, c = share[step : step + lanes], begin[step : step + lanes]
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
    sizes: Sequence[int],
    tables: Sequence[_Table],
    progress: Progress = no_progress,
) -> list[_Codes]:
    """Return the symbols again.

    Parameters
    ----------
    data
        What `encode` returned.
    sizes
        Number of symbols of each group.
    tables
        As given to `encode`.
    progress
        Told how much is done.

    Returns
    -------
    (size,) each; uint8, or uint16 for tables of more than 256 entries.

    Raises
    ------
    ValueError
        If the bytes are not what `encode` makes of so many symbols.
    """
    n = sum(sizes)
    lanes = _lanes(n)
    # before anything is made room for: a lane tells of 4,096 symbols at most
    if len(data) < 4 * lanes or len(data) % 2:
        raise ValueError("its codes break off")
    state = np.frombuffer(data, "<u4", lanes).astype(np.uint32)
    words = np.frombuffer(data, "<u2", offset=4 * lanes)
    groups = [
        np.empty(size, np.uint8 if len(table) <= 256 else np.uint16)
        for size, table in zip(sizes, tables, strict=True)
    ]
    place = 0
    for start, stop in _spans(n, lanes):
        progress(start / n)
        parts = _parts(sizes, start, stop)
        symbol_at, share, first, which, alphabet = _lookup(parts, tables)
        found = np.empty(stop - start, np.uint16)
        for step in range(0, stop - start, lanes):
            table = which[step : step + lanes]
            x = state[: len(table)]
            slot = x & np.uint32(_TOTAL - 1)
            symbols = symbol_at[(table << PRECISION) + slot]
            found[step : step + lanes] = symbols
            at = table * alphabet + symbols
            x = share[at] * (x >> np.uint32(PRECISION)) + slot - first[at]
            wants = np.flatnonzero(x < _LEAST)
            end = place + len(wants)
            if end > len(words):
                raise ValueError("its codes break off")
            x[wants] = x[wants] << np.uint32(_WORD) | words[place:end]
            place = end
            state[: len(table)] = x
        done = 0
        for group, low, high in parts:
            groups[group][low:high] = found[done : done + high - low]
            done += high - low
    if place != len(words) or (state != _LEAST).any():
        raise ValueError("its codes do not end where they ought")
    return groups


def _lanes(n: int) -> int:
    """Return how many coders share n symbols: 4 bytes each, against steps in Python."""
    return max(1, min(n // 1024, 256), n // 4096)


def _spans(n: int, lanes: int) -> list[tuple[int, int]]:
    """Return parts of n symbols of whole steps, the last perhaps without."""
    step = max(_AT_ONCE // lanes, 1) * lanes
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def _parts(sizes: Sequence[int], start: int, stop: int) -> list[tuple[int, int, int]]:
    """Return which groups lie in a span, with their own begin and end in it."""
    ends = np.cumsum(np.asarray(sizes, np.int64))
    parts = []
    group = int(np.searchsorted(ends, start, "right"))
    while start < stop:
        end = min(int(ends[group]), stop)
        if end > start:
            before = int(ends[group]) - sizes[group]
            parts.append((group, start - before, end - before))
        start = max(start, end)
        group += 1
    return parts


def _looked_up(
    groups: Sequence[_Codes], tables: Sequence[_Table], start: int, stop: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return of each symbol of a span its share of the total, and where that begins."""
    shares, begins = [], []
    for group, low, high in _parts([*map(len, groups)], start, stop):
        table, symbols = tables[group], groups[group][low:high]
        shares.append(table[symbols])
        begins.append((np.cumsum(table) - table)[symbols])
    share = np.concatenate(shares)
    if not share.all():
        raise ValueError("A symbol comes that its table does not expect")
    return share.astype(np.uint64), np.concatenate(begins).astype(np.uint64)


def _lookup(
    parts: list[tuple[int, int, int]], tables: Sequence[_Table]
) -> tuple[
    NDArray[np.uint16], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.intp], int
]:
    """Return what slots and symbols of a span's tables mean, and the table of each."""
    alphabet = max(len(tables[group]) for group, _, _ in parts)
    rows = np.zeros((len(parts), alphabet), np.int64)
    for row, (group, _, _) in zip(rows, parts, strict=True):
        row[: len(tables[group])] = tables[group]
    kinds = np.tile(np.arange(alphabet, dtype=np.uint16), len(parts))
    first = (np.cumsum(rows, axis=1) - rows).astype(np.uint32).ravel()
    which = np.repeat(
        np.arange(len(parts), dtype=np.intp), [high - low for _, low, high in parts]
    )
    symbol_at = np.repeat(kinds, rows.ravel())
    return symbol_at, rows.astype(np.uint32).ravel(), first, which, alphabet
