"""The contract of networks; embedding and training rely on nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.exceptions import ImageError, UnknownNameError
from orangecontrib.imagemining.specs import Layer

__all__ = ["POOLINGS", "Network", "grid_means", "pooled", "stage_layer"]

#: How a stage becomes a vector: the mean over positions, the largest value, or both.
POOLINGS = ("avg", "max", "avg+max")

_POOLED = {"avg": "means", "max": "largest values", "avg+max": "means, largest values"}


def pooled(features: Tensor, how: str = "avg") -> Tensor:
    """Sum up positions: (n, channels, h, w) to (n, channels).

    Parameters
    ----------
    features
        Output of a stage.
    how
        One of `POOLINGS`; with "avg+max" the vector is twice as long, means first.
    """
    if how == "avg":
        return features.mean(dim=(2, 3))
    if how == "max":
        return features.amax(dim=(2, 3))
    return torch.cat([pooled(features, part) for part in how.split("+")], dim=1)


def grid_means(features: Tensor, side: int) -> Tensor:
    """Return the means over `side` × `side` parts: (n, channels, side, side).

    Parameters
    ----------
    features
        (n, channels, h, w). Parts overlap where h and w are no multiples of `side`.
    side
        Number of parts along each axis.
    """
    sizes = [int(size) for size in features.shape[-2:]]
    if not torch.onnx.is_in_onnx_export() or not any(size % side for size in sizes):
        return functional.adaptive_avg_pool2d(features, side)
    # ONNX has no such operation, but it is linear along each axis
    rows, columns = (_parts(size, side).to(features) for size in sizes)
    return rows @ features @ columns.T


def _parts(size: int, side: int) -> Tensor:
    """Return (side, size): what each position contributes to the mean of each part."""
    weights = torch.zeros(side, size)
    for part in range(side):
        start, end = part * size // side, -(-(part + 1) * size // side)
        weights[part, start:end] = 1 / (end - start)
    return weights


def stage_layer(number: int, how: str = "avg") -> str:
    """Return the name of the layer of a stage: "stage2", "stage2:max", …

    Parameters
    ----------
    number
        Number of the stage, from 1.
    how
        One of `POOLINGS`.
    """
    return f"stage{number}" if how == "avg" else f"stage{number}:{how}"


class Network(nn.Module, ABC):
    """A convolutional network that classifies images.

    Input is (n, 3, height, width) float32, normalised as its weights ask for, of any
    height and width from `min_size`.

    Attributes
    ----------
    num_features : length of the vector that the classifier gets.
    num_classes : number of logits.
    stage_sizes : numbers of channels of what `forward_stages` returns.
    stage_names : what the stages' last modules are called in the paper.
    min_size : the smallest height and width that leave anything at the end.
    """

    num_features: int
    num_classes: int
    stage_sizes: list[int]
    stage_names: list[str]
    min_size: int = 1

    @abstractmethod
    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the outputs of the stages, each as soon as it is there.

        To be defined by networks; callers take `forward_stages`, which looks at the
        size first.
        """

    @abstractmethod
    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn features (n, channels, h, w) into logits (n, num_classes).

        With `pre_logits`, return the vector (n, num_features) that the classifier would
        get.
        """

    @abstractmethod
    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last linear map by a fresh one."""

    def classifier_input(self, vector: Tensor) -> Tensor:
        """Return what the last linear map gets of a vector (n, num_features).

        To be extended by networks that have more than it behind their features.
        """
        return vector

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the network's stages, the last one the features.

        Raises
        ------
        ImageError
            If the images are too small for this network.
        """
        self._check_size(x)
        return list(self.run_stages(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last features, (n, channels, h, w)."""
        return self.forward_stages(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (n, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_training(self, x: Tensor) -> list[Tensor]:
        """Return the logits, then those of auxiliary classifiers, if there are any.

        Each is to have its share in the loss; together they reach all parameters.
        """
        return [self(x)]

    def layers(self) -> list[Layer]:
        """Return the layers that vectors can be taken from, with their sizes."""
        layers = [
            Layer("logits", self.num_classes, "one number a class"),
            Layer("features", self.num_features, "the input of the classifier"),
            Layer("stages", sum(self.stage_sizes), "means of several depths"),
        ]
        stages = zip(self.stage_sizes, self.stage_names, strict=True)
        for number, (size, name) in enumerate(stages, start=1):
            for how in POOLINGS:
                length = size * len(how.split("+"))
                description = f"{_POOLED[how]} of {name}"
                layers.append(Layer(stage_layer(number, how), length, description))
        return layers

    def embed(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Run once, as deep as needed, and return a vector an image for each layer.

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
        ImageError
            If the images are too small for this network.
        """
        known = [layer.name for layer in self.layers()]
        for name in layers:
            if name not in known:
                raise UnknownNameError(
                    f"{type(self).__name__} has no layer '{name}', only"
                    f" {', '.join(known)}"
                )
        self._check_size(x)
        vectors: dict[str, Tensor] = {}
        means = []
        features = x
        for number, features in enumerate(self.run_stages(x), start=1):
            means.append(pooled(features))
            for how in POOLINGS:
                name = stage_layer(number, how)
                if name in layers:
                    vectors[name] = pooled(features, how)
            if vectors.keys() == set(layers):
                break
        if "stages" in layers:
            vectors["stages"] = torch.cat(means, dim=1)
        for name in layers:
            if name not in vectors:
                vectors[name] = self.head_vector(name, features)
        return {name: vectors[name] for name in layers}

    def head_vector(self, name: str, features: Tensor) -> Tensor:
        """Return the vector of a layer after the last stage.

        To be extended by networks that have more of them than these two.

        Parameters
        ----------
        name
            "features" or "logits".
        features
            Output of the last stage, (n, channels, h, w).
        """
        return self.forward_head(features, pre_logits=name == "features")

    def _check_size(self, x: Tensor, least: int | None = None) -> None:
        height, width = x.shape[-2:]
        least = least or self.min_size
        if min(height, width) < least:
            raise ImageError(
                f"{width} × {height} pixels are too few for {type(self).__name__}:"
                f" it needs at least {least} × {least}"
            )
