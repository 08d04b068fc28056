"""A network small enough for tests, shipped so that tutorials can use it too."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["Toy", "toy"]


class Toy(Network):
    """Two convolutions and a linear map.

    Parameters
    ----------
    num_classes
        Number of logits.
    """

    min_size = 7

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 8
        self.stage_sizes = [4, 8]
        self.stage_names = ["stem", "body"]
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2), nn.ReLU())
        self.classifier = nn.Linear(self.num_features, num_classes)

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        x = self.stem(x)
        yield x
        yield self.body(x)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.classifier(vector)

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes)


@register_network
def toy(num_classes: int = 10) -> Toy:
    """A toy: 498 parameters with 10 classes, no published weights."""
    return Toy(num_classes)
