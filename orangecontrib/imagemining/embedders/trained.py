"""Trained networks by their names: those that somebody holds, and those kept in files.

A name has the first digits of the network's checksum, so under a name there is always
the same network. Widgets and models lend the networks they hold: these are there for
embedders of this process as long as the object lives, and leave nothing behind. What is
kept lies in the user's data folder, for later processes and the command line.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.exceptions import (
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.specs import (
    DENSE_VIEWS,
    PROBABILITIES,
    VIEWS,
    EmbedderSpec,
    Layer,
    Weights,
)
from orangecontrib.imagemining.weights import (
    data_folder,
    identity_of,
    load_weights,
    weights_of,
)
from orangecontrib.imagemining.weights.image_network import (
    TRAINED,
    AnyNetwork,
    ImageNetwork,
    NetworkCard,
)
from orangecontrib.imagemining.weights.network_file import (
    NETWORK_SUFFIX,
    NetworkHead,
    load_network_file,
    read_head,
    save_network,
)

__all__ = [
    "checked_network",
    "drop_oldest",
    "forget_network",
    "identity_for",
    "is_trained",
    "keep_network",
    "kept_networks",
    "kept_path",
    "lend_network",
    "lent_network",
    "prediction_spec",
    "published_network",
    "trained_network",
    "trained_weights",
    "weights_for",
    "with_layers",
]

_LOCK = threading.RLock()
_LENT: dict[str, list[weakref.ref[ImageNetwork]]] = {}
_CARDS: OrderedDict[str, Weights] = OrderedDict()
_N_CARDS = 64
_N_LOADED = 4  # a cross-validation makes one network after the other


def is_trained(name: str) -> bool:
    """Tell whether a name is that of a trained network."""
    return name.startswith(TRAINED)


def lend_network(network: ImageNetwork) -> str:
    """Have a network found by its name as long as the object lives; return the name.

    Nothing is written. To be called by whoever holds it, before embedders are made.
    """
    name = network.name
    with _LOCK:
        for known in [*_LENT]:
            _LENT[known] = [each for each in _LENT[known] if each() is not None]
            if not _LENT[known]:
                del _LENT[known]
        lent = _LENT.setdefault(name, [])
        if not any(each() is network for each in lent):
            lent.append(weakref.ref(network))
    return name


def lent_network(name: str) -> ImageNetwork | None:
    """Return the network of that name that somebody holds, if anybody does."""
    with _LOCK:
        for reference in _LENT.get(name, ()):
            network = reference()
            if network is not None:
                return network
    return None


def prediction_spec(network: AnyNetwork, views: int | str = 1) -> EmbedderSpec:
    """Return the embedder whose vectors are what a network takes images for.

    Images meet it as in training, except for views that see to it themselves. The
    network is lent by the way.
    """
    if isinstance(network, ImageNetwork):
        name, fit = lend_network(network), network.card.fit
    else:
        name, fit = network.name, str(getattr(network, "fit", "stretch"))
    if views == 144 or views in DENSE_VIEWS:
        fit = "stretch"
    return EmbedderSpec(name, PROBABILITIES, views, fit)


def keep_network(network: ImageNetwork, folder: Path | None = None) -> str:
    """Write a network once to where later processes find it; return its name.

    Parameters
    ----------
    network
        To be kept, besides being lent.
    folder
        By default ``networks`` in the user's data folder.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    name = lend_network(network)
    path = kept_path(name, folder)
    try:
        if read_head(path).sha256 == network.sha256:
            return name
    except WeightsError:
        pass  # there is none, or what is there is damaged
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as ex:
        raise WeightsError(
            f"The folder {path.parent} cannot be made ({ex.strerror or ex})"
        ) from ex
    save_network(with_layers(network), path, replace=True)
    return name


def kept_path(name: str, folder: Path | None = None) -> Path:
    """Return where a trained network's file lies if it is kept.

    Raises
    ------
    UnknownNameError
        If no network can have that name.
    """
    stem = name.removeprefix(TRAINED)
    if not is_trained(name) or not stem.isascii() or set("/\\:.\0") & {*stem}:
        raise UnknownNameError(f"There is no network '{name}'")
    return (folder or data_folder() / "networks") / f"{stem}{NETWORK_SUFFIX}"


def kept_networks(folder: Path | None = None) -> dict[str, NetworkHead]:
    """Return the names and heads of the networks that are kept; damaged are left out.

    Parameters
    ----------
    folder
        As for `keep_network`.
    """
    found = {}
    for path in sorted((folder or data_folder() / "networks").glob("*.safetensors")):
        try:
            head = read_head(path)
        except WeightsError:
            continue
        if head.name == TRAINED + path.stem:
            found[head.name] = head
    return found


def forget_network(name: str, folder: Path | None = None) -> None:
    """Remove the file of a network that is kept; saved files elsewhere stay.

    Raises
    ------
    UnknownNameError
        If no network of that name is kept.
    WeightsError
        If it cannot be removed.
    """
    path = kept_path(name, folder)
    try:
        path.unlink()
    except FileNotFoundError as ex:
        raise UnknownNameError(f"No network '{name}' is kept here") from ex
    except OSError as ex:
        raise WeightsError(f"{path} cannot be removed ({ex.strerror or ex})") from ex
    with _LOCK:
        _CARDS.pop(name, None)


def trained_network(name: str, folder: Path | None = None) -> ImageNetwork:
    """Return a network that is lent, or else read the file that keeps it.

    Raises
    ------
    UnknownNameError
        If no network can have that name.
    WeightsError
        If it is neither lent nor kept, or its file is damaged.
    """
    network = lent_network(name)
    if network is not None:
        return network
    path = kept_path(name, folder)
    _need(name, path)
    network = load_network_file(path)
    if network.name != name:
        raise WeightsError(f"{path} holds another network, {network.name}")
    lend_network(network)
    return network


def trained_weights(name: str) -> Weights:
    """Return what is to be known about a trained network, as of published ones.

    Reads a small part of a file at most. Where nobody noted the network's layers it is
    built, for which torch is loaded.

    Raises
    ------
    UnknownNameError
        If no network can have that name.
    WeightsError
        If it is neither lent nor kept, or its file is damaged.
    """
    with _LOCK:
        known = _CARDS.get(name)
        network = lent_network(name)
        if known is not None and (network is not None or kept_path(name).is_file()):
            return known
    if network is not None:
        card, sha256 = network.card, network.sha256
    else:
        path = kept_path(name)
        _need(name, path)
        head = read_head(path)
        card, sha256 = head.card, head.sha256
        if head.name != name:
            raise WeightsError(f"{path} holds another network, {head.name}")
    weights = _weights(name, card, sha256)
    with _LOCK:
        _CARDS[name] = weights
        while len(_CARDS) > _N_CARDS:
            _CARDS.popitem(last=False)
    return weights


def weights_for(name: str) -> Weights:
    """Return the card of a network that torch builds: published or trained.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If a trained one is neither lent nor kept.
    """
    return trained_weights(name) if is_trained(name) else weights_of(name)


def identity_for(name: str) -> str:
    """Return a checksum that is another one for other numbers.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If its file cannot be read.
    """
    if is_trained(name):
        return trained_weights(name).sha256
    return identity_of(weights_of(name))


def drop_oldest(loaded: dict[tuple[str, str, str], Any]) -> None:
    """Let go of what is loaded of trained networks, but for the latest few.

    Parameters
    ----------
    loaded
        Something by name of the network and more; what is of published networks stays.
    """
    of_trained = [key for key in loaded if is_trained(key[0])]
    for key in of_trained[:-_N_LOADED]:
        del loaded[key]


def with_layers(network: ImageNetwork) -> ImageNetwork:
    """Return the network with a card that tells its layers, building it if need be.

    Raises
    ------
    WeightsError
        If it cannot be built.
    """
    if network.card.layers:
        return network
    return replace(network, card=replace(network.card, layers=_layers(network.card)))


def checked_network(network: ImageNetwork) -> ImageNetwork:
    """Return the network with its layers, once it is seen that it can be built.

    Raises
    ------
    WeightsError
        If this version has no such architecture, or the numbers are not its own.
    """
    try:
        from orangecontrib.imagemining.embedders.engines.building import check_tensors
    except ImportError as ex:
        raise WeightsError(f"Networks need the Python package torch ({ex})") from ex
    layers = check_tensors(network)
    return replace(network, card=replace(network.card, layers=layers))


def published_network(name: str) -> ImageNetwork:
    """Return published weights in the form of a trained network.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If its weights are not on this computer.
    """
    from orangecontrib.imagemining.embedders.classes import class_names

    weights = weights_of(name)
    classes = tuple(map(str, range(1, weights.num_classes + 1)))
    if weights.num_classes == 1000 and weights.trained_on.startswith("ImageNet"):
        classes = class_names()
    card = NetworkCard(
        title=weights.title,
        architecture=weights.network or name,
        classes=classes,
        preprocess=weights.preprocess,
        start=name,
        trained_on=weights.trained_on,
        license=weights.license,
        layers=weights.layers,
    )
    return ImageNetwork(card, load_weights(weights))


def _need(name: str, path: Path) -> None:
    if not path.is_file():
        title = name.removeprefix(TRAINED).rpartition("-")[0]
        raise WeightsError(
            f"The trained network '{title}' is not here: connect the widget that trains"
            " it, or Load Network with its file"
        )


def _weights(name: str, card: NetworkCard, sha256: str) -> Weights:
    height, width = card.preprocess.size
    layers = card.layers or _layers(card)
    figure = card.figures.get("accuracy")
    reached = f"{figure:.1%} of the images it was tried on right" if figure else ""
    return Weights(
        title=card.title,
        name=name.removeprefix(TRAINED),
        network=card.architecture,
        num_classes=len(card.classes),
        kind="trained network",
        sha256=sha256,
        # what comes first is the default: vectors, as of published networks
        layers=tuple(sorted(layers, key=lambda layer: layer.name != "features")),
        preprocess=card.preprocess,
        license=card.license or "your own",
        trained_on=card.trained_on or "images of your own",
        # what is not square cannot be turned
        views=VIEWS if height == width else tuple(n for n in VIEWS if n != 8),
        advice="; ".join(filter(None, [card.notes, reached])),
        fit=card.fit,
        classes=card.classes,
    )


def _layers(card: NetworkCard) -> tuple[Layer, ...]:
    try:
        from orangecontrib.imagemining.embedders.engines.building import layers_of
    except ImportError as ex:
        raise WeightsError(f"Networks need the Python package torch ({ex})") from ex
    return layers_of(card)
