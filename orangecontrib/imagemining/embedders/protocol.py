"""What travels between an embedding server and its clients.

``doc/server-protocol.md`` describes it byte by byte; keep that page up to date.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import ProtocolError

__all__ = [
    "EMBED_PATH",
    "MEDIA_TYPE",
    "VERSION",
    "Answer",
    "DamagedError",
    "ImageBody",
    "Request",
    "pack_answer",
    "pack_request",
    "unpack_answer",
    "unpack_request",
]

VERSION = 1
EMBED_PATH = "/v1/embed"
MEDIA_TYPE = "application/vnd.orange-imagemining.embed"

_ASKING, _ANSWERING = b"OIMQ", b"OIMA"
# length of the header, checksum of all that follows
_NUMBERS = struct.Struct("<II")
_MAX_HEADER = 2**20
_MAX_LAYERS = 8
_KINDS = ("file", "prepared")
_FLOAT = np.dtype("<f4")


class DamagedError(ProtocolError):
    """What came is not what was sent; sent again, it may arrive whole."""


@dataclass(frozen=True)
class ImageBody:
    """An image as it travels.

    Attributes
    ----------
    data : its bytes.
    kind : "file": an image file as it is; "prepared": a PNG of the pixels that
        `images.prepare` made for the network, of its size and in its order of colours.
    """

    data: bytes
    kind: Literal["file", "prepared"] = "file"


@dataclass(frozen=True)
class Request:
    """Images to be embedded, all in the same way.

    Attributes
    ----------
    network : its name, as the server's list of networks has it.
    layers : of which vectors are wanted.
    views, fit, precision : as in `specs.EmbedderSpec`.
    images : in the order in which the answer has them.
    """

    network: str
    layers: tuple[str, ...]
    images: tuple[ImageBody, ...]
    views: int | str = 1
    fit: str = "stretch"
    precision: str = "float32"


@dataclass
class Answer:
    """What became of a request's images.

    Attributes
    ----------
    vectors : (n images, size of the layer) float32, by layer; rows of images without a
        vector are NaN.
    reasons : for each image None, or in words why it has no vector.
    network : that the vectors are of.
    """

    vectors: dict[str, NDArray[np.float32]]
    reasons: list[str | None]
    network: str = ""


def pack_request(request: Request) -> bytes:
    """Return a request as bytes."""
    header = {
        "version": VERSION,
        "network": request.network,
        "layers": list(request.layers),
        "views": request.views,
        "fit": request.fit,
        "precision": request.precision,
        "images": [
            {"kind": image.kind, "size": len(image.data)} for image in request.images
        ],
    }
    return _packed(_ASKING, header, [image.data for image in request.images])


def unpack_request(content: bytes, max_images: int) -> Request:
    """Return the request that these bytes are.

    Parameters
    ----------
    content
        As `pack_request` makes it.
    max_images
        More are refused.

    Raises
    ------
    ProtocolError
        If they are none, are not whole (then it is a DamagedError), or ask for what
        nobody can mean.
    """
    header, start = _unpacked(_ASKING, content)
    images = header.get("images")
    if not isinstance(images, list):
        raise ProtocolError("The request has no list 'images'")
    if len(images) > max_images:
        raise ProtocolError(
            f"{len(images)} images are more than the {max_images} of a request"
        )
    layers = header.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= _MAX_LAYERS:
        raise ProtocolError(f"'layers' has to be a list of 1 to {_MAX_LAYERS} names")
    views = header.get("views", 1)
    if isinstance(views, bool) or not isinstance(views, int | str):
        raise ProtocolError("'views' has to be a number or a name")
    bodies = []
    for image in images:
        kind, size = _checked(image)
        if start + size > len(content):
            raise ProtocolError("The request breaks off before its last image's end")
        bodies.append(ImageBody(content[start : start + size], kind))
        start += size
    if start != len(content):
        raise ProtocolError("There is something behind the request's last image")
    return Request(
        _text(header, "network"),
        tuple(dict.fromkeys(_text({"layers": name}, "layers") for name in layers)),
        tuple(bodies),
        views,
        _text(header, "fit", "stretch"),
        _text(header, "precision", "float32"),
    )


def pack_answer(answer: Answer) -> bytes:
    """Return an answer as bytes; rows of images without a vector do not travel."""
    here = [row for row, reason in enumerate(answer.reasons) if reason is None]
    header = {
        "version": VERSION,
        "network": answer.network,
        "layers": [
            {"name": name, "size": int(vectors.shape[1])}
            for name, vectors in answer.vectors.items()
        ],
        "outcomes": answer.reasons,
    }
    blocks = [
        np.ascontiguousarray(vectors[here], _FLOAT).tobytes()
        for vectors in answer.vectors.values()
    ]
    return _packed(_ANSWERING, header, blocks)


def unpack_answer(content: bytes, sizes: Mapping[str, int], n_images: int) -> Answer:
    """Return the answer that these bytes are.

    Parameters
    ----------
    content
        As `pack_answer` makes it.
    sizes
        The lengths of the layers' vectors that were asked for, in that order.
    n_images
        How many images were asked about.

    Raises
    ------
    ProtocolError
        If they are none, are not whole (then it is a DamagedError), or answer something
        else.
    """
    header, start = _unpacked(_ANSWERING, content)
    reasons = header.get("outcomes")
    if not isinstance(reasons, list) or len(reasons) != n_images:
        raise ProtocolError(f"The answer is not one of {n_images} images")
    if not all(reason is None or isinstance(reason, str) for reason in reasons):
        raise ProtocolError("The answer's outcomes are no texts")
    if header.get("layers") != [{"name": n, "size": s} for n, s in sizes.items()]:
        raise ProtocolError("The answer is of other layers than were asked for")
    here = [row for row, reason in enumerate(reasons) if reason is None]
    if len(content) - start != len(here) * sum(sizes.values()) * _FLOAT.itemsize:
        raise ProtocolError("The answer is shorter or longer than its vectors")
    vectors = {}
    for name, size in sizes.items():
        block = np.frombuffer(content, _FLOAT, len(here) * size, start)
        vectors[name] = np.full((n_images, size), np.nan, np.float32)
        vectors[name][here] = block.reshape(len(here), size)
        start += block.nbytes
        if not np.isfinite(block).all():
            raise ProtocolError("The answer has vectors that are no numbers")
    return Answer(vectors, reasons, _text(header, "network"))


def _packed(magic: bytes, header: Mapping[str, Any], rest: Sequence[bytes]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    check = zlib.crc32(text)
    for block in rest:
        check = zlib.crc32(block, check)
    return b"".join([magic, _NUMBERS.pack(len(text), check), text, *rest])


def _unpacked(magic: bytes, content: bytes) -> tuple[dict[str, Any], int]:
    """Return the header, and where that which follows it begins."""
    start = len(magic) + _NUMBERS.size
    if content[: len(magic)] != magic or len(content) < start:
        raise DamagedError(f"This does not begin as {magic.decode()} should")
    length, check = _NUMBERS.unpack_from(content, len(magic))
    if length > _MAX_HEADER or start + length > len(content):
        raise DamagedError("The header is longer than what came, or than allowed")
    if zlib.crc32(memoryview(content)[start:]) != check:
        raise DamagedError("It was damaged on its way: its checksum is another one")
    try:
        header = json.loads(content[start : start + length].decode("utf8"))
    except (ValueError, RecursionError) as ex:
        # its length is not in the checksum
        raise DamagedError("The header is not JSON") from ex
    if not isinstance(header, dict):
        raise ProtocolError("The header is no JSON object")
    if header.get("version") != VERSION:
        raise ProtocolError(f"Only version {VERSION} of the protocol is spoken here")
    return header, start + length


def _checked(image: object) -> tuple[Literal["file", "prepared"], int]:
    if not isinstance(image, dict):
        raise ProtocolError("An image's entry is no JSON object")
    kind, size = image.get("kind", "file"), image.get("size")
    if kind not in _KINDS:
        raise ProtocolError(f"An image's kind is {' or '.join(_KINDS)}")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ProtocolError("An image's size is no number of bytes")
    return ("prepared" if kind == "prepared" else "file"), size


def _text(header: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = header.get(key, default)
    if not isinstance(value, str):
        raise ProtocolError(f"'{key}' has to be a text")
    return value
