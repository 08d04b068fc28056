"""The file of a compressed network.

All numbers are little-endian::

    0   8 bytes   "OIMCNET" and a zero
    8   uint16    version of the format, 1
    10  uint16    0
    12  3 uint32  lengths of the three parts that follow
    24            header: JSON, deflated (zlib)
                  tables: frequencies of symbols, see `tables`
                  codes: all symbols, see `rans`
    -4  uint32    CRC-32 of everything before

The header holds the card and, of each tensor in order, name, shape and form. "coded"
tensors have a codebook of `k` values, perhaps a scale for each filter, and a code an
entry; others are numbers of a type. Floating-point numbers are cut into their bytes,
lowest first, and each place's bytes coded for themselves, since signs and exponents
repeat and the rest does not. Codebooks and scales of all tensors stand together; so do
tensors of fewer than 4,096 numbers of one type. Groups of symbols follow one another:
first these bytes, then the codes of the tensors. Each has a table of its own, or, where
a table would not pay, the mark that all symbols are as likely.

Nothing in such a file is executed.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.packed.rans import (
    PRECISION,
    decode,
    encode,
    frequencies,
)
from orangecontrib.imagemining.weights.packed.tables import read_tables, write_tables

__all__ = ["VERSION", "read_container", "write_container"]

VERSION = 1

_MAGIC = b"OIMCNET\0"
_HEAD = struct.Struct("<8sHH3I")
_FORMAT = "Orange3-ImageMining compressed network"
_NONE = np.zeros(0, np.uint16)
_SMALL = 4096
_MOST_VALUES = 4096
_MOST_HEADER = 16 * 2**20
_MOST_NUMBERS = 2**29  # of a network: VGG-19 has 2 ** 27
_TYPES = ("float32", "float16", "int64", "int8")

Stored = Mapping[str, "NDArray[Any] | Coded"]


@dataclass(frozen=True)
class _Entry:
    """What the header says of a tensor."""

    name: str
    shape: tuple[int, ...]
    form: str
    k: int = 0
    scaled: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def write_container(card: Mapping[str, Any], tensors: Stored) -> bytes:
    """Return card and tensors as the content of a file.

    Parameters
    ----------
    card
        What JSON can hold.
    tensors
        Arrays of float32, float16, int64 or int8, and coded ones, by name.

    Raises
    ------
    ValueError
        If a tensor is of another type, or a code has no value.
    """
    entries = [_entry(name, tensor) for name, tensor in tensors.items()]
    groups: list[NDArray[Any]] = [
        plane
        for form, members in _pools(entries)
        for plane in _planes(np.concatenate(list(_numbers(members, tensors))), form)
    ]
    groups += [t.codes.ravel() for t in tensors.values() if isinstance(t, Coded)]
    rows: list[NDArray[np.int64]] = []
    kept: list[tuple[int, NDArray[np.int64]]] = []
    for symbols, alphabet in zip(groups, _alphabets(entries), strict=True):
        row = _uniform(alphabet)
        if len(symbols):
            table = frequencies(np.bincount(symbols, minlength=alphabet))
            saved = _bits(symbols, row) - _bits(symbols, table)
            if saved > 8 * len(write_tables([table])):
                row = table
                kept.append((len(rows), table))
        rows.append(row)
    header = {
        "format": _FORMAT,
        "card": dict(card),
        "tensors": [[e.name, e.shape, e.form, e.k, e.scaled] for e in entries],
        "tables": [place for place, _ in kept],
    }
    parts = [
        zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9),
        write_tables([table for _, table in kept]),
        encode(np.concatenate([_NONE, *groups]), *_layout(rows, map(len, groups))),
    ]
    content = _HEAD.pack(_MAGIC, VERSION, 0, *map(len, parts)) + b"".join(parts)
    return content + struct.pack("<I", zlib.crc32(content))


def read_container(
    content: bytes,
) -> tuple[dict[str, Any], dict[str, NDArray[Any] | Coded]]:
    """Return card and tensors of a file.

    Raises
    ------
    WeightsError
        If it is another file, damaged, cut short, or from a later version.
    """
    if len(content) < _HEAD.size + 4 or content[:8] != _MAGIC:
        raise WeightsError("This is no compressed network, or its beginning is damaged")
    _, version, _, *lengths = _HEAD.unpack_from(content)
    if version != VERSION:
        raise WeightsError(
            f"The compressed network is of version {version} of its format, and this"
            f" program reads version {VERSION}; bring the program up to date"
        )
    if _HEAD.size + sum(lengths) + 4 != len(content):
        raise WeightsError(
            f"The compressed network is damaged or cut short: {len(content):,} bytes,"
            f" where its beginning promises {_HEAD.size + sum(lengths) + 4:,}"
        )
    if struct.unpack("<I", content[-4:])[0] != zlib.crc32(memoryview(content)[:-4]):
        raise WeightsError("The compressed network is damaged: its checksum is another")
    data = memoryview(content)[_HEAD.size : -4]
    parts = []
    for length in lengths:
        parts.append(data[:length])
        data = data[length:]
    card, entries, kept = _read_header(parts[0])
    alphabets = _alphabets(entries)
    if any(place >= len(alphabets) for place in kept):
        raise WeightsError("The file is damaged: it has tables of nothing")
    rows = [_uniform(alphabet) for alphabet in alphabets]
    tables = read_tables(parts[1], [alphabets[place] for place in kept])
    for place, table in zip(kept, tables, strict=True):
        rows[place] = table
    sizes = _sizes(entries)
    symbols = decode(parts[2], sum(sizes), *_layout(rows, sizes))
    ends = np.cumsum(sizes)
    groups = iter(np.split(symbols, ends[:-1]) if sizes else [])
    return card, _tensors(entries, groups)


def _entry(name: str, tensor: NDArray[Any] | Coded) -> _Entry:
    if not isinstance(tensor, Coded):
        if str(tensor.dtype) not in _TYPES:
            raise ValueError(f"'{name}' is of {tensor.dtype}, not {', '.join(_TYPES)}")
        return _Entry(name, tensor.shape, str(tensor.dtype))
    k = len(tensor.values)
    if not 0 < k <= _MOST_VALUES or int(tensor.codes.max(initial=0)) >= k:
        raise ValueError(f"'{name}' has codes without a value, or too many values")
    return _Entry(name, tensor.shape, "coded", k, tensor.scales is not None)


def _pools(entries: list[_Entry]) -> list[tuple[str, list[_Entry]]]:
    """Return which tensors' numbers stand together, and of which type they are."""
    coded = [entry for entry in entries if entry.form == "coded"]
    pools = [("float32", coded)] if coded else []
    for form in _TYPES:
        own = [entry for entry in entries if entry.form == form]
        small = [entry for entry in own if entry.size < _SMALL]
        pools += [(form, small)] if small else []
        pools += [(form, [entry]) for entry in own if entry.size >= _SMALL]
    return pools


def _counts(entry: _Entry) -> list[int]:
    """Return how many numbers of a tensor stand in its pool: values and scales, all."""
    if entry.form != "coded":
        return [entry.size]
    return [entry.k, entry.shape[0] if entry.scaled else 0]


def _numbers(members: list[_Entry], tensors: Stored) -> Iterator[NDArray[Any]]:
    for entry in members:
        tensor = tensors[entry.name]
        if isinstance(tensor, Coded):
            yield tensor.values.astype("<f4", copy=False)
            if tensor.scales is not None:
                yield tensor.scales.astype("<f4", copy=False)
        else:
            yield np.ascontiguousarray(tensor).ravel()


def _planes(numbers: NDArray[Any], form: str) -> list[NDArray[np.uint8]]:
    """Return the lowest bytes of all numbers, the next ones, …"""
    little = numbers.astype(np.dtype(form).newbyteorder("<"), copy=False)
    return list(little.view(np.uint8).reshape(len(little), -1).T)


def _sizes(entries: list[_Entry]) -> list[int]:
    """Return how many symbols each group has."""
    sizes = []
    for form, members in _pools(entries):
        n = sum(sum(_counts(entry)) for entry in members)
        sizes += [n] * np.dtype(form).itemsize
    return sizes + [entry.size for entry in entries if entry.form == "coded"]


def _alphabets(entries: list[_Entry]) -> list[int]:
    planes = sum(np.dtype(form).itemsize for form, _ in _pools(entries))
    return [256] * planes + [entry.k for entry in entries if entry.form == "coded"]


def _uniform(alphabet: int) -> NDArray[np.int64]:
    return frequencies(np.ones(alphabet, np.int64))


def _bits(symbols: NDArray[Any], table: NDArray[np.int64]) -> float:
    counts = np.bincount(symbols, minlength=len(table))
    used = counts > 0
    return float((counts[used] * (PRECISION - np.log2(table[used]))).sum())


def _layout(
    rows: list[NDArray[np.int64]], sizes: Iterable[int]
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Return the groups' tables as one array, and which of them holds where."""
    tables = np.zeros((len(rows), max(map(len, rows), default=1)), np.int64)
    for table, row in zip(tables, rows, strict=True):
        table[: len(row)] = row
    return tables, np.repeat(np.arange(len(rows), dtype=np.uint16), list(sizes))


def _read_header(
    part: memoryview,
) -> tuple[dict[str, Any], list[_Entry], list[int]]:
    try:
        unpack = zlib.decompressobj()
        header = json.loads(unpack.decompress(part, _MOST_HEADER))
        if header["format"] != _FORMAT or not unpack.eof:
            raise ValueError
        entries = [
            _Entry(str(name), tuple(map(int, shape)), str(form), int(k), bool(scaled))
            for name, shape, form, k, scaled in header["tensors"]
        ]
        for entry in entries:
            _check(entry)
        card = dict(header["card"])
        kept = [int(place) for place in header["tables"]]
        if len({entry.name for entry in entries}) < len(entries) or min(kept + [0]) < 0:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as ex:
        raise WeightsError(
            "The compressed network is damaged: its header makes no sense"
        ) from ex
    if sum(entry.size for entry in entries) > _MOST_NUMBERS:
        raise WeightsError("The compressed network has more numbers than are read here")
    return card, entries, kept


def _check(entry: _Entry) -> None:
    if any(side < 0 for side in entry.shape) or len(entry.shape) > 8:
        raise ValueError
    if entry.form == "coded":
        if not 0 < entry.k <= _MOST_VALUES or (entry.scaled and not entry.shape):
            raise ValueError
    elif entry.form not in _TYPES:
        raise ValueError


def _tensors(
    entries: list[_Entry], groups: Iterator[NDArray[np.uint16]]
) -> dict[str, NDArray[Any] | Coded]:
    numbers: dict[str, list[NDArray[Any]]] = {}
    for form, members in _pools(entries):
        dtype = np.dtype(form).newbyteorder("<")
        planes = [next(groups).astype(np.uint8) for _ in range(dtype.itemsize)]
        # in the machine's own order of bytes
        whole = np.ascontiguousarray(np.stack(planes, 1)).view(dtype).ravel()
        whole = whole.astype(np.dtype(form), copy=False)
        for entry in members:
            parts = []
            for count in _counts(entry):
                parts.append(whole[:count].copy())
                whole = whole[count:]
            numbers[entry.name] = parts
    tensors: dict[str, NDArray[Any] | Coded] = {}
    for entry in entries:
        parts = numbers[entry.name]
        if entry.form == "coded":
            codes = next(groups).reshape(entry.shape)
            scales = parts[1] if entry.scaled else None
            tensors[entry.name] = Coded(
                parts[0], codes.astype(np.uint8) if entry.k <= 256 else codes, scales
            )
        else:
            tensors[entry.name] = parts[0].reshape(entry.shape)
    return tensors
