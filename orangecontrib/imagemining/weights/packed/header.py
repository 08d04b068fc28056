"""The beginning of a compressed network's file, and what it tells of the rest."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.network_head import (
    damaged,
    no_number,
    without_doubles,
)

__all__ = [
    "BEGINNING",
    "MAGIC",
    "SMALL",
    "TYPES",
    "VERSION",
    "Entry",
    "Header",
    "header_bytes",
    "header_end",
    "read_header",
]

MAGIC = b"OIMCNET\0"
VERSION = 1
#: Types of numbers of tensors that are not coded.
TYPES = ("float32", "float16", "int64", "int8")
#: Tensors of fewer numbers stand together.
SMALL = 4096

_HEAD = struct.Struct("<8sHH4I")
#: So many bytes tell how long the header is.
BEGINNING = _HEAD.size
_FORMAT = "Orange3-ImageMining compressed network"
_MOST_VALUES = 4096
_MOST_HEADER = 16 * 2**20  # bytes, also when inflated
_MOST_TENSORS = 10_000
_MOST_NUMBERS = 2**28  # of a network: VGG-19 has 2 ** 27.1
_MOST_AXES = 8


@dataclass(frozen=True)
class Entry:
    """What the header says of a tensor.

    Attributes
    ----------
    name, shape : of the tensor.
    form : "coded" or one of `TYPES`.
    k : how many values a coded one has.
    scaled : whether it has a scale for each filter.
    """

    name: str
    shape: tuple[int, ...]
    form: str
    k: int = 0
    scaled: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a file's beginning tells.

    Attributes
    ----------
    card : of the network.
    entries : its tensors, in order.
    kept : which groups of symbols have a table.
    start : where the parts behind the header begin.
    lengths : of these: tables, plain, codes.
    """

    card: dict[str, Any]
    entries: list[Entry]
    kept: list[int]
    start: int
    lengths: tuple[int, int, int]

    def parts(self, content: memoryview) -> list[memoryview]:
        """Return the parts of a file behind the header."""
        parts, start = [], self.start
        for length in self.lengths:
            parts.append(content[start : start + length])
            start += length
        return parts


def header_bytes(
    card: Mapping[str, Any],
    entries: list[Entry],
    kept: list[int],
    lengths: tuple[int, int, int],
) -> bytes:
    """Return the file's beginning, up to the tables.

    Raises
    ------
    ValueError
        If it could not be read again.
    """
    for entry in entries:
        _check(entry)
    _check_all(entries)
    content = {
        "format": _FORMAT,
        "card": dict(card),
        "tensors": [[e.name, e.shape, e.form, e.k, e.scaled] for e in entries],
        "tables": kept,
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > _MOST_HEADER:
        raise ValueError("The network's card is too large: shorten its notes")
    packed = zlib.compress(text, 9)
    if max(lengths) >= 2**32:
        raise ValueError("The network is larger than such files can be")
    return _HEAD.pack(MAGIC, VERSION, 0, len(packed), *lengths) + packed


def header_end(beginning: bytes | memoryview, size: int, name: str) -> int:
    """Return where the header ends.

    Parameters
    ----------
    beginning
        `BEGINNING` bytes, or fewer of a short file.
    size
        Of the whole file, bytes.
    name
        What it is called in messages.

    Raises
    ------
    WeightsError
        If it is another file, of another length, or of a later version.
    """
    if bytes(beginning[:8]) != MAGIC:
        raise WeightsError(
            f"{name} is no compressed network, or its beginning is damaged. Compressed"
            " networks are saved by Save Network"
        )
    if len(beginning) < BEGINNING or size < BEGINNING + 4:
        raise WeightsError(damaged(name, "it is cut short"))
    _, version, _, *lengths = _HEAD.unpack_from(beginning)
    if version > VERSION:
        raise WeightsError(
            f"{name} was written by a later version of this add-on; update it to read"
            " the file"
        )
    promised = BEGINNING + sum(lengths) + 4
    if promised != size:
        what = "cut short" if size < promised else "too long"
        raise WeightsError(
            damaged(name, f"it is {what}: {size:,} bytes in place of {promised:,}")
        )
    if version != VERSION:
        raise WeightsError(damaged(name, "there is no version 0"))
    if lengths[0] > _MOST_HEADER:
        raise WeightsError(damaged(name, "its header is too long"))
    return int(BEGINNING + lengths[0])


def read_header(content: bytes | memoryview, size: int, name: str) -> Header:
    """Return what the beginning of a file tells.

    Parameters
    ----------
    content
        The file up to `header_end` at least.
    size, name
        As for `header_end`.

    Raises
    ------
    WeightsError
        As `header_end`, and if the header is damaged.
    """
    end = header_end(content[:BEGINNING], size, name)
    _, _, _, _, *lengths = _HEAD.unpack_from(content)
    try:
        unpack = zlib.decompressobj()
        text = unpack.decompress(content[BEGINNING:end], _MOST_HEADER)
        if not unpack.eof or unpack.unused_data or unpack.unconsumed_tail:
            raise ValueError("its header is of another length")
        header = json.loads(
            text, object_pairs_hook=without_doubles, parse_constant=no_number
        )
        if header["format"] != _FORMAT:
            raise ValueError("its header is of another format")
        entries = [_read_entry(*each) for each in header["tensors"]]
        _check_all(entries)
        card, kept = header["card"], header["tables"]
        if not isinstance(card, dict) or not isinstance(kept, list):
            raise ValueError("its card is none")
        if not all(type(group) is int and group >= 0 for group in kept):
            raise ValueError("it has tables of nothing")
    except RecursionError as ex:
        raise WeightsError(damaged(name, "its header is nested too deep")) from ex
    except KeyError as ex:
        raise WeightsError(damaged(name, f"{ex} is missing in its header")) from ex
    except zlib.error as ex:
        raise WeightsError(damaged(name, "its header cannot be inflated")) from ex
    except (ValueError, TypeError, AttributeError, OverflowError) as ex:
        raise WeightsError(damaged(name, str(ex))) from ex
    return Header(card, entries, kept, end, (lengths[0], lengths[1], lengths[2]))


def _read_entry(name: Any, shape: Any, form: Any, k: Any, scaled: Any) -> Entry:
    numbers = [k, *shape]
    if (
        not isinstance(name, str)
        or not isinstance(shape, list)
        or not isinstance(form, str)
        or not isinstance(scaled, bool)
        or not all(type(number) is int for number in numbers)
    ):
        raise ValueError("a tensor is described in another way")
    entry = Entry(name, tuple(shape), form, k, scaled)
    _check(entry)
    return entry


def _check(entry: Entry) -> None:
    if len(entry.shape) > _MOST_AXES or not all(0 <= n < 2**48 for n in entry.shape):
        raise ValueError(f"'{entry.name}' has an impossible shape")
    if entry.form == "coded":
        if not 0 < entry.k <= _MOST_VALUES or (entry.scaled and not entry.shape):
            raise ValueError(f"'{entry.name}' has too many values, or none")
    elif entry.form not in TYPES or entry.k or entry.scaled:
        raise ValueError(
            f"'{entry.name}' is of {entry.form}, not of {', '.join(TYPES)}"
        )


def _check_all(entries: list[Entry]) -> None:
    if len(entries) > _MOST_TENSORS:
        raise ValueError(f"it has {len(entries):,} tensors")
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("it has two tensors of one name")
    # a scale for each filter: also of tensors without numbers
    sizes = (e.size + (e.shape[0] if e.scaled else 0) for e in entries)
    if sum(sizes) > _MOST_NUMBERS:
        raise ValueError("it has more numbers than any network")
