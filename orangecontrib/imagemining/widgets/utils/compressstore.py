"""What is kept of compressions on this computer, so that a workflow has its network.

They lie where trainings lie, and are cleaned away with them: ``training/<key>.imnet``
with ``<key>.json``. See `trainstore`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.compression.plan import CompressionPlan, plan_to_json
from orangecontrib.imagemining.compression.results import (
    Candidate,
    Compressed,
    LayerReport,
)
from orangecontrib.imagemining.embedders import catalog
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.compressed_file import (
    COMPRESSED_SUFFIX,
    load_compressed,
    save_compressed,
)
from orangecontrib.imagemining.weights.folders import write_atomically
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.trainstore import training_folder

__all__ = ["Kept", "find", "keep", "key_of", "load"]

_VERSION = 1

#: What came of it, the rows that were left out and why, and sentences for the user.
Kept = tuple[Compressed, list[tuple[int, str]], list[str]]


def key_of(plan: CompressionPlan, images: str, network: ImageNetwork) -> str:
    """Return what stands for a compression: equal keys come to the same.

    Parameters
    ----------
    plan
        What is done.
    images
        Their `trainstore.images_key`.
    network
        That is compressed.
    """
    content = ["compression", _VERSION, plan_to_json(plan), images, network.sha256]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def find(key: str) -> float | None:
    """Return when a compression ended that is kept here, None if none is."""
    told, network = _files(key)
    try:
        when = told.stat().st_mtime
        if not network.exists():
            # a network of ONNX is a file of its own, elsewhere
            name = json.loads(told.read_bytes()).get("onnx", "")
            if not name or not Path(catalog.path_of(name)).exists():
                return None
    except (OSError, ValueError, AttributeError):
        return None
    return when


def keep(key: str, kept: Kept) -> None:
    """Keep what came of a compression; of a network of ONNX, where its file is.

    Raises
    ------
    WeightsError
        If it cannot be written, such as on a full disk.
    """
    compressed, left_out, notes = kept
    result = compressed.network
    is_file = not isinstance(result, ImageNetwork)
    content = {
        "version": _VERSION,
        "chosen": compressed.chosen,
        "trail": [_plain(each) for each in compressed.trail],
        "layers": [asdict(layer) for layer in compressed.layers],
        "labelled": compressed.labelled,
        "bytes_before": compressed.bytes_before,
        "left_out": [list(each) for each in left_out],
        "notes": notes,
        "onnx": result.name if is_file else "",
    }
    told, network = _files(key)
    try:
        told.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(result, ImageNetwork):
            save_compressed(result, network, replace=True)
        write_atomically(told, json.dumps(content).encode())
    except OSError as ex:
        raise WeightsError(
            f"The result cannot be kept in {told.parent}: {ex.strerror or ex}"
        ) from ex


def load(key: str) -> Kept:
    """Return what came of a compression; of the networks, the result alone.

    Raises
    ------
    WeightsError
        If it is not there, or damaged.
    """
    told, path = _files(key)
    try:
        content: dict[str, Any] = json.loads(told.read_bytes())
        if content["version"] != _VERSION:
            raise ValueError(content["version"])
        network: AnyNetwork
        if content["onnx"]:
            network = catalog.network_from(content["onnx"])
        else:
            network = load_compressed(path)
            os.utime(path)  # it is of use: `trainstore.clean` is to know
        trail = [_candidate(each) for each in content["trail"]]
        chosen = int(content["chosen"])
        trail[chosen] = replace(trail[chosen], network=network)
        layers = [_layer(each) for each in content["layers"]]
        compressed = Compressed(
            network,
            chosen,
            trail,
            layers,
            [],
            bool(content["labelled"]),
            int(content["bytes_before"]),
        )
        left_out = [(int(row), str(why)) for row, why in content["left_out"]]
        return compressed, left_out, [str(note) for note in content["notes"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as ex:
        raise WeightsError(
            f"What was kept of a compression in {told.parent} is damaged; press Start"
            " to compress anew"
        ) from ex


def _files(key: str) -> tuple[Path, Path]:
    folder = training_folder()
    return folder / f"{key}.json", folder / f"{key}{COMPRESSED_SUFFIX}"


def _plain(candidate: Candidate) -> dict[str, Any]:
    content = {**vars(candidate)}
    del content["network"]
    # JSON has no number for what is not known
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in content.items()
    }


def _candidate(content: dict[str, Any]) -> Candidate:
    known: dict[str, Any] = {
        n: math.nan if v is None else v for n, v in content.items()
    }
    return Candidate(**known)


def _layer(content: dict[str, Any]) -> LayerReport:
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
    }
    return LayerReport(**known)
