"""Looks into an ONNX file without running anything of it.

An ONNX file is a message of Google's protocol buffers: fields one after another, each
a number, a kind, and a value or a length and content. What is needed here is little:
that it is such a file and complete, and which other files it asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from orangecontrib.imagemining.exceptions import WeightsError

__all__ = ["parts_of", "read_network_file", "sha256_of"]

_MAX_BYTES = 2**31 - 1  # of a message; larger networks keep their numbers beside it
_MAX_DEPTH = 40  # of graphs within graphs
_CHUNK = 2**20

# The fields in which others lie that may name a file (numbers out of onnx.proto).
_TENSOR = "tensor"
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: _TENSOR,
        6: "graph",
        10: _TENSOR,
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
_EXTERNAL_DATA = 13  # of a tensor: pairs of a key and a value

# beginnings of what people save under a network's name
_OTHERS = (
    ((b"<!doctype", b"<html", b"<?xml", b"<"), "a web page, not the network"),
    ((b"version https://git-lfs",), "a pointer of Git LFS, not the network itself"),
    ((b"pk\x03\x04", b"\x80\x02", b"\x80\x04"), "a file of PyTorch or a zip archive"),
    ((b"\x89hdf",), "a file of Keras (HDF5)"),
    ((b"\x1f\x8b",), "compressed; unpack it first"),
)


class _BrokenOff(ValueError):
    """A field is longer than what is left."""


def read_network_file(path: Path) -> bytes:
    """Return the content of an ONNX file, having looked that it is one.

    Raises
    ------
    WeightsError
        If it cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise WeightsError(
                f"{path.name} is larger than 2 GB; an ONNX file of that size keeps its"
                " numbers in a second file beside it: export it so"
            )
        content = path.read_bytes()
    except (OSError, ValueError) as ex:
        reason = getattr(ex, "strerror", None) or ex
        raise WeightsError(f"The network {path} cannot be read ({reason})") from ex
    if not content:
        raise WeightsError(f"{path.name} is empty")
    start = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, what in _OTHERS:
        if start.startswith(beginnings):
            raise WeightsError(
                f"{path.name} is no ONNX file: it is {what}. Get the file again"
            )
    try:
        numbers = {number for number, _ in _fields(memoryview(content))}
    except _BrokenOff as ex:
        raise WeightsError(
            f"{path.name} is cut short, or no ONNX file. Get the file again"
        ) from ex
    except ValueError as ex:
        raise WeightsError(f"{path.name} is no ONNX file, or is damaged") from ex
    if 7 not in numbers:
        raise WeightsError(f"{path.name} is no ONNX file: there is no network in it")
    return content


def parts_of(path: Path, content: bytes) -> list[str]:
    """Return the names of the files beside it that hold numbers of the network.

    Parameters
    ----------
    path
        The ONNX file.
    content
        Of that file.

    Raises
    ------
    WeightsError
        If one of them is missing, or does not lie in the network's own folder.
    """
    try:
        names = sorted(set(_locations(memoryview(content), "model", 0)))
    except ValueError as ex:
        raise WeightsError(f"{path.name} is damaged") from ex
    folder = path.parent.resolve()
    for name in names:
        # names with a folder in them, of this or the other systems, lead elsewhere
        if Path(name).name != name or any(sign in name for sign in "\\/:\0"):
            raise WeightsError(
                f"{path.name} asks for the file '{name}' outside of its own folder;"
                " such a network is not opened"
            )
        if (folder / name).resolve().parent != folder:
            raise WeightsError(
                f"{path.name} asks for '{name}', which leads out of its folder; such a"
                " network is not opened"
            )
        if not (folder / name).is_file():
            raise WeightsError(
                f"The network {path.name} keeps its numbers in '{name}', which is not"
                f" there; put that file into {folder}"
            )
    return names


def sha256_of(path: Path) -> str:
    """Return the checksum of a file.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    total = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                total.update(chunk)
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror})") from ex
    return total.hexdigest()


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs within graphs without end")
    for number, value in _fields(message):
        if kind == _TENSOR:
            if number == _EXTERNAL_DATA and isinstance(value, memoryview):
                pair = {
                    n: bytes(v) for n, v in _fields(value) if not isinstance(v, int)
                }
                if pair.get(1) == b"location":
                    yield pair.get(2, b"").decode("utf8")
        elif number in _INSIDE[kind] and isinstance(value, memoryview):
            yield from _locations(value, _INSIDE[kind][number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields' numbers and values; numbers of fixed width come as 0."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("no field has number 0")
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
            if place > len(message):
                raise _BrokenOff
            yield number, 0
        elif kind == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise _BrokenOff
            yield number, message[place : place + length]
            place += length
        else:
            raise ValueError(f"unknown kind {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise _BrokenOff
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number without end")
