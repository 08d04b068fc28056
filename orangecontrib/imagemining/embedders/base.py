"""The contract of embedders: a list of images in, for each a vector or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import EmbedderSpec, Layer, Progress
from orangecontrib.imagemining.weights import weights_of

__all__ = ["Embedder", "Embeddings", "check_spec"]


@dataclass
class Embeddings:
    """What became of a list of images.

    Attributes
    ----------
    vectors : (n images, size) float32; rows of images without a vector are NaN.
    reasons : for each image None, or in words why it has no vector.
    """

    vectors: NDArray[np.float32]
    reasons: list[str | None]


class Embedder(Protocol):
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


def check_spec(spec: EmbedderSpec) -> Layer:
    """Return the layer that `spec` names.

    Raises
    ------
    UnknownNameError
        If its network, layer or number of views does not exist.
    """
    weights = weights_of(spec.network)
    if spec.views not in weights.views:
        raise UnknownNameError(
            f"{spec.views} views cannot be had, only"
            f" {' or '.join(map(str, weights.views))}"
        )
    for layer in weights.layers:
        if layer.name == spec.layer:
            return layer
    raise UnknownNameError(
        f"{weights.title} has no layer '{spec.layer}', only"
        f" {', '.join(layer.name for layer in weights.layers)}"
    )
