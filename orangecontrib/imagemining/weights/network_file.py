"""Trained networks as files: safetensors with a card.

Any program that reads safetensors reads the numbers; what else is to be known of the
network is JSON in the file's metadata. Compressed networks (`compressed_file`) are read
and written by the same functions. The format is described for other programs in
``doc/network-files.md``; keep that page up to date.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.compressed_file import (
    COMPRESSED_SUFFIX,
    is_compressed_file,
    load_compressed,
    read_compressed_head,
    save_compressed,
)
from orangecontrib.imagemining.weights.folders import raise_disk_error, write_parts
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_head import (
    NetworkHead,
    check_place,
    check_shapes,
    damaged,
    no_number,
    without_doubles,
)
from orangecontrib.imagemining.weights.network_json import (
    card_from_json,
    card_to_json,
)
from orangecontrib.imagemining.weights.tensors import Tensors

__all__ = [
    "NETWORK_FORMAT",
    "NETWORK_SUFFIX",
    "NETWORK_SUFFIXES",
    "NETWORK_VERSION",
    "NetworkHead",
    "load_network_file",
    "read_head",
    "save_network",
]

NETWORK_FORMAT = "Orange3-ImageMining network"
NETWORK_VERSION = 1
NETWORK_SUFFIX = ".safetensors"
#: Endings of all files that `load_network_file` reads.
NETWORK_SUFFIXES = (NETWORK_SUFFIX, COMPRESSED_SUFFIX)

#: How numbers are stored: each as it is. Other ways are for versions to come.
_PLAIN = "plain"
_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_MAX_HEADER = 16 * 2**20  # bytes; those of the largest networks have 200,000
_MAX_TENSORS = 100_000
_MAX_AXES = 8
_CHUNK = 16 * 2**20


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies behind the header: type, shape, first byte, last byte + 1."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


def save_network(
    network: ImageNetwork,
    path: Path,
    replace: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a network to a file and return how many bytes it has.

    The same network gives the same bytes. A name that ends in ``.imnet`` asks for the
    compressed format.

    Parameters
    ----------
    network
        To be kept.
    path
        The file, in a folder that exists.
    replace
        Whether a file that is there may be replaced; ask before.
    progress
        Told how much is written; what it raises leaves nothing behind.

    Raises
    ------
    FilesExistError
        If there is something of that name and `replace` is not set, or it is a folder.
    WeightsError
        If it cannot be written, or the network holds other numbers than float32 and
        int64, or numbers that are none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from orangecontrib.imagemining.embedders.trained import published_network
    >>> from orangecontrib.imagemining.weights.network_file import (
    ...     load_network_file,
    ...     save_network,
    ... )
    >>> network = published_network("squeezenet1_1")
    >>> n_bytes = save_network(network, Path("squeezenet.safetensors"))
    >>> load_network_file(Path("squeezenet.safetensors")) == network
    True
    >>> n_bytes > save_network(network, Path("squeezenet.imnet"))
    True
    """
    check_place(path, replace)
    if path.suffix.lower() == COMPRESSED_SUFFIX:
        return save_compressed(network, path, replace, progress)
    places = _placed(network.tensors)
    header = _header(network, places)
    try:
        return write_parts(path, _pieces(header, network.tensors, places, progress))
    except OSError as ex:
        raise_disk_error(ex, path)


def load_network_file(path: Path, progress: Progress = no_progress) -> ImageNetwork:
    """Read a network, and see that it is the one that was written.

    Nothing in the file is executed. That architecture and numbers fit each other is
    seen here for architectures with published weights; for others when the network is
    built.

    Parameters
    ----------
    path
        The file.
    progress
        Told how much is read; what it raises ends it.

    Raises
    ------
    WeightsError
        If it cannot be read, is no file of a network, is damaged, or comes from a later
        version of this add-on.
    """
    if is_compressed_file(path):
        return load_compressed(path, progress)
    try:
        with open(path, "rb") as stream:
            head, places = _read_header(path, stream)
            content = _read_content(path, stream, places, progress)
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror or ex})") from ex
    tensors: Tensors = {}
    for name, place in places.items():
        tensor = np.frombuffer(
            content, place.dtype, math.prod(place.shape), place.start
        ).reshape(place.shape)
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise WeightsError(f"'{name}' in {path.name} holds values that are none")
        tensors[name] = tensor if tensor.flags.aligned else tensor.copy()
    network = ImageNetwork(head.card, tensors)
    progress(0.95, f"Checking {path.name}")
    if network.sha256 != head.sha256:
        raise WeightsError(damaged(path.name, "its checksum is not the one it tells"))
    check_shapes(path, network)
    progress(1)
    return network


def read_head(path: Path) -> NetworkHead:
    """Read a file's card, and that its length is right, without the numbers.

    Raises
    ------
    WeightsError
        As for `load_network_file`.
    """
    if is_compressed_file(path):
        return read_compressed_head(path)
    try:
        with open(path, "rb") as stream:
            return _read_header(path, stream)[0]
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror or ex})") from ex


# writing --------------------------------------------------------------------------


def _placed(tensors: Tensors) -> dict[str, _Place]:
    """Return where the tensors go: larger numbers first, so that all are aligned."""
    places: dict[str, _Place] = {}
    start = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        tensor = tensors[name]
        dtype = tensor.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise WeightsError(
                f"'{name}' holds {tensor.dtype}; networks are saved as float32"
            )
        if dtype.kind == "f" and not np.isfinite(tensor).all():
            raise WeightsError(
                f"'{name}' holds values that are no numbers: the training has failed,"
                " so the network is not saved"
            )
        places[name] = _Place(dtype, tensor.shape, start, start + tensor.nbytes)
        start += tensor.nbytes
    return places


def _header(network: ImageNetwork, places: dict[str, _Place]) -> bytes:
    card = json.dumps(card_to_json(network.card), allow_nan=False)
    content: dict[str, Any] = {
        "__metadata__": {
            "format": NETWORK_FORMAT,
            "version": str(NETWORK_VERSION),
            "encoding": _PLAIN,
            "sha256": network.sha256,
            "card_sha256": _sha256(card),
            "card": card,
        }
    }
    for name, place in places.items():
        content[name] = {
            "dtype": _NAMES[place.dtype],
            "shape": list(place.shape),
            "data_offsets": [place.start, place.end],
        }
    text = json.dumps(content, separators=(",", ":")).encode()
    if len(text) > _MAX_HEADER:
        raise WeightsError(
            f"The network's card is too large ({len(text) / 2**20:.0f} MB): shorten its"
            " notes"
        )
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _pieces(
    header: bytes, tensors: Tensors, places: dict[str, _Place], progress: Progress
) -> Iterator[bytes | memoryview]:
    total = len(header) + max((place.end for place in places.values()), default=0)
    yield header
    for name, place in places.items():
        progress((len(header) + place.start) / total)
        tensor = np.ascontiguousarray(tensors[name], place.dtype)
        data = tensor.reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _CHUNK):
            progress((len(header) + place.start + start) / total)
            yield data[start : start + _CHUNK]
    progress(1)


# reading --------------------------------------------------------------------------


def _read_header(path: Path, stream: BinaryIO) -> tuple[NetworkHead, dict[str, _Place]]:
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(8)
    if not start:
        raise WeightsError(f"{path.name} is empty")
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= _MAX_HEADER:
        raise WeightsError(
            f"{path.name} is no file of a network, or is damaged. Networks are saved"
            " by Save Network"
        )
    text = stream.read(length)
    if len(text) < length:
        raise WeightsError(damaged(path.name, "it is cut short"))
    try:
        content = json.loads(
            text, object_pairs_hook=without_doubles, parse_constant=no_number
        )
        if not isinstance(content, dict):
            raise ValueError("its header is no list of tensors")
        metadata = content.pop("__metadata__", None)
        _check_format(path, metadata)
        places = {name: _place(name, entry) for name, entry in content.items()}
        _check_places(places)
        card_text = metadata["card"]
        if _sha256(card_text) != metadata["card_sha256"]:
            raise ValueError("its card has changed since it was written")
        card = card_from_json(
            json.loads(
                card_text,
                object_pairs_hook=without_doubles,
                parse_constant=no_number,
            )
        )
        digest = metadata["sha256"]
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError("its checksum is none")
    except RecursionError as ex:
        raise WeightsError(damaged(path.name, "its card is nested too deep")) from ex
    except KeyError as ex:
        raise WeightsError(damaged(path.name, f"{ex} is missing")) from ex
    except (ValueError, TypeError, AttributeError, OverflowError) as ex:
        raise WeightsError(damaged(path.name, str(ex))) from ex
    end = max((place.end for place in places.values()), default=0)
    if size != 8 + length + end:
        what = "it is cut short" if size < 8 + length + end else "it is too long"
        raise WeightsError(damaged(path.name, what))
    n_parameters = sum(
        math.prod(place.shape) for place in places.values() if place.dtype.kind == "f"
    )
    name = ImageNetwork.name_of(card, digest)
    return NetworkHead(card, digest, name, n_parameters, size), places


def _check_format(path: Path, metadata: Any) -> None:
    """Raise WeightsError for other programs' files, and for later versions' ones."""
    if not isinstance(metadata, dict) or metadata.get("format") != NETWORK_FORMAT:
        raise WeightsError(
            f"{path.name} is a safetensors file, but not one of Save Network: it does"
            " not say of which network its numbers are, so they cannot be used"
        )
    version = metadata["version"]
    if not isinstance(version, str) or not version.isdecimal() or len(version) > 9:
        raise ValueError("its version is no number")
    if int(version) > NETWORK_VERSION:
        raise WeightsError(
            f"{path.name} was written by a later version of this add-on; update it to"
            " read the file"
        )
    if int(version) < 1:
        raise ValueError(f"there is no version {version}")
    if metadata["encoding"] != _PLAIN:
        raise WeightsError(
            f"The numbers in {path.name} are stored in a way ({metadata['encoding']})"
            " that this version of the add-on does not read; update it"
        )


def _place(name: str, entry: Any) -> _Place:
    dtype = _TYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"'{name}' is of type {entry['dtype']}, not F32 or I64")
    shape, offsets = entry["shape"], entry["data_offsets"]
    numbers = [*shape, *offsets]
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_AXES
        or len(offsets) != 2
        or not all(type(number) is int and number >= 0 for number in numbers)
        or max(numbers) >= 2**48
        or math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]
    ):
        raise ValueError(f"'{name}' has an impossible shape or place")
    return _Place(dtype, tuple(shape), *offsets)


def _check_places(places: dict[str, _Place]) -> None:
    if not 0 < len(places) <= _MAX_TENSORS:
        raise ValueError(f"it has {len(places):,} tensors")
    end = 0
    for place in sorted(places.values(), key=lambda place: (place.start, place.end)):
        if place.start != end:
            raise ValueError("its tensors overlap, or there is something between them")
        end = place.end


def _read_content(
    path: Path, stream: BinaryIO, places: dict[str, _Place], progress: Progress
) -> NDArray[np.uint8]:
    total = max(place.end for place in places.values())
    # of numpy's, so that tensors made of it can be changed, and are aligned
    content = np.empty(total, np.uint8)
    view = content.data
    start = 0
    while start < total:
        progress(0.9 * start / total, f"Reading {path.name}")
        n = stream.readinto(view[start : start + _CHUNK])  # type: ignore[attr-defined]
        if not n:
            raise WeightsError(damaged(path.name, "it is cut short"))
        start += n
    return content


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf8")).hexdigest()
