"""Our networks as ONNX files: made by torch once, checked, and kept.

They lie in the cache folder, each with a note that holds its checksum. The note is
written last, so that a file without one, or another than the note tells, is made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining._version import __version__
from orangecontrib.imagemining.embedders.trained import (
    identity_for,
    is_trained,
    weights_for,
)
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.images.thumbnail_store import cache_folder
from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights.image_network import TRAINED

if TYPE_CHECKING:
    import torch

__all__ = [
    "ExportError",
    "as_onnx",
    "compare",
    "export_path",
    "exported_network",
    "probe",
]

_log = logging.getLogger(__name__)

_FORMAT = 1  # to be raised when networks are exported otherwise
_LEAST_COSINE = 0.99999
_N_TRAINED = 8  # files of trained networks that are kept
_MOST_ERROR = 1e-4  # of a number, as a share of the vector's largest
_INPUT = "pixels"
_LOCK = threading.Lock()


class ExportError(Exception):
    """A network cannot be had as an ONNX file; the message says why."""


def export_path(network: str) -> Path:
    """Return where a network's file lies, or will lie.

    Its name tells the network's weights and all that makes the file.

    Raises
    ------
    WeightsError
        If its weights cannot be read.
    """
    weights = weights_for(network)
    parts = (
        _FORMAT,
        __version__,
        metadata.version("torch"),
        weights.network or network,
        weights.num_classes,
        identity_for(network),
        weights.preprocess.mean,
        weights.preprocess.std,
        weights.preprocess.scale,
        weights.preprocess.size,
        [layer.name for layer in weights.layers],
    )
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return cache_folder() / "networks" / f"{_stem(network)}-{digest}.onnx"


def exported_network(network: str) -> bytes:
    """Return a network as the content of an ONNX file, exporting it the first time.

    Its input is "pixels", (n, height, width, 3) uint8; its outputs are named as the
    layers.

    Parameters
    ----------
    network
        Name of one of ours that has weights, or of a trained one.

    Raises
    ------
    ExportError
        If torch cannot export it, or the file computes other vectors than torch.
    WeightsError
        If its weights are not to be had.
    """
    path = export_path(network)
    with _LOCK:
        content = _kept(path)
        if content is None:
            content = _export(network, weights_for(network))
            _keep(path, content, network)
        return content


def probe(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return three made-up pictures, (3, height, width, 3): smooth, noisy, black."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=2)
    noisy = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return np.stack([smooth, noisy, np.zeros_like(smooth)]).astype(np.uint8)


def _kept(path: Path) -> bytes | None:
    """Return the file's content, if it is the one that its note tells."""
    try:
        note = json.loads(_note(path).read_text(encoding="utf8"))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == note["sha256"]:
            return content
        _log.warning("%s is damaged; it is made anew", path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as ex:
        _log.warning("%s cannot be used (%s); it is made anew", path, ex)
    return None


def _export(network: str, weights: Weights) -> bytes:
    try:
        import torch
    except ImportError as ex:
        raise WeightsError(
            f"Preparing a network needs the Python package torch ({ex})"
        ) from ex
    from orangecontrib.imagemining.embedders.engines.pytorch import (
        Normalised,
        network_of,
    )

    layers = [layer.name for layer in weights.layers]
    preprocess = weights.preprocess
    module = Normalised(
        network_of(network), preprocess.mean, preprocess.std, preprocess.scale, layers
    ).eval()
    pixels = probe(preprocess.size)
    content, expected = as_onnx(
        module, torch.from_numpy(pixels), _INPUT, layers, network
    )
    compare(content, {_INPUT: pixels}, expected, network)
    return content


def as_onnx(
    module: torch.nn.Module,
    example: torch.Tensor,
    name: str,
    outputs: Sequence[str],
    network: str,
) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """Return a module as an ONNX file, and what it gives for the example.

    Parameters
    ----------
    module
        Gives a tuple of tensors whose first axis is that of the images.
    example
        Several images; any number may be given to the file.
    name
        Of the file's input.
    outputs
        Names of its outputs.
    network
        What it is called, for the message.

    Raises
    ------
    ExportError
        If torch cannot export it.
    """
    import torch

    from orangecontrib.imagemining.networks.portable import onnx_content

    with torch.no_grad():
        expected = [vector.numpy() for vector in module(example)]
    try:
        content = onnx_content(module, example, name, outputs)
    except Exception as ex:  # torch raises whatever it likes
        raise ExportError(f"PyTorch cannot export {network} ({_line(ex)})") from ex
    return content, dict(zip(outputs, expected, strict=True))


def compare(
    content: bytes,
    inputs: dict[str, NDArray[Any]],
    expected: dict[str, NDArray[np.float32]],
    network: str,
) -> None:
    """Raise ExportError if the file computes other vectors than torch.

    Parameters
    ----------
    content
        Of an ONNX file.
    inputs
        What it is given, by name.
    expected
        What torch computed, by output.
    network
        What it is called, for the message.
    """
    from orangecontrib.imagemining.embedders.engines.runtime import session_of

    try:
        found = session_of(content).run(list(expected), inputs)
    except Exception as ex:  # its errors have no common base
        raise ExportError(f"ONNX Runtime cannot run {network} ({_line(ex)})") from ex
    for (layer, right), vectors in zip(expected.items(), found, strict=True):
        if not _agree(vectors, right):
            raise ExportError(
                f"ONNX Runtime computes other vectors of {network}'s {layer} than"
                " PyTorch"
            )


def _agree(found: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    if found.shape != right.shape or not np.isfinite(found).all():
        return False
    for a, b in zip(found.astype(float), right.astype(float), strict=True):
        size = np.abs(b).max()
        if np.abs(a - b).max() > _MOST_ERROR * max(size, 1e-6):
            return False
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        if norms > 0 and a @ b / norms < _LEAST_COSINE:
            return False
    return True


def _keep(path: Path, content: bytes, network: str) -> None:
    """Write file and note; a disk that takes neither costs the export each time."""
    note = {"network": network, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _note(path).unlink(missing_ok=True)
        _write(path, content)
        _write(_note(path), json.dumps(note).encode())
        _remove_older(path, network)
        if is_trained(network):
            _remove_oldest_trained(path.parent)
    except OSError as ex:
        _log.info("%s is not kept: %s", path, ex)


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _remove_older(path: Path, network: str) -> None:
    """Remove what other versions made of the same network."""
    form = re.compile(re.escape(_stem(network)) + r"-[0-9a-f]{16}\.(onnx|json)")
    for other in path.parent.iterdir():
        if form.fullmatch(other.name) and other.stem != path.stem:
            try:
                other.unlink()
            except OSError:
                continue  # in use by another program


def _remove_oldest_trained(folder: Path) -> None:
    """Remove what was made of trained networks longest ago: there is no end of them."""
    stem = _stem(TRAINED)
    made = [path for path in folder.glob("*.onnx") if path.name.startswith(stem)]
    made.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in made[_N_TRAINED:]:
        try:
            _note(path).unlink(missing_ok=True)
            path.unlink()
        except OSError:
            continue  # in use by another program


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _stem(network: str) -> str:
    return re.sub(r"[^\w.-]", "_", network)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    return text[:200] or type(error).__name__
