"""The networks that a server offers, under names that tell nothing of its disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.embedders.base import (
    check_spec,
    fits_of,
    knows_imagenet,
    views_of,
)
from orangecontrib.imagemining.embedders.cache.keys import preparation_of
from orangecontrib.imagemining.embedders.catalog import (
    ONNX,
    TIMM,
    card_of,
    kept_networks,
    lend_network,
    name_of_file,
    network_names,
    path_of,
)
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.specs import (
    PRECISIONS,
    PROBABILITIES,
    EmbedderSpec,
    Weights,
)
from orangecontrib.imagemining.weights import WEIGHTS, fetch, is_here
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    NETWORK_SUFFIXES,
    load_network_file,
)

__all__ = ["OLD_NAMES", "Catalogue", "NotHereError", "Served", "spec_of"]

#: What Orange3-ImageAnalytics calls a network: ours, and the layer that it takes.
#: Painters, DeepLoc and openface are published nowhere; a network of that name among
#: those of one's own stands for them.
OLD_NAMES: dict[str, tuple[str, str]] = {
    "inception-v3": ("inception_v3", "features"),
    "vgg16": ("vgg16", "features"),
    "vgg19": ("vgg19", "features"),
    "squeezenet": ("squeezenet_imageanalytics", "logits"),
    "painters": ("onnx:painters", ""),
    "deeploc": ("onnx:deeploc", ""),
    "openface": ("onnx:openface", ""),
}


class NotHereError(UnknownNameError):
    """The network is known, but its weights are not on this server."""


@dataclass(frozen=True)
class Served:
    """A network that is offered.

    Attributes
    ----------
    public : its name outside.
    name : its name in this program.
    card : what is to be known about it.
    preparation : digest of how images are made ready for it.
    """

    public: str
    name: str
    card: Weights
    preparation: str


class Catalogue:
    """The networks that are offered.

    Parameters
    ----------
    names
        Which; weights that are not here are fetched. Also files of own networks, .onnx
        with their card beside them, and of trained ones, .safetensors or .imnet.
        Without any: all that are here.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If its weights cannot be had.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.named = bool(names)
        self._served: dict[str, Served] = {}
        # a trained network is known by its name as long as somebody holds it
        self._held: list[ImageNetwork] = []
        for name in names or _those_here():
            name = self._name_of(name)
            card = card_of(name)
            if name in WEIGHTS and not is_here(card):
                fetch(card)
            public = _public(name)
            if public in self._served and self._served[public].name != name:
                raise UnknownNameError(
                    f"Two networks would both be called {public}; rename a file"
                )
            self._served[public] = Served(public, name, card, preparation_of(name))
        if not self._served:
            raise UnknownNameError(
                "No network's weights are on this computer; name one: --networks"
                " squeezenet1_1"
            )

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def __len__(self) -> int:
        return len(self._served)

    def find(self, public: str) -> Served:
        """Return the network of that name.

        Raises
        ------
        UnknownNameError
            If it is not offered; NotHereError if that is for want of weights.
        """
        if public in self._served:
            return self._served[public]
        if public in WEIGHTS or public in OLD_NAMES:
            raise NotHereError(
                f"The network {public} is not offered by this server; ask its"
                " administrator"
            )
        raise UnknownNameError("There is no network of that name; see /networks")

    def old(self, name: str) -> tuple[Served, str]:
        """Return the network and layer that an old client means by a name.

        Our own names are understood too; they mean the layer that comes first.

        Raises
        ------
        UnknownNameError
            As of `find`.
        """
        public, layer = OLD_NAMES.get(name, (name, ""))
        try:
            served = self.find(public)
        except UnknownNameError:
            served = self.find(name)  # tells it under the name that was asked for
        return served, layer or served.card.layers[0].name

    def _name_of(self, name: str) -> str:
        """Return a network's name, which may be told by its file."""
        if name.endswith(NETWORK_SUFFIXES):
            network = load_network_file(Path(name))
            self._held.append(network)
            return lend_network(network)
        is_file = name.endswith(".onnx") and not name.startswith((ONNX, TIMM))
        return name_of_file(Path(name)) if is_file else name

    def describe(self) -> list[dict[str, Any]]:
        """Return what clients may want to know of each network, for JSON."""
        return [_description(served) for served in self]


def spec_of(
    served: Served,
    layer: str,
    views: int | str = 1,
    fit: str = "stretch",
    precision: str = "float32",
) -> EmbedderSpec:
    """Return which vector is asked for.

    Raises
    ------
    UnknownNameError
        If there is no such layer, view, fit or precision; NotHereError if the network
        is not any more what clients are told of it.
    """
    _check_unchanged(served)
    spec = EmbedderSpec(served.name, layer, views, fit, precision)
    check_spec(spec)
    return spec


def _those_here() -> list[str]:
    names = network_names()
    here = [name for name in names if name not in WEIGHTS or is_here(WEIGHTS[name])]
    return [*here, *kept_networks()]


def _check_unchanged(served: Served) -> None:
    if not served.name.startswith(ONNX):  # the others are known by what they hold
        return
    try:
        same = card_of(served.name).sha256 == served.card.sha256
        same = same and preparation_of(served.name) == served.preparation
    except WeightsError:
        same = False  # its text tells where it was
    if not same:
        raise NotHereError(
            f"The network {served.public} has changed on the server, or is gone; its"
            " administrator has to start it again"
        )


def _public(name: str) -> str:
    # the folder is nobody's business
    return f"{ONNX}{path_of(name).stem}" if name.startswith(ONNX) else name


def _description(served: Served) -> dict[str, Any]:
    card = served.card
    layers = [{"name": each.name, "size": each.size} for each in card.layers]
    logits = [each.size for each in card.layers if each.name == "logits"]
    layers += [{"name": PROBABILITIES, "size": size} for size in logits]
    views = [
        {"views": each, "fits": fits_of(served.name, each)}
        for each in views_of(served.name)
    ]
    old = [name for name, (public, _) in OLD_NAMES.items() if public == served.public]
    height, width = card.preprocess.size
    imagenet = not served.name.startswith(TIMM) and knows_imagenet(served.name)
    return {
        "name": served.public,
        "title": card.title,
        "kind": card.kind,
        "old_names": old,
        "layers": layers,
        "views": views,
        "precisions": PRECISIONS,
        "height": height,
        "width": width,
        "sha256": card.sha256,
        "tensors_sha256": card.tensors_sha256,
        "source_sha256": card.source_sha256,
        "preparation": served.preparation,
        "licence": card.license,
        "trained_on": card.trained_on,
        "fit": card.fit,
        "imagenet": imagenet,
        "classes": [] if imagenet else list(card.classes),
    }
