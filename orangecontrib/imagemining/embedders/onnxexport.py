"""Trained networks as ONNX files, which other programs read.

The file takes plain pixels and gives probabilities, so that nobody has to know how the
network wants its images normalised; ``doc/network-files.md`` describes it. Its card
beside it makes it an own network here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from orangecontrib.imagemining.embedders.cards import (
    Card,
    CardLayer,
    card_path,
    is_card,
    load_card,
    save_card,
)
from orangecontrib.imagemining.embedders.onnxfile import read_network_file
from orangecontrib.imagemining.exceptions import FilesExistError, WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.folders import raise_disk_error, write_parts
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.network_json import card_to_json

__all__ = ["ONNX_INPUT", "ONNX_SUFFIX", "copy_onnx", "export_onnx"]

ONNX_SUFFIX = ".onnx"
ONNX_INPUT = "image"
_METADATA = 14  # a model's field of pairs, out of onnx.proto
_CHUNK = 16 * 2**20


def export_onnx(
    network: ImageNetwork,
    path: Path,
    replace: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a network as an ONNX file with its card; return the file's bytes.

    Input ``image``: (n, 3, height, width) float32, red, green, blue of 0–255. Outputs
    ``logits``, ``probabilities`` (n, classes) and ``features`` (n, size) float32. What
    the file computes is compared with torch before anything is written.

    Parameters
    ----------
    network
        To be exported.
    path
        The file, in a folder that exists.
    replace
        Whether file and card that are there may be replaced; ask before.
    progress
        Told how far it is; what it raises leaves nothing behind.

    Raises
    ------
    FilesExistError
        If there is something of one of the two names and `replace` is not set, or
        something that is no card has the card's name.
    WeightsError
        If the network cannot be exported, or the files cannot be written.
    """
    _look(path, replace)
    progress(0, "Loading PyTorch")
    try:
        import torch

        from orangecontrib.imagemining.embedders.engines import exported
        from orangecontrib.imagemining.embedders.engines.building import (
            PORTABLE_OUTPUTS,
            Portable,
            built,
        )
    except ImportError as ex:
        raise WeightsError(f"Exporting needs the Python package torch ({ex})") from ex
    progress(0.2, "Exporting")
    preprocess = network.card.preprocess
    module = Portable(built(network), preprocess).eval()
    pixels = exported.probe(preprocess.size).transpose(0, 3, 1, 2).astype(np.float32)
    try:
        content, expected = exported.as_onnx(
            module,
            torch.from_numpy(pixels),
            ONNX_INPUT,
            PORTABLE_OUTPUTS,
            network.title,
        )
        progress(0.6, "Comparing")
        exported.compare(content, {ONNX_INPUT: pixels}, expected, network.title)
    except exported.ExportError as ex:
        raise WeightsError(f"{network.title} cannot be saved as ONNX: {ex}") from ex
    content += _metadata(network)
    card = _card(network, path, content, expected["features"].shape[1])
    size = _write(content, path, progress)
    save_card(card, path, replace)
    progress(1)
    return size


def copy_onnx(
    network: OnnxNetwork,
    path: Path,
    replace: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Copy an ONNX network and its card elsewhere; return the file's bytes.

    Parameters
    ----------
    network, path, replace, progress
        As for `export_onnx`.

    Raises
    ------
    FilesExistError
        As for `export_onnx`.
    WeightsError
        If the network has changed since it was loaded, keeps its numbers in further
        files, or cannot be copied.
    """
    source = Path(network.path)
    card = load_card(source)
    if card.parts:
        raise WeightsError(
            f"{source.name} keeps its numbers in further files; copy it with"
            f" {', '.join(card.parts)} and {card_path(source).name} by hand"
        )
    if path.exists() and path.samefile(source):
        raise WeightsError(f"{path} is the network's own file; choose another name")
    _look(path, replace)
    content = read_network_file(source)
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise WeightsError(f"{source.name} has changed since it was loaded; reload it")
    size = _write(content, path, progress)
    save_card(dataclasses.replace(card, file=path.name), path, replace)
    progress(1)
    return size


def _write(content: bytes, path: Path, progress: Progress) -> int:
    progress(0.8, f"Writing {path.name}")
    pieces = (content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK))
    try:
        return write_parts(path, pieces)
    except OSError as ex:
        raise_disk_error(ex, path)


def _look(path: Path, replace: bool) -> None:
    """Raise FilesExistError before long work."""
    place = card_path(path)
    if path.is_dir():
        raise FilesExistError(f"{path} is a folder; choose another name")
    for each in (path, place):
        if os.path.lexists(each) and not replace:
            raise FilesExistError(f"{each} is there already")
    if os.path.lexists(place) and not is_card(place):
        raise FilesExistError(
            f"{place} is there already and is no card of a network; choose another name"
        )


def _card(network: ImageNetwork, path: Path, content: bytes, n_features: int) -> Card:
    card = network.card
    return Card(
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        layers=(
            CardLayer("features", "features", n_features),
            CardLayer("logits", "logits", len(card.classes)),
        ),
        size=card.preprocess.size,
        input=ONNX_INPUT,
        interpolation=card.preprocess.interpolation,
        title=card.title,
        licence=card.license,
        notes=card.notes,
        trained_on=card.trained_on,
        classes=card.classes,
        fit=card.fit,
        rendering=card.rendering,
    )


def _metadata(network: ImageNetwork) -> bytes:
    """Return the fields that tell what the network is, to be put behind the others."""
    card = card_to_json(network.card)
    del card["layers"]
    pairs = {
        "title": network.title,
        "classes": json.dumps(list(network.classes)),
        "licence": network.card.license,
        "card": json.dumps(card),
        "sha256": network.sha256,
    }
    fields = []
    for name, text in pairs.items():
        pair = _field(1, name.encode()) + _field(2, text.encode("utf8", "replace"))
        fields.append(_field(_METADATA, pair))
    return b"".join(fields)


def _field(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer that has a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
