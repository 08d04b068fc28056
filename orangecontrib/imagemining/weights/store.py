"""Finds, checks, fetches and keeps weights."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, Weights, no_progress
from orangecontrib.imagemining.weights.folders import (
    file_name,
    how_to_get,
    raise_disk_error,
    search_folders,
    weights_folder,
    write_atomically,
)
from orangecontrib.imagemining.weights.pickles import from_ndf
from orangecontrib.imagemining.weights.readers import kind_of, read_weights
from orangecontrib.imagemining.weights.registry import WEIGHTS, weights_of
from orangecontrib.imagemining.weights.tensors import (
    Shapes,
    Tensors,
    checksum,
    shapes_of,
)

__all__ = [
    "fetch",
    "identity_of",
    "import_file",
    "is_here",
    "load_weights",
    "proof_of",
]

_BLOCK = 4 * 2**20

#: Kinds of published files, by their ending.
_KINDS = {
    ".pth": "torch",
    ".pt": "torch",
    ".safetensors": "safetensors",
    ".caffemodel": "caffe",
    ".net": "compressed",
}


def is_here(weights: Weights, folder: Path | None = None) -> bool:
    """Tell whether weights are on this computer, without reading them.

    Parameters
    ----------
    weights
        Out of `WEIGHTS`.
    folder
        Where they are kept; by default below `data_folder()`.
    """
    if _find(weights, folder) is not None:
        return True
    if not weights.source[0]:
        return False
    try:
        return _source_path(weights).is_file()
    except WeightsError:
        return False


def proof_of(weights: Weights, folder: Path | None = None) -> str:
    """Return in words by what weights are known to be the published ones.

    Parameters
    ----------
    weights, folder
        As for `is_here`.
    """
    path = _find(weights, folder)
    noted = _noted(path.name, folder) if path else ""
    digits = weights.sha256
    own = path is not None and path.name == file_name(weights)
    if weights.tensors_sha256 or (own and len(digits) == 64):
        return "Checked by the published checksum"
    if own and digits:
        text = f"Checked by the published first {len(digits)} digits of the checksum"
        return f"{text}; all of it is noted here ({noted[:12]}…)" if noted else text
    text = "No checksum is published"
    if noted:
        text += f"; that of the first file used is noted here ({noted[:12]}…)"
    return text


def identity_of(weights: Weights, folder: Path | None = None) -> str:
    """Return a checksum that is another one for other numbers.

    That of the tensors where it is published, else that of the file that is here, else
    what is published of it ("" if nothing is). A file whose checksum is not noted yet
    is read once in a program run.

    Parameters
    ----------
    weights, folder
        As for `is_here`.

    Raises
    ------
    WeightsError
        If the file is here and cannot be read.
    """
    if weights.tensors_sha256:
        return weights.tensors_sha256
    path = _find(weights, folder)
    if path is None:
        return weights.sha256
    noted = _noted(path.name, folder)
    if noted:
        return noted
    try:
        status = path.stat()
        return _digest_once(path, status.st_size, status.st_mtime_ns)
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read: {ex.strerror or ex}") from ex


def load_weights(
    weights: Weights,
    folder: Path | None = None,
    progress: Progress = no_progress,
    download: bool = False,
) -> Tensors:
    """Return the tensors by their torch names.

    Parameters
    ----------
    weights
        Out of `WEIGHTS`.
    folder
        Where they are kept; by default below `data_folder()`.
    progress
        Told what is done; what it raises ends the work.
    download
        Whether they may be fetched if they are not here; users are to be asked first.

    Raises
    ------
    WeightsError
        If they are not here, or are not the published ones. Nothing else is ever
        returned in their place.
    """
    if weights.source[0]:
        return _load_packaged(weights, folder)
    path = _find(weights, folder)
    if path is None:
        if download:
            path = fetch(weights, progress, folder)
        else:
            raise WeightsError(
                f"The weights of {weights.title} are not on this computer."
                f" {how_to_get(weights, folder)}"
            )
    network, shapes = _network_of(weights)
    try:
        digest = _digest(path, progress)
        _prove(path, digest, weights, folder)
        tensors = read_weights(path, network, shapes)
        if weights.tensors_sha256 and checksum(tensors) != weights.tensors_sha256:
            raise WeightsError(f"{path} does not hold the published weights")
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read: {ex.strerror or ex}") from ex
    except WeightsError as ex:
        if download and weights.url and path.parent == search_folders(folder)[-1]:
            fetch(weights, progress, folder)  # raises if it cannot mend it
            return load_weights(weights, folder, progress)
        raise WeightsError(
            f"{ex}. Move the file away and get it again. {how_to_get(weights, folder)}"
        ) from ex
    _note(path.name, digest, folder)
    return tensors


def fetch(
    weights: Weights,
    progress: Progress = no_progress,
    folder: Path | None = None,
) -> Path:
    """Bring published weights to this computer, and return their file.

    A good file that is here already is left alone; a damaged one is replaced once the
    new one has been checked.

    Parameters
    ----------
    weights
        Out of `WEIGHTS`.
    progress
        Told how much has come; what it raises ends the work.
    folder
        Where they are kept; by default below `data_folder()`.

    Raises
    ------
    WeightsError
        If they cannot be fetched; it names their address and where to put the file.
    """
    if weights.source[0]:
        _load_packaged(weights, folder)
        return _converted_path(weights, folder)
    if not weights.url:
        raise WeightsError(f"No address is known for the weights of {weights.title}")
    # httpx takes a while to load, and most of the time nothing is fetched
    from orangecontrib.imagemining.weights.download import Refused, locked
    from orangecontrib.imagemining.weights.download import download as get

    target = (folder or weights_folder()) / file_name(weights)
    network, shapes = _network_of(weights)
    digests: list[str] = []

    def check(path: Path) -> None:
        try:
            digest = _digest(path, progress)
            _prove(path, digest, weights, folder, target.name)
            read_weights(path, network, shapes, f"What came from {weights.url}")
        except WeightsError as ex:
            raise Refused(str(ex)) from ex
        digests[:] = [digest]

    try:
        with locked(target, progress):
            there = _find(weights, folder)
            if there is not None and _is_good(there, weights, folder, progress):
                progress(1, "The file is here")
                return there
            get(weights.url, target, check, progress, weights.file_size)
            _note(target.name, digests[0], folder)
    except WeightsError as ex:
        raise WeightsError(
            f"The weights of {weights.title} could not be fetched. {ex}."
            f" {how_to_get(weights, folder)}"
        ) from ex
    progress(1, "The file is here")
    return target


def import_file(
    network_name: str,
    path: Path | str,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> None:
    """Take a network's weights from a file, which stays as it is.

    Parameters
    ----------
    network_name
        Out of `WEIGHTS`.
    path
        The published file, or the same weights as .safetensors.
    folder
        Where they are to be kept; by default below `data_folder()`.
    progress
        Told what is done; what it raises ends the work.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If the file is not of these weights; nothing is changed then.
    """
    weights = weights_of(network_name)
    network, shapes = _network_of(weights)
    path = Path(path)
    progress(0, f"Reading {path.name}")
    tensors = read_weights(path, network, shapes)
    try:
        kind, digest = kind_of(path), _digest(path, progress)
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read: {ex.strerror or ex}") from ex
    published = _KINDS.get(Path(file_name(weights)).suffix, "")
    if weights.tensors_sha256:
        if checksum(tensors) != weights.tensors_sha256:
            raise WeightsError(
                f"{path} holds weights that fit {weights.title}, but not the published"
                " ones; its numbers would be others"
            )
    elif kind == published:
        _prove(path, digest, weights, folder, file_name(weights))
    elif kind in ("caffe", "compressed"):
        raise WeightsError(
            f"{path} holds other weights than those of {weights.title}, which are fed"
            f" with images in another way; choose {_card_for(kind, network)} for it"
        )
    own = folder or weights_folder()
    if kind == published and not weights.source[0]:
        target = own / file_name(weights)
        if not (target.exists() and target.samefile(path)):
            _copy(path, target)
    else:
        from safetensors.numpy import save

        target = _converted_path(weights, folder)
        content = save(tensors)
        digest = hashlib.sha256(content).hexdigest()
        try:
            write_atomically(target, content)
        except OSError as ex:
            raise_disk_error(ex, target)
    _note(target.name, digest, folder, anew=True)
    progress(1, "The file is here")


def _card_for(kind: str, network: str) -> str:
    for card in WEIGHTS.values():
        suffix = Path(file_name(card)).suffix
        if card.network == network and _KINDS.get(suffix) == kind:
            return card.title
    return "another network"


def _network_of(weights: Weights) -> tuple[str, Shapes]:
    return weights.network, shapes_of(weights.network, weights.num_classes)


def _converted_path(weights: Weights, folder: Path | None) -> Path:
    return (folder or weights_folder()) / f"{weights.name}.safetensors"


def _find(weights: Weights, folder: Path | None) -> Path | None:
    names = dict.fromkeys([file_name(weights), f"{weights.name}.safetensors"])
    for place in search_folders(folder):
        for name in filter(None, names):
            path = place / name
            try:
                if path.is_file() and path.stat().st_size:
                    return path
            except OSError:
                continue  # a folder that may not be looked into has nothing for us
    return None


def _is_good(
    path: Path, weights: Weights, folder: Path | None, progress: Progress
) -> bool:
    network, shapes = _network_of(weights)
    try:
        _prove(path, _digest(path, progress), weights, folder)
        read_weights(path, network, shapes)
    except (OSError, WeightsError):
        return False
    return True


def _digest(path: Path, progress: Progress) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            progress(0.95, f"Checking {path.name.removeprefix('.part-')}")
            total.update(block)
    return total.hexdigest()


@lru_cache(maxsize=64)
def _digest_once(path: Path, size: int, time_ns: int) -> str:
    return _digest(path, no_progress)


def _prove(
    path: Path,
    digest: str,
    weights: Weights,
    folder: Path | None,
    name: str = "",
) -> None:
    """Raise WeightsError if a file is not the published one, or has changed.

    Parameters
    ----------
    path, digest
        The file, and its checksum.
    weights, folder
        As everywhere.
    name
        What it is, or is to be, called.
    """
    name = name or path.name
    if name == file_name(weights) and not digest.startswith(weights.sha256):
        known = len(weights.sha256)
        raise WeightsError(
            f"{name} is not the published file, or is damaged: its checksum (sha256)"
            f" begins with {digest[:known][:12]}, where {weights.sha256[:12]} is"
            " published"
        )
    noted = _noted(name, folder)
    if noted and noted != digest:
        raise WeightsError(
            f"{name} is not the file that was used here first, or is damaged: its"
            f" checksum is not the one noted in {_note_path(name, folder)}. Should the"
            " publisher have replaced it, delete that note to take the new one"
        )


def _note_path(name: str, folder: Path | None) -> Path:
    return (folder or weights_folder()) / f"{name}.sha256"


def _noted(name: str, folder: Path | None) -> str:
    try:
        return _note_path(name, folder).read_text(encoding="utf8").split()[0]
    except (OSError, ValueError, IndexError):
        return ""


def _note(name: str, digest: str, folder: Path | None, anew: bool = False) -> None:
    """Keep a file's checksum, in the form that `sha256sum --check` reads."""
    if anew or not _noted(name, folder):
        try:
            content = f"{digest}  {name}\n".encode()
            write_atomically(_note_path(name, folder), content)
        except OSError:
            pass  # nothing to hold the next file against, where nothing can be written


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        os.close(handle)
        try:
            shutil.copyfile(source, name)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as ex:
        raise_disk_error(ex, target)


def _load_packaged(weights: Weights, folder: Path | None) -> Tensors:
    """Return weights that a package carries, converting them the first time."""
    from safetensors import SafetensorError
    from safetensors.numpy import load, save

    path = _find(weights, folder)
    try:
        if path is not None:
            tensors = load(path.read_bytes())
            if checksum(tensors) == weights.tensors_sha256:
                return tensors
    except (OSError, SafetensorError):
        pass  # damaged: made anew below
    tensors = from_ndf(_read_source(weights))
    if checksum(tensors) != weights.tensors_sha256:
        raise WeightsError(f"The weights '{weights.name}' came out wrong")
    try:
        write_atomically(_converted_path(weights, folder), save(tensors))
    except OSError:
        pass  # a full or read-only disk costs the conversion each time, no more
    return tensors


def _source_path(weights: Weights) -> Path:
    package, inside = weights.source
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise WeightsError(
            f"The weights come with the Python package '{package}', which is not"
            f" installed; install it: pip install {package}"
        )
    return Path(found.origin).parent / inside


def _read_source(weights: Weights) -> bytes:
    package = weights.source[0]
    path = _source_path(weights)
    try:
        content = path.read_bytes()
    except OSError as ex:
        raise WeightsError(
            f"The package '{package}' lacks its weights ({ex.strerror}); install it"
            f" again: pip install --force-reinstall --no-deps {package}"
        ) from ex
    if hashlib.sha256(content).hexdigest() != weights.source_sha256:
        raise WeightsError(
            f"The weights in the package '{package}' are not the published ones;"
            f" install it again: pip install --force-reinstall --no-deps {package}"
        )
    return content
