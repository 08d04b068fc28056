"""The contract of networks; embedding and training rely on nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import Layer

__all__ = ["Network", "pooled"]


def pooled(features: Tensor) -> Tensor:
    """Return the mean over positions: (n, channels, h, w) to (n, channels)."""
    return features.mean(dim=(2, 3))


class Network(nn.Module, ABC):
    """A convolutional network that classifies images.

    Input is (n, 3, height, width) float32, normalised as its weights ask for.

    Attributes
    ----------
    num_features : length of the vector before the last linear map.
    num_classes : number of logits.
    """

    num_features: int
    num_classes: int

    @abstractmethod
    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the network's stages, the last one the features."""

    @abstractmethod
    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn features (n, channels, h, w) into logits (n, num_classes).

        With `pre_logits`, return the vector (n, num_features) that the last linear map
        would get.
        """

    @abstractmethod
    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last linear map by a fresh one."""

    @property
    @abstractmethod
    def stage_sizes(self) -> list[int]:
        """Numbers of channels of what `forward_stages` returns."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last features, (n, channels, h, w)."""
        return self.forward_stages(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (n, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def layers(self) -> list[Layer]:
        """Return the layers that vectors can be taken from, with their sizes."""
        return [
            Layer("logits", self.num_classes, "one number a class"),
            Layer("features", self.num_features, "the input of the classifier"),
            Layer("stages", sum(self.stage_sizes), "means of several depths"),
        ]

    def embed(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Run once and return a vector an image for each of the layers.

        Parameters
        ----------
        x
            (n, 3, height, width) float32.
        layers
            Names out of `layers()`.

        Returns
        -------
        For each name (n, size of the layer) float32.

        Raises
        ------
        UnknownNameError
            If the network has no such layer.
        """
        known = [layer.name for layer in self.layers()]
        for name in layers:
            if name not in known:
                raise UnknownNameError(
                    f"{type(self).__name__} has no layer '{name}', only"
                    f" {', '.join(known)}"
                )
        stages = self.forward_stages(x)
        vectors = {}
        for name in layers:
            if name == "logits":
                vectors[name] = self.forward_head(stages[-1])
            elif name == "features":
                vectors[name] = self.forward_head(stages[-1], pre_logits=True)
            else:
                vectors[name] = torch.cat([pooled(stage) for stage in stages], dim=1)
        return vectors
