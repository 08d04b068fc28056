"""All networks that can be chosen, wherever they come from.

A network's name tells: ``squeezenet1_1`` is one of ours with published weights,
``onnx:/folder/file.onnx`` an own network with its card beside it,
``timm:resnet18.a1_in1k`` one that the package timm knows, and
``trained:cells-3fa9c0d12b45`` one that was trained here or elsewhere (see `trained`).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.embedders.engines.choice import (
    AUTO,
    EngineChoice,
    choose_engine,
)
from orangecontrib.imagemining.embedders.engines.loading import Engine, load_network
from orangecontrib.imagemining.embedders.trained import (
    forget_network,
    is_trained,
    keep_network,
    kept_networks,
    lend_network,
    published_network,
    trained_network,
    trained_weights,
)
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.specs import VIEWS, Weights
from orangecontrib.imagemining.weights import WEIGHTS, data_folder, weights_of
from orangecontrib.imagemining.weights.cards import (
    Card,
    card_path,
    load_card,
    save_card,
    write_json,
)
from orangecontrib.imagemining.weights.image_network import AnyNetwork, OnnxNetwork

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile

__all__ = [
    "ONNX",
    "TIMM",
    "Engine",
    "add_own_network",
    "card_of",
    "engine_and_choice",
    "engine_for",
    "forget_network",
    "forget_own_network",
    "inspect_network",
    "is_trained",
    "keep_network",
    "kept_networks",
    "lend_network",
    "make_card",
    "name_of_file",
    "network_from",
    "network_names",
    "path_of",
    "remember_own_network",
    "timm_is_here",
    "version_of",
]

#: Beginnings of the names of networks that are not ours.
ONNX, TIMM = "onnx:", "timm:"

_REFERENCE = "Orange3-ImageMining network reference"


def network_names() -> list[str]:
    """Return ours with published weights, then the own ones that are here.

    Those of timm are too many to list; they are chosen by name. Trained ones come by a
    widget's input, or out of a file.
    """
    return [*WEIGHTS, *_own_networks()]


def card_of(name: str) -> Weights:
    """Return what is to be known about a network: layers, preprocessing, licence.

    Reads a small file at most, except for networks of timm, which has to be imported
    first (seconds). That an own network is still the one its card was made for, only
    `engine_for` looks.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If an own network or its card is missing or damaged, or timm is not installed.
    """
    if name.startswith(ONNX):
        return _own_weights(name)
    if name.startswith(TIMM):
        _need_timm()
        from orangecontrib.imagemining.embedders.engines.timm import timm_weights

        return timm_weights(name[len(TIMM) :])
    if is_trained(name):
        return trained_weights(name)
    return weights_of(name)


def network_from(name: str) -> AnyNetwork:
    """Return what Network signals carry for the network of that name.

    Parameters
    ----------
    name
        Of a trained network that is lent or kept; of an own ONNX network; or of one of
        ours, whose published weights are then given in the form of a trained network.

    Raises
    ------
    UnknownNameError
        If there is no such network, or it is one of timm, whose numbers only timm can
        use.
    WeightsError
        If its numbers are missing or damaged.
    """
    if name.startswith(TIMM):
        raise UnknownNameError(f"{name} can be used by timm alone")
    if name.startswith(ONNX):
        weights, card = card_of(name), load_card(path_of(name))
        return OnnxNetwork(
            name, weights.title, card.classes, card.sha256, card.fit, card.rendering
        )
    return trained_network(name) if is_trained(name) else published_network(name)


_ENGINES: dict[str, tuple[Hashable, Engine]] = {}
_LOCK = threading.Lock()


def engine_for(
    name: str,
    engine: str = AUTO,
    precision: str = "float32",
    views: int | str = 1,
) -> Engine:
    """Return the network's engine, loading it the first time.

    Parameters
    ----------
    name
        Of the network.
    engine, precision, views
        As for `engines.choice.choose_engine`.

    Raises
    ------
    UnknownNameError
        If there is no such network, engine or precision.
    WeightsError
        If it cannot be had, or is not what its card was made for.
    """
    return engine_and_choice(name, engine, precision, views)[0]


def engine_and_choice(
    name: str,
    engine: str = AUTO,
    precision: str = "float32",
    views: int | str = 1,
) -> tuple[Engine, EngineChoice]:
    """Do the same, and tell why it is this engine."""
    if not name.startswith((ONNX, TIMM)):
        return load_network(name, engine, precision, views)
    choice = choose_engine(name, engine, precision, views)
    version = version_of(name)
    with _LOCK:
        known = _ENGINES.get(name)
        if known is None or known[0] != version:
            _ENGINES.pop(name, None)  # what has changed is not to be held twice
            known = _ENGINES[name] = (version, _load(name))
        return known[1], choice


def version_of(name: str) -> Hashable:
    """Return something that changes when a network gives other vectors than before.

    To be part of what vectors are remembered under. Looks at times and sizes of files
    only.
    """
    if not name.startswith(ONNX):
        return None
    path = path_of(name)
    try:
        places = [path, card_path(path)]
        places += [path.with_name(part) for part in load_card(path).parts]
        # a file that is copied over another may have its size and time
        return tuple(
            (status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino)
            for status in map(os.stat, places)
        )
    except (OSError, ValueError, WeightsError):
        return "missing"


def inspect_network(path: Path) -> NetworkFile:
    """Look into an ONNX file: its input, its outputs, and what they hold.

    Raises
    ------
    WeightsError
        If it is none, or takes no image; or if onnxruntime is not installed.
    """
    return _onnx().inspect_file(path)  # type: ignore[no-any-return]


def make_card(file: NetworkFile, **settings: Any) -> Card:
    """Make the card of an own network; see `engines.onnx.make_card`."""
    return _onnx().make_card(file, **settings)  # type: ignore[no-any-return]


def add_own_network(path: Path, card: Card, replace: bool = False) -> str:
    """Save a card beside its network, remember the network, and return its name.

    Parameters
    ----------
    path
        The ONNX file.
    card
        Made for it.
    replace
        Whether a card that is there may be replaced; ask before.

    Raises
    ------
    FilesExistError
        If there is a card and `replace` is not set.
    WeightsError
        If it cannot be written.
    """
    save_card(card, path, replace)
    return remember_own_network(path)


def remember_own_network(path: Path) -> str:
    """Have a network that has a card listed from now on; return its name.

    Raises
    ------
    WeightsError
        If network or card are missing or damaged, or it cannot be noted.
    """
    name = name_of_file(path)
    card_of(name)
    place = _reference_path(name)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        content = {"format": _REFERENCE, "version": 1, "file": name[len(ONNX) :]}
        write_json(place, content)
    except OSError as ex:
        raise WeightsError(
            f"The network cannot be noted in {place.parent} ({ex.strerror})"
        ) from ex
    return name


def forget_own_network(name: str) -> None:
    """Have an own network listed no more; its file and card stay where they are.

    Raises
    ------
    WeightsError
        If that cannot be noted.
    """
    place = _reference_path(name)
    try:
        place.unlink(missing_ok=True)
    except OSError as ex:
        raise WeightsError(f"{place} cannot be removed ({ex.strerror})") from ex


def name_of_file(path: Path) -> str:
    """Return the name of the own network in this file."""
    # absolute, but links are left as they are: they may be meant to change
    return f"{ONNX}{Path(os.path.abspath(path)).as_posix()}"


def path_of(name: str) -> Path:
    """Return the file of an own network."""
    return Path(name[len(ONNX) :])


def timm_is_here() -> bool:
    """Tell whether the package timm is installed; it is not imported."""
    import importlib.util

    return importlib.util.find_spec("timm") is not None


def _own_networks() -> list[str]:
    names = []
    for place in (data_folder() / "networks").glob("*.json"):
        try:
            content = json.loads(place.read_text(encoding="utf8"))
            if content["format"] != _REFERENCE:
                continue
            path = Path(content["file"])
            if path.is_file() and card_path(path).is_file():
                names.append(name_of_file(path))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue  # a damaged note is of a network that can be chosen anew
    return sorted(set(names), key=lambda name: (path_of(name).name.lower(), name))


def _own_weights(name: str) -> Weights:
    path = path_of(name)
    try:
        is_there = path.is_file()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        raise WeightsError(
            f"The network {path} is not there any more; put it back, or choose its file"
            " anew"
        )
    card = load_card(path)
    square = card.size[0] == card.size[1]
    return Weights(
        title=card.title or path.stem,
        name=path.stem,
        kind="own network",
        network=name,
        sha256=card.sha256,
        layers=card.spec_layers(),
        num_classes=0,
        preprocess=card.preprocess,
        license=card.licence or "not told",
        trained_on=card.trained_on or "images that its card does not name",
        fit=card.fit,
        classes=card.classes,
        # what is not square cannot be turned
        views=VIEWS if square else (1,),
        advice=card.notes,
    )


def _load(name: str) -> Engine:
    if name.startswith(TIMM):
        _need_timm()
        from orangecontrib.imagemining.embedders.engines.timm import TimmEngine

        return TimmEngine(name[len(TIMM) :])
    path = path_of(name)
    card_of(name)  # tells what is missing
    return _onnx().OnnxEngine(path, load_card(path))  # type: ignore[no-any-return]


def _onnx() -> Any:
    try:
        from orangecontrib.imagemining.embedders.engines import onnx
    except ImportError as ex:
        raise WeightsError(
            f"Own networks need the Python package onnxruntime ({ex}); install it:"
            " pip install onnxruntime"
        ) from ex
    return onnx


def _need_timm() -> None:
    advice = 'install it: pip install "Orange3-ImageMining[timm]"'
    if not timm_is_here():
        raise WeightsError(f"Networks of timm need the Python package timm; {advice}")
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError, AttributeError) as ex:
        raise WeightsError(
            f"The Python package timm does not work ({ex}); {advice}"
        ) from ex


def _reference_path(name: str) -> Path:
    digest = hashlib.sha256(name.encode("utf8", "replace")).hexdigest()[:12]
    return data_folder() / "networks" / f"{path_of(name).stem[:60]}-{digest}.json"
