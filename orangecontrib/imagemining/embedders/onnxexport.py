"""Trained networks as ONNX files, which other programs read.

The file takes plain pixels and gives probabilities, so that nobody has to know how the
network wants its images normalised; ``doc/network-files.md`` describes it. Its card
beside it makes it an own network here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from orangecontrib.imagemining.embedders.onnxfile import read_network_file
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.cards import card_path, load_card, save_card
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.onnx_network import (
    ONNX_INPUT,
    ONNX_SUFFIX,
    card_for,
    look,
    with_metadata,
    write_content,
)

__all__ = ["ONNX_INPUT", "ONNX_SUFFIX", "copy_onnx", "export_onnx"]


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
    look(path, replace)
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
    content = with_metadata(content, network)
    card = card_for(network.card, path, content, expected["features"].shape[1])
    size = write_content(content, path, progress)
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
    look(path, replace)
    content = read_network_file(source)
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise WeightsError(f"{source.name} has changed since it was loaded; reload it")
    size = write_content(content, path, progress)
    save_card(dataclasses.replace(card, file=path.name), path, replace)
    progress(1)
    return size
