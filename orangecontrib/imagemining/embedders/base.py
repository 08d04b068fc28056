"""The contract of embedders: a list of images in, for each a vector or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.trained import is_trained
from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.images import DENSE_SIDES
from orangecontrib.imagemining.specs import (
    DENSE_VIEWS,
    FITS,
    PRECISIONS,
    PROBABILITIES,
    EmbedderSpec,
    Layer,
    Progress,
    Weights,
)

__all__ = [
    "AnyEmbedder",
    "Embeddings",
    "check_spec",
    "fits_of",
    "knows_imagenet",
    "passes",
    "views_of",
]


@dataclass
class Embeddings:
    """What became of a list of images.

    Attributes
    ----------
    vectors : (n images, size) float32; rows of images without a vector are NaN.
    reasons : for each image None, or in words why it has no vector.
    n_known : how many of the vectors were known already, and not computed anew.
    """

    vectors: NDArray[np.float32]
    reasons: list[str | None]
    n_known: int = 0


class AnyEmbedder(Protocol):
    """Computes vectors, here or elsewhere."""

    spec: EmbedderSpec

    @property
    def size(self) -> int:
        """Length of a vector."""

    def __call__(
        self, images: Sequence[str | None], progress: Progress = ...
    ) -> Embeddings:
        """Embed the images at these paths or addresses (None: there is no image).

        What `progress` raises ends the work and is passed on.
        """


def views_of(network: str) -> tuple[int | str, ...]:
    """Return how often, or how, images may be looked at.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    weights = card_of(network)
    height, width = weights.preprocess.size
    views = [n for n in weights.views if n != 8 or height == width]
    return (*views, *(DENSE_VIEWS if _is_dense(network, weights) else ()))


def _is_dense(network: str, weights: Weights) -> bool:
    """Tell whether a network can be applied at all positions of an image."""
    if not is_trained(network):
        # only VGG's fully connected layers can
        return network.startswith("vgg")
    # all but AlexNet do so by themselves, since they end with the mean over positions;
    # the sizes of these views are those of networks that are used to 224 pixels or more
    return weights.network != "alexnet" and min(weights.preprocess.size) >= 224


def fits_of(network: str, views: int | str = 1) -> tuple[str, ...]:
    """Return how images may meet the network; one entry leaves no choice.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    # what stands in for another add-on's network has to do as that did, and 144 crops
    # and dense views neither stretch nor cut
    as_there = bool(card_of(network).plain_columns)
    alone = as_there or views == 144 or views in DENSE_VIEWS
    return FITS[:1] if alone else FITS


def passes(views: int | str) -> float:
    """Return how many times the work of one view these take.

    For dense views: of VGG, and for an image of 4:3; they are as many as there are
    pixels more than 224².
    """
    if isinstance(views, int):
        return views
    pixels = sum(side * side * 4 / 3 for side in DENSE_SIDES[views])
    return 2 * pixels / 224**2


def knows_imagenet(network: str) -> bool:
    """Tell whether its logits are ImageNet's 1,000 classes.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    weights = card_of(network)
    sizes = {layer.name: layer.size for layer in weights.layers}
    return sizes.get("logits") == 1000 and weights.trained_on.startswith("ImageNet")


def check_spec(spec: EmbedderSpec) -> Layer:
    """Return the layer that `spec` names.

    Besides the network's own layers there is `specs.PROBABILITIES` where it has logits.

    Raises
    ------
    UnknownNameError
        If its network, layer, number of views, fit or precision does not exist.
    """
    weights = card_of(spec.network)
    views = views_of(spec.network)
    if spec.views not in views:
        raise UnknownNameError(
            f"{weights.title}: {spec.views} views cannot be had, only"
            f" {' or '.join(map(str, views))}"
        )
    fits = fits_of(spec.network, spec.views)
    if spec.fit not in fits:
        raise UnknownNameError(
            f"With {weights.title} and views {spec.views} images cannot meet the"
            f" network by '{spec.fit}', only {' or '.join(fits)}"
        )
    if spec.precision not in PRECISIONS:
        raise UnknownNameError(
            f"Precisions are {' and '.join(PRECISIONS)}, not '{spec.precision}'"
        )
    for layer in weights.layers:
        if layer.name == spec.layer:
            return layer
        if layer.name == "logits" and spec.layer == PROBABILITIES:
            return Layer(PROBABILITIES, layer.size, "the probability of each class")
    raise UnknownNameError(
        f"{weights.title} has no layer '{spec.layer}', only"
        f" {', '.join(layer.name for layer in weights.layers)}"
    )
