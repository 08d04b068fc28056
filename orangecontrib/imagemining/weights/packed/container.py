"""The file of a compressed network, as ``doc/network-files.md`` describes it.

All numbers are little-endian::

    0   8 bytes   "OIMCNET" and a zero
    8   uint16    version of the format, 1
    10  uint16    0
    12  4 uint32  lengths of the four parts that follow
    28            header: JSON, deflated (zlib)
                  tables: frequencies of symbols, see `tables`
                  plain: bytes as they are
                  codes: all symbols, see `rans`
    -4  uint32    CRC-32 of everything before

The header holds the card and, of each tensor in order, name, shape and form. "coded"
tensors have a codebook of `k` values, perhaps a scale for each filter, and a code an
entry; others are numbers of a type. Numbers are cut into their bytes, lowest first, and
each place's bytes are a group of symbols for themselves, since signs and exponents
repeat and the rest does not. Codebooks of all tensors stand together, as differences to
the value before; so do scales and small tensors of one type. Behind them come groups of
the tensors' codes. Each group has a table of its own. Where that would not pay, bytes
stand in the plain part, and codes have a table by which all are as likely.

Nothing in such a file is executed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.network_head import damaged
from orangecontrib.imagemining.weights.packed.header import (
    SMALL,
    TYPES,
    Entry,
    Header,
    header_bytes,
    read_header,
)
from orangecontrib.imagemining.weights.packed.rans import (
    PRECISION,
    count,
    decode,
    encode,
    frequencies,
)
from orangecontrib.imagemining.weights.packed.tables import (
    bits_of_table,
    read_tables,
    write_tables,
)

__all__ = ["container_parts", "read_container", "write_container"]

_CODED = "coded"
_TOP = np.uint32(1 << 31)

Stored = Mapping[str, "NDArray[Any] | Coded"]
_Pool = tuple[str, list[Entry]]


def write_container(
    card: Mapping[str, Any], tensors: Stored, progress: Progress = no_progress
) -> bytes:
    """Return card and tensors as the content of a file.

    Parameters
    ----------
    card
        What JSON can hold.
    tensors
        Arrays of float32, float16, int64 or int8, and coded ones, by name.
    progress
        Told how much is done.

    Raises
    ------
    ValueError
        If a tensor is of another type, a code has no value, or there is more of
        something than is read.
    """
    return b"".join(container_parts(card, tensors, progress))


def container_parts(
    card: Mapping[str, Any], tensors: Stored, progress: Progress = no_progress
) -> list[bytes]:
    """Return the content of `write_container` in pieces, to spare memory."""
    entries = [_entry(name, tensor) for name, tensor in tensors.items()]
    groups: list[NDArray[Any]] = []
    rows: list[NDArray[np.int64]] = []
    kept: list[int] = []  # which groups have tables of their own
    plain: list[bytes] = []
    n_groups = 0
    for symbols, alphabet in _groups(entries, tensors):
        progress(0.2 * len(rows) / (len(rows) + 4))
        row = uniform = _uniform(alphabet)
        if len(symbols):
            counts = count(symbols, alphabet)
            row = min((uniform, *_own_tables(counts)), key=lambda t: _cost(counts, t))
            if row is not uniform:
                kept.append(n_groups)
        n_groups += 1
        if n_groups <= _n_planes(entries) and row is uniform:
            plain.append(symbols.tobytes())
        else:
            groups.append(symbols)
            rows.append(row)
    own = [row for row in rows if not np.array_equal(row, _uniform(len(row)))]
    codes = encode(groups, rows, lambda part, text="": progress(0.2 + 0.8 * part, text))
    tables = write_tables(own)
    lengths = (len(tables), sum(map(len, plain)), len(codes))
    parts = [header_bytes(card, entries, kept, lengths), tables, *plain, codes]
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return [*parts, struct.pack("<I", total)]


def read_container(
    content: bytes | memoryview,
    progress: Progress = no_progress,
    name: str = "The file",
) -> tuple[dict[str, Any], dict[str, NDArray[Any] | Coded]]:
    """Return card and tensors of a file.

    Parameters
    ----------
    content
        The whole file.
    progress
        Told how much is done.
    name
        What the file is called in messages.

    Raises
    ------
    WeightsError
        If it is another file, damaged, cut short, or from a later version.
    """
    header = read_header(content, len(content), name)
    data = memoryview(content)
    if struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
        raise WeightsError(damaged(name, "its checksum is another"))
    try:
        return header.card, _read(header, data, progress)
    except (ValueError, OverflowError) as ex:
        raise WeightsError(damaged(name, str(ex))) from ex


def _read(
    header: Header, data: memoryview, progress: Progress
) -> dict[str, NDArray[Any] | Coded]:
    entries, kept = header.entries, set(header.kept)
    tables_part, plain, codes = header.parts(data)
    sizes, alphabets = _sizes(entries), _alphabets(entries)
    n_planes = _n_planes(entries)
    if len(kept) < len(header.kept) or max(kept, default=-1) >= len(sizes):
        raise ValueError("it has tables of nothing")
    own = iter(read_tables(tables_part, [alphabets[group] for group in sorted(kept)]))
    here = [group for group in range(len(sizes)) if group in kept or group >= n_planes]
    if sum(sizes[group] for group in {*range(n_planes)} - {*here}) != len(plain):
        raise ValueError("its plain numbers are of another length")
    found = iter(
        decode(
            codes,
            [sizes[group] for group in here],
            [next(own) if g in kept else _uniform(alphabets[g]) for g in here],
            progress,
        )
    )
    groups: list[NDArray[Any]] = []
    for group, size in enumerate(sizes):
        if group in kept or group >= n_planes:
            groups.append(next(found))
        else:
            groups.append(np.frombuffer(plain[:size], np.uint8))
            plain = plain[size:]
    return _tensors(entries, groups)


def _entry(name: str, tensor: NDArray[Any] | Coded) -> Entry:
    if not isinstance(tensor, Coded):
        return Entry(name, tensor.shape, str(tensor.dtype))
    k = len(tensor.values)
    if int(tensor.codes.max(initial=0)) >= k:
        raise ValueError(f"'{name}' has codes without a value")
    return Entry(name, tensor.shape, _CODED, k, tensor.scales is not None)


def _pools(entries: list[Entry]) -> list[_Pool]:
    """Return which tensors' numbers stand together, and of which type they are."""
    coded = [entry for entry in entries if entry.form == _CODED]
    pools = [(_CODED, coded)] if coded else []
    for form in TYPES:
        own = [e for e in entries if e.form == form or (e.scaled and form == TYPES[0])]
        small = [e for e in own if e.scaled or e.size < SMALL]
        pools += [(form, small)] if small else []
        pools += [(form, [e]) for e in own if not e.scaled and e.size >= SMALL]
    return pools


def _dtype(form: str) -> np.dtype[Any]:
    return np.dtype("<f4" if form == _CODED else form).newbyteorder("<")


def _n_planes(entries: list[Entry]) -> int:
    return sum(_dtype(form).itemsize for form, _ in _pools(entries))


def _count(form: str, entry: Entry) -> int:
    """Return how many numbers of a tensor stand in a pool."""
    if form == _CODED:
        return entry.k
    return entry.shape[0] if entry.form == _CODED else entry.size


def _sizes(entries: list[Entry]) -> list[int]:
    """Return how many symbols each group has."""
    sizes = []
    for form, members in _pools(entries):
        n = sum(_count(form, entry) for entry in members)
        sizes += [n] * _dtype(form).itemsize
    return sizes + [entry.size for entry in entries if entry.form == _CODED]


def _alphabets(entries: list[Entry]) -> list[int]:
    coded = [entry.k for entry in entries if entry.form == _CODED]
    return [256] * _n_planes(entries) + coded


def _groups(
    entries: list[Entry], tensors: Stored
) -> Iterator[tuple[NDArray[Any], int]]:
    """Give all groups of symbols, with the number of kinds in each."""
    for form, members in _pools(entries):
        dtype = _dtype(form)
        numbers = [_numbers(form, tensors[entry.name]) for entry in members]
        whole = numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
        planes = whole.astype(dtype, copy=False).view(np.uint8)
        for place in range(dtype.itemsize):
            yield planes[place :: dtype.itemsize], 256
    for entry in entries:
        tensor = tensors[entry.name]
        if isinstance(tensor, Coded):
            yield tensor.codes.ravel(), entry.k


def _numbers(form: str, tensor: NDArray[Any] | Coded) -> NDArray[Any]:
    if not isinstance(tensor, Coded):
        return np.ascontiguousarray(tensor).ravel()
    if form == _CODED:
        return _differences(tensor.values.astype("<f4", copy=False))
    assert tensor.scales is not None
    return tensor.scales.astype("<f4", copy=False)


def _differences(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is between values that stand in order: few bits.

    Floating-point numbers are taken for whole ones in their own order: above 0 with the
    first bit set, below with all bits turned round.
    """
    bits = np.ascontiguousarray(values).view("<u4").astype(np.uint32)
    whole = np.where(bits & _TOP, ~bits, bits | _TOP)
    between = np.diff(whole, prepend=np.uint32(0))
    return between.astype("<u4").view("<f4")


def _summed(between: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values that `_differences` made this of."""
    bits = np.ascontiguousarray(between).view(np.uint32)
    whole = np.cumsum(bits, dtype=np.uint32)
    return np.where(whole & _TOP, whole ^ _TOP, ~whole).view(np.float32)


def _uniform(alphabet: int) -> NDArray[np.int64]:
    return frequencies(np.ones(alphabet, np.int64))


def _own_tables(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Give tables for these counts: the exacter, the more bits they take themselves."""
    used = counts[counts > 0]
    least = float((used * np.log2(used.sum() / used)).sum())
    if least + len(counts) > used.sum() * np.log2(len(counts)):
        return  # even at a bit an entry none would pay
    for precision in range(PRECISION, max(int(len(used) - 1).bit_length(), 4) - 1, -1):
        yield frequencies(counts, precision)


def _cost(counts: NDArray[np.int64], table: NDArray[np.int64]) -> float:
    """Return how many bits symbols take with a table, and the table itself."""
    used = counts > 0
    bits = float((counts[used] * (PRECISION - np.log2(table[used]))).sum())
    uniform = np.array_equal(table, _uniform(len(table)))
    return bits if uniform else bits + bits_of_table(table)


def _tensors(
    entries: list[Entry], groups: list[NDArray[Any]]
) -> dict[str, NDArray[Any] | Coded]:
    numbers: dict[tuple[str, bool], NDArray[Any]] = {}
    for form, members in _pools(entries):
        dtype = _dtype(form)
        planes, groups = groups[: dtype.itemsize], groups[dtype.itemsize :]
        together = np.empty((len(planes[0]), dtype.itemsize), np.uint8)
        for place, plane in enumerate(planes):
            together[:, place] = plane
        # in the machine's own order of bytes
        whole = (
            together.reshape(-1).view(dtype).astype(dtype.newbyteorder("="), copy=False)
        )
        for entry in members:
            n = _count(form, entry)
            numbers[entry.name, form == _CODED] = whole[:n]
            whole = whole[n:]
    tensors: dict[str, NDArray[Any] | Coded] = {}
    codes = iter(groups)
    for entry in entries:
        if entry.form == _CODED:
            scales = numbers[entry.name, False].copy() if entry.scaled else None
            values = _summed(numbers[entry.name, True])
            tensors[entry.name] = Coded(values, _shaped(codes, entry), scales)
        else:
            own = numbers[entry.name, False].reshape(entry.shape)
            # small ones have an array of their own: others may be let go
            tensors[entry.name] = own.copy() if entry.size < SMALL else own
    return tensors


def _shaped(codes: Iterator[NDArray[Any]], entry: Entry) -> NDArray[Any]:
    return next(codes).reshape(entry.shape)
