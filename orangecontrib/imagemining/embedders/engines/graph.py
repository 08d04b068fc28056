"""Cuts out of an ONNX file what is needed for some of its outputs.

ONNX Runtime computes all outputs that a file has, whichever are asked for. Leaving out
the others' part of the network saves SqueezeNet's features a quarter of the work, and
those of a network's first stage nearly all of it.

An ONNX file is a message of protocol buffers (see `embedders.onnxfile`). Its fields are
copied as they are, or left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

__all__ = ["with_outputs_only"]

# numbers of fields, out of onnx.proto
_GRAPH = 7  # of a model
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13  # of a graph
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPHS = (6, 11)
_TENSOR_NAME = 8
_VALUE_NAME = 1


def with_outputs_only(model: bytes, outputs: Collection[str]) -> bytes:
    """Return an ONNX file that computes these outputs and nothing else.

    Parameters
    ----------
    model
        Content of a file whose numbers are all in it.
    outputs
        Names of outputs that it has.

    Raises
    ------
    ValueError
        If it is damaged, or has no such output; or has graphs within graphs, which
        our networks have not.
    """
    view = memoryview(model)
    parts: list[bytes | memoryview] = []
    for number, whole, content in _fields(view):
        if number == _GRAPH:
            graph = b"".join(_graph(content, outputs))
            parts += [_tag(_GRAPH), _varint_bytes(len(graph)), graph]
        else:
            parts.append(whole)
    return b"".join(parts)


def _graph(graph: memoryview, outputs: Collection[str]) -> Iterator[bytes | memoryview]:
    fields = list(_fields(graph))
    there = {_name(content, _VALUE_NAME) for n, _, content in fields if n == _OUTPUT}
    if not set(outputs) <= there:
        raise ValueError(f"no outputs {sorted(set(outputs) - there)}")
    needed = set(outputs)
    kept = set()
    nodes = [(i, field[2]) for i, field in enumerate(fields) if field[0] == _NODE]
    # nodes come in the order in which they are computed
    for place, node in reversed(nodes):
        ins, outs = _ends(node)
        if needed & outs:
            kept.add(place)
            needed |= ins
    for place, (number, whole, content) in enumerate(fields):
        if number == _NODE:
            keep = place in kept
        elif number == _INITIALIZER:
            keep = _name(content, _TENSOR_NAME) in needed
        elif number == _OUTPUT:
            keep = _name(content, _VALUE_NAME) in outputs
        else:
            keep = number != _VALUE_INFO
        if keep:
            yield whole


def _ends(node: memoryview) -> tuple[set[str], set[str]]:
    """Return the names of what a node takes and gives."""
    ins, outs = set(), set()
    for number, _, content in _fields(node):
        if number == _NODE_INPUT:
            ins.add(bytes(content).decode())
        elif number == _NODE_OUTPUT:
            outs.add(bytes(content).decode())
        elif number == _NODE_ATTRIBUTE:
            if any(inner in _ATTRIBUTE_GRAPHS for inner, _, _ in _fields(content)):
                raise ValueError("graphs within graphs")
    return ins - {""}, outs - {""}


def _name(message: memoryview, number: int) -> str:
    for found, _, content in _fields(message):
        if found == number:
            return bytes(content).decode()
    return ""


def _fields(
    message: memoryview,
) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield numbers of fields, all their bytes, and their content."""
    place = 0
    while place < len(message):
        start = place
        tag, place = _varint(message, place)
        kind = tag & 7
        inside = place
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, inside = _varint(message, place)
            place = inside + length
        else:
            raise ValueError(f"unknown kind {kind}")
        if place > len(message):
            raise ValueError("the file breaks off")
        yield tag >> 3, message[start:place], message[inside:place]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("the file breaks off")


def _tag(number: int) -> bytes:
    return _varint_bytes(number << 3 | 2)


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
