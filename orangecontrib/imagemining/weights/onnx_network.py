"""Trained networks as ONNX files with their cards; the network itself is others' work.

Input ``image``: (n, 3, height, width) float32, red, green, blue of 0–255. Outputs
``logits``, ``probabilities`` (n, classes) and ``features`` (n, size) float32; see
``doc/network-files.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from orangecontrib.imagemining.exceptions import FilesExistError, WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.cards import (
    Card,
    CardLayer,
    card_path,
    is_card,
    load_card,
    save_card,
)
from orangecontrib.imagemining.weights.folders import (
    data_folder,
    raise_disk_error,
    write_parts,
)
from orangecontrib.imagemining.weights.image_network import (
    ImageNetwork,
    NetworkCard,
    OnnxNetwork,
)
from orangecontrib.imagemining.weights.network_json import card_to_json

__all__ = [
    "ONNX_INPUT",
    "ONNX_SUFFIX",
    "card_for",
    "keep_onnx",
    "look",
    "with_metadata",
    "write_content",
]

ONNX_SUFFIX = ".onnx"
ONNX_INPUT = "image"
_METADATA = 14  # a model's field of pairs, out of onnx.proto
_CHUNK = 16 * 2**20


def look(path: Path, replace: bool) -> None:
    """Look whether file and card can be written, before long work.

    Raises
    ------
    FilesExistError
        If there is something of one of the two names and `replace` is not set, or
        something that is no card has the card's name.
    """
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


def write_content(content: bytes, path: Path, progress: Progress = no_progress) -> int:
    """Write an ONNX file, whole or not at all; return its bytes.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    progress(0.8, f"Writing {path.name}")
    pieces = (content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK))
    try:
        return write_parts(path, pieces)
    except OSError as ex:
        raise_disk_error(ex, path)


def card_for(card: NetworkCard, path: Path, content: bytes, n_features: int) -> Card:
    """Return the card of a network's ONNX file.

    Parameters
    ----------
    card
        Of the network.
    path
        Of the file.
    content
        Of the file.
    n_features
        Length of its output "features".
    """
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


def keep_onnx(
    card: NetworkCard, content: bytes, n_features: int, folder: Path | None = None
) -> OnnxNetwork:
    """Keep a network's ONNX file in the user's data folder, with its card.

    Its name tells the checksum, so that nothing else is ever replaced by it; what is
    there of the same name is the same network.

    Parameters
    ----------
    card
        Of the network; its title begins the file's name.
    content
        Of the file.
    n_features
        Length of its output "features".
    folder
        By default ``networks`` in the user's data folder.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    stem = ImageNetwork.name_of(card, sha256).partition(":")[2]
    path = (folder or data_folder() / "networks") / f"{stem}{ONNX_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as ex:
        raise WeightsError(
            f"The folder {path.parent} cannot be made ({ex.strerror or ex})"
        ) from ex
    about = card_for(card, path, content, n_features)
    if not _is_kept(path, about):
        write_content(content, path)
        save_card(about, path, replace=True)
    name = f"onnx:{Path(os.path.abspath(path)).as_posix()}"
    return OnnxNetwork(name, card.title, card.classes, sha256, card.fit, card.rendering)


def _is_kept(path: Path, card: Card) -> bool:
    try:
        there = hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
        return there and load_card(path) == card
    except (OSError, WeightsError):
        return False


def with_metadata(content: bytes, network: ImageNetwork) -> bytes:
    """Return an ONNX file that tells which network it is."""
    card = card_to_json(network.card)
    del card["layers"]
    pairs = {
        "title": network.title,
        "classes": json.dumps(list(network.classes)),
        "licence": network.card.license,
        "card": json.dumps(card),
        "sha256": network.sha256,
    }
    fields = [content]
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
