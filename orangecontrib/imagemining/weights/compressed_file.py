"""Compressed networks as files: weights near their entropy, with a card.

The format is described for other programs in ``doc/network-files.md``; keep that page
up to date. `network_file` opens these files as it opens the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.folders import raise_disk_error, write_parts
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.network_head import (
    NetworkHead,
    check_place,
    check_shapes,
    damaged,
    known_shapes,
)
from orangecontrib.imagemining.weights.network_json import (
    card_from_json,
    card_to_json,
)
from orangecontrib.imagemining.weights.packed.container import (
    container_parts,
    read_container,
)
from orangecontrib.imagemining.weights.packed.header import (
    BEGINNING,
    MAGIC,
    Header,
    header_end,
    read_header,
)
from orangecontrib.imagemining.weights.tensors import Tensors

__all__ = [
    "COMPRESSED_SUFFIX",
    "compressed_size",
    "is_compressed_file",
    "load_compressed",
    "read_compressed_head",
    "save_compressed",
]

COMPRESSED_SUFFIX = ".imnet"

_CHUNK = 16 * 2**20

Stored = dict[str, "NDArray[Any] | Coded"]


def save_compressed(
    network: ImageNetwork,
    path: Path,
    replace: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a network to a file, each tensor as `stored` says; return its bytes.

    Tensors of which `stored` says nothing, or something else than they are, are kept as
    they are: what is read again is always the same network.

    Parameters
    ----------
    network
        To be kept, compressed or not.
    path
        The file, in a folder that exists; ``.imnet`` by custom.
    replace
        Whether a file that is there may be replaced; ask before.
    progress
        Told how much is done; what it raises leaves nothing behind.

    Raises
    ------
    FilesExistError
        If there is something of that name and `replace` is not set, or it is a folder.
    WeightsError
        If it cannot be written, or the network holds other numbers than float32 and
        int64, or numbers that are none.
    """
    check_place(path, replace)
    parts = _parts(network, lambda part, text="": progress(0.9 * part, text))
    try:
        n_bytes = write_parts(path, _pieces(parts, progress))
    except OSError as ex:
        raise_disk_error(ex, path)
    progress(1)
    return n_bytes


def compressed_size(network: ImageNetwork, progress: Progress = no_progress) -> int:
    """Return how many bytes `save_compressed` would write, by coding it all.

    Numbers that are none are counted like others.

    Raises
    ------
    WeightsError
        If the network holds other numbers than float32 and int64.
    """
    return sum(map(len, _parts(network, progress, finite=False)))


def is_compressed_file(path: Path) -> bool:
    """Tell by its first bytes whether a file is one of `save_compressed`."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def load_compressed(path: Path, progress: Progress = no_progress) -> ImageNetwork:
    """Read a network, and see that it is the one that was written.

    Nothing in the file is executed. Its lengths, its checksum and its header are looked
    at before its numbers are.

    Parameters
    ----------
    path
        The file.
    progress
        Told how much is read; what it raises ends it.

    Raises
    ------
    WeightsError
        If it cannot be read, is another file, is damaged or cut short, or comes from a
        later version of this add-on.
    """
    try:
        with open(path, "rb") as stream:
            header = _read_header(path, stream)
            told = _told(path, header)
            _check_numbers(path, header, told.card)
            stream.seek(0)
            content = _read_all(path, stream, progress)
        stored = read_container(
            content.data,
            lambda part, text="": progress(0.2 + 0.6 * part, f"Reading {path.name}"),
            path.name,
        )[1]
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror or ex})") from ex
    except MemoryError as ex:
        raise WeightsError(f"{path.name} needs more memory than there is") from ex
    progress(0.8, f"Checking {path.name}")
    kept = {
        name: tensor
        for name, tensor in stored.items()
        if isinstance(tensor, Coded) or tensor.dtype == np.float16
    }
    tensors: Tensors = {}
    for name, tensor in stored.items():
        numbers = _decoded(tensor)
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            reason = f"'{name}' holds values that are none"
            raise WeightsError(damaged(path.name, reason))
        tensors[name] = numbers
    network = ImageNetwork(told.card, tensors, kept)
    progress(0.9, f"Checking {path.name}")
    if network.sha256 != told.sha256:
        reason = "its network is not the one it tells"
        raise WeightsError(damaged(path.name, reason))
    check_shapes(path, network)
    progress(1)
    return network


def read_compressed_head(path: Path) -> NetworkHead:
    """Read a file's card, and that its length is right, without the numbers.

    Raises
    ------
    WeightsError
        As for `load_compressed`.
    """
    try:
        with open(path, "rb") as stream:
            header = _read_header(path, stream)
            size = os.fstat(stream.fileno()).st_size
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror or ex})") from ex
    told = _told(path, header)
    n_parameters = sum(e.size for e in header.entries if not e.form.startswith("int"))
    name = ImageNetwork.name_of(told.card, told.sha256)
    return NetworkHead(told.card, told.sha256, name, n_parameters, size)


# writing --------------------------------------------------------------------------


def _parts(
    network: ImageNetwork, progress: Progress, finite: bool = True
) -> list[bytes]:
    stored: Stored = {}
    for name, tensor in network.tensors.items():
        if tensor.dtype not in (np.float32, np.int64):
            raise WeightsError(
                f"'{name}' holds {tensor.dtype}; networks are saved as float32"
            )
        if finite and tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise WeightsError(
                f"'{name}' holds values that are no numbers: the training has failed,"
                " so the network is not saved"
            )
        how = network.stored.get(name)
        stored[name] = tensor if how is None else _tighter(how, tensor)
    told = {"network": card_to_json(network.card), "sha256": network.sha256}
    try:
        return container_parts(told, stored, progress)
    except ValueError as ex:
        raise WeightsError(f"The network cannot be saved so: {ex}") from ex


def _pieces(parts: list[bytes], progress: Progress) -> Iterator[memoryview]:
    done, total = 0, sum(map(len, parts))
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(part), _CHUNK):
            progress(0.9 + 0.1 * done / total)
            piece = view[start : start + _CHUNK]
            done += len(piece)
            yield piece


def _tighter(how: Coded | NDArray[Any], tensor: NDArray[Any]) -> NDArray[Any] | Coded:
    """Return how a tensor is kept, if it is still what was said of it."""
    same = how.shape == tensor.shape and tensor.dtype == np.float32
    if not same or _decoded(how).tobytes() != tensor.tobytes():
        return tensor
    return _sorted(how) if isinstance(how, Coded) else how


def _sorted(coded: Coded) -> Coded:
    """Return the same with its values in order, which takes fewer bits to tell."""
    order = np.argsort(coded.values, kind="stable")
    if (order[1:] > order[:-1]).all():
        return coded
    place = np.empty(len(order), coded.codes.dtype)
    place[order] = np.arange(len(order))
    return Coded(coded.values[order], place[coded.codes], coded.scales)


def _decoded(tensor: Coded | NDArray[Any]) -> NDArray[Any]:
    if isinstance(tensor, Coded):
        return tensor.decoded
    return tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor


# reading --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Told:
    card: NetworkCard
    sha256: str


def _read_header(path: Path, stream: BinaryIO) -> Header:
    size = os.fstat(stream.fileno()).st_size
    if not size:
        raise WeightsError(f"{path.name} is empty")
    beginning = stream.read(BEGINNING)
    end = header_end(beginning, size, path.name)
    return read_header(beginning + stream.read(end - len(beginning)), size, path.name)


def _told(path: Path, header: Header) -> _Told:
    card: Mapping[str, Any] = header.card
    try:
        digest = card["sha256"]
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError("its checksum is none")
        if not header.entries:
            raise ValueError("it has no tensors")
        if any(entry.form == "int8" for entry in header.entries):
            raise ValueError("it has numbers of 8 bits")
        return _Told(card_from_json(card["network"]), digest)
    except KeyError as ex:
        raise WeightsError(damaged(path.name, f"{ex} is missing")) from ex
    except (ValueError, TypeError, AttributeError, OverflowError) as ex:
        raise WeightsError(damaged(path.name, str(ex))) from ex


def _check_numbers(path: Path, header: Header, card: NetworkCard) -> None:
    """See that there are no more numbers than the network has, before they are made."""
    shapes = known_shapes(card)
    if shapes is None:
        return
    for entry in header.entries:
        if shapes.get(entry.name, ()) != entry.shape:
            reason = f"'{entry.name}' is none of {card.architecture}'s tensors"
            raise WeightsError(damaged(path.name, reason))


def _read_all(path: Path, stream: BinaryIO, progress: Progress) -> NDArray[np.uint8]:
    total = os.fstat(stream.fileno()).st_size
    content = np.empty(total, np.uint8)
    view = content.data
    start = 0
    while start < total:
        progress(0.2 * start / total, f"Reading {path.name}")
        n = stream.readinto(view[start : start + _CHUNK])  # type: ignore[attr-defined]
        if not n:
            raise WeightsError(damaged(path.name, "it is cut short"))
        start += n
    return content
